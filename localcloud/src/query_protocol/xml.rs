//! Writing the XML of an answer.

use std::fmt::Display;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use crate::error::ApiError;

/// The elements inside an answer's envelope, or inside one of its elements.
///
/// ```ignore
/// let mut body = XmlBody::new();
/// body.list("instancesSet", "item", &instances, |xml, instance| {
///     xml.text("instanceId", &instance.id);
/// });
/// ```
#[derive(Debug, Clone)]
pub struct XmlBody(Vec<u8>);

impl Default for XmlBody {
    fn default() -> Self {
        Self::new()
    }
}

impl XmlBody {
    /// No elements yet.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// What EC2 answers to actions that return nothing else: `<return>true</return>`.
    pub fn return_true() -> Self {
        let mut body = Self::new();
        body.text("return", true);
        body
    }

    fn event(&mut self, event: Event<'_>) {
        Writer::new(&mut self.0)
            .write_event(event)
            .expect("writing to memory does not fail");
    }

    /// `<name>value</name>`, escaped. Characters that XML 1.0 can't carry become U+FFFD.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        let value: String = value
            .to_string()
            .chars()
            .map(|c| if is_xml_char(c) { c } else { '\u{fffd}' })
            .collect();
        self.event(Event::Start(BytesStart::new(name)));
        self.event(Event::Text(BytesText::new(&value)));
        self.event(Event::End(BytesEnd::new(name)));
        self
    }

    /// `<name>value</name>`, or nothing.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// `<name>…</name>` with what `fill` writes in it.
    pub fn element(&mut self, name: &str, fill: impl FnOnce(&mut XmlBody)) -> &mut Self {
        self.event(Event::Start(BytesStart::new(name)));
        fill(self);
        self.event(Event::End(BytesEnd::new(name)));
        self
    }

    /// `<name><item>…</item><item>…</item></name>`. The item's name is `item` in EC2, `member` in
    /// IAM and SNS.
    pub fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut XmlBody, T),
    ) -> &mut Self {
        self.element(name, |xml| {
            for value in values {
                xml.element(item, |xml| fill(xml, value));
            }
        })
    }

    /// `<name><item>value</item>…</name>` of plain values.
    pub fn texts<T: Display>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.element(name, |xml| {
            for value in values {
                xml.text(item, value);
            }
        })
    }

    fn append(&mut self, other: &XmlBody) {
        self.0.extend_from_slice(&other.0);
    }

    /// The elements as text, without an envelope; for unit tests of services.
    pub fn into_string(self) -> String {
        String::from_utf8(self.0).expect("only strings were written")
    }
}

/// Characters that XML 1.0 allows in a document (production `Char` of the recommendation). SQS has the same
/// rule for message bodies.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// How a service wraps its answers and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// EC2: elements directly in `<ActionResponse>`.
    Ec2,
    /// IAM, STS, SNS: elements in `<ActionResult>` inside `<ActionResponse>`.
    AwsQuery {
        /// e.g. `https://iam.amazonaws.com/doc/2010-05-08/`.
        namespace: &'static str,
    },
}

impl Envelope {
    /// The XML namespace of EC2's API version.
    const EC2_NAMESPACE: &'static str = "http://ec2.amazonaws.com/doc/2016-11-15/";

    /// A whole document for a good answer.
    pub fn answer(self, action: &str, body: &XmlBody, request_id: &str) -> String {
        let namespace = match self {
            Self::Ec2 => Self::EC2_NAMESPACE,
            Self::AwsQuery { namespace } => namespace,
        };
        let response = format!("{action}Response");
        let mut document = XmlBody::new();
        document.event(Event::Start(
            BytesStart::new(response.as_str()).with_attributes([("xmlns", namespace)]),
        ));
        match self {
            Self::Ec2 => {
                document.text("requestId", request_id);
                document.append(body);
            }
            Self::AwsQuery { .. } => {
                document.element(&format!("{action}Result"), |xml| xml.append(body));
                document.element("ResponseMetadata", |xml| {
                    xml.text("RequestId", request_id);
                });
            }
        }
        document.event(Event::End(BytesEnd::new(response.as_str())));
        with_declaration(document)
    }

    /// A whole document for an error.
    pub fn error(self, error: &ApiError, request_id: &str) -> String {
        let mut document = XmlBody::new();
        match self {
            Self::Ec2 => {
                document.element("Response", |xml| {
                    xml.element("Errors", |xml| {
                        xml.element("Error", |xml| {
                            xml.text("Code", &error.code)
                                .text("Message", &error.message);
                        });
                    });
                    xml.text("RequestID", request_id);
                });
            }
            Self::AwsQuery { namespace } => {
                document.event(Event::Start(
                    BytesStart::new("ErrorResponse").with_attributes([("xmlns", namespace)]),
                ));
                let side = if error.status < 500 {
                    "Sender"
                } else {
                    "Receiver"
                };
                document.element("Error", |xml| {
                    xml.text("Type", side)
                        .text("Code", &error.code)
                        .text("Message", &error.message);
                });
                document.text("RequestId", request_id);
                document.event(Event::End(BytesEnd::new("ErrorResponse")));
            }
        }
        with_declaration(document)
    }
}

fn with_declaration(document: XmlBody) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        document.into_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_ec2_answers() {
        let mut body = XmlBody::new();
        body.list("set", "item", ["a", "b<&>"], |xml, id| {
            xml.text("id", id);
        });
        assert_eq!(
            Envelope::Ec2.answer("DescribeThings", &body, "r-1"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <DescribeThingsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <requestId>r-1</requestId>\
             <set><item><id>a</id></item><item><id>b&lt;&amp;&gt;</id></item></set>\
             </DescribeThingsResponse>"
        );
    }

    #[test]
    fn wraps_query_answers_and_errors() {
        let envelope = Envelope::AwsQuery { namespace: "n" };
        let mut body = XmlBody::new();
        body.text("A", "x\u{1}");
        assert_eq!(
            envelope.answer("Get", &body, "r"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetResponse xmlns=\"n\">\
             <GetResult><A>x\u{fffd}</A></GetResult>\
             <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetResponse>"
        );
        let error = ApiError::new("NoSuchEntity", "no role").with_status(404);
        assert_eq!(
            envelope.error(&error, "r"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"n\"><Error>\
             <Type>Sender</Type><Code>NoSuchEntity</Code><Message>no role</Message></Error>\
             <RequestId>r</RequestId></ErrorResponse>"
        );
    }
}

//! The MD5 of message attributes, as the SQS developer guide defines it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use crate::state::sqs::MessageAttribute;

/// Marks of the kinds of value in the digest.
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// In hex; `None` for no attributes. In name order: the name, the data type, one byte for the kind, and the
/// value; each but the byte after its length in four bytes, big end first.
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        let (kind, value) = match (&attribute.string_value, &attribute.binary_value) {
            (None, Some(binary)) => (BINARY, BASE64.decode(binary).unwrap_or_default()),
            (text, _) => (TEXT, text.clone().unwrap_or_default().into_bytes()),
        };
        add(&mut digest, name.as_bytes());
        add(&mut digest, attribute.data_type.as_bytes());
        digest.update([kind]);
        add(&mut digest, &value);
    }
    Some(hex::encode(digest.finalize()))
}

fn add(digest: &mut Md5, bytes: &[u8]) {
    // No message is longer than 4 GiB.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    digest.update(length.to_be_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_definition_byte_by_byte() {
        let attributes = BTreeMap::from([(
            "n".to_owned(),
            MessageAttribute {
                data_type: "String".into(),
                string_value: Some("v".into()),
                binary_value: None,
            },
        )]);
        let bytes = b"\0\0\0\x01n\0\0\0\x06String\x01\0\0\0\x01v";
        assert_eq!(
            md5_of_attributes(&attributes),
            Some(hex::encode(Md5::digest(bytes)))
        );
        assert_eq!(md5_of_attributes(&BTreeMap::new()), None);
    }
}

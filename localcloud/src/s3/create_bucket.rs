//! `CreateBucket`, read from the raw request: the S3 model that `s3s` is made from knows neither
//! tags nor the bucket namespace in it, and would drop both without a word.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use s3s::dto;
use s3s::route::S3Route;
use s3s::xml::{DeError, Deserializer};
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::access::{Gate, bucket_arn};
use super::settings;
use super::tagging::check_tags;
use super::wire::{internal, named};
use crate::account::{ACCOUNT, REGION};
use crate::caller::Caller;
use crate::iam::Demands;
use crate::state::s3::{self as state, Setting, Tags};

/// More than 50 tags of the greatest length ever take.
const MAX_BODY: usize = 128 * 1024;

pub(super) struct CreateBucket {
    pub(super) s3: LocalS3,
    pub(super) gate: Gate,
}

#[async_trait]
impl S3Route for CreateBucket {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        let own = uri.query().is_none_or(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .all(|(name, _)| name == "x-id" || name.starts_with("X-Amz-"))
        });
        method == Method::PUT && own && bucket_of(uri).is_some()
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let key = request
            .credentials
            .as_ref()
            .map(|credentials| credentials.access_key.clone());
        let mut caller: Caller = self
            .gate
            .admit(key.as_deref(), &request.headers, &request.uri)
            .await?;
        if let Some(demands) = request.extensions.get::<Demands>() {
            caller.demands = demands.clone();
        }
        let bucket = bucket_of(&request.uri).unwrap_or_default();
        self.gate
            .demand(&caller, "s3:CreateBucket", &bucket_arn(bucket), &[])
            .await?;
        // S3 User Guide, "Setting Object Ownership when you create a bucket".
        if request
            .headers
            .get("x-amz-object-ownership")
            .is_some_and(|ownership| ownership != dto::ObjectOwnership::OBJECT_WRITER)
        {
            let action = "s3:PutBucketOwnershipControls";
            self.gate
                .demand(&caller, action, &bucket_arn(bucket), &[])
                .await?;
        }
        // Its tags are in the body, which is read later.
        request.extensions.insert(caller);
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let bucket = bucket_of(&request.uri).unwrap_or_default().to_owned();
        let ownership = check_headers(&request.headers)?;
        check_name(&bucket, &request.headers)?;
        let body = Limited::new(request.input, MAX_BODY)
            .collect()
            .await
            .map_err(|error| s3_error!(IncompleteBody, "{}", error))?
            .to_bytes();
        let tags = parse(&body)?;
        check_tags(&tags, 50)?;
        if let Some(caller) = request.extensions.get::<Caller>()
            && !tags.is_empty()
        {
            self.gate
                .demand_tagging(caller, &bucket_arn(&bucket), &tags)
                .await?;
        }
        let defaults = [
            (Setting::Ownership, settings::default_ownership(&ownership)?),
            (Setting::Encryption, settings::default_encryption()?),
            (
                Setting::PublicAccessBlock,
                settings::default_public_access_block()?,
            ),
        ];
        let now = self.s3.clock.now();
        let name = bucket.clone();
        self.s3
            .state(move |tx| {
                state::create_bucket(tx, &name, now)?;
                for (setting, value) in &defaults {
                    state::put_setting(tx, &name, *setting, value)?;
                }
                if !tags.is_empty() {
                    settings::store_tags(tx, &name, &tags)?;
                }
                Ok(())
            })
            .await?;
        let mut headers = HeaderMap::new();
        let location = format!("/{bucket}");
        headers.insert(http::header::LOCATION, header(&location)?);
        headers.insert("x-amz-bucket-arn", header(&bucket_arn(&bucket))?);
        Ok(S3Response::with_headers(Body::empty(), headers))
    }
}

fn header(value: &str) -> S3Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(internal)
}

/// The bucket of a path without a key.
fn bucket_of(uri: &Uri) -> Option<&str> {
    let path = uri.path().strip_prefix('/')?;
    let bucket = path.strip_suffix('/').unwrap_or(path);
    (!bucket.is_empty() && !bucket.contains('/')).then_some(bucket)
}

/// Headers that change what is made. Returns the object ownership.
fn check_headers(headers: &HeaderMap) -> S3Result<String> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    if let Some(acl) = text("x-amz-acl").filter(|acl| acl != "private") {
        return Err(s3_error!(
            InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting: {}",
            acl
        ));
    }
    if text("x-amz-bucket-object-lock-enabled").is_some_and(|value| value != "false") {
        return Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: x-amz-bucket-object-lock-enabled"
        ));
    }
    let ownership = text("x-amz-object-ownership")
        .unwrap_or_else(|| dto::ObjectOwnership::BUCKET_OWNER_ENFORCED.to_owned());
    settings::check_ownership(&ownership)?;
    Ok(ownership)
}

/// The rules of names beyond those of their characters, which are checked on every path
/// (S3 User Guide, "General purpose bucket naming rules").
fn check_name(bucket: &str, headers: &HeaderMap) -> S3Result<()> {
    let invalid = |why: String| {
        s3_error!(
            InvalidBucketName,
            "The specified bucket is not valid: {}",
            why
        )
    };
    for prefix in ["xn--", "sthree-", "amzn-s3-demo-"] {
        if bucket.starts_with(prefix) {
            return Err(invalid(format!("names can't begin with {prefix}")));
        }
    }
    for suffix in ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"] {
        if bucket.ends_with(suffix) {
            return Err(invalid(format!("names can't end with {suffix}")));
        }
    }
    let regional = format!("-{ACCOUNT}-{REGION}-an");
    let namespace = headers
        .get("x-amz-bucket-namespace")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match namespace.as_deref() {
        None | Some("global") => {
            if bucket.ends_with("-an") {
                return Err(invalid(
                    "only names in the account regional namespace end with -an; \
                     send x-amz-bucket-namespace: account-regional"
                        .to_owned(),
                ));
            }
        }
        Some("account-regional") => {
            if bucket.strip_suffix(&regional).is_none_or(str::is_empty) {
                return Err(invalid(format!(
                    "names in the account regional namespace end with {regional}"
                )));
            }
        }
        Some(other) => {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-bucket-namespace is global or account-regional, not {}",
                other
            ));
        }
    }
    Ok(())
}

/// Reads a `CreateBucketConfiguration`, checks its location and returns its tags.
fn parse(body: &Bytes) -> S3Result<Tags> {
    let mut location: Option<String> = None;
    let mut tags = Tags::new();
    let mut refused: Option<String> = None;
    if !body.is_empty() {
        let mut xml = Deserializer::new(body);
        xml.named_element("CreateBucketConfiguration", |xml| {
            xml.for_each_element(|xml, name| match name {
                b"LocationConstraint" => {
                    location = Some(xml.content()?);
                    Ok(())
                }
                b"Tags" => {
                    for tag in xml.list_content::<dto::Tag>("Tag")? {
                        tags.push((
                            tag.key.ok_or(DeError::MissingField)?,
                            tag.value.ok_or(DeError::MissingField)?,
                        ));
                    }
                    Ok(())
                }
                other => {
                    refused = Some(String::from_utf8_lossy(other).into_owned());
                    Err(DeError::UnexpectedTagName)
                }
            })
        })
        .and_then(|()| xml.expect_eof())
        .map_err(|error| match &refused {
            Some(name) => s3_error!(
                NotImplemented,
                "CreateBucketConfiguration with {} is not implemented",
                name
            ),
            None => s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema: {}",
                error
            ),
        })?;
    }
    match location.as_deref() {
        Some(REGION) => Ok(tags),
        Some("") | None => Err(location_error("unspecified")),
        Some(other) => Err(location_error(other)),
    }
}

fn location_error(location: &str) -> s3s::S3Error {
    named(
        "IllegalLocationConstraintException",
        StatusCode::BAD_REQUEST,
        format!(
            "The {location} location constraint is incompatible for the region specific endpoint this request was sent to; \
             it must be {REGION}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(xml: &str) -> Bytes {
        Bytes::copy_from_slice(xml.as_bytes())
    }

    #[test]
    fn location_and_tags() {
        let xml = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <LocationConstraint>us-local-1</LocationConstraint>\
            <Tags><Tag><Key>muck:stack</Key><Value>demo</Value></Tag><Tag><Key>a</Key><Value></Value></Tag></Tags>\
            </CreateBucketConfiguration>";
        assert_eq!(
            parse(&body(xml)).unwrap(),
            [
                ("muck:stack".to_owned(), "demo".to_owned()),
                ("a".to_owned(), String::new())
            ]
        );
        for wrong in [
            "",
            "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
            "<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>",
            "<CreateBucketConfiguration>",
            "words",
        ] {
            assert!(parse(&body(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names() {
        let none = HeaderMap::new();
        let mut regional = HeaderMap::new();
        regional.insert(
            "x-amz-bucket-namespace",
            HeaderValue::from_static("account-regional"),
        );
        let own = "muck-demo-input-000000000000-us-local-1-an";
        assert!(check_name("films", &none).is_ok());
        assert!(check_name(own, &regional).is_ok());
        assert!(check_name(own, &none).is_err());
        assert!(check_name("films", &regional).is_err());
        assert!(check_name("x-000000000000-us-east-1-an", &regional).is_err());
        assert!(check_name("-000000000000-us-local-1-an", &regional).is_err());
        assert!(check_name("films-s3alias", &none).is_err());
    }
}

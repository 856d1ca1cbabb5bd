//! Which S3 action a request is: for the journal and for fault rules alone. What is done with the request
//! is decided by `s3s`.

use http::Method;
use http::request::Parts;

/// Sub-resources of a bucket or object that make an action of their own, and its noun.
const SUBRESOURCES: &[(&str, &str)] = &[
    ("tagging", "Tagging"),
    ("policy", "Policy"),
    ("versioning", "Versioning"),
    ("encryption", "Encryption"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("lifecycle", "LifecycleConfiguration"),
    ("ownershipControls", "OwnershipControls"),
    ("location", "Location"),
    ("acl", "Acl"),
    ("cors", "Cors"),
    ("notification", "NotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("attributes", "Attributes"),
];

/// The action's name, e.g. `GetObject`; `Unknown` for what fits none.
pub fn name(parts: &Parts) -> String {
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let query: Vec<String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .map(|(name, _)| name.into_owned())
            .collect();
    let has = |name: &str| query.iter().any(|q| q == name);
    let copies = parts.headers.contains_key("x-amz-copy-source");
    let verb = match parts.method {
        Method::GET => "Get",
        Method::PUT => "Put",
        Method::DELETE => "Delete",
        Method::HEAD => "Head",
        Method::POST => "Post",
        _ => return "Unknown".to_owned(),
    };
    if bucket.is_empty() {
        return if verb == "Get" {
            "ListBuckets"
        } else {
            "Unknown"
        }
        .to_owned();
    }
    let owner = if key.is_empty() { "Bucket" } else { "Object" };
    if let Some((name, noun)) = SUBRESOURCES.iter().find(|(name, _)| has(name)) {
        let owner = if *name == "publicAccessBlock" {
            ""
        } else {
            owner
        };
        return format!("{verb}{owner}{noun}");
    }
    match (verb, key.is_empty()) {
        ("Get", true) if has("uploads") => "ListMultipartUploads",
        ("Get", true) if has("versions") => "ListObjectVersions",
        ("Get", true) if has("list-type") => "ListObjectsV2",
        ("Get", true) => "ListObjects",
        ("Put", true) => "CreateBucket",
        ("Delete", true) => "DeleteBucket",
        ("Head", true) => "HeadBucket",
        ("Post", true) if has("delete") => "DeleteObjects",
        ("Get", false) if has("uploadId") => "ListParts",
        ("Get", false) => "GetObject",
        ("Head", false) => "HeadObject",
        ("Put", false) if has("uploadId") && copies => "UploadPartCopy",
        ("Put", false) if has("uploadId") => "UploadPart",
        ("Put", false) if copies => "CopyObject",
        ("Put", false) => "PutObject",
        ("Delete", false) if has("uploadId") => "AbortMultipartUpload",
        ("Delete", false) => "DeleteObject",
        ("Post", false) if has("uploads") => "CreateMultipartUpload",
        ("Post", false) if has("uploadId") => "CompleteMultipartUpload",
        _ => "Unknown",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_actions() {
        for (method, uri, action) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/b", "CreateBucket"),
            ("PUT", "/b/", "CreateBucket"),
            ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
            ("GET", "/b?versions", "ListObjectVersions"),
            ("PUT", "/b?publicAccessBlock", "PutPublicAccessBlock"),
            ("PUT", "/b?policy", "PutBucketPolicy"),
            ("POST", "/b?delete", "DeleteObjects"),
            ("GET", "/b/media/x?x-id=GetObject", "GetObject"),
            ("PUT", "/b/k?tagging", "PutObjectTagging"),
            ("POST", "/b/k?uploads", "CreateMultipartUpload"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart"),
            ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
        ] {
            let parts = http::Request::builder()
                .method(method)
                .uri(uri)
                .body(())
                .unwrap()
                .into_parts()
                .0;
            assert_eq!(name(&parts), action, "{method} {uri}");
        }
    }
}

//! Who may do what: keys and session tokens, the bucket's expected owner, and for roles the
//! permission that each operation needs. The account's owner may do everything.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, StatusCode, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3Result, s3_error};

use super::policy;
use super::wire::{self, internal, named};
use crate::account::{ACCOUNT, REGION};
use crate::caller::Caller;
use crate::clock::Clock;
use crate::error::ApiResult;
use crate::iam::{Context, Demand, Demands, authorize_on};
use crate::state::Store;
use crate::state::iam::{AccessKey, Principal, find_key};

/// Checks every call before it is read.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(self.key(access_key).await?.secret_access_key.into())
    }
}

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let key = cx
            .credentials()
            .map(|credentials| credentials.access_key.clone());
        let (headers, uri) = (cx.headers().clone(), cx.uri().clone());
        let mut caller = self.admit(key.as_deref(), &headers, &uri).await?;
        if let Some(demands) = cx.extensions_mut().get::<Demands>() {
            caller.demands = demands.clone();
        }
        let versioned = has_query(&uri, "versionId");
        if let Some((action, resource)) = required(cx.s3_op().name(), cx.s3_path(), versioned) {
            let mut context = Vec::new();
            let prefix = query(&uri, "prefix");
            if let Some(prefix) = &prefix {
                context.push(("s3:prefix", prefix.as_str()));
            }
            self.demand(&caller, &action, &resource, &context).await?;
        }
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}

impl Gate {
    /// Who calls, by the key whose signature was good.
    ///
    /// # Errors
    /// `AccessDenied` for no key and for a wrong expected owner, `InvalidToken`, `ExpiredToken`,
    /// `AuthorizationHeaderMalformed` for another region, `NotImplemented` naming a checksum that
    /// is not kept.
    pub(super) async fn admit(
        &self,
        access_key: Option<&str>,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> S3Result<Caller> {
        let Some(id) = access_key else {
            return Err(s3_error!(
                AccessDenied,
                "Access Denied: the request is not signed"
            ));
        };
        let key = self.key(id).await?;
        let token = headers
            .get("x-amz-security-token")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
            .or_else(|| query(uri, "X-Amz-Security-Token"));
        if token != key.session_token {
            return Err(s3_error!(
                InvalidToken,
                "The provided token is malformed or otherwise invalid."
            ));
        }
        if key
            .expires
            .is_some_and(|expires| expires <= self.clock.now())
        {
            return Err(s3_error!(ExpiredToken, "The provided token has expired."));
        }
        check_region(headers, uri)?;
        check_headers(headers)?;
        Ok(Caller::of(key.principal, &key.access_key_id))
    }

    /// # Errors
    /// `AccessDenied` naming caller, action and resource.
    pub(super) async fn demand(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &[(&str, &str)],
    ) -> S3Result<()> {
        let mut conditions = self.context();
        for (key, value) in context {
            conditions.set(key, value);
        }
        self.ask(caller, action, resource, &conditions)
            .await?
            .map_err(wire::error)
    }

    fn context(&self) -> Context {
        Context::at(self.clock.now())
    }

    /// [`Gate::demand`] for tagging at creation.
    pub(super) async fn demand_tagging(
        &self,
        caller: &Caller,
        resource: &str,
        tags: &[(String, String)],
    ) -> S3Result<()> {
        let mut conditions = self.context();
        conditions.request_tags(tags);
        self.ask(caller, "s3:TagResource", resource, &conditions)
            .await?
            .map_err(wire::error)
    }

    /// Whether a caller may do something that it has not asked for.
    pub(super) async fn allows(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
    ) -> S3Result<bool> {
        let conditions = self.context();
        let asked = self.ask(caller, action, resource, &conditions).await?;
        Ok(asked.is_ok())
    }

    async fn ask(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> S3Result<ApiResult<()>> {
        if caller.principal == Principal::Root {
            caller.demands.note(Demand::new(action, resource, context));
            return Ok(Ok(()));
        }
        let conditions = context.clone();
        let store = self.store.clone();
        let (caller, action, resource) = (caller.clone(), action.to_owned(), resource.to_owned());
        tokio::task::spawn_blocking(move || {
            let asked = policy::of_resource(&store, &resource).and_then(|policy| {
                authorize_on(
                    &store,
                    &caller,
                    &action,
                    &resource,
                    &conditions,
                    policy.as_deref(),
                )
            });
            match asked {
                // A fault of the local cloud is not a refusal.
                Err(error) if error.status >= 500 => Err(wire::error(error)),
                asked => Ok(asked),
            }
        })
        .await
        .map_err(internal)?
    }

    async fn key(&self, id: &str) -> S3Result<AccessKey> {
        let store = self.store.clone();
        let id = id.to_owned();
        tokio::task::spawn_blocking(move || find_key(&store, &id))
            .await
            .map_err(internal)?
            .map_err(wire::error)?
            .ok_or_else(|| {
                s3_error!(
                    InvalidAccessKeyId,
                    "The AWS Access Key Id you provided does not exist in our records."
                )
            })
    }
}

pub(super) fn denied(caller: &Caller, action: &str, resource: &str) -> S3Error {
    s3_error!(
        AccessDenied,
        "User: {} is not authorized to perform: {} on resource: \"{}\"",
        caller.arn(),
        action,
        resource
    )
}

pub(super) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

pub(super) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// The permission that an operation needs, and on what
/// (Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3").
/// `None` where the operation asks for each key itself.
fn required(operation: &str, path: &S3Path, versioned: bool) -> Option<(String, String)> {
    let action = match operation {
        "DeleteObjects" => return None,
        "ListBuckets" => "ListAllMyBuckets",
        "HeadBucket" | "ListObjectsV2" | "ListObjects" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListMultipartUploads" => "ListBucketMultipartUploads",
        "ListParts" => "ListMultipartUploadParts",
        "GetObject" | "HeadObject" if versioned => "GetObjectVersion",
        "GetObject" | "HeadObject" => "GetObject",
        "PutObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload" => "PutObject",
        "DeleteObject" if versioned => "DeleteObjectVersion",
        "GetObjectTagging" if versioned => "GetObjectVersionTagging",
        "PutObjectTagging" if versioned => "PutObjectVersionTagging",
        "DeleteObjectTagging" if versioned => "DeleteObjectVersionTagging",
        "DeleteBucketTagging" => "PutBucketTagging",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "PutBucketPublicAccessBlock",
        "GetBucketEncryption" => "GetEncryptionConfiguration",
        "PutBucketEncryption" | "DeleteBucketEncryption" => "PutEncryptionConfiguration",
        "DeleteBucketOwnershipControls" => "PutBucketOwnershipControls",
        "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => "PutLifecycleConfiguration",
        other => other,
    };
    let resource = match path {
        S3Path::Root => "*".to_owned(),
        S3Path::Bucket { bucket } => bucket_arn(bucket),
        S3Path::Object { bucket, key } => object_arn(bucket, key),
    };
    Some((format!("s3:{action}"), resource))
}

/// The region that the caller signed for must be this one, as on AWS.
fn check_region(headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let scope = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split("Credential=").nth(1))
        .map(|value| value.split(',').next().unwrap_or_default().to_owned())
        .or_else(|| query(uri, "X-Amz-Credential"));
    let Some(region) = scope.as_deref().and_then(|scope| scope.split('/').nth(2)) else {
        return Err(s3_error!(
            AccessDenied,
            "only AWS Signature Version 4 is taken"
        ));
    };
    if region == REGION {
        return Ok(());
    }
    Err(named(
        "AuthorizationHeaderMalformed",
        StatusCode::BAD_REQUEST,
        format!(
            "The authorization header is malformed; the region '{region}' is wrong; expecting '{REGION}'"
        ),
    ))
}

fn check_headers(headers: &HeaderMap) -> S3Result<()> {
    for name in [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ] {
        if let Some(owner) = headers.get(name)
            && owner.as_bytes() != ACCOUNT.as_bytes()
        {
            return Err(s3_error!(
                AccessDenied,
                "Access Denied: the bucket belongs to {}, which is not the expected owner",
                ACCOUNT
            ));
        }
    }
    for name in headers.keys().map(http::HeaderName::as_str) {
        let unkept = name.strip_prefix("x-amz-checksum-").is_some_and(|rest| {
            !matches!(
                rest,
                "crc32"
                    | "crc32c"
                    | "crc64nvme"
                    | "sha1"
                    | "sha256"
                    | "mode"
                    | "type"
                    | "algorithm"
            )
        });
        let unknown = matches!(
            name,
            "x-amz-server-side-encryption-customer-algorithm"
                | "x-amz-server-side-encryption-customer-key"
                | "x-amz-server-side-encryption-aws-kms-key-id"
                | "x-amz-server-side-encryption-context"
                | "x-amz-object-lock-mode"
                | "x-amz-object-lock-retain-until-date"
                | "x-amz-object-lock-legal-hold"
                | "x-amz-website-redirect-location"
                | "x-amz-write-offset-bytes"
                | "x-amz-mfa"
        ) || name.starts_with("x-amz-grant-");
        if unkept || unknown {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented: {}",
                name
            ));
        }
    }
    Ok(())
}

fn has_query(uri: &Uri, name: &str) -> bool {
    query(uri, name).is_some()
}

fn query(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

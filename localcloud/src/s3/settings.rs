//! Settings of a bucket: tags, policy, public access block, encryption, ownership, lifecycle.
//! Each is kept as the XML (the policy as the JSON, the tags as JSON pairs) that was given.

use http::StatusCode;
use rusqlite::Transaction;
#[allow(
    clippy::wildcard_imports,
    reason = "two types for each of sixteen operations"
)]
use s3s::dto::*;
use s3s::xml::{DeserializeContent, Deserializer, SerializeContent, Serializer};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::policy;
use super::tagging::{check_tags, from_set, to_set};
use super::wire::{internal, named};
use super::write::aes256;
use crate::error::{ApiError, ApiResult};
use crate::state::s3::{self as state, Setting, Tags};

/// How many tags a bucket may have (S3 User Guide, "Using cost allocation S3 bucket tags").
pub(super) const MAX_BUCKET_TAGS: usize = 50;

/// The element that holds a kept setting; never shown to a caller.
const ELEMENT: &str = "Setting";

fn to_xml<T: SerializeContent>(value: &T) -> S3Result<String> {
    let mut xml = Vec::new();
    Serializer::new(&mut xml)
        .content(ELEMENT, value)
        .map_err(internal)?;
    String::from_utf8(xml).map_err(internal)
}

fn from_xml<T: for<'xml> DeserializeContent<'xml>>(text: &str) -> S3Result<T> {
    Deserializer::new(text.as_bytes())
        .named_element(ELEMENT, Deserializer::content)
        .map_err(internal)
}

/// What every new bucket has (S3 User Guide, "Default settings for new S3 buckets").
pub(super) fn default_encryption() -> S3Result<String> {
    to_xml(&ServerSideEncryptionConfiguration {
        rules: vec![ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                kms_master_key_id: None,
                sse_algorithm: aes256(),
            }),
            bucket_key_enabled: Some(false),
        }],
    })
}

pub(super) fn default_public_access_block() -> S3Result<String> {
    to_xml(&PublicAccessBlockConfiguration {
        block_public_acls: Some(true),
        block_public_policy: Some(true),
        ignore_public_acls: Some(true),
        restrict_public_buckets: Some(true),
    })
}

pub(super) fn default_ownership(ownership: &str) -> S3Result<String> {
    to_xml(&OwnershipControls {
        rules: vec![OwnershipControlsRule {
            object_ownership: ownership.to_owned().into(),
        }],
    })
}

/// # Errors
/// `NotImplemented` for those that need ACLs; `InvalidArgument` for what is no ownership.
pub(super) fn check_ownership(ownership: &str) -> S3Result<()> {
    match ownership {
        ObjectOwnership::BUCKET_OWNER_ENFORCED => Ok(()),
        ObjectOwnership::BUCKET_OWNER_PREFERRED | ObjectOwnership::OBJECT_WRITER => Err(s3_error!(
            NotImplemented,
            "object ownership {} needs ACLs, which are not implemented",
            ownership
        )),
        other => Err(s3_error!(
            InvalidArgument,
            "Invalid x-amz-object-ownership: {}",
            other
        )),
    }
}

pub(super) fn store_tags(tx: &Transaction<'_>, bucket: &str, tags: &Tags) -> ApiResult<()> {
    let text = serde_json::to_string(tags).map_err(ApiError::internal)?;
    state::put_setting(tx, bucket, Setting::Tagging, &text)
}

impl LocalS3 {
    async fn setting(&self, bucket: String, setting: Setting) -> S3Result<Option<String>> {
        self.state(move |tx| state::get_setting(tx, &bucket, setting))
            .await
    }

    async fn set(&self, bucket: String, setting: Setting, value: String) -> S3Result<()> {
        self.state(move |tx| state::put_setting(tx, &bucket, setting, &value))
            .await
    }

    async fn clear(&self, bucket: String, setting: Setting) -> S3Result<()> {
        self.state(move |tx| state::clear_setting(tx, &bucket, setting))
            .await
    }

    pub(super) async fn tags_of(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let text = self
            .setting(request.input.bucket, Setting::Tagging)
            .await?
            .ok_or_else(|| s3_error!(NoSuchTagSet, "The TagSet does not exist"))?;
        let tags: Tags = serde_json::from_str(&text).map_err(internal)?;
        Ok(S3Response::new(GetBucketTaggingOutput {
            tag_set: to_set(tags),
        }))
    }

    pub(super) async fn set_tags(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let PutBucketTaggingInput {
            bucket, tagging, ..
        } = request.input;
        let tags = from_set(tagging.tag_set)?;
        check_tags(&tags, MAX_BUCKET_TAGS)?;
        self.state(move |tx| store_tags(tx, &bucket, &tags)).await?;
        // As on AWS: 204, not the 200 of the other settings.
        Ok(S3Response::new(PutBucketTaggingOutput::default()))
    }

    pub(super) async fn clear_tags(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        self.clear(request.input.bucket, Setting::Tagging).await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
    }

    pub(super) async fn policy_of(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let policy = self
            .setting(request.input.bucket, Setting::Policy)
            .await?
            .ok_or_else(|| s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"))?;
        Ok(S3Response::new(GetBucketPolicyOutput {
            policy: Some(policy),
        }))
    }

    pub(super) async fn set_policy(
        &self,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let PutBucketPolicyInput { bucket, policy, .. } = request.input;
        let public = policy::check(&policy, &bucket)?;
        if public
            && let Some(text) = self
                .setting(bucket.clone(), Setting::PublicAccessBlock)
                .await?
            && from_xml::<PublicAccessBlockConfiguration>(&text)?.block_public_policy == Some(true)
        {
            return Err(s3_error!(
                AccessDenied,
                "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access"
            ));
        }
        self.set(bucket, Setting::Policy, policy).await?;
        Ok(S3Response::new(PutBucketPolicyOutput::default()))
    }

    pub(super) async fn clear_policy(
        &self,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        self.clear(request.input.bucket, Setting::Policy).await?;
        Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
    }

    pub(super) async fn public_access_block_of(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let text = self
            .setting(request.input.bucket, Setting::PublicAccessBlock)
            .await?
            .ok_or_else(|| {
                named(
                    "NoSuchPublicAccessBlockConfiguration",
                    StatusCode::NOT_FOUND,
                    "The public access block configuration was not found".into(),
                )
            })?;
        Ok(S3Response::new(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(from_xml(&text)?),
        }))
    }

    pub(super) async fn set_public_access_block(
        &self,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let given = request.input.public_access_block_configuration;
        // What is not named is off.
        let whole = PublicAccessBlockConfiguration {
            block_public_acls: given.block_public_acls.or(Some(false)),
            block_public_policy: given.block_public_policy.or(Some(false)),
            ignore_public_acls: given.ignore_public_acls.or(Some(false)),
            restrict_public_buckets: given.restrict_public_buckets.or(Some(false)),
        };
        self.set(
            request.input.bucket,
            Setting::PublicAccessBlock,
            to_xml(&whole)?,
        )
        .await?;
        Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
    }

    pub(super) async fn clear_public_access_block(
        &self,
        request: S3Request<DeletePublicAccessBlockInput>,
    ) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
        self.clear(request.input.bucket, Setting::PublicAccessBlock)
            .await?;
        Ok(S3Response::new(DeletePublicAccessBlockOutput::default()))
    }

    pub(super) async fn encryption_of(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let text = self
            .setting(request.input.bucket, Setting::Encryption)
            .await?
            .ok_or_else(|| {
                s3_error!(
                    ServerSideEncryptionConfigurationNotFoundError,
                    "The server side encryption configuration was not found"
                )
            })?;
        Ok(S3Response::new(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(from_xml(&text)?),
        }))
    }

    pub(super) async fn set_encryption(
        &self,
        request: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let configuration = request.input.server_side_encryption_configuration;
        let default = match configuration.rules.as_slice() {
            [rule] => rule.apply_server_side_encryption_by_default.as_ref(),
            _ => None,
        };
        let default =
            default.ok_or_else(|| s3_error!(MalformedXML, "there is one rule with a default"))?;
        super::write::check_encryption(Some(&default.sse_algorithm))?;
        self.set(
            request.input.bucket,
            Setting::Encryption,
            to_xml(&configuration)?,
        )
        .await?;
        Ok(S3Response::new(PutBucketEncryptionOutput::default()))
    }

    /// Back to the default, since all buckets are encrypted.
    pub(super) async fn reset_encryption(
        &self,
        request: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        self.set(
            request.input.bucket,
            Setting::Encryption,
            default_encryption()?,
        )
        .await?;
        Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
    }

    pub(super) async fn ownership_of(
        &self,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        let text = self
            .setting(request.input.bucket, Setting::Ownership)
            .await?
            .ok_or_else(|| {
                s3_error!(
                    OwnershipControlsNotFoundError,
                    "The bucket ownership controls were not found"
                )
            })?;
        Ok(S3Response::new(GetBucketOwnershipControlsOutput {
            ownership_controls: Some(from_xml(&text)?),
        }))
    }

    pub(super) async fn set_ownership(
        &self,
        request: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        let controls = request.input.ownership_controls;
        let [rule] = controls.rules.as_slice() else {
            return Err(s3_error!(MalformedXML, "there is exactly one rule"));
        };
        check_ownership(rule.object_ownership.as_str())?;
        self.set(request.input.bucket, Setting::Ownership, to_xml(&controls)?)
            .await?;
        Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
    }

    pub(super) async fn lifecycle_of(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        let text = self
            .setting(request.input.bucket, Setting::Lifecycle)
            .await?
            .ok_or_else(|| {
                s3_error!(
                    NoSuchLifecycleConfiguration,
                    "The lifecycle configuration does not exist"
                )
            })?;
        let configuration: BucketLifecycleConfiguration = from_xml(&text)?;
        Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
            rules: Some(configuration.rules),
            ..GetBucketLifecycleConfigurationOutput::default()
        }))
    }

    pub(super) async fn set_lifecycle(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        let mut configuration = request
            .input
            .lifecycle_configuration
            .filter(|configuration| !configuration.rules.is_empty())
            .ok_or_else(|| s3_error!(MalformedXML, "a lifecycle has at least one rule"))?;
        for rule in &mut configuration.rules {
            check_rule(rule)?;
            rule.id
                .get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
        }
        self.set(
            request.input.bucket,
            Setting::Lifecycle,
            to_xml(&configuration)?,
        )
        .await?;
        Ok(S3Response::new(
            PutBucketLifecycleConfigurationOutput::default(),
        ))
    }

    pub(super) async fn clear_lifecycle(
        &self,
        request: S3Request<DeleteBucketLifecycleInput>,
    ) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
        self.clear(request.input.bucket, Setting::Lifecycle).await?;
        Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
    }
}

fn check_rule(rule: &LifecycleRule) -> S3Result<()> {
    let malformed = |why: &'static str| -> S3Error { s3_error!(MalformedXML, "{}", why) };
    if !matches!(rule.status.as_str(), "Enabled" | "Disabled") {
        return Err(malformed("Status is Enabled or Disabled"));
    }
    if rule.filter.is_some() == rule.prefix.is_some() {
        return Err(malformed("a rule has either a Filter or a Prefix"));
    }
    let acts = rule.expiration.is_some()
        || rule.abort_incomplete_multipart_upload.is_some()
        || rule.noncurrent_version_expiration.is_some()
        || rule.transitions.is_some()
        || rule.noncurrent_version_transitions.is_some();
    if !acts {
        return Err(s3_error!(
            InvalidRequest,
            "At least one action needs to be specified in a rule"
        ));
    }
    let days = [
        rule.expiration.as_ref().and_then(|action| action.days),
        rule.abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|action| action.days_after_initiation),
        rule.noncurrent_version_expiration
            .as_ref()
            .and_then(|action| action.noncurrent_days),
    ];
    if days.into_iter().flatten().any(|days| days < 1) {
        return Err(s3_error!(
            InvalidArgument,
            "'Days' in a lifecycle action must be a positive integer"
        ));
    }
    Ok(())
}

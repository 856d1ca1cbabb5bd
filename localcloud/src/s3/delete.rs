//! `DeleteObject` and `DeleteObjects`.

use s3s::dto::{
    self, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::access::object_arn;
use super::wire;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::iam::{Context, Demand};
use crate::state::iam::Principal;
use crate::state::s3::{self as state, Deleted, Deletion};

/// How many keys one `DeleteObjects` may name (API reference).
const MAX_KEYS: usize = 1000;

pub(super) async fn delete(
    s3: &LocalS3,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    if input.if_match_last_modified_time.is_some() || input.if_match_size.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-if-match-last-modified-time and x-amz-if-match-size are for directory buckets"
        ));
    }
    let deletion = Deletion {
        key: input.key,
        version_id: input.version_id,
        etag: input.if_match.map(|condition| match condition {
            dto::ETagCondition::Any => "*".to_owned(),
            dto::ETagCondition::ETag(tag) => tag.into_value(),
        }),
    };
    let mut outcome = run(s3, input.bucket, vec![deletion]).await?;
    let (_, outcome) = outcome
        .pop()
        .ok_or_else(|| wire::internal("a deletion without an outcome"))?;
    let deleted = outcome.map_err(wire::error)?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    }))
}

pub(super) async fn delete_many(
    s3: &LocalS3,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let input = request.input;
    let count = input.delete.objects.len();
    if count == 0 || count > MAX_KEYS {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema: \
             1 to {} keys can be deleted at once, not {}",
            MAX_KEYS,
            count
        ));
    }
    let caller: Option<&Caller> = request.extensions.get();
    let mut deletions = Vec::with_capacity(count);
    let mut errors = Vec::new();
    for object in input.delete.objects {
        if object.last_modified_time.is_some() || object.size.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "LastModifiedTime and Size in a deletion are for directory buckets"
            ));
        }
        let deletion = Deletion {
            key: object.key,
            version_id: object.version_id,
            etag: object.e_tag.map(dto::ETag::into_value),
        };
        let action = if deletion.version_id.is_some() {
            "s3:DeleteObjectVersion"
        } else {
            "s3:DeleteObject"
        };
        let resource = object_arn(&input.bucket, &deletion.key);
        match caller {
            Some(caller) if caller.principal != Principal::Root => {
                match s3.gate.demand(caller, action, &resource, &[]).await {
                    Ok(()) => deletions.push(deletion),
                    Err(error) => errors.push(refused(
                        deletion,
                        error.code().as_str(),
                        error.message().unwrap_or_default().to_owned(),
                    )),
                }
            }
            Some(root) if deletions.is_empty() => {
                // It may delete all of them; the first stands for them in the journal.
                let demand = Demand::new(action, &resource, &Context::default());
                root.demands.note(demand);
                deletions.push(deletion);
            }
            _ => deletions.push(deletion),
        }
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let mut done = Vec::new();
    for (deletion, outcome) in run(s3, input.bucket, deletions).await? {
        match outcome {
            Ok(_) if quiet => {}
            Ok(deleted) => done.push(told(deletion, deleted)),
            Err(error) => errors.push(refused(deletion, &error.code, error.message)),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(done),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

type Outcome = (Deletion, Result<Deleted, ApiError>);

/// Deletes in one transaction, then removes the files outside it.
async fn run(s3: &LocalS3, bucket: String, deletions: Vec<Deletion>) -> S3Result<Vec<Outcome>> {
    let now = s3.clock.now();
    let conflicts = s3.conflicts.clone();
    let mut outcomes: Vec<Outcome> = s3
        .state(move |tx| {
            let bucket = state::find_bucket(tx, &bucket)?;
            let mut outcomes = Vec::with_capacity(deletions.len());
            for deletion in deletions {
                let outcome = match state::delete_object(tx, &bucket, &deletion, now) {
                    // A refusal by a condition came before any change; anything else undoes all.
                    Err(error) if error.status >= 500 => return Err(error),
                    outcome => outcome,
                };
                outcomes.push((deletion, outcome));
            }
            let keys = outcomes
                .iter()
                .filter(|(_, outcome)| outcome.is_ok())
                .map(|(deletion, _)| deletion.key.as_str());
            conflicts.deleted(&bucket.name, keys);
            Ok(outcomes)
        })
        .await?;
    let doomed = outcomes
        .iter_mut()
        .filter_map(|(_, outcome)| outcome.as_mut().ok())
        .flat_map(|deleted| std::mem::take(&mut deleted.doomed))
        .collect();
    s3.discard(doomed);
    Ok(outcomes)
}

fn told(deletion: Deletion, deleted: Deleted) -> DeletedObject {
    // A marker made or removed is told apart from a version removed for good.
    let marker_id = deleted.marker.then_some(deleted.version_id).flatten();
    DeletedObject {
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: marker_id,
        key: Some(deletion.key),
        version_id: deletion.version_id,
    }
}

fn refused(deletion: Deletion, code: &str, message: String) -> dto::Error {
    dto::Error {
        code: Some(code.to_owned()),
        key: Some(deletion.key),
        message: Some(message),
        version_id: deletion.version_id,
    }
}

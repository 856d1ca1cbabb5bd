//! S3.

mod upload;

use std::path::Path;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use tokio::io::AsyncWriteExt as _;

use super::{Expected, Fetched, Note, Store, StoreError};
use crate::aws::{chain, describe};
use crate::sums::{Summer, Sums};
use crate::text::quantity;

/// A verdict has 2 KiB, a lease less; what is much longer is neither.
const MOST_NOTE_BYTES: u64 = 1 << 20;

/// How often a download that broke off is begun again. The SDK's own retries end where the body
/// begins.
const FETCH_ATTEMPTS: u32 = 3;

/// The name of the object metadata that carries the hex SHA-256 of the content
/// (`x-amz-meta-sha256`). S3's own SHA-256 of a multipart upload is one of its parts' sums.
const SHA256_METADATA: &str = "sha256";

/// Buckets of one account.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    owner: String,
}

impl S3Store {
    /// `owner` is the account that every bucket must belong to.
    pub fn new(client: Client, owner: &str) -> Self {
        Self {
            client,
            owner: owner.to_owned(),
        }
    }

    async fn fetch_once(
        &self,
        bucket: &str,
        key: &str,
        size: u64,
        to: &Path,
    ) -> Result<Fetched, FetchError> {
        let what = name(bucket, key);
        let answer = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|e| FetchError::Final(read_error("fetch", &what, &e)))?;
        let length = answer.content_length.and_then(|n| u64::try_from(n).ok());
        if let Some(actual) = length.filter(|n| *n != size) {
            return Err(FetchError::Final(StoreError::Size {
                what,
                expected: size,
                actual,
            }));
        }
        let stored_sha256 = answer
            .metadata()
            .and_then(|m| m.get(SHA256_METADATA))
            .cloned();
        let disk = |e: std::io::Error| {
            FetchError::Final(StoreError::Machine {
                action: "write",
                what: to.display().to_string(),
                why: e.to_string(),
            })
        };
        let mut file = tokio::fs::File::create(to).await.map_err(disk)?;
        let mut body = answer.body;
        let mut summer = Summer::default();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|e| FetchError::Broken(chain(&e)))?;
            summer.update(&piece);
            if summer.size() > size {
                let actual = summer.size();
                return Err(FetchError::Final(StoreError::Size {
                    what,
                    expected: size,
                    actual,
                }));
            }
            file.write_all(&piece).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        if summer.size() < size {
            return Err(FetchError::Broken(format!(
                "it ended after {}",
                quantity(summer.size(), "byte")
            )));
        }
        Ok(Fetched {
            sums: summer.finish(),
            stored_sha256,
        })
    }
}

#[async_trait]
impl Store for S3Store {
    async fn fetch(
        &self,
        bucket: &str,
        key: &str,
        size: u64,
        to: &Path,
    ) -> Result<Fetched, StoreError> {
        let mut attempt = 1;
        loop {
            match self.fetch_once(bucket, key, size, to).await {
                Ok(fetched) => return Ok(fetched),
                Err(FetchError::Final(error)) => return Err(error),
                Err(FetchError::Broken(why)) if attempt < FETCH_ATTEMPTS => {
                    tracing::warn!(
                        "fetching {} broke off, trying again: {why}",
                        name(bucket, key)
                    );
                    attempt += 1;
                }
                Err(FetchError::Broken(why)) => {
                    return Err(machine_at("fetch", name(bucket, key), why));
                }
            }
        }
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        sums: &Sums,
        mime: &str,
    ) -> Result<(), StoreError> {
        self.upload(bucket, key, from, sums, mime).await
    }

    async fn put_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        mime: &str,
    ) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .content_type(mime)
            .body(ByteStream::from(text.as_bytes().to_vec()))
            .send()
            .await
            .map(drop)
            .map_err(|e| machine_at("store", name(bucket, key), describe(&e)))
    }

    async fn read_note(&self, bucket: &str, key: &str) -> Result<Option<Note>, StoreError> {
        let what = name(bucket, key);
        let answer = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .send()
            .await;
        let answer = match answer.map_err(|e| read_error("read", &what, &e)) {
            Ok(answer) => answer,
            // The role has no right to list, so S3 says "denied" of what isn't there. Should the
            // right to read be missing in truth, writing will tell.
            Err(StoreError::Absent { .. } | StoreError::Denied { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let tag = answer.e_tag.unwrap_or_default();
        let mut body = answer.body;
        let mut text = Vec::new();
        while let Some(piece) = body.next().await {
            text.extend_from_slice(
                &piece.map_err(|e| machine_at("read", what.clone(), chain(&e)))?,
            );
            if text.len() as u64 > MOST_NOTE_BYTES {
                return Err(machine_at("read", what, "it is over 1 MiB long".to_owned()));
            }
        }
        let text = String::from_utf8(text).map_err(|e| machine_at("read", what, e.to_string()))?;
        Ok(Some(Note { text, tag }))
    }

    async fn replace_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        expected: Expected<'_>,
    ) -> Result<Option<String>, StoreError> {
        let put = self
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .content_type("application/json")
            .body(ByteStream::from(text.as_bytes().to_vec()));
        let put = match expected {
            Expected::Absent => put.if_none_match("*"),
            Expected::Tag(tag) => put.if_match(tag),
        };
        match put.send().await {
            Ok(answer) => Ok(Some(answer.e_tag.unwrap_or_default())),
            // 412: there is something else. 409: another is being written at this moment, or was deleted. If the lost
            // answer of an earlier try was a success, the one that is there is our own.
            Err(error) if matches!(status(&error), Some(412 | 409)) => Ok(None),
            // What was expected no longer exists.
            Err(error) if expected != Expected::Absent && error.code() == Some("NoSuchKey") => {
                Ok(None)
            }
            Err(error) => Err(machine_at("write", name(bucket, key), describe(&error))),
        }
    }

    async fn verdict(&self, bucket: &str, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.read_note(bucket, key).await?.map(|note| note.text))
    }

    async fn put_verdict(&self, bucket: &str, key: &str, text: &str) -> Result<bool, StoreError> {
        let written = self
            .replace_note(bucket, key, text, Expected::Absent)
            .await?;
        Ok(written.is_some())
    }
}

/// How a download ended badly.
enum FetchError {
    /// The body broke off; the object may be had whole.
    Broken(String),
    Final(StoreError),
}

/// An object as people write it; keys are foreign text.
fn name(bucket: &str, key: &str) -> String {
    crate::text::printable_short(&format!("s3://{bucket}/{key}"), 300)
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

fn machine(action: &'static str, path: &Path, why: String) -> StoreError {
    machine_at(action, path.display().to_string(), why)
}

fn machine_at(action: &'static str, what: String, why: String) -> StoreError {
    StoreError::Machine { action, what, why }
}

/// What an answer to reading means. Errors of credentials have 403 too, but codes of their own.
fn read_error<E>(action: &'static str, what: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (status(error), error.code()) {
        (Some(404), _) | (_, Some("NoSuchKey" | "NoSuchBucket")) => StoreError::Absent {
            what: what.to_owned(),
        },
        (_, Some("AccessDenied")) => StoreError::Denied {
            what: what.to_owned(),
            why: describe(error),
        },
        (Some(400), Some("KeyTooLongError" | "InvalidURI" | "InvalidBucketName")) => {
            StoreError::Absent {
                what: what.to_owned(),
            }
        }
        _ => machine_at(action, what.to_owned(), describe(error)),
    }
}

//! How an output gets into S3: whole, or in parts.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use tokio::io::AsyncReadExt as _;

use super::{S3Store, SHA256_METADATA, StoreError, machine, machine_at, name};
use crate::aws::describe;
use crate::sums::Sums;

/// What is sent in one call. A part is in memory while it is sent, so that it can be signed and
/// sent again; one at a time keeps the worker far under 64 MiB. S3's least part is 5 MiB.
const PART_BYTES: u64 = 16 << 20;

/// S3's most parts of one object. Beyond 156 GiB parts grow instead.
const MOST_PARTS: u64 = 10_000;

impl S3Store {
    /// In one call or in parts, by size.
    pub(super) async fn upload(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        sums: &Sums,
        mime: &str,
    ) -> Result<(), StoreError> {
        if sums.size <= PART_BYTES {
            self.put_whole(bucket, key, from, sums, mime).await
        } else {
            self.put_parts(bucket, key, from, sums, mime).await
        }
    }

    async fn put_whole(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        sums: &Sums,
        mime: &str,
    ) -> Result<(), StoreError> {
        let what = name(bucket, key);
        let body = tokio::fs::read(from)
            .await
            .map_err(|e| machine("read", from, e.to_string()))?;
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .content_type(mime)
            .checksum_sha256(BASE64.encode(sums.sha256))
            .metadata(SHA256_METADATA, sums.sha256_hex())
            .body(ByteStream::from(body))
            .send()
            .await
            .map(drop)
            .map_err(|e| machine_at("store", what, describe(&e)))
    }

    async fn put_parts(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        sums: &Sums,
        mime: &str,
    ) -> Result<(), StoreError> {
        let what = name(bucket, key);
        let upload = self
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .content_type(mime)
            .metadata(SHA256_METADATA, sums.sha256_hex())
            .send()
            .await
            .map_err(|e| machine_at("begin storing", what.clone(), describe(&e)))?;
        let id = upload.upload_id.unwrap_or_default();
        let sent = self.send_parts(bucket, key, &id, from, sums.size).await;
        let done = match sent {
            Ok(parts) => self
                .client
                .complete_multipart_upload()
                .bucket(bucket)
                .key(key)
                .expected_bucket_owner(&self.owner)
                .upload_id(&id)
                .multipart_upload(
                    CompletedMultipartUpload::builder()
                        .set_parts(Some(parts))
                        .build(),
                )
                .send()
                .await
                .map(drop)
                .map_err(|e| machine_at("finish storing", what, describe(&e))),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // The first error is what counts; parts left over are removed with the bucket.
            let _ = self
                .client
                .abort_multipart_upload()
                .bucket(bucket)
                .key(key)
                .expected_bucket_owner(&self.owner)
                .upload_id(&id)
                .send()
                .await;
        }
        done
    }

    async fn send_parts(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        from: &Path,
        size: u64,
    ) -> Result<Vec<CompletedPart>, StoreError> {
        let disk = |e: std::io::Error| machine("read", from, e.to_string());
        let mut file = tokio::fs::File::open(from).await.map_err(disk)?;
        let part_bytes = part_bytes(size);
        let mut parts = Vec::new();
        let mut left = size;
        while left > 0 {
            let length = left.min(part_bytes);
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_exact(&mut piece).await.map_err(disk)?;
            let answer = self
                .client
                .upload_part()
                .bucket(bucket)
                .key(key)
                .expected_bucket_owner(&self.owner)
                .upload_id(id)
                .part_number(number)
                .content_md5(BASE64.encode(Md5::digest(&piece)))
                .body(ByteStream::from(Bytes::from(piece)))
                .send()
                .await
                .map_err(|e| machine_at("store a part of", name(bucket, key), describe(&e)))?;
            let part = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag);
            parts.push(part.build());
            left -= length;
        }
        Ok(parts)
    }
}

/// How large the parts of an upload of that many bytes are.
fn part_bytes(size: u64) -> u64 {
    PART_BYTES.max(size.div_ceil(MOST_PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_are_too_many_nor_too_small() {
        assert_eq!(part_bytes(1), PART_BYTES);
        assert_eq!(part_bytes(PART_BYTES * MOST_PARTS), PART_BYTES);
        // S3's largest object.
        let most = 5 << 40;
        assert!(most / part_bytes(most) <= MOST_PARTS);
    }
}

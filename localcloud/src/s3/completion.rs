//! How the parts of an upload become an object.

use s3s::dto::{self, CompleteMultipartUploadInput, CompleteMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::checksums::Algorithm;
use super::wire::{ChecksumFields, etag, internal, kind, length};
use super::write::{aes256, condition};
use crate::state::s3::{self as state, Checksum, ChecksumKind, CompletedPart, Part, Upload};

pub(super) async fn complete(
    s3: &LocalS3,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = request.input;
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let declared = declared_of_complete(&input);
    let named = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default()
        .into_iter()
        .map(completed_part)
        .collect::<S3Result<Vec<_>>>()?;
    let watch = s3.watch(&input.bucket, &input.key, &condition);
    let now = s3.clock.now();
    let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id);
    let (declared_type, declared_size) = (input.checksum_type, input.mpu_object_size);
    let (completed, checksum) = s3
        .state(move |tx| {
            watch.check()?;
            let bucket = state::find_bucket(tx, &bucket)?;
            let upload = state::find_upload(tx, &bucket.name, &key, &id)?;
            let parts = state::chosen_parts(tx, &upload, &named)?;
            let size: u64 = parts.iter().map(|part| part.size).sum();
            if declared_size.is_some_and(|declared| declared != length(size)) {
                return Err(crate::error::ApiError::new(
                    "InvalidRequest",
                    "The provided 'x-amz-mp-object-size' header value does not match the size of the parts",
                ));
            }
            let checksum = whole_checksum(&upload, &parts).map_err(|error| refusal(&error))?;
            check_declared(declared.as_ref(), declared_type.as_ref(), &upload, checksum.as_ref())
                .map_err(|error| refusal(&error))?;
            let tag = etag_of(&parts).map_err(|error| refusal(&error))?;
            let completed = state::complete_upload(
                tx,
                &bucket,
                &upload,
                &parts,
                (tag, checksum.clone()),
                &condition,
                now,
            )?;
            Ok((completed, checksum))
        })
        .await?;
    let mut doomed = completed.put.doomed;
    doomed.extend(completed.unused);
    s3.discard(doomed);
    let shown = ChecksumFields::of(checksum.as_ref());
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        checksum_crc32: shown.crc32,
        checksum_crc32c: shown.crc32c,
        checksum_crc64nvme: shown.crc64nvme,
        checksum_sha1: shown.sha1,
        checksum_sha256: shown.sha256,
        checksum_type: shown.kind,
        e_tag: Some(etag(&completed.etag)),
        server_side_encryption: Some(aes256()),
        version_id: completed.put.version_id,
        ..CompleteMultipartUploadOutput::default()
    }))
}

/// A refusal found inside the transaction, in the state's terms.
fn refusal(error: &s3s::S3Error) -> crate::error::ApiError {
    crate::error::ApiError::new(error.code().as_str(), error.message().unwrap_or_default())
        .with_status(error.status_code().map_or(500, |status| status.as_u16()))
}

fn completed_part(part: dto::CompletedPart) -> S3Result<CompletedPart> {
    let number = part
        .part_number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| s3_error!(MalformedXML, "a part has a PartNumber"))?;
    let etag = part
        .e_tag
        .ok_or_else(|| s3_error!(MalformedXML, "a part has an ETag"))?;
    let checksum = first_checksum([
        (Algorithm::Crc32, part.checksum_crc32),
        (Algorithm::Crc32c, part.checksum_crc32c),
        (Algorithm::Crc64Nvme, part.checksum_crc64nvme),
        (Algorithm::Sha1, part.checksum_sha1),
        (Algorithm::Sha256, part.checksum_sha256),
    ]);
    Ok(CompletedPart {
        number,
        etag: etag.into_value(),
        checksum: checksum.map(|(algorithm, value)| (algorithm.name().to_owned(), value)),
    })
}

fn first_checksum(given: [(Algorithm, Option<String>); 5]) -> Option<(Algorithm, String)> {
    given
        .into_iter()
        .find_map(|(algorithm, value)| value.map(|value| (algorithm, value)))
}

fn declared_of_complete(input: &CompleteMultipartUploadInput) -> Option<(Algorithm, String)> {
    first_checksum([
        (Algorithm::Crc32, input.checksum_crc32.clone()),
        (Algorithm::Crc32c, input.checksum_crc32c.clone()),
        (Algorithm::Crc64Nvme, input.checksum_crc64nvme.clone()),
        (Algorithm::Sha1, input.checksum_sha1.clone()),
        (Algorithm::Sha256, input.checksum_sha256.clone()),
    ])
}

/// The checksum of the object: of the kind that was chosen when the upload began; otherwise of all
/// bytes, where the parts' own can be combined to it, and of the parts' where not. `None` where no
/// algorithm was chosen and the parts came with different ones.
fn whole_checksum(upload: &Upload, parts: &[Part]) -> S3Result<Option<Checksum>> {
    let first = parts.first().map_or("CRC64NVME", |part| &part.algorithm);
    let (algorithm, of) = if let Some((name, of)) = &upload.checksum {
        (Algorithm::parse(name)?, *of)
    } else {
        let algorithm = Algorithm::parse(first)?;
        let of = match algorithm {
            Algorithm::Sha1 | Algorithm::Sha256 => ChecksumKind::Composite,
            _ => ChecksumKind::FullObject,
        };
        (algorithm, of)
    };
    if parts.iter().any(|part| part.algorithm != algorithm.name()) {
        return Ok(None);
    }
    let value = match of {
        ChecksumKind::FullObject => {
            let sums: Vec<(&str, u64)> = parts
                .iter()
                .map(|part| (part.checksum.as_str(), part.size))
                .collect();
            algorithm.combine(&sums)?
        }
        ChecksumKind::Composite => {
            let sums: Vec<&str> = parts.iter().map(|part| part.checksum.as_str()).collect();
            algorithm.compose(&sums)?
        }
    };
    Ok(Some(Checksum {
        algorithm: algorithm.name().to_owned(),
        value,
        kind: of,
    }))
}

fn check_declared(
    declared: Option<&(Algorithm, String)>,
    declared_type: Option<&dto::ChecksumType>,
    upload: &Upload,
    checksum: Option<&Checksum>,
) -> S3Result<()> {
    if let (Some(asked), Some((_, of))) = (declared_type, &upload.checksum)
        && *asked != kind(*of)
    {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum mode. \
             The complete request must use the same checksum mode.",
            kind(*of).as_str()
        ));
    }
    let Some((algorithm, value)) = declared else {
        return Ok(());
    };
    let same = checksum.is_some_and(|checksum| {
        // A composite value may be sent with or without its count.
        let bare = checksum.value.split('-').next().unwrap_or_default();
        algorithm.name() == checksum.algorithm && (*value == checksum.value || value == bare)
    });
    if same {
        Ok(())
    } else {
        Err(s3_error!(
            BadDigest,
            "The {} you specified did not match the calculated checksum.",
            algorithm.name()
        ))
    }
}

/// The MD5 of the parts' MD5s, and how many they are.
fn etag_of(parts: &[Part]) -> S3Result<String> {
    use s3s::crypto::Checksum as _;
    let mut md5 = s3s::crypto::Md5::new();
    for part in parts {
        md5.update(&hex::decode(&part.md5).map_err(internal)?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

//! The checksums of S3: which one a request declares, how it is taken, how those of parts become
//! that of an object.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3Error, S3Result, s3_error};

use super::wire::named;
use crate::state::s3::{Checksum, ChecksumKind};

/// The algorithms whose values are kept. S3 knows newer ones (`MD5`, `SHA512`, `XXHASH…`) too:
/// they are refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As in the API's XML and in `x-amz-checksum-algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries a value.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// # Errors
    /// `NotImplemented` naming an algorithm that is not kept.
    pub(super) fn parse(name: &str) -> S3Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| s3_error!(NotImplemented, "checksum algorithm {}", name))
    }

    fn hasher(self) -> Hasher {
        match self {
            Self::Crc32 => Hasher::Crc32(Crc32::new()),
            Self::Crc32c => Hasher::Crc32c(Crc32c::new()),
            Self::Crc64Nvme => Hasher::Crc64Nvme(Crc64Nvme::new()),
            Self::Sha1 => Hasher::Sha1(Sha1::new()),
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
        }
    }

    /// The kind that S3 takes of a multipart upload where the caller names none
    /// (S3 User Guide, "Checking object integrity").
    pub(super) fn default_kind(self) -> ChecksumKind {
        match self {
            Self::Crc64Nvme => ChecksumKind::FullObject,
            _ => ChecksumKind::Composite,
        }
    }

    fn crc(self) -> Option<(crc_fast::CrcAlgorithm, usize)> {
        match self {
            Self::Crc32 => Some((crc_fast::CrcAlgorithm::Crc32IsoHdlc, 4)),
            Self::Crc32c => Some((crc_fast::CrcAlgorithm::Crc32Iscsi, 4)),
            Self::Crc64Nvme => Some((crc_fast::CrcAlgorithm::Crc64Nvme, 8)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// The checksum of a whole from those of its parts (base64) and their sizes.
    ///
    /// # Errors
    /// `InvalidRequest` for an algorithm that can't be combined (the SHAs have composite ones only).
    pub(super) fn combine(self, parts: &[(&str, u64)]) -> S3Result<String> {
        let Some((crc, width)) = self.crc() else {
            return Err(s3_error!(
                InvalidRequest,
                "The FULL_OBJECT checksum type cannot be used with the {} checksum algorithm.",
                self.name()
            ));
        };
        let mut whole: Option<u64> = None;
        for (value, size) in parts {
            let part = decode(value)?
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            whole = Some(match whole {
                None => part,
                Some(before) => crc_fast::checksum_combine(crc, before, part, *size),
            });
        }
        let bytes = whole.unwrap_or(0).to_be_bytes();
        Ok(BASE64_STANDARD.encode(&bytes[8 - width..]))
    }

    /// The checksum of the checksums of parts, `<base64>-<count>`.
    pub(super) fn compose(self, parts: &[&str]) -> S3Result<String> {
        let mut hasher = self.hasher();
        for value in parts {
            hasher.update(&decode(value)?);
        }
        Ok(format!("{}-{}", hasher.finish(), parts.len()))
    }
}

fn decode(value: &str) -> S3Result<Vec<u8>> {
    BASE64_STANDARD
        .decode(value)
        .map_err(S3Error::internal_error)
}

enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(data),
            Self::Crc32c(hasher) => hasher.update(data),
            Self::Crc64Nvme(hasher) => hasher.update(data),
            Self::Sha1(hasher) => hasher.update(data),
            Self::Sha256(hasher) => hasher.update(data),
        }
    }

    /// Base64.
    fn finish(self) -> String {
        match self {
            Self::Crc32(hasher) => BASE64_STANDARD.encode(hasher.finalize()),
            Self::Crc32c(hasher) => BASE64_STANDARD.encode(hasher.finalize()),
            Self::Crc64Nvme(hasher) => BASE64_STANDARD.encode(hasher.finalize()),
            Self::Sha1(hasher) => BASE64_STANDARD.encode(hasher.finalize()),
            Self::Sha256(hasher) => BASE64_STANDARD.encode(hasher.finalize()),
        }
    }
}

/// What is taken of a body while it comes in: always its MD5 and one checksum.
pub(super) struct Digests {
    md5: s3s::crypto::Md5,
    algorithm: Algorithm,
    hasher: Hasher,
}

impl Digests {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self {
            md5: s3s::crypto::Md5::new(),
            algorithm,
            hasher: algorithm.hasher(),
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.hasher.update(data);
    }

    pub(super) fn finish(self) -> Digested {
        Digested {
            md5: self.md5.finalize(),
            checksum: Checksum {
                algorithm: self.algorithm.name().to_owned(),
                value: self.hasher.finish(),
                kind: ChecksumKind::FullObject,
            },
        }
    }
}

pub(super) struct Digested {
    pub(super) md5: [u8; 16],
    pub(super) checksum: Checksum,
}

/// What a request says that its body is.
#[derive(Debug)]
pub(super) struct Declared {
    /// Of `Content-MD5`.
    md5: Option<Vec<u8>>,
    checksum: Option<(Algorithm, Source)>,
}

#[derive(Debug)]
enum Source {
    Header(String),
    /// The value comes after the body.
    Trailer,
}

impl Declared {
    /// Reads it from a request's headers.
    ///
    /// # Errors
    /// `InvalidDigest` for an MD5 that is none, `InvalidRequest` for two checksums.
    pub(super) fn of(headers: &HeaderMap) -> S3Result<Self> {
        let md5 = match headers.get("content-md5") {
            None => None,
            Some(value) => Some(
                BASE64_STANDARD
                    .decode(value.as_bytes())
                    .ok()
                    .filter(|bytes| bytes.len() == 16)
                    .ok_or_else(|| {
                        s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid")
                    })?,
            ),
        };
        let mut checksum = None;
        for algorithm in Algorithm::ALL {
            let source = if let Some(value) = headers.get(algorithm.header()) {
                let value = value.to_str().map_err(|_| invalid_value(algorithm))?;
                if !BASE64_STANDARD
                    .decode(value)
                    .is_ok_and(|bytes| bytes.len() == algorithm.width())
                {
                    return Err(invalid_value(algorithm));
                }
                Source::Header(value.to_owned())
            } else if headers
                .get_all("x-amz-trailer")
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|name| name.trim().eq_ignore_ascii_case(algorithm.header()))
            {
                Source::Trailer
            } else {
                continue;
            };
            if checksum.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
                ));
            }
            checksum = Some((algorithm, source));
        }
        Ok(Self { md5, checksum })
    }

    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(|(algorithm, _)| *algorithm)
    }

    /// Compares with what came.
    ///
    /// # Errors
    /// `BadDigest` naming what differs.
    pub(super) fn verify(
        &self,
        digested: &Digested,
        trailers: Option<&s3s::TrailingHeaders>,
    ) -> S3Result<()> {
        if self.md5.as_ref().is_some_and(|md5| *md5 != digested.md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let Some((algorithm, source)) = &self.checksum else {
            return Ok(());
        };
        let sent = match source {
            Source::Header(value) => value.clone(),
            Source::Trailer => trailers
                .and_then(|trailers| {
                    trailers.read(|headers| headers.get(algorithm.header()).cloned())
                })
                .flatten()
                .and_then(|value| value.to_str().ok().map(str::to_owned))
                .ok_or_else(|| {
                    named(
                        "MalformedTrailerError",
                        http::StatusCode::BAD_REQUEST,
                        format!("the announced trailer {} did not come", algorithm.header()),
                    )
                })?,
        };
        if sent == digested.checksum.value {
            Ok(())
        } else {
            Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ))
        }
    }
}

impl Algorithm {
    /// Bytes of a value.
    fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

fn invalid_value(algorithm: Algorithm) -> S3Error {
    s3_error!(
        InvalidRequest,
        "Value for {} header is invalid.",
        algorithm.header()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, data: &[u8]) -> String {
        let mut digests = Digests::new(algorithm);
        digests.update(data);
        digests.finish().checksum.value
    }

    #[test]
    fn known_values() {
        // The check values of the CRC catalogue and of FIPS 180, over "123456789" and "abc".
        assert_eq!(of(Algorithm::Crc32, b"123456789"), "y/Q5Jg==");
        assert_eq!(of(Algorithm::Crc32c, b"123456789"), "4waSgw==");
        assert_eq!(of(Algorithm::Crc64Nvme, b"123456789"), "rosUhgp5mIg=");
        assert_eq!(of(Algorithm::Sha1, b"abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    }

    #[test]
    fn combined_equals_whole() {
        let data: Vec<u8> = (0..10_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let (first, rest) = data.split_at(3_333);
        let (second, third) = rest.split_at(1);
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let sums: Vec<(String, u64)> = [first, second, third]
                .iter()
                .map(|part| (of(algorithm, part), part.len() as u64))
                .collect();
            let parts: Vec<(&str, u64)> = sums
                .iter()
                .map(|(value, size)| (value.as_str(), *size))
                .collect();
            assert_eq!(algorithm.combine(&parts).unwrap(), of(algorithm, &data));
        }
        assert!(Algorithm::Sha256.combine(&[]).is_err());
    }
}

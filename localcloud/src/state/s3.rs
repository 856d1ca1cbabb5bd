//! State of S3: buckets and their settings, versions of objects with the files of their bodies,
//! and unfinished multipart uploads.
//!
//! Nothing here touches the files themselves: whoever changes the state is told which files are
//! no longer needed and removes them after the transaction, outside its lock.
//!
//! Keys are `TEXT` compared byte for byte, which is the UTF-8 binary order in which S3
//! lists keys.

mod attributes;
mod buckets;
mod listing;
mod objects;
mod settings;
mod uploads;
mod versions;

pub use attributes::{Attributes, Checksum, ChecksumKind, Tags};
pub use buckets::{
    Bucket, Versioning, create_bucket, delete_bucket, find_bucket, list_buckets, set_versioning,
};
pub use listing::{Page, PageEntry, PageRequest, VersionMarker, list_objects, list_versions};
pub use objects::{
    Condition, Deleted, Deletion, NewObject, Put, check_condition, delete_object, put_object,
};
pub use settings::{Setting, clear_setting, get_setting, put_setting};
pub use uploads::{
    Completed, CompletedPart, NewPart, NewUpload, Part, Upload, UploadPage, abort_upload,
    chosen_parts, complete_upload, create_upload, find_upload, list_parts, list_uploads, put_part,
};
pub use versions::{
    Segment, Version, current_version, find_version, referenced_files, segments, set_tags,
};

/// Tables of this service.
///
/// `s3_versions` holds objects, old versions and delete markers alike; `seq` grows with each
/// write, so the newest version of a key is the one with the highest. `latest` marks it, for the
/// partial index by which plain listings and reads find it. Times are milliseconds since 1970.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS s3_buckets (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    versioning TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS s3_settings (
    bucket TEXT NOT NULL REFERENCES s3_buckets (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS s3_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket TEXT NOT NULL REFERENCES s3_buckets (name),
    key TEXT NOT NULL,
    version_id TEXT NOT NULL,
    latest INTEGER NOT NULL,
    marker INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    checksum TEXT,
    tags TEXT NOT NULL,
    parts INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS s3_versions_latest ON s3_versions (bucket, key) WHERE latest = 1;
CREATE UNIQUE INDEX IF NOT EXISTS s3_versions_id ON s3_versions (bucket, key, version_id);
CREATE INDEX IF NOT EXISTS s3_versions_order ON s3_versions (bucket, key, seq DESC);

CREATE TABLE IF NOT EXISTS s3_segments (
    version INTEGER NOT NULL REFERENCES s3_versions (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    file TEXT NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (version, number)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS s3_uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES s3_buckets (name) ON DELETE CASCADE,
    key TEXT NOT NULL,
    initiated INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    algorithm TEXT,
    kind TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS s3_uploads_key ON s3_uploads (bucket, key, id);

CREATE TABLE IF NOT EXISTS s3_parts (
    upload TEXT NOT NULL REFERENCES s3_uploads (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    file TEXT,
    size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    checksum TEXT NOT NULL,
    modified INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
";

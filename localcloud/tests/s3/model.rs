//! Random operations against a model of what S3 promises, with and without versioning.

use std::collections::BTreeMap;

use localcloud::clock::Clock as _;
use localcloud::state::Store;
use localcloud::state::s3::{
    Attributes, Bucket, CompletedPart, Condition, Deletion, NewObject, NewPart, NewUpload, Page,
    PageEntry, PageRequest, Segment, VersionMarker, Versioning, abort_upload, chosen_parts,
    complete_upload, create_bucket, create_upload, current_version, delete_bucket, delete_object,
    find_bucket, find_upload, list_objects, list_uploads, list_versions, put_object, put_part,
    referenced_files, segments, set_versioning,
};
use proptest::prelude::*;

/// Few keys, so that operations meet; with what sorts oddly around the delimiter.
const KEYS: &[&str] = &[
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "a0",
    "b",
    "b/1",
    "b/\u{10ffff}",
    "\u{d7ff}",
    "\u{e000}/x",
    "z",
];

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    PutIfAbsent(usize),
    Delete(usize),
    DeleteVersion(usize, usize),
    Begin(usize),
    Part(usize, u32),
    Complete(usize),
    Abort(usize),
    Version(bool),
    List(usize, bool, usize),
    ListVersions(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        4 => key.clone().prop_map(Step::Put),
        2 => key.clone().prop_map(Step::PutIfAbsent),
        3 => key.clone().prop_map(Step::Delete),
        2 => (key.clone(), 0..4_usize).prop_map(|(key, nth)| Step::DeleteVersion(key, nth)),
        1 => key.clone().prop_map(Step::Begin),
        2 => (0..3_usize, 1..4_u32).prop_map(|(upload, number)| Step::Part(upload, number)),
        1 => (0..3_usize).prop_map(Step::Complete),
        1 => (0..3_usize).prop_map(Step::Abort),
        1 => any::<bool>().prop_map(Step::Version),
        3 => (0..KEYS.len(), any::<bool>(), 1..5_usize).prop_map(|(p, d, n)| Step::List(p, d, n)),
        2 => (1..4_usize).prop_map(Step::ListVersions),
    ]
}

/// One version in the model: its id, and its files (none for a marker).
type Entry = (String, Option<Vec<String>>);

#[derive(Default)]
struct Model {
    versioning: Option<Versioning>,
    /// Newest first.
    keys: BTreeMap<String, Vec<Entry>>,
    uploads: Vec<(String, String, BTreeMap<u32, String>)>,
    files: u32,
}

impl Model {
    fn file(&mut self) -> String {
        self.files += 1;
        format!("{:032x}", self.files)
    }

    fn current(&self, key: &str) -> Option<&Vec<String>> {
        self.keys.get(key)?.first()?.1.as_ref()
    }

    /// The ids that a write or delete marker displaces, by the rules of versioning.
    fn write(&mut self, key: &str, id: Option<&str>, files: Option<Vec<String>>) {
        let entries = self.keys.entry(key.to_owned()).or_default();
        let id = id.unwrap_or("null").to_owned();
        if self.versioning != Some(Versioning::Enabled) {
            entries.retain(|(old, _)| old != "null");
        }
        entries.insert(0, (id, files));
    }

    fn all_files(&self) -> std::collections::HashSet<String> {
        let of_objects = self
            .keys
            .values()
            .flatten()
            .filter_map(|(_, files)| files.as_ref())
            .flatten();
        let of_parts = self.uploads.iter().flat_map(|(_, _, parts)| parts.values());
        of_objects.chain(of_parts).cloned().collect()
    }

    fn rolled(&self, prefix: &str, delimiter: bool) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in self.keys.keys() {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            if self.current(key).is_none() {
                continue;
            }
            let name = match rest.find('/') {
                Some(at) if delimiter => format!("{prefix}{}", &rest[..=at]),
                _ => key.clone(),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }
}

struct World {
    store: Store,
    model: Model,
}

impl World {
    fn new() -> Self {
        let store = Store::in_memory().unwrap();
        let now = localcloud::clock::SystemClock.now();
        store
            .transaction(|tx| create_bucket(tx, "films", now))
            .unwrap();
        Self {
            store,
            model: Model::default(),
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &Bucket) -> localcloud::error::ApiResult<T>,
    ) -> localcloud::error::ApiResult<T> {
        self.store.transaction(|tx| {
            let bucket = find_bucket(tx, "films")?;
            work(tx, &bucket)
        })
    }

    fn put(&mut self, key: &str, condition: &Condition) {
        let file = self.model.file();
        let object = NewObject {
            key: key.to_owned(),
            size: 3,
            etag: file.clone(),
            attributes: Attributes::default(),
            checksum: None,
            tags: vec![],
            segments: vec![Segment {
                number: 1,
                file: file.clone(),
                size: 3,
                checksum: None,
            }],
            parts: None,
        };
        let now = localcloud::clock::SystemClock.now();
        let done = self.with(|tx, bucket| put_object(tx, bucket, &object, condition, now));
        if *condition == Condition::Absent && self.model.current(key).is_some() {
            assert_eq!(done.unwrap_err().code, "PreconditionFailed");
            return;
        }
        let id = done.unwrap().version_id;
        assert_eq!(id.is_some(), self.model.versioning.is_some());
        self.model.write(key, id.as_deref(), Some(vec![file]));
    }

    fn delete(&mut self, key: &str, version: Option<String>) {
        let deletion = Deletion {
            key: key.to_owned(),
            version_id: version.clone(),
            etag: None,
        };
        let now = localcloud::clock::SystemClock.now();
        let before = self.model.all_files();
        let done = self
            .with(|tx, bucket| delete_object(tx, bucket, &deletion, now))
            .unwrap();
        match version {
            Some(id) => {
                if let Some(entries) = self.model.keys.get_mut(key) {
                    entries.retain(|(old, _)| *old != id);
                }
            }
            None if self.model.versioning.is_none() => {
                self.model.keys.remove(key);
            }
            None => {
                assert!(done.marker);
                self.model.write(key, done.version_id.as_deref(), None);
            }
        }
        let after = self.model.all_files();
        let gone: std::collections::HashSet<String> = before.difference(&after).cloned().collect();
        assert_eq!(gone, done.doomed.into_iter().collect());
    }

    fn multipart(&mut self, step: &Step) {
        let now = localcloud::clock::SystemClock.now();
        match step {
            Step::Begin(key) if self.model.uploads.len() < 3 => {
                let new = NewUpload {
                    bucket: "films".into(),
                    key: KEYS[*key].into(),
                    attributes: Attributes::default(),
                    tags: vec![],
                    checksum: None,
                };
                let id = self.with(|tx, _| create_upload(tx, &new, now)).unwrap();
                self.model
                    .uploads
                    .push((KEYS[*key].into(), id, BTreeMap::new()));
            }
            Step::Part(upload, number) if *upload < self.model.uploads.len() => {
                let file = self.model.file();
                let (key, id, parts) = &mut self.model.uploads[*upload];
                let part = NewPart {
                    number: *number,
                    file: Some(file.clone()),
                    size: 5 << 20,
                    md5: file.clone(),
                    algorithm: "CRC32".into(),
                    checksum: "AAAAAA==".into(),
                };
                let replaced = parts.insert(*number, file);
                let (key, id) = (key.clone(), id.clone());
                let told = self
                    .with(|tx, _| put_part(tx, "films", &key, &id, &part, now))
                    .unwrap();
                assert_eq!(told, replaced);
            }
            Step::Complete(upload)
                if *upload < self.model.uploads.len()
                    && !self.model.uploads[*upload].2.is_empty() =>
            {
                let (key, id, parts) = self.model.uploads.remove(*upload);
                // The highest part stays unnamed where there are several.
                let mut named: Vec<CompletedPart> = parts
                    .iter()
                    .map(|(number, file)| CompletedPart {
                        number: *number,
                        etag: file.clone(),
                        checksum: None,
                    })
                    .collect();
                let unnamed = (named.len() > 1).then(|| named.pop().unwrap().etag);
                let done = self
                    .with(|tx, bucket| {
                        let upload = find_upload(tx, "films", &key, &id)?;
                        let chosen = chosen_parts(tx, &upload, &named)?;
                        complete_upload(
                            tx,
                            bucket,
                            &upload,
                            &chosen,
                            ("e".into(), None),
                            &Condition::None,
                            now,
                        )
                    })
                    .unwrap();
                assert_eq!(done.unused, Vec::from_iter(unnamed));
                assert_eq!(done.size, (5 << 20) * named.len() as u64);
                let files = named.into_iter().map(|part| part.etag).collect();
                self.model
                    .write(&key, done.put.version_id.as_deref(), Some(files));
            }
            Step::Abort(upload) if *upload < self.model.uploads.len() => {
                let (key, id, parts) = self.model.uploads.remove(*upload);
                let files = self
                    .with(|tx, _| abort_upload(tx, "films", &key, &id))
                    .unwrap();
                assert_eq!(files, parts.into_values().collect::<Vec<_>>());
            }
            _ => {}
        }
    }

    /// Reads all pages of a listing.
    fn pages(&self, prefix: &str, delimiter: Option<&str>, limit: usize) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().cloned();
            let page: Page = self
                .with(|tx, _| {
                    list_objects(
                        tx,
                        &PageRequest {
                            bucket: "films",
                            prefix,
                            delimiter,
                            after: after.as_deref(),
                            limit,
                        },
                    )
                })
                .unwrap();
            assert!(page.entries.len() <= limit);
            seen.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
            if !page.truncated {
                return seen;
            }
        }
    }

    fn versions(&self, limit: usize) -> Vec<(String, String)> {
        let mut seen: Vec<(String, String)> = Vec::new();
        loop {
            let last = seen.last().cloned();
            let page = self
                .with(|tx, _| {
                    list_versions(
                        tx,
                        &PageRequest {
                            bucket: "films",
                            after: last.as_ref().map(|(key, _)| key.as_str()),
                            limit,
                            ..PageRequest::default()
                        },
                        last.as_ref()
                            .map(|(key, version_id)| VersionMarker { key, version_id }),
                    )
                })
                .unwrap();
            for entry in &page.entries {
                let PageEntry::Version(version) = entry else {
                    panic!("a common prefix without a delimiter");
                };
                seen.push((version.key.clone(), version.version_id.clone()));
            }
            if !page.truncated {
                return seen;
            }
        }
    }

    fn compare(&self) {
        for key in KEYS {
            let files = self
                .with(|tx, _| {
                    let version = current_version(tx, "films", key)?;
                    match version.filter(|version| !version.marker) {
                        None => Ok(None),
                        Some(version) => Ok(Some(segments(tx, version.seq)?)),
                    }
                })
                .unwrap()
                .map(|list| list.into_iter().map(|part| part.file).collect::<Vec<_>>());
            assert_eq!(files.as_ref(), self.model.current(key), "{key}");
        }
        let files = self.with(|tx, _| referenced_files(tx)).unwrap();
        assert_eq!(files, self.model.all_files());
        let uploads = self
            .with(|tx, _| list_uploads(tx, "films", "", ("", None), 100))
            .unwrap();
        assert_eq!(uploads.uploads.len(), self.model.uploads.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_state_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            match step {
                Step::Put(key) => world.put(KEYS[*key], &Condition::None),
                Step::PutIfAbsent(key) => world.put(KEYS[*key], &Condition::Absent),
                Step::Delete(key) => world.delete(KEYS[*key], None),
                Step::DeleteVersion(key, nth) => {
                    let entries = world.model.keys.get(KEYS[*key]);
                    let id = entries.and_then(|entries| entries.get(*nth)).map(|entry| entry.0.clone());
                    world.delete(KEYS[*key], Some(id.unwrap_or_else(|| "none".into())));
                }
                Step::Version(on) => {
                    let to = if *on { Versioning::Enabled } else { Versioning::Suspended };
                    world.with(|tx, _| set_versioning(tx, "films", to)).unwrap();
                    world.model.versioning = Some(to);
                }
                Step::List(prefix, delimiter, limit) => {
                    // Every prefix of a key, from nothing to the whole.
                    let key = KEYS[*prefix];
                    let cut = key.char_indices().nth(*limit - 1).map_or(key.len(), |(at, _)| at);
                    let seen = world.pages(&key[..cut], delimiter.then_some("/"), *limit);
                    prop_assert_eq!(seen, world.model.rolled(&key[..cut], *delimiter));
                }
                Step::ListVersions(limit) => {
                    let wanted: Vec<(String, String)> = world
                        .model
                        .keys
                        .iter()
                        .flat_map(|(key, entries)| entries.iter().map(|(id, _)| (key.clone(), id.clone())))
                        .collect();
                    prop_assert_eq!(world.versions(*limit), wanted);
                }
                other => world.multipart(other),
            }
            world.compare();
        }
        let empty = world.model.keys.values().all(Vec::is_empty);
        let deleted = world.with(|tx, _| delete_bucket(tx, "films"));
        prop_assert_eq!(deleted.is_ok(), empty);
    }
}

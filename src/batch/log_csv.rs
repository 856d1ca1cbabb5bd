//! `log.csv`, as in the article: one row a job, all headers of its status message, and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use muck_worker::dates;
use muck_worker::message::Message;

use super::collect::is_failure;
use super::ledger::{Job, JobStatus};

/// The columns that each log has, in this order; headers that only some messages have follow
/// before the last two.
const FIRST: [&str; 20] = [
    "Bucket",
    "InputKey",
    "Date",
    "OriginalFileName",
    "Size",
    "Batch",
    "Preset",
    "OutputBucket",
    "OriginalLocation",
    "SHA256",
    "OutputKey",
    "Server",
    "Host",
    "Instance-ID",
    "Service-Read",
    "Service-Write",
    "Status",
    "Left-Out",
    "Warning",
    "Error",
];
/// Seconds from `Service-Read` to `Service-Write`, to the millisecond where the worker reports it.
const TIME: &str = "Processing-Time";
/// The header with that time.
const SECONDS: &str = "Processing-Seconds";
/// The results below the folder of the log, with `;` between.
const FILE: &str = "File";
/// What tells a row from another.
const KEY: [&str; 5] = [
    "Batch",
    "InputKey",
    "OriginalLocation",
    "OriginalFileName",
    "Preset",
];

/// Columns of further headers, at most: a stranger's message can have 16,000 of its own, and each would be a cell
/// in every row. What has no column is in the ledger.
const MOST_FURTHER: usize = 200;

/// One row: column to value.
type Row = BTreeMap<String, String>;

/// Writes the log of `jobs` into `folder`: rows of other jobs that are in an earlier log there stay.
/// A `log.csv` that is not ours is left alone, and the log gets a number.
///
/// Values and names of headers that a spreadsheet would take for a formula (they begin with `=`, `+`, `-` or `@`) get
/// a `'` in front. Blocking; the new log replaces the old one in one step.
pub fn write(folder: &Path, batch: &str, jobs: &[(Job, Vec<String>)]) -> io::Result<PathBuf> {
    let rows: Vec<Row> = jobs
        .iter()
        .filter_map(|(job, files)| row(batch, job, files))
        .collect();
    let (path, mut kept) = find(folder)?;
    let keys: BTreeSet<Vec<String>> = rows.iter().map(key).collect();
    kept.retain(|row| !keys.contains(&key(row)));
    kept.extend(rows);
    let text = table(&kept).map_err(io::Error::other)?;
    let mut file = tempfile::Builder::new()
        .prefix(".muck-")
        .suffix(".part")
        // As the results beside it, less what the umask takes; a temporary file would be its owner's alone.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    io::Write::write_all(&mut file, &text)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

/// The log to write to, with the rows it has.
fn find(folder: &Path) -> io::Result<(PathBuf, Vec<Row>)> {
    for number in 1_u32.. {
        let name = if number == 1 {
            "log.csv".to_owned()
        } else {
            format!("log ({number}).csv")
        };
        let path = folder.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path, Vec::new())),
            Err(error) => return Err(error),
            Ok(facts) if !facts.is_file() => {}
            Ok(_) => {
                if let Some(rows) = read(&path)? {
                    return Ok((path, rows));
                }
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// The rows of a log of ours; `None` for any other file.
fn read(path: &Path) -> io::Result<Option<Vec<Row>>> {
    let text = std::fs::read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_slice());
    let Ok(columns) = reader.headers().cloned() else {
        return Ok(None);
    };
    let ours = KEY
        .iter()
        .chain(&[TIME, FILE])
        .all(|name| columns.iter().any(|column| column == *name));
    if !ours {
        return Ok(None);
    }
    let rows = reader
        .records()
        .filter_map(Result::ok)
        .map(|record| {
            let cells = columns.iter().zip(record.iter());
            cells
                .filter(|(_, value)| !value.is_empty())
                .map(|(column, value)| (column.to_owned(), value.to_owned()))
                .collect()
        })
        .collect();
    Ok(Some(rows))
}

fn key(row: &Row) -> Vec<String> {
    KEY.iter()
        .map(|name| row.get(*name).cloned().unwrap_or_default())
        .collect()
}

/// The row of a job; `None` while it is outstanding.
fn row(batch: &str, job: &Job, files: &[String]) -> Option<Row> {
    if job.status == JobStatus::Outstanding {
        return None;
    }
    let mut row = Row::new();
    let message = job
        .message
        .as_deref()
        .and_then(|text| Message::parse(text).ok());
    let processing = message
        .as_ref()
        .and_then(|message| message.get(SECONDS).map(str::to_owned));
    if let Some(message) = message {
        for (name, value) in message.iter() {
            // These are ours to say.
            if [TIME, FILE, SECONDS]
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
            {
                continue;
            }
            // The log's writing of a name, whatever case a client used.
            let column = FIRST
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name))
                .map_or_else(|| harmless(name.to_owned()), |known| (*known).to_owned());
            row.insert(column, value.to_owned());
        }
    }
    let mut put = |name: &str, value: String| {
        row.entry(name.to_owned()).or_insert(value);
    };
    put("InputKey", job.input_key.clone());
    put("OriginalFileName", job.name.clone());
    put("OriginalLocation", job.location.clone());
    put("Preset", job.preset.clone());
    put("Size", job.size.to_string());
    put("Batch", batch.to_owned());
    put(
        "Status",
        if is_failure(job.status) {
            "failed"
        } else {
            "converted"
        }
        .to_owned(),
    );
    put("Error", job.error.clone().unwrap_or_default());
    if let Some(times) = job.times {
        put("Service-Read", dates::write(times.read));
        put("Service-Write", dates::write(times.written));
        put(
            TIME,
            processing.unwrap_or_else(|| times.processing_seconds().to_string()),
        );
    }
    row.insert(FILE.to_owned(), files.join(";"));
    Some(
        row.into_iter()
            .map(|(column, value)| (column, harmless(value)))
            .collect(),
    )
}

fn harmless(value: String) -> String {
    if value.starts_with(['=', '+', '-', '@']) {
        format!("'{value}")
    } else {
        value
    }
}

fn table(rows: &[Row]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !FIRST.contains(&name.as_str()) && name != TIME && name != FILE {
            *counts.entry(name).or_default() += 1;
        }
    }
    // The most usual ones, if there are too many.
    let mut usual: Vec<(&str, usize)> = counts.into_iter().collect();
    usual.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let more: BTreeSet<&str> = usual
        .into_iter()
        .take(MOST_FURTHER)
        .map(|(name, _)| name)
        .collect();
    let columns: Vec<&str> = FIRST.into_iter().chain(more).chain([TIME, FILE]).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns)?;
    for row in rows {
        writer.write_record(
            columns
                .iter()
                .map(|column| row.get(*column).map_or("", String::as_str)),
        )?;
    }
    Ok(writer.into_inner().map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn job(name: &str, status: JobStatus) -> Job {
        let message = format!(
            "Bucket: bbb\nInputKey: media/f84e4a20b571abc69baf2277d193e596\nDate: Tue, 20 Feb 2007 17:21:21 GMT\n\
             OriginalFileName: {name}\nSize: 1126472\nBatch: b\nPreset: ipod\nX-Colour: red\n\
             OutputKey: media/e69e376be5af6f88f81d3e31adf27988;type=video/quicktime\nserver: ConvertVideo\n\
             Host: domU-12-31-34-00-02-82\nService-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
             Service-Write: Wed, 21 Feb 2007 01:28:27 GMT\nStatus: converted\n"
        );
        let time = |text| dates::parse(text).expect("a date");
        Job {
            id: 1,
            input_key: "media/f84e4a20b571abc69baf2277d193e596".into(),
            name: name.into(),
            location: String::new(),
            preset: "ipod".into(),
            size: 1_126_472,
            sent: None,
            status,
            error: None,
            instance: None,
            times: Some(crate::batch::statistics::JobTimes {
                read: time("Wed, 21 Feb 2007 01:28:14 GMT"),
                written: time("Wed, 21 Feb 2007 01:28:27 GMT"),
            }),
            message: (status == JobStatus::Converted).then_some(message),
            outputs: Vec::new(),
        }
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).expect("reads")
    }

    #[test]
    fn a_row_has_all_headers_and_the_time() {
        let dir = tempfile::tempdir().expect("temp dir");
        let jobs = [
            (
                job("MVI_3113.AVI", JobStatus::Converted),
                vec!["MVI_3113.mov".to_owned()],
            ),
            (job("later.avi", JobStatus::Outstanding), vec![]),
        ];
        let path = write(dir.path(), "b", &jobs).expect("writes");
        insta::assert_snapshot!(text(&path).trim_end(), @r#"
        Bucket,InputKey,Date,OriginalFileName,Size,Batch,Preset,OutputBucket,OriginalLocation,SHA256,OutputKey,Server,Host,Instance-ID,Service-Read,Service-Write,Status,Left-Out,Warning,Error,X-Colour,Processing-Time,File
        bbb,media/f84e4a20b571abc69baf2277d193e596,"Tue, 20 Feb 2007 17:21:21 GMT",MVI_3113.AVI,1126472,b,ipod,,,,media/e69e376be5af6f88f81d3e31adf27988;type=video/quicktime,ConvertVideo,domU-12-31-34-00-02-82,,"Wed, 21 Feb 2007 01:28:14 GMT","Wed, 21 Feb 2007 01:28:27 GMT",converted,,,,red,13,MVI_3113.mov
        "#);
    }

    #[test]
    fn the_log_is_as_open_as_the_results() {
        let dir = tempfile::tempdir().expect("temp dir");
        let result = dir.path().join("a.mov");
        std::fs::write(&result, "film").expect("writes");
        let jobs = [(job("a.avi", JobStatus::Converted), vec!["a.mov".to_owned()])];
        let log = write(dir.path(), "b", &jobs).expect("writes");
        let mode = |path: &Path| path.metadata().expect("is there").permissions().mode();
        assert_eq!(mode(&log), mode(&result));
    }

    #[test]
    fn the_time_is_told_to_the_millisecond() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut job = job("a.avi", JobStatus::Converted);
        let message = job.message.take().expect("has one");
        job.message = Some(message + "Processing-Seconds: 12.345\n");
        let log = write(dir.path(), "b", &[(job, vec![])]).expect("writes");
        assert!(text(&log).contains(",12.345,"), "{}", text(&log));
        assert!(!text(&log).contains("Processing-Seconds"));
    }

    #[test]
    fn writing_again_replaces_rows_and_keeps_those_of_others() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = [(job("a.avi", JobStatus::Converted), vec!["a.mov".to_owned()])];
        let second = [(job("b.avi", JobStatus::Converted), vec!["b.mov".to_owned()])];
        write(dir.path(), "b", &first).expect("writes");
        write(dir.path(), "b", &second).expect("writes");
        let path = write(dir.path(), "b", &second).expect("writes");
        assert_eq!(path.file_name().expect("has one"), "log.csv");
        let lines = text(&path).lines().count();
        assert_eq!(lines, 3, "{}", text(&path));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_log_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("log.csv"), "time,what\n1,2\n").expect("writes");
        let path = write(
            dir.path(),
            "b",
            &[(job("a.avi", JobStatus::Converted), vec![])],
        )
        .expect("writes");
        assert_eq!(path.file_name().expect("has one"), "log (2).csv");
        assert_eq!(text(&dir.path().join("log.csv")), "time,what\n1,2\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut dead = job("=cmd()|x.avi", JobStatus::Dead);
        dead.error = Some("@SUM(1)".into());
        let path = write(dir.path(), "b", &[(dead, vec![])]).expect("writes");
        assert!(text(&path).contains(",'=cmd()|x.avi,"), "{}", text(&path));
        assert!(
            text(&path).contains(",failed,,,'@SUM(1),"),
            "{}",
            text(&path)
        );
    }
}

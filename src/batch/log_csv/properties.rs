//! What holds for any status message that gets into the log: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::tests::job;
use super::*;
use crate::batch::place::quick_folder;
use crate::mutation::foreign;

const WORDS: &[&str] = &[
    "=",
    "=cmd|'/C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "\"",
    ",",
    "\n",
    "'",
    "\t=1",
    " =1",
    "|",
    ";",
];

/// Names of headers, and of columns.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z+!#'|~^-]{1,8}",
        prop::sample::select(vec![
            "Processing-Time",
            "FILE",
            "File",
            "processing-time",
            "Status",
            "OutputKey",
            "-rf",
            "+1"
        ])
        .prop_map(str::to_owned),
    ]
}

/// A converted job with headers of somebody's own.
fn told() -> impl Strategy<Value = Job> {
    let headers = prop::collection::vec((name(), foreign(WORDS)), 0..8);
    (foreign(WORDS), foreign(WORDS), headers).prop_map(|(name, location, headers)| {
        let mut message = Message::parse(
            job("a.avi", JobStatus::Converted)
                .message
                .as_deref()
                .unwrap_or_default(),
        )
        .expect("parses");
        message.set("OriginalFileName", &name);
        message.set("OriginalLocation", &location);
        for (name, value) in &headers {
            message.set(name, value);
        }
        Job {
            location: message
                .get("OriginalLocation")
                .unwrap_or_default()
                .to_owned(),
            message: Some(message.to_string()),
            ..job(&name, JobStatus::Converted)
        }
    })
}

proptest! {
    #[test]
    fn the_log_is_a_table_without_formulas_that_is_read_back(jobs in prop::collection::vec(told(), 1..5)) {
        let dir = quick_folder();
        let jobs: Vec<(Job, Vec<String>)> = jobs
            .into_iter()
            .enumerate()
            .map(|(number, job)| (Job { size: number as u64, ..job }, vec![format!("{number}.mov")]))
            .collect();
        let path = write(dir.path(), "b", &jobs).expect("writes");
        let text = std::fs::read_to_string(&path).expect("is UTF-8");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().expect("has columns").clone();
        prop_assert_eq!(&columns.iter().take(FIRST.len()).collect::<Vec<_>>(), &FIRST.to_vec());
        prop_assert_eq!(columns.iter().rev().take(2).collect::<Vec<_>>(), vec![FILE, TIME]);
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("are rows");
        prop_assert_eq!(rows.len(), jobs.len());
        for cell in columns.iter().chain(rows.iter().flatten()) {
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{:?}", cell);
            prop_assert!(!cell.chars().any(|c| c.is_control() && c != '\t' && c != '\n'), "{:?}", cell);
        }
        // What the log itself says is not the messages' to say.
        let of = |row: &csv::StringRecord, name: &str| {
            let at = columns.iter().position(|column| column == name).expect("is there");
            row[at].to_owned()
        };
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(of(row, TIME), "13");
            prop_assert_eq!(of(row, FILE), format!("{number}.mov"));
        }
        // Again: the same rows, replaced.
        let again = write(dir.path(), "b", &jobs).expect("writes");
        prop_assert_eq!(&again, &path);
        let count = csv::Reader::from_path(&again).expect("opens").records().count();
        prop_assert_eq!(count, rows.len());
    }
}

#[test]
fn thousands_of_headers_make_no_thousands_of_columns() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut message = job("a.avi", JobStatus::Converted).message.expect("one");
    message.extend((0..5000).map(|number| format!("x{number:x}: 1\n")));
    let usual = (job("b.avi", JobStatus::Converted), Vec::new());
    let evil = Job {
        message: Some(message),
        ..job("a.avi", JobStatus::Converted)
    };
    let path = write(dir.path(), "b", &[(evil, Vec::new()), usual]).expect("writes");
    let mut reader = csv::Reader::from_path(path).expect("opens");
    let columns = reader.headers().expect("has columns");
    assert_eq!(columns.len(), FIRST.len() + MOST_FURTHER + 2);
    // Of all, those that more messages have.
    assert!(columns.iter().any(|column| column == "X-Colour"));
}

//! The workers' logs: what they stored at their end, and the consoles of those that run or died.

use jiff::Timestamp;
use muck_worker::recent_log::PREFIX;
use muck_worker::text::printable;
use serde::Serialize;

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::instance::{self, InstanceState};
use crate::resources::object::{self, Place};

/// A worker keeps a MiB; what is much longer is no log of it.
const MOST_BYTES: u64 = 8 << 20;

/// A log that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The instance's id; the host and process of a worker on no instance.
    pub instance: String,
    /// Bytes of the stored log; `None`: it is only on the console.
    pub bytes: Option<u64>,
    /// When it was stored.
    pub stored: Option<Timestamp>,
    /// Of the instance, as long as EC2 knows it.
    pub state: Option<InstanceState>,
}

/// A log's text, as it is: foreign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub instance: String,
    /// `stored` or `console`.
    pub from: &'static str,
    pub text: String,
}

/// All logs of the stack: stored ones, then those of instances that have only a console.
pub async fn list(cloud: &Cloud) -> Result<Vec<Log>> {
    let bucket = cloud.names.output_bucket();
    let (stored, instances) = tokio::try_join!(
        object::list(cloud, &bucket, PREFIX),
        instance::list(&cloud.aws, &cloud.names.stack)
    )?;
    let state_of = |id: &str| {
        instances
            .iter()
            .find(|one| one.id == id)
            .map(|one| one.state)
    };
    let mut logs: Vec<Log> = stored
        .into_iter()
        .filter_map(|one| {
            let name = one.key.strip_prefix(PREFIX)?.strip_suffix(".log")?;
            Some(Log {
                instance: name.to_owned(),
                bytes: Some(one.bytes),
                stored: one.written,
                state: state_of(name),
            })
        })
        .collect();
    logs.sort_by_key(|log| log.stored);
    let workers = instances.iter().filter(|one| one.kind() == Some("worker"));
    for one in workers {
        if !logs.iter().any(|log| log.instance == one.id) {
            logs.push(Log {
                instance: one.id.clone(),
                bytes: None,
                stored: None,
                state: Some(one.state),
            });
        }
    }
    Ok(logs)
}

/// One instance's log: the stored one, else its console.
///
/// # Errors
/// If there is neither.
pub async fn show(cloud: &Cloud, name: &str) -> Result<Shown> {
    let bucket = cloud.names.output_bucket();
    let key = format!("{PREFIX}{name}.log");
    let place = Place {
        bucket: &bucket,
        key: &key,
    };
    if let Some(text) = object::read(cloud, place, MOST_BYTES).await? {
        return Ok(Shown {
            instance: name.to_owned(),
            from: "stored",
            text: String::from_utf8_lossy(&text).into_owned(),
        });
    }
    let console = instance::console(&cloud.aws, name).await.map_err(|cause| {
        Error::failed(format!("there is no log of {name}, and no console of it"))
            .because(cause)
            .hint(format!(
                "`muck logs --stack {}` lists those that there are",
                cloud.names.stack
            ))
    })?;
    if console.is_empty() {
        return Err(
            Error::failed(format!("{name} has said nothing yet")).hint("try again in a minute")
        );
    }
    Ok(Shown {
        instance: name.to_owned(),
        from: "console",
        text: String::from_utf8_lossy(&console).into_owned(),
    })
}

/// The list, for a terminal.
pub fn text(logs: &[Log]) -> String {
    if logs.is_empty() {
        return "There are no logs".to_owned();
    }
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
        .set_header(["INSTANCE", "STATE", "STORED", "BYTES"]);
    for log in logs {
        let or = |text: Option<String>, other: &str| text.unwrap_or_else(|| other.to_owned());
        table.add_row([
            printable(&log.instance),
            or(log.state.map(|state| state.to_string()), "-"),
            or(
                log.stored.map(|at| at.strftime("%F %TZ").to_string()),
                "console only",
            ),
            or(log.bytes.map(|bytes| bytes.to_string()), "-"),
        ]);
    }
    table.trim_fmt()
}

impl Shown {
    /// Line by line, each safe to print.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.text.lines().map(printable).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_raw_comes_through() {
        let shown = Shown {
            instance: "i-1".to_owned(),
            from: "stored",
            text: "one\x1b[2J\ntwo\u{202e}\n".to_owned(),
        };
        assert_eq!(shown.text(), "one\\u{1b}[2J\ntwo\\u{202e}");
        let log = Log {
            instance: "i-1".to_owned(),
            bytes: Some(10),
            stored: Timestamp::from_second(0).ok(),
            state: None,
        };
        let running = Log {
            instance: "i-2".to_owned(),
            bytes: None,
            stored: None,
            state: Some(InstanceState::Running),
        };
        insta::assert_snapshot!(text(&[log, running]), @r"
         INSTANCE  STATE    STORED                BYTES
         i-1       -        1970-01-01 00:00:00Z  10
         i-2       running  console only          -
        ");
    }
}

//! EC2's notice that it takes a Spot instance back.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use crate::instance::Instance;
use crate::worker::{Leaving, Notice};

/// How often EC2's documentation says to ask; the notice comes two minutes before.
const EVERY: Duration = Duration::from_secs(5);

/// `spot/instance-action` of the instance metadata.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Interruption {
    /// `terminate`, `stop` or `hibernate`.
    pub action: String,
    /// About when.
    pub time: Timestamp,
}

/// Asks until there is a notice, and passes it on. On-demand instances never get one. A metadata
/// service that doesn't answer is asked again: it says nothing of Spot.
pub async fn watch(instance: Instance, leaving: Leaving) {
    loop {
        tokio::time::sleep(EVERY).await;
        match instance.interruption().await {
            Ok(None) => {}
            Ok(Some(notice)) => {
                let left = notice.time.duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                tracing::warn!(
                    "EC2 takes this Spot instance back ({}) in {} s",
                    crate::text::printable_short(&notice.action, 20),
                    left.as_secs()
                );
                leaving.notify(Notice {
                    why: "EC2 takes the Spot instance back".to_owned(),
                    until: Instant::now() + left,
                });
                return;
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_notice_is_read() {
        // The example of EC2's user guide.
        let text = r#"{"action": "stop", "time": "2017-09-18T08:22:00Z"}"#;
        let read: Interruption = serde_json::from_str(text).expect("a notice");
        assert_eq!(read.action, "stop");
        assert_eq!(read.time.to_string(), "2017-09-18T08:22:00Z");
    }
}

//! What a launch has started, and how it is told.

use jiff::Timestamp;
use muck_worker::text::quantity;
use serde::Serialize;

use crate::error::Error;

/// An instance that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Launched {
    pub id: String,
    pub instance_type: String,
    pub zone: Option<String>,
}

/// The instances of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaunchedReservation {
    pub id: String,
    pub instances: Vec<Launched>,
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Launch {
    pub service: String,
    pub image_id: String,
    pub reservations: Vec<LaunchedReservation>,
    /// How many were asked for.
    pub requested: u32,
    /// Why fewer were started, if fewer were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// When they end themselves at the latest.
    pub expires: Timestamp,
}

impl Launch {
    pub fn instances(&self) -> impl Iterator<Item = &Launched> {
        self.reservations
            .iter()
            .flat_map(|reservation| &reservation.instances)
    }

    /// `1 of 2 instances were started: …`, if some were not.
    pub fn failure(&self) -> Option<Error> {
        let reason = self.shortfall.as_ref()?;
        let (started, requested) = (self.instances().count(), self.requested);
        let missing = (requested as usize).saturating_sub(started);
        Some(
            Error::failed(format!(
                "{started} of {} started: {reason}",
                quantity(requested, "instance")
            ))
            .hint(format!(
                "those {started} convert the batch; {missing} more: muck launch -n {missing}, or another type (--type)"
            )),
        )
    }

    /// In the article's words.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "Server: {} - {} (Started)",
            self.service, self.image_id
        )];
        for reservation in &self.reservations {
            lines.push(format!(
                "Reservation {} contains the following instances:",
                reservation.id
            ));
            lines.extend(
                reservation
                    .instances
                    .iter()
                    .map(|instance| format!("    {}", instance.id)),
            );
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        let launched = |id: &str| Launched {
            id: id.to_owned(),
            instance_type: "c7i.large".to_owned(),
            zone: Some("us-local-1a".to_owned()),
        };
        Launch {
            service: "ConvertVideo".into(),
            image_id: "ami-2eba5f47".into(),
            reservations: vec![
                LaunchedReservation {
                    id: "r-1".into(),
                    instances: vec![launched("i-1"), launched("i-2")],
                },
                LaunchedReservation {
                    id: "r-2".into(),
                    instances: vec![launched("i-3")],
                },
            ],
            requested: 3,
            shortfall: None,
            expires: "2026-01-02T03:04:05Z".parse().expect("time"),
        }
    }

    #[test]
    fn a_launch_reads_like_the_article() {
        insta::assert_snapshot!(launch().text(), @r"
        Server: ConvertVideo - ami-2eba5f47 (Started)
        Reservation r-1 contains the following instances:
            i-1
            i-2
        Reservation r-2 contains the following instances:
            i-3
        ");
        assert_eq!(launch().instances().count(), 3);
    }
}

//! Instances that EC2 ended before they had worked: each with EC2's reason, once.

use std::collections::HashSet;

use muck_worker::text::printable_short;

use crate::resources::instance::Instance;

/// Reasons that need no report: the instance powered itself off, or a user ended it. The rest of EC2's list
/// (`StateReason` in its API reference) is trouble.
const ORDINARY: [&str; 2] = ["Client.InstanceInitiatedShutdown", "Client.UserInitiated"];
/// EC2 says this of a volume whose key the launching user may not use, which is no error of the launch.
const KEY: &str = "Client.InternalError";

/// Remembers which were reported.
#[derive(Debug, Default)]
pub struct EarlyEnds(HashSet<String>);

impl EarlyEnds {
    /// Workers that have ended in an unusual way and were not reported.
    pub fn unusual<'i>(&self, instances: &'i [Instance]) -> impl Iterator<Item = &'i Instance> {
        instances.iter().filter(|one| {
            let is_ordinary = |reason: &str| ORDINARY.iter().any(|known| reason.starts_with(known));
            one.state.is_ending()
                && one.kind() == Some("worker")
                && one
                    .state_reason
                    .as_deref()
                    .is_some_and(|reason| !is_ordinary(reason))
                && !self.0.contains(&one.id)
        })
    }

    /// A sentence for each of [`Self::unusual`] that has not `worked`.
    pub fn report(&mut self, instances: &[Instance], worked: impl Fn(&str) -> bool) -> Vec<String> {
        let ended: Vec<&Instance> = self
            .unusual(instances)
            .filter(|one| !worked(&one.id))
            .collect();
        self.0.extend(ended.iter().map(|one| one.id.clone()));
        ended.into_iter().map(sentence).collect()
    }
}

fn sentence(instance: &Instance) -> String {
    let reason = instance.state_reason.as_deref().unwrap_or_default();
    let key = if reason.starts_with(KEY) {
        ". Where the account's volumes are encrypted with a key of its own, the launching user needs kms:CreateGrant on it"
    } else {
        ""
    };
    format!(
        "{} ended before it had converted anything: {}{key}",
        instance.id,
        printable_short(reason, 200)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::TAG_KIND;
    use crate::resources::instance::InstanceState;
    use crate::resources::instance::tests::instance;

    #[test]
    fn an_unusual_end_is_reported_once_with_its_reason() {
        let ended = |id: &str, state: InstanceState, reason: &str| {
            let tags = [(TAG_KIND.to_owned(), "worker".to_owned())].into();
            Instance {
                state_reason: Some(reason.to_owned()),
                ..instance(id, state, tags)
            }
        };
        let key = "Client.InternalError: Client error on launch";
        let all = [
            ended("i-key", InstanceState::Terminated, key),
            ended("i-runs", InstanceState::Running, ""),
            ended(
                "i-off",
                InstanceState::Terminated,
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
            ),
            ended(
                "i-user",
                InstanceState::ShuttingDown,
                "Client.UserInitiatedShutdown: User initiated shutdown",
            ),
            ended(
                "i-spot",
                InstanceState::Terminated,
                "Server.SpotInstanceTermination: x",
            ),
        ];
        let mut ends = EarlyEnds::default();
        let told = ends.report(&all, |id| id == "i-spot");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0]
                .starts_with("i-key ended before it had converted anything: Client.InternalError")
        );
        assert!(told[0].contains("kms:CreateGrant"), "{told:?}");
        assert_eq!(ends.report(&all, |id| id == "i-spot"), Vec::<String>::new());
    }
}

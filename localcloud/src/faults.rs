//! Faults on purpose: rules, set over the control endpoint, that make calls slow, fail or go unanswered.
//!
//! A rule names the calls that it counts and, of those, which it touches. The gateway asks once per call,
//! after the caller is known and before anything happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Which calls, and what happens to them. Fields left out match everything.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `s3`, `sqs`, `ec2`, `iam`, `sts` or `sns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// e.g. `RunInstances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// `root`, or `role` for the calls of instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The first call touched, counting from 1 among those that match. With `times` left out,
    /// only this one is touched; with both left out, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// How many calls are touched, from the `nth` (or the first) on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Of the calls in range, each is touched with this probability, from 0 to 1, drawn from `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Seed of the draws; 0 if left out. The same seed touches the same calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    pub fault: Fault,
}

/// What happens to a call.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// It takes so many milliseconds longer. Delays of several rules add up, and other faults still apply.
    Delay { ms: u64 },
    /// It is refused as too fast, in the service's own words.
    Throttle,
    /// HTTP 500.
    InternalError,
    /// HTTP 503.
    Unavailable,
    /// It has no effect and no answer comes: the connection stays open until the caller gives up.
    TimeoutBefore,
    /// It takes effect, but no answer comes.
    TimeoutAfter,
    /// It has no effect and the connection is closed.
    ResetBefore,
    /// It takes effect and the connection is closed in the middle of the answer.
    ResetMidBody,
    /// Any error, e.g. `InvalidInstanceID.NotFound`.
    Error {
        code: String,
        #[serde(default)]
        message: Option<String>,
        /// HTTP status; 400 if left out.
        #[serde(default)]
        status: Option<u16>,
    },
}

/// What the gateway is to do with one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub delay: Duration,
    /// Never [`Fault::Delay`].
    pub fault: Option<Fault>,
}

struct Armed {
    rule: Rule,
    random: StdRng,
    /// Calls that matched.
    seen: u64,
    /// Calls that were touched.
    hits: u64,
}

/// The rules in force.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Armed>>);

/// A rule and what it did, as the control endpoint tells it.
#[derive(Debug, Serialize)]
pub struct RuleState {
    #[serde(flatten)]
    rule: Rule,
    seen: u64,
    hits: u64,
}

impl Faults {
    /// Puts these rules in the place of all before, with fresh counts.
    pub fn set(&self, rules: Vec<Rule>) {
        *self.armed() = rules
            .into_iter()
            .map(|rule| Armed {
                random: StdRng::seed_from_u64(rule.seed.unwrap_or(0)),
                rule,
                seen: 0,
                hits: 0,
            })
            .collect();
    }

    /// The rules and their counts.
    pub fn states(&self) -> Vec<RuleState> {
        self.armed()
            .iter()
            .map(|armed| RuleState {
                rule: armed.rule.clone(),
                seen: armed.seen,
                hits: armed.hits,
            })
            .collect()
    }

    /// Counts a call and says what is to happen to it: all delays, and the first other fault.
    pub fn judge(&self, service: &str, action: &str, principal: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for armed in self.armed().iter_mut() {
            if !armed.rule.matches(service, action, principal) || !armed.draws() {
                continue;
            }
            match &armed.rule.fault {
                Fault::Delay { ms } => {
                    verdict.delay += Duration::from_millis(*ms);
                    armed.hits += 1;
                }
                other if verdict.fault.is_none() => {
                    verdict.fault = Some(other.clone());
                    armed.hits += 1;
                }
                _ => {}
            }
        }
        verdict
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        // Counts are whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn matches(&self, service: &str, action: &str, principal: &str) -> bool {
        let fits = |wanted: &Option<String>, actual: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == actual)
        };
        fits(&self.service, service)
            && fits(&self.action, action)
            && fits(
                &self.principal,
                principal.split('/').next().unwrap_or_default(),
            )
    }
}

impl Armed {
    /// Counts a matching call; whether it is touched.
    fn draws(&mut self) -> bool {
        self.seen += 1;
        let first = self.rule.nth.unwrap_or(1);
        let times = match (self.rule.times, self.rule.nth) {
            (Some(times), _) => times,
            (None, Some(_)) => 1,
            (None, None) => u64::MAX,
        };
        let in_range = self.seen >= first && self.seen - first < times;
        in_range
            && self
                .rule
                .probability
                .is_none_or(|probability| self.random.random_bool(probability.clamp(0.0, 1.0)))
    }
}

impl Fault {
    /// The error that a faulty call is answered with, if it is answered at all.
    pub fn error(&self, service: &str) -> Option<ApiError> {
        match self {
            Self::Throttle => {
                let (code, status) = match service {
                    "ec2" => ("RequestLimitExceeded", 503),
                    "s3" => ("SlowDown", 503),
                    "sqs" => ("RequestThrottled", 403),
                    _ => ("Throttling", 400),
                };
                Some(ApiError::new(code, "Rate exceeded").with_status(status))
            }
            Self::InternalError => {
                let code = match service {
                    "ec2" | "s3" => "InternalError",
                    _ => "InternalFailure",
                };
                Some(
                    ApiError::new(code, "An internal error has occurred (a fault on purpose)")
                        .with_status(500),
                )
            }
            Self::Unavailable => {
                let code = if service == "ec2" {
                    "Unavailable"
                } else {
                    "ServiceUnavailable"
                };
                Some(
                    ApiError::new(code, "The service is unavailable (a fault on purpose)")
                        .with_status(503),
                )
            }
            Self::Error {
                code,
                message,
                status,
            } => Some(
                ApiError::new(code, message.as_deref().unwrap_or("An error on purpose"))
                    .with_status(status.unwrap_or(400)),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    fn touched(rule: Rule, calls: usize) -> Vec<bool> {
        let faults = Faults::default();
        faults.set(vec![rule]);
        (0..calls)
            .map(|_| faults.judge("ec2", "RunInstances", "root").fault.is_some())
            .collect()
    }

    #[test]
    fn counts_only_what_matches() {
        let faults = Faults::default();
        faults.set(vec![rule(
            r#"{"service":"ec2","action":"RunInstances","principal":"root","nth":2,"fault":{"kind":"throttle"}}"#,
        )]);
        let throttled = |service, action, principal| {
            faults.judge(service, action, principal).fault == Some(Fault::Throttle)
        };
        assert!(!throttled("ec2", "RunInstances", "root"));
        assert!(!throttled("ec2", "DescribeImages", "root"));
        assert!(!throttled("ec2", "RunInstances", "role/w/i-1"));
        assert!(throttled("ec2", "RunInstances", "root"));
        assert!(!throttled("ec2", "RunInstances", "root"));
    }

    #[test]
    fn nth_and_times_give_a_range() {
        let kind = r#""fault":{"kind":"unavailable"}"#;
        assert_eq!(
            touched(rule(&format!(r#"{{"nth":2,"times":2,{kind}}}"#)), 5),
            [false, true, true, false, false]
        );
        assert_eq!(
            touched(rule(&format!(r#"{{"times":1,{kind}}}"#)), 3),
            [true, false, false]
        );
        assert_eq!(touched(rule(&format!("{{{kind}}}")), 3), [true; 3]);
    }

    #[test]
    fn a_seed_gives_the_same_draws() {
        let text = r#"{"probability":0.5,"seed":7,"fault":{"kind":"internal_error"}}"#;
        let first = touched(rule(text), 64);
        assert_eq!(first, touched(rule(text), 64));
        let hits = first.iter().filter(|hit| **hit).count();
        assert!((10..55).contains(&hits), "{hits} of 64");
        assert_ne!(first, touched(rule(&text.replace('7', "8")), 64));
    }

    #[test]
    fn delays_add_up_beside_another_fault() {
        let faults = Faults::default();
        faults.set(vec![
            rule(r#"{"fault":{"kind":"delay","ms":100}}"#),
            rule(r#"{"fault":{"kind":"error","code":"Odd"}}"#),
            rule(r#"{"fault":{"kind":"delay","ms":20}}"#),
        ]);
        let verdict = faults.judge("s3", "GetObject", "root");
        assert_eq!(verdict.delay, Duration::from_millis(120));
        let error = verdict.fault.unwrap().error("s3").unwrap();
        assert_eq!((error.code.as_str(), error.status), ("Odd", 400));
    }

    #[test]
    fn unknown_fields_and_kinds_are_refused() {
        for bad in [
            r#"{"fault":{"kind":"explode"}}"#,
            r#"{"fault":{"kind":"delay","ms":1,"s":2}}"#,
            r#"{"servce":"ec2","fault":{"kind":"throttle"}}"#,
        ] {
            assert!(serde_json::from_str::<Rule>(bad).is_err(), "{bad}");
        }
    }
}

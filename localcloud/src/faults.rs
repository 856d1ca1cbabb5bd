//! Faults on purpose: rules, set over the control endpoint, that make calls slow, fail or go unanswered.
//!
//! A rule names the calls that it counts and, of those, which it touches. The gateway asks once per call,
//! after the caller is known and before anything happens.

use std::collections::HashSet;
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
    /// The application id that the caller's SDK sends (`AWS_SDK_UA_APP_ID`): tells one process from another
    /// where both are the same principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
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
    /// The caller's last call: every later one of the same principal and client is held before it takes
    /// effect, until the rules are set anew. So whoever kills the caller then knows where it was.
    Freeze { phase: Phase },
    /// The caller's credentials are over: this call and every later one of the same principal and client is
    /// refused as expired, until the rules are set anew.
    Expire,
    /// A list of EC2 (`Describe…` by filters) is answered as empty, as by a server that has not heard yet of
    /// what was just made.
    Unlisted,
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

/// How far a frozen caller's last call comes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has no effect.
    Before,
    /// It takes effect, but no answer comes.
    After,
    /// It is answered.
    Answered,
}

/// One call, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Meant<'a> {
    pub service: &'a str,
    pub action: &'a str,
    /// `root`, `role/<role>/<instance>`.
    pub principal: &'a str,
    /// The application id that the caller's SDK sends; empty if it sends none.
    pub client: &'a str,
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
pub struct Faults(Mutex<InForce>);

#[derive(Default)]
struct InForce {
    rules: Vec<Armed>,
    /// Principal and client of those whose calls are all held.
    frozen: HashSet<(String, String)>,
    /// Principal and client of those whose credentials are over.
    expired: HashSet<(String, String)>,
}

/// A rule and what it did, as the control endpoint tells it.
#[derive(Debug, Serialize)]
pub struct RuleState {
    #[serde(flatten)]
    rule: Rule,
    seen: u64,
    hits: u64,
}

impl Faults {
    /// Puts these rules in the place of all before, with fresh counts and nobody frozen or expired.
    pub fn set(&self, rules: Vec<Rule>) {
        let rules = rules
            .into_iter()
            .map(|rule| Armed {
                random: StdRng::seed_from_u64(rule.seed.unwrap_or(0)),
                rule,
                seen: 0,
                hits: 0,
            })
            .collect();
        *self.in_force() = InForce {
            rules,
            ..InForce::default()
        };
    }

    /// The rules and their counts.
    pub fn states(&self) -> Vec<RuleState> {
        self.in_force()
            .rules
            .iter()
            .map(|armed| RuleState {
                rule: armed.rule.clone(),
                seen: armed.seen,
                hits: armed.hits,
            })
            .collect()
    }

    /// Counts a call and says what is to happen to it: all delays, and the first other fault.
    pub fn judge(&self, call: &Meant<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut in_force = self.in_force();
        let caller = (call.principal.to_owned(), call.client.to_owned());
        if in_force.frozen.contains(&caller) {
            verdict.fault = Some(Fault::TimeoutBefore);
            return verdict;
        }
        if in_force.expired.contains(&caller) {
            verdict.fault = Some(Fault::Expire);
            return verdict;
        }
        for armed in &mut in_force.rules {
            if !armed.rule.matches(call) || !armed.draws() {
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
        match verdict.fault {
            Some(Fault::Freeze { .. }) => {
                in_force.frozen.insert(caller);
            }
            Some(Fault::Expire) => {
                in_force.expired.insert(caller);
            }
            _ => {}
        }
        verdict
    }

    fn in_force(&self) -> std::sync::MutexGuard<'_, InForce> {
        // Counts are whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn matches(&self, call: &Meant<'_>) -> bool {
        let fits = |wanted: &Option<String>, actual: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == actual)
        };
        fits(&self.service, call.service)
            && fits(&self.action, call.action)
            && fits(
                &self.principal,
                call.principal.split('/').next().unwrap_or_default(),
            )
            && fits(&self.client, call.client)
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
            Self::Expire => {
                // Each service's word for it, from its list of errors.
                let (code, status) = match service {
                    "ec2" => ("RequestExpired", 400),
                    "s3" => ("ExpiredToken", 400),
                    _ => ("ExpiredToken", 403),
                };
                Some(
                    ApiError::new(
                        code,
                        "The security token included in the request is expired",
                    )
                    .with_status(status),
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
mod tests;

//! What can go wrong with a call of `muck`: the faults of the fault sweep, and which calls each may strike.

use serde_json::{Value, json};

use crate::harness::call::Call;
use crate::harness::lane::Job;

/// In place of "for ever": more calls than any command makes.
const EVER: u64 = 1_000_000;

/// A way for a call to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    Throttle,
    InternalError,
    Unavailable,
    TimeoutBefore,
    TimeoutAfter,
    ResetBefore,
    ResetMidBody,
    /// What was just made is not there yet, so many times.
    NotFound(u64),
    /// What was just made is not listed yet, so many times.
    Unlisted(u64),
    /// EC2 does not know the new instance profile yet, so many times.
    UnknownProfile(u64),
    /// The queue's name is still that of a deleted one, so many times.
    QueueDeletedRecently(u64),
    /// IAM still sees a user of what is to be deleted, so many times.
    DeleteConflict(u64),
    /// S3 is still busy with the bucket, so many times.
    OperationAborted(u64),
    /// No room in one place.
    NoCapacity,
    /// From here on this call is refused.
    AccessDenied,
    /// From here on every call is refused: the session is over.
    ExpiredToken,
    /// No room anywhere.
    NoCapacityAnywhere,
}

impl Trouble {
    pub const ALL: [Self; 26] = [
        Self::Throttle,
        Self::InternalError,
        Self::Unavailable,
        Self::TimeoutBefore,
        Self::TimeoutAfter,
        Self::ResetBefore,
        Self::ResetMidBody,
        Self::NotFound(1),
        Self::NotFound(3),
        Self::NotFound(10),
        Self::Unlisted(1),
        Self::Unlisted(3),
        Self::Unlisted(10),
        Self::UnknownProfile(1),
        Self::UnknownProfile(3),
        Self::UnknownProfile(10),
        Self::QueueDeletedRecently(1),
        Self::QueueDeletedRecently(3),
        Self::DeleteConflict(1),
        Self::DeleteConflict(3),
        Self::OperationAborted(1),
        Self::OperationAborted(3),
        Self::NoCapacity,
        Self::AccessDenied,
        Self::ExpiredToken,
        Self::NoCapacityAnywhere,
    ];

    /// In tables, and in `POINT`.
    pub fn name(self) -> String {
        let (name, times) = match self {
            Self::Throttle => ("throttle", 1),
            Self::InternalError => ("500", 1),
            Self::Unavailable => ("503", 1),
            Self::TimeoutBefore => ("timeout-before", 1),
            Self::TimeoutAfter => ("timeout-after", 1),
            Self::ResetBefore => ("reset-before", 1),
            Self::ResetMidBody => ("reset-mid-body", 1),
            Self::NotFound(times) => ("not-found", times),
            Self::Unlisted(times) => ("unlisted", times),
            Self::UnknownProfile(times) => ("unknown-profile", times),
            Self::QueueDeletedRecently(times) => ("queue-deleted-recently", times),
            Self::DeleteConflict(times) => ("delete-conflict", times),
            Self::OperationAborted(times) => ("operation-aborted", times),
            Self::NoCapacity => ("no-capacity", 1),
            Self::AccessDenied => ("access-denied", EVER),
            Self::ExpiredToken => ("expired-token", EVER),
            Self::NoCapacityAnywhere => ("no-capacity-anywhere", EVER),
        };
        match times {
            1 => name.to_owned(),
            EVER => format!("{name}!"),
            _ => format!("{name}*{times}"),
        }
    }

    /// It does not pass: the command can't do its work.
    pub fn lasts(self) -> bool {
        matches!(
            self,
            Self::AccessDenied | Self::ExpiredToken | Self::NoCapacityAnywhere
        )
    }

    /// How often it strikes, from the call on.
    fn times(self) -> u64 {
        match self {
            Self::NotFound(times)
            | Self::Unlisted(times)
            | Self::UnknownProfile(times)
            | Self::QueueDeletedRecently(times)
            | Self::DeleteConflict(times)
            | Self::OperationAborted(times) => times,
            _ if self.lasts() => EVER,
            _ => 1,
        }
    }

    /// Whether AWS may answer so to the call at `index` of `calls`, the calls of its command in order.
    pub fn may_strike(self, calls: &[Call], index: usize) -> bool {
        let call = &calls[index];
        let is = |actions: &[&str]| actions.contains(&call.action.as_str());
        match self {
            Self::NotFound(_) => absence(&calls[..index], call).is_some(),
            // An instance that an earlier command started may still be missing when `down` looks the first time;
            // it has no reason to wait longer.
            Self::Unlisted(1) if call.job == Job::Down => {
                is(&["DescribeInstances"]) && call.occurrence == 1
            }
            Self::Unlisted(_) => maker_of_listed(&call.action)
                .is_some_and(|maker| calls[..index].iter().any(|earlier| earlier.action == maker)),
            // `launch` alone gives its instances a profile.
            Self::UnknownProfile(_) => call.job == Job::Launch && is(&["RunInstances"]),
            Self::NoCapacity | Self::NoCapacityAnywhere => is(&["RunInstances"]),
            Self::QueueDeletedRecently(_) => is(&["CreateQueue"]),
            Self::DeleteConflict(_) => is(&["DeleteRole", "DeleteInstanceProfile"]),
            Self::OperationAborted(_) => is(&["CreateBucket", "DeleteBucket"]),
            _ => true,
        }
    }

    /// The rule of the local cloud that makes it strike `call`, made by `client`.
    pub fn rule(self, call: &Call, client: &str) -> Value {
        json!([{
            "client": client, "service": call.service, "action": call.action,
            "nth": call.occurrence, "times": self.times(), "fault": self.fault(call),
        }])
    }

    fn fault(self, call: &Call) -> Value {
        let error = |code: &str, status: u16, message: &str| json!({"kind": "error", "code": code, "status": status, "message": message});
        match self {
            Self::Throttle => json!({"kind": "throttle"}),
            Self::InternalError => json!({"kind": "internal_error"}),
            Self::Unavailable => json!({"kind": "unavailable"}),
            Self::TimeoutBefore => json!({"kind": "timeout_before"}),
            Self::TimeoutAfter => json!({"kind": "timeout_after"}),
            Self::ResetBefore => json!({"kind": "reset_before"}),
            Self::ResetMidBody => json!({"kind": "reset_mid_body"}),
            Self::NotFound(_) => {
                let (code, status) = not_found(call).expect("may strike");
                error(code, status, "It does not exist (yet)")
            }
            Self::Unlisted(_) => json!({"kind": "unlisted"}),
            Self::UnknownProfile(_) => error(
                "InvalidParameterValue",
                400,
                "Value (muck-worker) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
            ),
            Self::QueueDeletedRecently(_) => error(
                "AWS.SimpleQueueService.QueueDeletedRecently",
                400,
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            ),
            Self::DeleteConflict(_) => error(
                "DeleteConflict",
                409,
                "Cannot delete entity, must remove roles from instance profile first.",
            ),
            Self::OperationAborted(_) => error(
                "OperationAborted",
                409,
                "A conflicting conditional operation is currently in progress against this resource. Please try again.",
            ),
            Self::NoCapacity | Self::NoCapacityAnywhere => error(
                "InsufficientInstanceCapacity",
                500,
                "We currently do not have sufficient capacity in the Availability Zone you requested.",
            ),
            Self::AccessDenied => {
                let code = if call.service == "ec2" {
                    "UnauthorizedOperation"
                } else {
                    "AccessDenied"
                };
                error(
                    code,
                    403,
                    "You are not authorized to perform this operation.",
                )
            }
            Self::ExpiredToken => json!({"kind": "expire"}),
        }
    }
}

/// What `call` is answered where a server has not heard yet of what one of the calls `before` made.
fn absence(before: &[Call], call: &Call) -> Option<(&'static str, u16)> {
    let (code, status) = not_found(call)?;
    let makers: &[&str] = match code {
        "InvalidInstanceID.NotFound" => &["RunInstances"],
        "InvalidAMIID.NotFound" => &["RegisterImage"],
        "InvalidSnapshot.NotFound" => &["CreateSnapshot"],
        "AWS.SimpleQueueService.NonExistentQueue" => &["CreateQueue"],
        "NoSuchBucket" => &["CreateBucket"],
        _ => &["CreateRole", "CreateInstanceProfile"],
    };
    before
        .iter()
        .any(|earlier| makers.contains(&earlier.action.as_str()))
        .then_some((code, status))
}

/// The call that makes what EC2's list `action` shows.
fn maker_of_listed(action: &str) -> Option<&'static str> {
    match action {
        "DescribeInstances" => Some("RunInstances"),
        "DescribeSnapshots" => Some("CreateSnapshot"),
        "DescribeImages" => Some("RegisterImage"),
        _ => None,
    }
}

/// Code and status for a call on something that is not there.
fn not_found(call: &Call) -> Option<(&'static str, u16)> {
    let found = match (call.service.as_str(), call.action.as_str()) {
        ("ec2", "DescribeInstances" | "TerminateInstances" | "AssociateIamInstanceProfile") => {
            ("InvalidInstanceID.NotFound", 400)
        }
        ("ec2", "DescribeImages") => ("InvalidAMIID.NotFound", 400),
        ("ec2", "DescribeSnapshots" | "RegisterImage") => ("InvalidSnapshot.NotFound", 400),
        ("sqs", "SetQueueAttributes" | "GetQueueAttributes" | "TagQueue" | "ListQueueTags") => {
            ("AWS.SimpleQueueService.NonExistentQueue", 400)
        }
        ("s3", action) if action.starts_with("Put") && action != "PutObject" => {
            ("NoSuchBucket", 404)
        }
        (
            "iam",
            "PutRolePolicy" | "AddRoleToInstanceProfile" | "TagRole" | "TagInstanceProfile",
        ) => ("NoSuchEntity", 404),
        _ => return None,
    };
    Some(found)
}

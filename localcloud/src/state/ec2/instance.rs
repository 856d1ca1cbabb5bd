//! An instance and the ways its state may change.

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Document;
use super::facts::SpotNotice;

/// How long a terminated instance stays visible: "usually at least one hour" (EC2 user guide, Terminate instances).
const TERMINATED_VISIBLE: SignedDuration = SignedDuration::from_hours(1);
/// How long its row is kept: as long as a client token that may still ask for it (24 h), and an hour more.
const TERMINATED_KEPT: SignedDuration = SignedDuration::from_hours(25);

/// States, with EC2's names and codes (API reference, InstanceState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Terminated or on the way there.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// What a power-off from inside does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownBehavior {
    Stop,
    Terminate,
}

impl ShutdownBehavior {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Stop, Self::Terminate]
            .into_iter()
            .find(|behavior| behavior.name() == name)
    }
}

/// `StateReason` of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    pub code: String,
    pub message: String,
}

/// An instance profile as associated with an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAssociation {
    pub association_id: String,
    pub arn: String,
    pub profile_id: String,
    pub since: Timestamp,
}

/// `MetadataOptions` of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// `HttpTokens=required`: IMDSv2 only.
    pub tokens_required: bool,
    /// `HttpPutResponseHopLimit`, 1 to 64.
    pub hop_limit: u8,
    pub endpoint_enabled: bool,
    /// `InstanceMetadataTags=enabled`.
    pub tags_enabled: bool,
}

/// Who or what ended a run; decides the reasons that are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An API call.
    User,
    /// The guest powered itself off.
    Guest,
    /// The server was stopped or died while the guest ran, and the guest with it.
    ServerEnded,
    /// It could not boot; why.
    BootFailed(String),
    /// Spot capacity was taken back.
    SpotInterruption,
}

impl Cause {
    fn transition_reason(&self, now: Timestamp) -> String {
        match self {
            Self::User => now
                .strftime("User initiated (%Y-%m-%d %H:%M:%S GMT)")
                .to_string(),
            Self::Guest | Self::ServerEnded => String::new(),
            Self::BootFailed(_) => "Server.InternalError".to_owned(),
            Self::SpotInterruption => "Server.SpotInstanceTermination".to_owned(),
        }
    }

    fn state_reason(&self) -> StateReason {
        let (code, message) = match self {
            Self::User => (
                "Client.UserInitiatedShutdown",
                "User initiated shutdown".to_owned(),
            ),
            Self::Guest => (
                "Client.InstanceInitiatedShutdown",
                "Instance initiated shutdown".to_owned(),
            ),
            Self::ServerEnded => (
                "Client.InstanceInitiatedShutdown",
                "The local cloud was stopped while the instance ran: it counts as powered off from inside"
                    .to_owned(),
            ),
            Self::BootFailed(why) => ("Server.InternalError", why.clone()),
            Self::SpotInterruption => (
                "Server.SpotInstanceTermination",
                "Spot instance termination".to_owned(),
            ),
        };
        StateReason {
            code: code.to_owned(),
            message: format!("{code}: {message}"),
        }
    }
}

/// An instance. Volumes, tags and images are documents of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    pub id: String,
    pub reservation_id: String,
    /// Index in its reservation.
    pub launch_index: u32,
    pub image_id: String,
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub state: InstanceState,
    pub state_reason: Option<StateReason>,
    /// `StateTransitionReason`; empty if there is none to tell.
    pub transition_reason: String,
    /// The last start, as EC2 has it.
    pub launch_time: Timestamp,
    pub terminated_at: Option<Timestamp>,
    pub client_token: Option<String>,
    /// Base64, as it came.
    pub user_data: Option<String>,
    pub profile: Option<ProfileAssociation>,
    pub shutdown_behavior: ShutdownBehavior,
    pub zone: String,
    pub subnet_id: String,
    pub interface_id: String,
    pub private_ip: Ipv4Addr,
    pub security_groups: Vec<String>,
    pub metadata: MetadataOptions,
    pub monitoring: bool,
    pub ebs_optimized: bool,
    pub disable_api_termination: bool,
    /// `standard` or `unlimited` of a burstable instance.
    #[serde(default)]
    pub cpu_credits: Option<String>,
    /// The spot request's id (`sir-…`) if it is a spot instance.
    pub spot_request: Option<String>,
    pub spot_notice: Option<SpotNotice>,
    pub root_device: String,
    pub volume_id: String,
    /// How often its guest was started; user data scripts run on the first boot only.
    pub boots: u32,
}

impl Document for Instance {
    const TABLE: &'static str = "ec2_instances";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Instance {
    /// Whether Describe calls still show it.
    pub fn visible(&self, now: Timestamp) -> bool {
        self.terminated_at
            .is_none_or(|end| now.duration_since(end) < TERMINATED_VISIBLE)
    }

    /// Whether its row may be forgotten.
    pub fn forgettable(&self, now: Timestamp) -> bool {
        self.terminated_at
            .is_some_and(|end| now.duration_since(end) >= TERMINATED_KEPT)
    }

    /// The host name inside, as EC2 makes it of the private address, e.g. `ip-127-0-16-4`.
    pub fn hostname(&self) -> String {
        format!("ip-{}", self.private_ip.to_string().replace('.', "-"))
    }

    /// Begins a start of a stopped instance.
    pub fn start(&mut self, now: Timestamp) {
        self.state = InstanceState::Pending;
        self.launch_time = now;
        self.transition_reason = String::new();
        self.state_reason = None;
    }

    /// The guest's init runs.
    pub fn booted(&mut self) {
        self.state = InstanceState::Running;
    }

    /// Begins a stop, if it is pending or running; says whether it did.
    pub fn stop(&mut self, cause: &Cause, now: Timestamp) -> bool {
        if !matches!(self.state, InstanceState::Pending | InstanceState::Running) {
            return false;
        }
        self.state = InstanceState::Stopping;
        self.explain(cause, now);
        true
    }

    /// Begins termination, unless that has begun; says whether it did.
    pub fn terminate(&mut self, cause: &Cause, now: Timestamp) -> bool {
        if self.state.is_ending() {
            return false;
        }
        self.state = InstanceState::ShuttingDown;
        self.explain(cause, now);
        true
    }

    /// The guest is off without having been asked by the API: its shutdown behaviour decides.
    pub fn powered_off(&mut self, cause: &Cause, now: Timestamp) -> bool {
        if !matches!(self.state, InstanceState::Pending | InstanceState::Running) {
            return false;
        }
        match self.shutdown_behavior {
            ShutdownBehavior::Stop => self.stop(cause, now),
            ShutdownBehavior::Terminate => self.terminate(cause, now),
        }
    }

    /// The last step of a stop or a termination: the guest is gone.
    pub fn settled(&mut self, now: Timestamp) {
        match self.state {
            InstanceState::Stopping => self.state = InstanceState::Stopped,
            InstanceState::ShuttingDown => {
                self.state = InstanceState::Terminated;
                self.terminated_at = Some(now);
            }
            _ => {}
        }
    }

    fn explain(&mut self, cause: &Cause, now: Timestamp) {
        self.transition_reason = cause.transition_reason(now);
        self.state_reason = Some(cause.state_reason());
    }
}

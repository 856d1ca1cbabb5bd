//! The one table: what each command needs.
//!
//! A story of `tests/` runs each command under the policy made from it and compares the two both ways: what
//! was asked for and is not here fails, and what is here and was never asked for fails too.

use clap::ValueEnum;
use serde::Serialize;

use super::scope::Slot::{Failed, Input, Output};
use super::scope::{On, When};

/// What can be granted: the commands that ask a cloud, and the sweep beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    Run,
    Resume,
    Up,
    Plan,
    Bake,
    ImagesLs,
    ImagesShow,
    ImagesPrune,
    ImagesCopy,
    Submit,
    Launch,
    Status,
    Results,
    FailedLs,
    FailedRedrive,
    Logs,
    Bill,
    Ls,
    Down,
    /// Looking for what has expired, beside every command; without it that fails in silence
    Sweep,
}

/// Permissions that are needed together.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    pub actions: &'static [&'static str],
    pub on: &'static [On],
    pub when: When,
    /// Only AWS itself makes it needed, in this case: no test here can.
    pub only: Option<&'static str>,
}

const fn need(actions: &'static [&'static str], on: &'static [On]) -> Need {
    Need {
        actions,
        on,
        when: When::Always,
        only: None,
    }
}

impl Need {
    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    const fn only(mut self, only: &'static str) -> Self {
        self.only = Some(only);
        self
    }
}

const BOTH: On = On::Buckets(&[Input, Output]);
const OUTPUT_BUCKET: On = On::Buckets(&[Output]);
const QUEUES: On = On::Queues(&[Input, Output, Failed]);
const INPUT_QUEUE: On = On::Queues(&[Input]);
const FAILED_QUEUE: On = On::Queues(&[Failed]);
const OUTPUT_QUEUE: On = On::Queues(&[Output]);
const MEDIA_IN: On = On::Objects(Input, "media/");
const MEDIA_OUT: On = On::Objects(Output, "media/");
/// What a bake hands to its builder: the worker's binary, and room for a report.
const BINARY: On = On::Objects(Input, "worker/");
const REPORT: On = On::Objects(Input, "bake/");
const INSTANCE: On = On::Ec2("instance");
const VOLUME: On = On::Ec2("volume");
const SNAPSHOT: On = On::Ec2("snapshot");
const IMAGE: On = On::Ec2("image");

/// Without the right to list, S3 answers "denied" of an object that is not there.
const TELL_ABSENT: &[&str] = &["s3:ListBucket"];

/// Which parts of the stack there are, and whose they are.
const LOOK: &[Need] = &[
    need(&["s3:GetBucketTagging"], &[BOTH]),
    need(&["sqs:GetQueueUrl", "sqs:ListQueueTags"], &[QUEUES]),
    need(&["iam:GetRole"], &[On::RoleIfAny]),
    need(&["iam:GetInstanceProfile"], &[On::ProfileIfAny]),
    need(&["sns:ListTagsForResource"], &[On::Topic]),
];

/// What they are set to.
const SETTINGS: &[Need] = &[
    need(
        &[
            "s3:GetBucketOwnershipControls",
            "s3:GetBucketPolicy",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetEncryptionConfiguration",
            "s3:GetLifecycleConfiguration",
        ],
        &[BOTH],
    ),
    need(&["sqs:GetQueueAttributes"], &[QUEUES]),
    need(
        &["iam:GetRolePolicy", "iam:ListRolePolicies"],
        &[On::RoleIfAny],
    ),
    need(&["sns:ListSubscriptionsByTopic"], &[On::Topic]),
];

/// Making a stack. What was made by a call whose answer was lost is adopted and set.
const MAKE: &[Need] = &[
    need(
        &[
            "s3:CreateBucket",
            "s3:PutBucketTagging",
            "s3:PutLifecycleConfiguration",
            "s3:TagResource",
        ],
        &[BOTH],
    ),
    need(&["s3:PutBucketPolicy"], &[BOTH])
        .only("the policy refuses plain HTTP, so it is set only where the cloud is reached by TLS"),
    need(&["sqs:CreateQueue", "sqs:TagQueue"], &[QUEUES]),
    need(
        &[
            "iam:CreateRole",
            "iam:PutRolePolicy",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
        ],
        &[On::Role],
    ),
    need(
        &[
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:TagInstanceProfile",
        ],
        &[On::Profile],
    ),
    PASS_ROLE,
    need(
        &["sns:CreateTopic", "sns:Subscribe", "sns:TagResource"],
        &[On::Topic],
    ),
];

const PASS_ROLE: Need = need(&["iam:PassRole"], &[On::Role]).when(When::PassedToEc2);

/// Undoing what somebody changed in a stack.
const MEND: &[Need] = &[
    need(
        &[
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutEncryptionConfiguration",
        ],
        &[BOTH],
    )
    .only("a new bucket has these settings; they are set only where somebody changed them"),
    need(&["sqs:SetQueueAttributes"], &[QUEUES]),
    need(&["iam:DeleteRolePolicy"], &[On::Role]),
    need(&["iam:RemoveRoleFromInstanceProfile"], &[On::Profile]),
];

/// Moving the stack's end, which is written on one of its buckets.
const RENEW: &[Need] = &[need(
    &["s3:GetBucketTagging", "s3:PutBucketTagging"],
    &[OUTPUT_BUCKET],
)];

/// The same while a command waits.
const RENEW_LATER: &[Need] = &[
    need(&["s3:GetBucketTagging"], &[OUTPUT_BUCKET]),
    need(&["s3:PutBucketTagging"], &[OUTPUT_BUCKET])
        .only("a stack that ends later than the command needs it to is left alone"),
];

/// Starting any instance of ours.
const START: &[Need] = &[
    need(
        &[
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcEndpoints",
        ],
        &[On::Everything],
    )
    .when(When::InRegion),
    need(
        &["ec2:RunInstances"],
        &[
            On::Ec2("network-interface"),
            On::Ec2("security-group"),
            On::Ec2("subnet"),
        ],
    ),
    need(&["ec2:RunInstances"], &[VOLUME]).when(When::NewVolume),
    need(&["ec2:CreateTags"], &[INSTANCE, VOLUME]).when(When::AtCreation(&["RunInstances"])),
];

/// An instance that bakes, or that sends its image's report, and its end.
const BUILDER: &[Need] = &[
    need(&["ec2:RunInstances"], &[INSTANCE]).when(When::NewInstance("builder")),
    need(&["ec2:DescribeInstances"], &[On::Everything]).when(When::InRegion),
    need(&["ec2:TerminateInstances"], &[INSTANCE]).when(When::OfStack),
    // The instance's own calls too: it has them as presigned URLs.
    need(
        &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
        &[REPORT],
    ),
    need(TELL_ABSENT, &[On::Buckets(&[Input])]),
];

const START_BAKED: &[Need] = &[need(&["ec2:RunInstances"], &[IMAGE]).when(When::BakedImage)];

const BAKE: &[Need] = &[
    need(
        &[
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeSnapshots",
        ],
        &[On::Everything],
    )
    .when(When::InRegion),
    need(&["s3:GetObject", "s3:PutObject"], &[BINARY]),
    need(&["ec2:RunInstances"], &[IMAGE]).when(When::BaseImage),
    need(&["ec2:GetConsoleOutput"], &[INSTANCE]).when(When::OfStack),
    need(&["ec2:CreateSnapshot"], &[VOLUME]).when(When::OfStack),
    need(&["ec2:CreateSnapshot"], &[SNAPSHOT]).when(When::TaggedNew),
    need(&["ec2:RegisterImage"], &[SNAPSHOT]).when(When::OfStack),
    need(&["ec2:RegisterImage"], &[IMAGE]).when(When::TaggedNew),
    need(&["ec2:CreateTags"], &[SNAPSHOT, IMAGE])
        .when(When::AtCreation(&["CreateSnapshot", "RegisterImage"])),
];

/// Removing images: old ones, or what a bake has half made.
const UNMAKE_IMAGES: &[Need] = &[
    need(&["ec2:DeregisterImage"], &[IMAGE]).when(When::OfStack),
    need(&["ec2:DeleteSnapshot"], &[SNAPSHOT]).when(When::OfStack),
];

const LIST_IMAGES: &[Need] = &[need(
    &[
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeSnapshots",
    ],
    &[On::Everything],
)
.when(When::InRegion)];

/// In two regions. A source's tags do not count: its copies must be tagged.
const COPY_IMAGES: &[Need] = &[
    need(&["ec2:DescribeImages"], &[On::Everything]),
    need(&["ec2:CopyImage"], &[On::Ec2Anywhere("image")]),
    need(&["ec2:CopyImage"], &[On::Ec2Anywhere("snapshot")]).when(When::TaggedNew),
    need(
        &["ec2:CreateTags"],
        &[On::Ec2Anywhere("image"), On::Ec2Anywhere("snapshot")],
    )
    .when(When::AtCreation(&["CopyImage"])),
    need(&["ec2:DeregisterImage"], &[On::Ec2Anywhere("image")]).when(When::OfStack),
    need(&["ec2:DeleteSnapshot"], &[On::Ec2Anywhere("snapshot")]).when(When::OfStack),
];

const OPEN: &[Need] = &[need(&["sqs:GetQueueUrl"], &[INPUT_QUEUE])];

const SUBMIT: &[Need] = &[
    need(
        &["sqs:GetQueueAttributes", "sqs:SendMessage"],
        &[INPUT_QUEUE],
    ),
    need(
        &["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
        &[MEDIA_IN],
    ),
    need(&["s3:ListBucketMultipartUploads"], &[On::Buckets(&[Input])])
        .only("the answer to the beginning of an upload in parts may be lost"),
    need(TELL_ABSENT, &[On::Buckets(&[Input])]),
];

const LAUNCH: &[Need] = &[
    need(
        &["ec2:DescribeImages", "ec2:DescribeInstanceTypes"],
        &[On::Everything],
    )
    .when(When::InRegion),
    need(&["ec2:RunInstances"], &[INSTANCE]).when(When::NewInstance("worker")),
    PASS_ROLE,
    need(&["ec2:DescribeInstances"], &[On::Everything])
        .when(When::InRegion)
        .only(WITHOUT_PROFILE),
    need(&["ec2:AssociateIamInstanceProfile"], &[INSTANCE])
        .when(When::OfStack)
        .only(WITHOUT_PROFILE),
];

const WITHOUT_PROFILE: &str = "EC2 may start an instance and leave its new profile out";

/// Who works: for the pace, and for the bill.
const OBSERVE: &[Need] = &[need(
    &["ec2:DescribeInstances", "ec2:DescribeVolumes"],
    &[On::Everything],
)
.when(When::InRegion)];

const DEPTHS: &[Need] = &[need(
    &["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
    &[QUEUES],
)];

const RESULTS: &[Need] = &[
    need(&["sqs:ReceiveMessage"], &[On::Queues(&[Output, Failed])]),
    need(&["sqs:DeleteMessage"], &[OUTPUT_QUEUE]),
    need(&["s3:GetObject"], &[MEDIA_OUT]),
    need(TELL_ABSENT, &[On::Buckets(&[Output])]),
    need(&["s3:GetObject"], &[On::Objects(Output, "progress/")])
        .only("how far each file is, is asked only where a terminal shows it"),
];

/// How far the workers are, where some are at work.
const PROGRESS: &[Need] = &[
    need(&["s3:ListBucket"], &[On::Buckets(&[Output])]),
    need(&["s3:GetObject"], &[On::Objects(Output, "progress/")]),
];

/// Looking at dead letters and giving them back.
const FAILED_LS: &[Need] = &[need(
    &[
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    ],
    &[FAILED_QUEUE],
)];

/// Sending them again; a verdict that says "failed" goes first.
const REDRIVE: &[Need] = &[
    need(&["sqs:DeleteMessage"], &[FAILED_QUEUE]),
    need(&["sqs:GetQueueUrl", "sqs:SendMessage"], &[INPUT_QUEUE]),
    need(
        &["s3:DeleteObject", "s3:GetObject"],
        &[On::Objects(Output, "verdicts/")],
    ),
    need(TELL_ABSENT, &[On::Buckets(&[Output])]),
];

const LOGS: &[Need] = &[
    need(&["s3:ListBucket"], &[On::Buckets(&[Output])]),
    need(&["s3:GetObject"], &[On::Objects(Output, "logs/")]),
    need(&["ec2:DescribeInstances"], &[On::Everything]).when(When::InRegion),
    need(&["ec2:GetConsoleOutput"], &[INSTANCE]).when(When::OfStack),
];

const BILL: &[Need] = &[need(&["ec2:DescribeSnapshots"], &[On::Everything]).when(When::InRegion)];

/// When instances that ended themselves did so: their logs tell.
const ENDS: &[Need] = &[need(&["s3:ListBucket"], &[On::Buckets(&[Output])])];

/// All that the account has.
const LIST: &[Need] = &[
    PIECES,
    need(&["sns:ListTopics", "sqs:ListQueues"], &[On::Everything]).when(When::InRegion),
    need(
        &[
            "iam:ListInstanceProfiles",
            "iam:ListRoles",
            "s3:ListAllMyBuckets",
        ],
        &[On::Everything],
    ),
];

const PIECES: Need = need(
    &[
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
    ],
    &[On::Everything],
)
.when(When::InRegion);

/// For `--all-regions`.
const REGIONS: &[Need] = &[need(&["ec2:DescribeRegions"], &[On::Everything]).when(When::InRegion)];

const SURVEY: &[Need] = &[PIECES];

/// What is in a stack.
const COUNT: &[Need] = &[
    need(&["sqs:GetQueueAttributes"], &[QUEUES]),
    need(&["s3:ListBucketVersions"], &[BOTH]),
];

/// Removing all of a stack.
const DELETE: &[Need] = &[
    need(&["ec2:TerminateInstances"], &[INSTANCE]).when(When::OfStack),
    need(&["ec2:DeleteVolume"], &[VOLUME]).when(When::OfStack),
    need(
        &[
            "s3:DeleteBucket",
            "s3:ListBucketMultipartUploads",
            "s3:ListBucketVersions",
        ],
        &[BOTH],
    ),
    need(
        &["s3:AbortMultipartUpload", "s3:DeleteObjectVersion"],
        &[On::Objects(Input, ""), On::Objects(Output, "")],
    ),
    need(&["sqs:DeleteQueue"], &[QUEUES]),
    need(
        &[
            "iam:DeleteInstanceProfile",
            "iam:RemoveRoleFromInstanceProfile",
        ],
        &[On::Profile],
    ),
    need(
        &[
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:ListRolePolicies",
        ],
        &[On::Role],
    ),
    need(&["iam:DetachRolePolicy"], &[On::Role])
        .only("somebody may have attached a managed policy to the worker's role"),
    need(&["sns:DeleteTopic"], &[On::Topic]),
];

impl Command {
    /// What it needs. Groups may name a permission twice.
    pub fn needs(self) -> impl Iterator<Item = &'static Need> {
        // It goes on with a run by the same code, and queues again what was given up when instances ended.
        let shared: &[_] = match self {
            Self::Resume => Self::Run.groups(),
            _ => &[],
        };
        shared.iter().chain(self.groups()).copied().flatten()
    }

    fn groups(self) -> &'static [&'static [Need]] {
        match self {
            Self::Run => &[
                SURVEY,
                LOOK,
                SETTINGS,
                MAKE,
                START,
                BUILDER,
                BAKE,
                UNMAKE_IMAGES,
                RENEW,
                SUBMIT,
                START_BAKED,
                LAUNCH,
                OBSERVE,
                DEPTHS,
                RESULTS,
                BILL,
                DELETE,
            ],
            Self::Up => &[LOOK, SETTINGS, MAKE, MEND],
            Self::Plan => &[LOOK, SETTINGS],
            // The baked image, because `--verify` reads its report.
            Self::Bake => &[START, BUILDER, BAKE, START_BAKED, UNMAKE_IMAGES],
            Self::ImagesLs => &[LIST_IMAGES],
            Self::ImagesShow => &[LIST_IMAGES, START, BUILDER, START_BAKED],
            Self::ImagesPrune => &[LIST_IMAGES, UNMAKE_IMAGES],
            Self::ImagesCopy => &[COPY_IMAGES],
            Self::Submit => &[OPEN, RENEW, SUBMIT],
            Self::Launch => &[LOOK, RENEW, START, START_BAKED, LAUNCH],
            Self::Status => &[DEPTHS, OBSERVE, PROGRESS],
            Self::Results => &[DEPTHS, OBSERVE, RESULTS, RENEW_LATER],
            Self::FailedLs => &[FAILED_LS],
            Self::FailedRedrive | Self::Resume => &[FAILED_LS, REDRIVE],
            Self::Logs => &[LOGS],
            Self::Bill => &[OBSERVE, BILL, ENDS],
            Self::Ls => &[LIST, LOOK, COUNT, REGIONS],
            // The list, because of `--all-expired`.
            Self::Down => &[
                SURVEY,
                LOOK,
                COUNT,
                ENDS,
                DELETE,
                UNMAKE_IMAGES,
                LIST,
                REGIONS,
            ],
            Self::Sweep => &[LIST, LOOK, COUNT, DELETE, UNMAKE_IMAGES],
        }
    }

    /// As it is typed behind `muck permissions`.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Subcommands that ask no cloud, or only the local one with its root key.
    const WITHOUT: [&str; 7] = [
        "completions",
        "demo",
        "init",
        "local",
        "man-pages",
        "permissions",
        "presets",
    ];

    #[test]
    fn every_subcommand_is_in_the_table_or_asks_no_cloud() {
        let cli = crate::cli::Cli::command();
        let mut typed = Vec::new();
        for command in cli
            .get_subcommands()
            .filter(|one| one.get_name() != "local")
        {
            let below: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            if below.is_empty() {
                typed.push(command.get_name().to_owned());
            }
            let name = command.get_name();
            typed.extend(below.iter().map(|one| format!("{name}-{one}")));
        }
        typed.retain(|name| !WITHOUT.contains(&name.as_str()));
        let mut known: Vec<String> = Command::value_variants()
            .iter()
            .filter(|command| **command != Command::Sweep)
            .map(|command| command.name())
            .collect();
        typed.sort();
        known.sort();
        assert_eq!(typed, known, "bring Command and its needs up to date");
    }

    #[test]
    fn actions_are_named_in_full() {
        for command in Command::value_variants() {
            for action in command.needs().flat_map(|need| need.actions) {
                let (service, name) = action.split_once(':').expect("service and action");
                assert!(
                    ["ec2", "iam", "s3", "sns", "sqs"].contains(&service),
                    "{action}"
                );
                assert!(name.chars().all(char::is_alphanumeric), "{action}");
            }
        }
    }
}

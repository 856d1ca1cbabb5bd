//! The public linters of IAM policies, in the virtual environment of `scripts/python-tools.sh`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use super::python;

/// Where a policy belongs, which decides what must and may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a role or a person.
    Identity,
    /// Who may take a role.
    Trust,
    Bucket,
    Queue,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Trust => "trust",
            Self::Bucket => "bucket",
            Self::Queue => "queue",
        }
    }
}

/// A policy as it goes to AWS.
#[derive(Debug, Clone)]
pub struct Policy {
    /// For the one who reads a finding.
    pub name: String,
    pub kind: Kind,
    /// JSON.
    pub document: String,
}

/// What a linter has against a policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    pub name: String,
    pub linter: String,
    pub rule: String,
    pub detail: String,
}

impl Finding {
    /// Findings that are the linter's mistakes, each with the reason.
    fn is_mistaken(&self, kind: Kind) -> bool {
        // The key is EC2's, and parliament's table lists it with EC2's own actions alone. It is in the context of
        // every request made with credentials that EC2 delivered, whatever the service: AWS's example of its use
        // (EC2 user guide, "Work with instance metadata: IMDSv2 by IAM policy") denies "*" by it.
        let of_delivered_credentials = self.rule == "UNKNOWN_CONDITION_FOR_ACTION"
            && self
                .detail
                .starts_with("Unknown condition ec2:RoleDelivery for action ");
        // parliament does not know trust policies, which have no resource (IAM user guide, "IAM JSON policy
        // elements: Resource"). cfn-lint has a schema for them.
        let of_a_role = kind == Kind::Trust
            && self.rule == "MALFORMED"
            && self.detail == "Statement contains neither Resource nor NotResource";
        self.linter == "parliament" && (of_delivered_credentials || of_a_role)
    }
}

/// All findings of any severity but those that are known to be mistaken.
///
/// # Panics
/// If the linters can't be run, or a policy is no JSON.
pub fn findings(policies: &[Policy]) -> Vec<Finding> {
    let input: Vec<Value> = policies
        .iter()
        .map(|policy| {
            let document: Value = serde_json::from_str(&policy.document)
                .unwrap_or_else(|error| panic!("{}: {error}", policy.name));
            json!({"name": policy.name, "kind": policy.kind.name(), "policy": document})
        })
        .collect();
    let mut linters = Command::new(python::interpreter())
        .arg(python::script("lint_policies.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the linters start");
    let mut stdin = linters.stdin.take().expect("piped");
    stdin
        .write_all(Value::Array(input).to_string().as_bytes())
        .expect("the linters read all");
    drop(stdin);
    let output = linters.wait_with_output().expect("the linters end");
    assert!(output.status.success(), "the linters failed: see above");
    let findings: Vec<Finding> =
        serde_json::from_slice(&output.stdout).expect("the linters write JSON");
    let kind_of = |name: &str| {
        let policy = policies.iter().find(|policy| policy.name == name);
        policy
            .expect("a finding of a policy that was asked about")
            .kind
    };
    findings
        .into_iter()
        .filter(|finding| !finding.is_mistaken(kind_of(&finding.name)))
        .collect()
}

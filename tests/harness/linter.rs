//! The public linters of IAM policies, in the virtual environment of `scripts/python-tools.sh`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use super::policy::covers;
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
    /// Findings that are the linter's mistakes, or that are known and wanted, each with the reason.
    fn is_answered(&self, policy: &Policy) -> bool {
        // The key is EC2's, and parliament's table lists it with EC2's own actions alone. It is in the context of
        // every request made with credentials that EC2 delivered, whatever the service: AWS's example of its use
        // (EC2 user guide, "Work with instance metadata: IMDSv2 by IAM policy") denies "*" by it.
        let of_delivered_credentials = self.rule == "UNKNOWN_CONDITION_FOR_ACTION"
            && self
                .detail
                .starts_with("Unknown condition ec2:RoleDelivery for action ");
        // parliament does not know trust policies, which have no resource (IAM user guide, "IAM JSON policy
        // elements: Resource"). cfn-lint has a schema for them.
        let of_a_role = policy.kind == Kind::Trust
            && self.rule == "MALFORMED"
            && self.detail == "Statement contains neither Resource nor NotResource";
        // Some calls of EC2 are on several resources, which parliament wants in one statement. Each may have one of
        // its own, with its own conditions: AWS's examples for RunInstances (EC2 user guide, "Example policies to control access to
        // the Amazon EC2 API") have them so.
        let in_other_statements = self.rule == "RESOURCE_MISMATCH" && self.is_granted_by(policy);
        // Whoever makes our buckets sets their policies and lifecycles, and so could grant themselves what is in
        // them. That is so for any deployer; the ones that `muck permissions` is for may do it to our buckets alone.
        let of_our_own_buckets = self.rule == "RESOURCE_POLICY_PRIVILEGE_ESCALATION"
            && self
                .detail
                .starts_with("Possible resource policy privilege escalation on arn:aws:s3:::muck-");
        self.linter == "parliament"
            && (of_delivered_credentials || of_a_role || in_other_statements || of_our_own_buckets)
    }

    /// Whether the policy as a whole grants each action of a mismatch on what it needs.
    fn is_granted_by(&self, policy: &Policy) -> bool {
        #[derive(Deserialize)]
        struct Mismatch {
            action: String,
            required_format: String,
        }
        // Python's way to write them.
        let mismatches: Vec<Mismatch> =
            serde_json::from_str(&self.detail.replace('\'', "\"")).expect("mismatches");
        let policy: Value = serde_json::from_str(&policy.document).expect("JSON");
        let statements = policy["Statement"].as_array().expect("statements");
        mismatches.iter().all(|mismatch| {
            mismatch.action.starts_with("ec2:")
                && statements.iter().any(|statement| {
                    texts(&statement["Action"]).contains(&mismatch.action.as_str())
                        && texts(&statement["Resource"])
                            .iter()
                            .any(|resource| covers(&mismatch.required_format, resource))
                })
        })
    }
}

/// A text, or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// All findings of any severity but those that are answered for.
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
    let policy_of = |name: &str| {
        let policy = policies.iter().find(|policy| policy.name == name);
        policy.expect("a finding of a policy that was asked about")
    };
    findings
        .into_iter()
        .filter(|finding| !finding.is_answered(policy_of(&finding.name)))
        .collect()
}

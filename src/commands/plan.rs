//! `muck plan`: what `muck up` would do. Exit code 0: nothing; 3: something.

use muck_worker::text::printable;
use similar::{ChangeTag, TextDiff};

use crate::error::{Error, Kind, Result};
use crate::session::Session;
use crate::stack::apply;
use crate::stack::plan::{Action, Change, Plan, Step};

/// Unchanged lines around each change in a policy, as in `diff -u`.
const CONTEXT: usize = 3;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let plan = Box::pin(apply::planned(&cloud)).await?;
    session.ui.data(&plan, text)?;
    if plan.is_empty() {
        return Ok(());
    }
    let stack = &cloud.names.stack;
    Err(Error::new(
        Kind::ChangesPending,
        format!("stack {stack} is not as it shall be"),
    )
    .hint("make it so: muck up"))
}

/// `+` create, `~` change (each attribute below), `=` keep.
fn text(plan: &Plan) -> String {
    plan.steps
        .iter()
        .flat_map(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn lines(step: &Step) -> Vec<String> {
    let (sign, changes) = match &step.action {
        Action::Create => ('+', &[][..]),
        Action::Change(changes) => ('~', changes.as_slice()),
        Action::Keep => ('=', &[][..]),
    };
    let mut lines = vec![format!("{sign} {:<17} {}", step.kind, step.name)];
    for change in changes {
        lines.push(format!("    {}", change.attribute));
        lines.extend(
            difference(change)
                .into_iter()
                .map(|line| format!("      {line}")),
        );
    }
    lines
}

/// Old and new, each line with its sign. Two JSON documents (policies) are compared line by line, because
/// nobody sees the one changed word in two long lines. What the cloud returned is foreign text.
fn difference(change: &Change) -> Vec<String> {
    if let (Some(old), Some(new)) = (pretty(change.old.as_deref()), pretty(change.new.as_deref())) {
        let diff = TextDiff::from_lines(&old, &new);
        return diff
            .grouped_ops(CONTEXT)
            .iter()
            .flatten()
            .flat_map(|op| diff.iter_changes(op))
            .map(|line| {
                let sign = match line.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => ' ',
                };
                format!("{sign} {}", printable(line.value().trim_end_matches('\n')))
            })
            .collect();
    }
    let of = |value: &Option<String>| printable(value.as_deref().unwrap_or("(not set)"));
    vec![
        format!("- {}", of(&change.old)),
        format!("+ {}", of(&change.new)),
    ]
}

/// A JSON object over several lines; `None` for everything else.
fn pretty(text: Option<&str>) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text?).ok()?;
    value.is_object().then(|| format!("{value:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ResourceKind;
    use crate::resources::{Attributes, Tags};
    use crate::stack::plan::Change;

    #[test]
    fn a_plan_reads_as_a_diff() {
        let step = |kind, name: &str, action| Step {
            kind,
            name: name.to_owned(),
            action,
            attributes: Attributes::new(),
            tags: Tags::new(),
            presence: None,
        };
        let change = Change {
            attribute: "VisibilityTimeout",
            old: Some("30".into()),
            new: Some("120".into()),
        };
        let policy = Change {
            attribute: "policy",
            old: Some(r#"{"Action":"s3:*","Effect":"Allow"}"#.into()),
            new: Some(r#"{"Action":"s3:GetObject","Effect":"Allow"}"#.into()),
        };
        let plan = Plan {
            steps: vec![
                step(
                    ResourceKind::InputBucket,
                    "muck-demo-input-1-x-an",
                    Action::Create,
                ),
                step(
                    ResourceKind::InputQueue,
                    "muck-demo-input",
                    Action::Change(vec![change]),
                ),
                step(
                    ResourceKind::Role,
                    "muck-demo-worker",
                    Action::Change(vec![policy]),
                ),
                step(
                    ResourceKind::InstanceProfile,
                    "muck-demo-worker",
                    Action::Keep,
                ),
            ],
        };
        insta::assert_snapshot!(text(&plan), @r#"
        + input bucket      muck-demo-input-1-x-an
        ~ input queue       muck-demo-input
            VisibilityTimeout
              - 30
              + 120
        ~ role              muck-demo-worker
            policy
                {
              -   "Action": "s3:*",
              +   "Action": "s3:GetObject",
                  "Effect": "Allow"
                }
        = instance profile  muck-demo-worker
        "#);
        assert!(!plan.is_empty());
    }
}

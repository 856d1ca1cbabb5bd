//! The policy document: rows of the table for one scope, put together in as few statements as say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::scope::{Conditions, On, Scope};
use super::table::{Command, Need};

/// One permission on one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Row {
    /// In the words of the Service Authorization Reference, e.g. `s3:GetObject`.
    pub action: &'static str,
    /// ARN patterns. Several are of one thing: a role that may not be there.
    pub resources: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: Conditions,
    /// In which case alone AWS asks for it, where no test here can bring that about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<&'static str>,
}

/// All rows of a command, each once, sorted.
pub fn rows(scope: &Scope, command: Command) -> Vec<Row> {
    let all: BTreeSet<Row> = command
        .needs()
        .flat_map(|need| rows_of(scope, need))
        .collect();
    // What is needed anyhow is needed in every case.
    let surely: BTreeSet<Row> = all
        .iter()
        .filter(|row| row.only.is_none())
        .cloned()
        .collect();
    all.into_iter()
        .filter(|row| {
            let anyhow = Row {
                only: None,
                ..row.clone()
            };
            row.only.is_none() || !surely.contains(&anyhow)
        })
        .collect()
}

fn rows_of(scope: &Scope, need: &'static Need) -> Vec<Row> {
    let mut rows = Vec::new();
    for on in need.on {
        let resources = scope.resources(*on);
        let things: Vec<Vec<String>> = match on {
            On::RoleIfAny | On::ProfileIfAny => vec![resources],
            _ => resources.into_iter().map(|one| vec![one]).collect(),
        };
        for resources in things {
            for action in need.actions {
                rows.push(Row {
                    action,
                    resources: resources.clone(),
                    conditions: scope.conditions(*on, need.when),
                    only: need.only,
                });
            }
        }
    }
    rows
}

/// A string, or a list of them where there are several: a list of one would only take room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct OneOrMany(Vec<String>);

impl From<String> for OneOrMany {
    fn from(one: String) -> Self {
        Self(vec![one])
    }
}

impl Serialize for OneOrMany {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            many => serializer.collect_seq(many),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<String, OneOrMany>>,
}

impl Statement {
    fn of(action: OneOrMany, resource: OneOrMany, conditions: Conditions) -> Self {
        let condition = conditions.into_iter().map(|(operator, keys)| {
            let keys = keys.into_iter();
            let keys = keys.map(|(key, values)| (key, OneOrMany(values)));
            (operator, keys.collect())
        });
        Self {
            effect: "Allow",
            action,
            resource,
            condition: condition.collect(),
        }
    }
}

/// An identity-based policy.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

/// Where a policy may be put, and how long it may be there, white space not counted
/// (IAM User Guide, "IAM and AWS STS quotas").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Managed,
    InlineUser,
    InlineGroup,
    InlineRole,
}

impl Limit {
    pub fn characters(self) -> usize {
        match self {
            Self::Managed => 6144,
            Self::InlineUser => 2048,
            Self::InlineGroup => 5120,
            Self::InlineRole => 10240,
        }
    }
}

impl Policy {
    /// As IAM counts it.
    pub fn characters(&self) -> usize {
        let text = serde_json::to_string(self).unwrap_or_default();
        text.chars().filter(|c| !c.is_whitespace()).count()
    }

    pub fn fits(&self, limit: Limit) -> bool {
        self.characters() <= limit.characters()
    }

    /// Policies that allow the same together and each fit where this one may not.
    pub fn parts(self, limit: Limit) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for statement in self.statement {
            let with = |part: &Self| {
                let mut part = part.clone();
                part.statement.push(statement.clone());
                part
            };
            let place = parts.iter().position(|part| with(part).fits(limit));
            match place {
                Some(index) => parts[index] = with(&parts[index]),
                None => parts.push(Self {
                    version: self.version,
                    statement: vec![statement],
                }),
            }
        }
        parts
    }
}

/// The least policy for whoever runs these commands.
pub fn policy(scope: &Scope, commands: &[Command]) -> Policy {
    let all = commands.iter().flat_map(|command| rows(scope, *command));
    let all: BTreeSet<Grant> = all
        .flat_map(|row| {
            let (action, conditions) = (row.action, row.conditions);
            let resources = row.resources.into_iter();
            resources.map(move |one| (action, one, conditions.clone()))
        })
        .collect();
    let mut grants: BTreeMap<Conditions, Grants> = BTreeMap::new();
    for (action, resource, conditions) in with_either_value(without_contained(&all)) {
        grants
            .entry(conditions)
            .or_default()
            .insert((action, resource));
    }
    let statements = grants.into_iter().flat_map(|(conditions, grants)| {
        let blocks = blocks(&grants).into_iter();
        let statements: Vec<Statement> = blocks
            .map(|block| block.statement(conditions.clone()))
            .collect();
        statements
    });
    Policy {
        version: "2012-10-17",
        statement: statements.collect(),
    }
}

/// An action, the resource on which it is allowed, and the conditions under which.
type Grant = (&'static str, String, Conditions);

/// Leaves out what another grant allows too: on more resources, under fewer conditions.
fn without_contained(all: &BTreeSet<Grant>) -> BTreeSet<Grant> {
    let contains = |wide: &Grant, narrow: &Grant| {
        let fewer = wide.2.iter().all(|(operator, keys)| {
            let stricter = narrow.2.get(operator);
            keys.iter()
                .all(|(key, values)| stricter.and_then(|keys| keys.get(key)) == Some(values))
        });
        wide != narrow && wide.0 == narrow.0 && fewer && covers(&wide.1, &narrow.1)
    };
    all.iter()
        .filter(|narrow| !all.iter().any(|wide| contains(wide, narrow)))
        .cloned()
        .collect()
}

/// Whether a pattern allows all that another does: it fits the other's text, stars included.
fn covers(pattern: &str, other: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = other.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Puts together grants that differ in the values of one condition only: either value will do.
fn with_either_value(all: BTreeSet<Grant>) -> BTreeSet<Grant> {
    let mut open: Vec<Grant> = all.into_iter().collect();
    let mut done: Vec<Grant> = Vec::new();
    while let Some((action, resource, mut conditions)) = open.pop() {
        let partner = open.iter().enumerate().find_map(|(index, other)| {
            if (other.0, &other.1) != (action, &resource) {
                return None;
            }
            Some((index, either(&conditions, &other.2)?))
        });
        match partner {
            Some((index, both)) => {
                open.remove(index);
                conditions = both;
                open.push((action, resource, conditions));
            }
            None => done.push((action, resource, conditions)),
        }
    }
    done.into_iter().collect()
}

/// The conditions that hold where one of two sets does, if these differ in the values of one key alone.
fn either(one: &Conditions, other: &Conditions) -> Option<Conditions> {
    let keys = |all: &Conditions| -> Vec<(&'static str, String)> {
        all.iter()
            .flat_map(|(operator, keys)| keys.keys().map(|key| (*operator, key.clone())))
            .collect()
    };
    let keys_of_one = keys(one);
    if keys_of_one != keys(other) {
        return None;
    }
    let differing: Vec<_> = keys_of_one
        .into_iter()
        .filter(|(operator, key)| one[operator][key] != other[operator][key])
        .collect();
    let [(operator, key)] = differing.as_slice() else {
        return None;
    };
    let mut both = one.clone();
    let values = both.get_mut(operator)?.get_mut(key)?;
    values.extend(other[operator][key].iter().cloned());
    values.sort();
    values.dedup();
    Some(both)
}

/// Actions, each with a resource on which it is allowed.
type Grants = BTreeSet<(&'static str, String)>;

/// All of these actions on all of these resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    actions: BTreeSet<&'static str>,
    resources: BTreeSet<String>,
}

impl Block {
    fn grants(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.actions
            .iter()
            .flat_map(|action| self.resources.iter().map(|one| (*action, one.clone())))
    }

    /// Characters that it takes in a policy, about.
    fn length(&self) -> usize {
        // Braces, effect, keys and quotes of a statement.
        const REST: usize = 48;
        let actions: usize = self.actions.iter().map(|one| one.len() + 3).sum();
        let resources: usize = self.resources.iter().map(|one| one.len() + 3).sum();
        REST + actions + resources
    }

    fn statement(self, conditions: Conditions) -> Statement {
        Statement::of(
            OneOrMany(self.actions.into_iter().map(str::to_owned).collect()),
            OneOrMany(self.resources.into_iter().collect()),
            conditions,
        )
    }
}

/// Few blocks that together allow the grants and nothing else: at each turn the one that takes the fewest
/// characters for each grant that no block before it has.
fn blocks(grants: &Grants) -> Vec<Block> {
    let mut of_action: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let mut of_resource: BTreeMap<&str, BTreeSet<&'static str>> = BTreeMap::new();
    for (action, resource) in grants {
        of_action
            .entry(action)
            .or_default()
            .insert(resource.clone());
        of_resource.entry(resource).or_default().insert(action);
    }
    // The largest blocks: with all resources of one action, or all actions of one resource.
    let by_action = of_action.values().map(|resources| {
        let all = of_action
            .iter()
            .filter(|(_, own)| own.is_superset(resources));
        Block {
            actions: all.map(|(action, _)| *action).collect(),
            resources: resources.clone(),
        }
    });
    let by_resource = of_resource.values().map(|actions| {
        let all = of_resource
            .iter()
            .filter(|(_, own)| own.is_superset(actions));
        Block {
            actions: actions.clone(),
            resources: all.map(|(resource, _)| (*resource).to_owned()).collect(),
        }
    });
    let candidates: BTreeSet<Block> = by_action.chain(by_resource).collect();
    let (mut blocks, mut left) = (Vec::new(), grants.clone());
    while !left.is_empty() {
        let best = candidates
            .iter()
            .filter_map(|block| {
                // Only what is still to be allowed need be in it.
                let new: Vec<_> = block
                    .grants()
                    .filter(|grant| left.contains(grant))
                    .collect();
                let block = Block {
                    actions: new.iter().map(|(action, _)| *action).collect(),
                    resources: new.iter().map(|(_, resource)| resource.clone()).collect(),
                };
                // In thousandths of a character, to compare whole numbers.
                let cost = (block.length() * 1000).checked_div(new.len())?;
                Some((cost, block))
            })
            .min();
        let Some((_, block)) = best else { break };
        for grant in block.grants() {
            left.remove(&grant);
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn narrow() -> Scope {
        Scope {
            stack: Some("demo".parse().expect("valid")),
            account: Some("123456789012".into()),
            region: Some("eu-west-1".into()),
            base_owners: vec!["136693071363".into()],
        }
    }

    #[test]
    fn a_policy_reads_well() {
        let policy = policy(&narrow(), &[Command::Submit, Command::Status]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&policy).expect("JSON"));
    }

    /// The longest names that there can be, too.
    #[test]
    fn each_command_but_those_of_a_run_fits_a_managed_policy() {
        let longest = Scope {
            stack: Some("a234567890123456".parse().expect("valid")),
            account: Some("123456789012".into()),
            region: Some("ap-southeast-1".into()),
            base_owners: vec!["136693071363".into()],
        };
        for scope in [Scope::default(), narrow(), longest] {
            for command in Command::value_variants() {
                let policy = policy(&scope, &[*command]);
                let is_open = scope.stack.is_none();
                let of_a_run = matches!(command, Command::Run | Command::Resume);
                assert!(
                    policy.fits(Limit::Managed) || (of_a_run && !is_open),
                    "{}: {}",
                    command.name(),
                    policy.characters()
                );
            }
        }
    }

    #[test]
    fn patterns_cover_patterns() {
        assert!(covers("*", "arn:aws:s3:::a"));
        assert!(covers("arn:*:a/*", "arn:aws:s3:::a/media/*"));
        assert!(covers("arn:a", "arn:a"));
        assert!(!covers("arn:a", "arn:a/*"));
        assert!(!covers("arn:a/media/*", "arn:a/*"));
        assert!(!covers("a*b*c", "a-c-b"));
        assert!(!covers("ab*b", "ab"));
    }

    /// What a policy says, each action on each resource under each value of its conditions.
    fn said(policy: Policy) -> BTreeSet<String> {
        let mut said = BTreeSet::new();
        for statement in policy.statement {
            let mut conditions = vec![String::new()];
            for (operator, keys) in &statement.condition {
                for (key, values) in keys {
                    conditions = conditions
                        .iter()
                        .flat_map(|text| {
                            let test = format!("{text} {operator} {key}=");
                            let values = values.0.iter();
                            values.map(move |value| format!("{test}{value}"))
                        })
                        .collect();
                }
            }
            for action in &statement.action.0 {
                for resource in &statement.resource.0 {
                    let all = conditions.iter();
                    said.extend(all.map(|conditions| format!("{action} {resource}{conditions}")));
                }
            }
        }
        said
    }

    /// However it is put together and cut into parts, a policy allows what the commands' own do.
    #[test]
    fn one_policy_for_several_says_what_theirs_say() {
        let all = Command::value_variants();
        for commands in [all, &[Command::Run], &[Command::Down, Command::Submit]] {
            let together = said(policy(&narrow(), commands));
            let each: BTreeSet<String> = commands
                .iter()
                .flat_map(|command| rows(&narrow(), *command))
                .flat_map(|row| {
                    let resources = row.resources.iter().cloned().map(OneOrMany::from);
                    let conditions = &row.conditions;
                    let policies: Vec<Policy> = resources
                        .map(|resource| Policy {
                            version: "",
                            statement: vec![Statement::of(
                                OneOrMany::from(row.action.to_owned()),
                                resource,
                                conditions.clone(),
                            )],
                        })
                        .collect();
                    policies.into_iter().flat_map(said).collect::<Vec<_>>()
                })
                .collect();
            assert!(together.is_subset(&each), "more than the rows");
            for lost in each.difference(&together) {
                // Allowed all the same, by something wider.
                let (action, rest) = lost.split_once(' ').expect("action");
                let resource = rest.split(' ').next().expect("resource");
                assert!(
                    together.iter().any(|wide| {
                        let (wide_action, wide) = wide.split_once(' ').expect("action");
                        let mut parts = wide.split(' ');
                        let on = parts.next().expect("resource");
                        wide_action == action
                            && covers(on, resource)
                            && parts.all(|condition| rest.contains(condition))
                    }),
                    "lost: {lost}"
                );
            }
            let whole = policy(&narrow(), commands);
            let parts = whole.clone().parts(Limit::Managed);
            assert!(parts.iter().all(|part| part.fits(Limit::Managed)));
            let of_parts: BTreeSet<String> = parts.into_iter().flat_map(said).collect();
            assert_eq!(of_parts, together);
            assert_eq!(whole.clone().parts(Limit::InlineRole).len(), 1);
        }
    }

    #[test]
    fn nothing_is_on_all_resources_that_could_be_narrower() {
        for command in Command::value_variants() {
            for row in rows(&narrow(), *command) {
                let lists = ["Describe", "List"];
                let (_, name) = row.action.split_once(':').expect("an action");
                assert!(
                    row.resources != ["*"] || lists.iter().any(|verb| name.starts_with(verb)),
                    "{row:?}"
                );
            }
        }
    }
}

//! `muck permissions`: the least IAM policy for whoever deploys.

use clap::ValueEnum as _;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use muck_worker::text::quantity;
use serde::Serialize;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::image::recipe::Recipe;
use crate::permissions::{Command, Limit, Policy, Row, Scope, policy, rows};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What shall be allowed [default: all of them]
    #[arg(value_name = "COMMAND")]
    commands: Vec<Command>,
    /// In this account [default: whichever the policy is put into]
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
    /// Print only this part of a policy that is too long for one managed policy
    #[arg(long, value_name = "N", conflicts_with = "table", value_parser = clap::value_parser!(u32).range(1..))]
    part: Option<u32>,
    /// Print each permission with what it is on, instead of the policy
    #[arg(long)]
    table: bool,
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account's id has 12 digits".to_owned())
    }
}

/// What one command needs.
#[derive(Debug, Serialize)]
struct Needs {
    command: Command,
    permissions: Vec<Row>,
}

pub fn run(args: &Args, session: &Session) -> Result<()> {
    let scope = scope(args, session)?;
    let mut commands = args.commands.clone();
    if commands.is_empty() {
        commands = Command::value_variants().to_vec();
    }
    commands.sort();
    commands.dedup();
    if args.table {
        let needs: Vec<Needs> = commands
            .iter()
            .map(|command| Needs {
                command: *command,
                permissions: rows(&scope, *command),
            })
            .collect();
        return session.ui.data(&needs, |needs| listing(needs));
    }
    let policy = policy(&scope, &commands);
    let Some(number) = args.part else {
        session.ui.json(&policy)?;
        session.events.note(room(&policy));
        return Ok(());
    };
    let mut parts = policy.parts(Limit::Managed);
    let count = parts.len();
    let index = (number as usize - 1).min(count);
    if index == count {
        return Err(Error::usage(format!(
            "there is no part {number}: the policy has {}",
            quantity(count, "part")
        )));
    }
    let part = parts.swap_remove(index);
    session.ui.json(&part)?;
    session
        .events
        .note(format!("part {number} of {count}, {}", room(&part)));
    Ok(())
}

/// Only what was said narrows the policy: what this folder or this machine is set to may not be what
/// whoever gets it works on.
fn scope(args: &Args, session: &Session) -> Result<Scope> {
    let config: Config = session.config()?;
    let recipe = Recipe::of(&config)?;
    let locked = recipe.locked.map(|locked| locked.base.owner);
    let mut base_owners = vec![recipe.settings.base.owner];
    base_owners.extend(locked);
    base_owners.dedup();
    Ok(Scope {
        stack: session.global.stack.clone(),
        account: args.account.clone(),
        region: session.global.region.clone(),
        base_owners,
    })
}

/// How long it is, and where it may be put.
fn room(policy: &Policy) -> String {
    let length = policy.characters();
    let places = [
        (Limit::Managed, "a managed policy"),
        (Limit::InlineUser, "a user's inline policy"),
        (Limit::InlineGroup, "a group's"),
        (Limit::InlineRole, "a role's"),
    ];
    let (fit, not): (Vec<_>, Vec<_>) = places
        .into_iter()
        .partition(|(limit, _)| policy.fits(*limit));
    let list = |places: Vec<(Limit, &str)>| {
        let texts = places
            .into_iter()
            .map(|(limit, place)| format!("{place} ({})", limit.characters()));
        texts.collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("{length} characters");
    if !fit.is_empty() {
        text = format!("{text}: fits {}", list(fit));
    }
    if !not.is_empty() {
        text = format!("{text}; too long for {}", list(not));
    }
    if !policy.fits(Limit::Managed) {
        let count = policy.clone().parts(Limit::Managed).len();
        text = format!(
            "{text}\nfor managed policies name fewer commands, or print its {} one by one: --part 1 …",
            quantity(count, "part")
        );
    }
    text
}

fn listing(needs: &[Needs]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["COMMAND", "ACTION", "ON", "IF"]);
    for one in needs {
        for row in &one.permissions {
            let conditions = row.conditions.iter().flat_map(|(operator, keys)| {
                keys.iter()
                    .map(move |(key, values)| format!("{key} {operator} {}", values.join(" | ")))
            });
            let mut conditions: Vec<String> = conditions.collect();
            conditions.extend(row.only.map(|only| format!("({only})")));
            table.add_row([
                one.command.name(),
                row.action.to_owned(),
                row.resources.join(" or "),
                conditions.join(", "),
            ]);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_twelve_digits() {
        assert!(account("123456789012").is_ok());
        for bad in ["", "12345678901", "12345678901x", "1234567890123"] {
            assert!(account(bad).is_err(), "{bad}");
        }
    }
}

//! `muck presets`: which conversions there are. Asks no cloud.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use muck_worker::preset::{Output, Preset, Presets};
use serde::Serialize;

use crate::batch;
use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this one whole, with the command line that it stands for
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print it as muck.toml takes it, to make another of it
    #[arg(long, requires = "name")]
    toml: bool,
}

/// A preset as `--json` tells it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a str,
    description: &'a str,
    builtin: bool,
    threads: u32,
    /// Hex SHA-256 of the definition: the second part of each of its jobs' names.
    digest: String,
    /// What decides the outputs, as one line of JSON: what is digested.
    definition: String,
    outputs: Vec<ShownOutput<'a>>,
    /// What is run, word by word, for a film of 1920x1080 with sound; of alternatives one each.
    commands: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct ShownOutput<'a> {
    /// What follows the stem of the input's name and a dot.
    name: String,
    mime: &'a str,
}

pub fn run(args: &Args, session: &Session) -> Result<()> {
    let presets = session.config()?.presets;
    match &args.name {
        None => {
            let all: Vec<Shown> = presets.iter().map(Shown::of).collect();
            session.ui.data(&all, |_| list(&presets))
        }
        Some(name) if args.toml => {
            let preset = batch::find_preset(&presets, name)?;
            session.ui.line(toml_of(preset)?);
            Ok(())
        }
        Some(name) => {
            let shown = Shown::of(batch::find_preset(&presets, name)?);
            session.ui.data(&shown, Shown::text)
        }
    }
}

fn list(presets: &Presets) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for preset in presets.iter() {
        let mut tails: Vec<String> = preset.outputs.iter().map(Output::tail).collect();
        if preset.alternatives {
            tails = vec![tails.join(" or ")];
        }
        let own = if preset.is_builtin() {
            ""
        } else {
            " (muck.toml)"
        };
        let description = muck_worker::text::printable(&preset.description);
        table.add_row([
            preset.name.clone(),
            tails.join(" "),
            format!("{description}{own}"),
        ]);
    }
    table
        .lines()
        .map(|line| line.trim().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The preset as a `[[preset]]` table.
fn toml_of(preset: &Preset) -> Result<String> {
    #[derive(Serialize)]
    struct File<'a> {
        preset: [&'a Preset; 1],
    }
    toml::to_string_pretty(&File { preset: [preset] })
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| Error::failed("cannot write the preset").because(error))
}

impl<'a> Shown<'a> {
    fn of(preset: &'a Preset) -> Self {
        Self {
            name: &preset.name,
            description: &preset.description,
            builtin: preset.is_builtin(),
            threads: preset.threads,
            digest: preset.digest(),
            definition: preset.definition(),
            outputs: preset
                .outputs
                .iter()
                .map(|output| ShownOutput {
                    name: output.tail(),
                    mime: &output.mime,
                })
                .collect(),
            commands: preset.commands(),
        }
    }

    fn text(&self) -> String {
        let outputs: Vec<String> = self
            .outputs
            .iter()
            .map(|output| format!("  output   NAME.{} ({})", output.name, output.mime))
            .collect();
        let commands: Vec<String> = self
            .commands
            .iter()
            .map(|words| {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                format!("  {}", words.join(" "))
            })
            .collect();
        format!(
            "{}: {}\n  from     {}\n  threads  {}\n{}\n  digest   {}\n\n{}\n\n{BESIDE}",
            self.name,
            muck_worker::text::printable(self.description),
            if self.builtin { "muck" } else { "muck.toml" },
            self.threads,
            outputs.join("\n"),
            self.digest,
            commands.join("\n\n"),
        )
    }
}

/// What the command lines don't show.
const BESIDE: &str = "Filters that a film itself needs (deinterlacing, colours, one size) are put before these; see docs/presets.md.";

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:=/+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_shown_with_its_command_line() {
        let ipod = Presets::builtin().get("ipod").expect("exists");
        insta::assert_snapshot!(Shown::of(ipod).text(), @r"
        ipod: MPEG-4 in QuickTime within 320x240 at 29.97 frames/s, for a video iPod (the 2007 article's command)
          from     muck
          threads  1
          output   NAME.mov (video/quicktime)
          digest   5c8ebd595b0838f3473748c65e889a8d789c761fa9fa82a4c820685fc35d465e

          ffmpeg -i INPUT -threads 1 -map 0:V:0 -map '0:a:0?' -map_metadata 0 -r 30000/1001 -vf 'scale=w=if(between(dar\,1.28\,1.39)\,320\,max(2\,min(320\,2*round(120*dar)))):h=if(between(dar\,1.28\,1.39)\,240\,max(2\,min(240\,2*round(160/dar)))),setsar=1' -c:v mpeg4 -b:v 1200k -mbd rd -flags +mv4+aic -trellis 2 -cmp 2 -subcmp 2 -c:a aac -b:a 192k -ar 48000 -f mov file:output.mov

        Filters that a film itself needs (deinterlacing, colours, one size) are put before these; see docs/presets.md.
        ");
        let remux = Presets::builtin().get("remux").expect("exists");
        assert_eq!(Shown::of(remux).commands.len(), 2);
    }

    #[test]
    fn any_preset_can_be_written_as_toml_and_read_back() {
        for preset in Presets::builtin().iter() {
            let text = toml_of(preset).expect("is written");
            let read = Presets::parse(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
            assert_eq!(read.get(&preset.name), Some(preset));
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("0:V:0"), "0:V:0");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}

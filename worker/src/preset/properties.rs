//! What holds for any preset that comes with a message: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::*;
use crate::message::is_output_name;
use crate::mutation::{foreign, mutated, with_other_values};
use crate::text::printable;

const WORDS: &[&str] = &[
    "\"args\":[",
    "\"-f\",\"mp4\",",
    "\"-f\",\"tee\",",
    "\"-vf\",\"scale=w=320:h=-2\",",
    "\"-vf\",\"movie=/etc/passwd\",",
    "\"-/vf\",",
    "\"-crf\",\"21\",",
    "\"-c:v\",\"libx264\",",
    "\"suffix\":\"poster\",",
    "\"suffix\":\"../x\",",
    "\"extension\":",
    "\"mime\":",
    "\"codecs\":[\"h264\"],",
    "\"ladder\":",
    "\"rungs\":[],",
    "\"expect\":",
    "\"size\":[320,240],",
    "\"size\":{\"within\":[1,1]},",
    "\"rate\":\"0/0\",",
    "\"pictures\":1,",
    "\"threads\":",
    "\"alternatives\":true,",
    "{seconds}",
    "4294967296",
];

/// Values, of which some are right in other places.
const VALUES: &[&str] = &[
    "mp4",
    "matroska",
    "tee",
    "hls",
    "h264",
    "copy",
    "../x",
    "poster",
    "video/mp4",
    "text/html",
    "-vf",
    "-f",
    "-/vf",
    "-an",
    "0:v",
    "1:v",
    "libx264",
    "21",
    "scale=2:2",
    "movie=x",
    "null",
    "source",
    "even",
    "30/1",
    "file:x",
    "http://x",
];

fn text() -> impl Strategy<Value = String> {
    let right: Vec<String> = Presets::builtin().iter().map(Preset::definition).collect();
    prop_oneof![
        4 => mutated(right.clone(), WORDS),
        4 => with_other_values(right, VALUES),
        1 => foreign(WORDS),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9][a-z0-9-]{0,31}", 1 => foreign(&[]), 1 => prop::sample::select(vec!["ipod", "hls"]).prop_map(str::to_owned)]
}

prop_compose! {
    fn facts()(
        (width, height) in (0_u32..10_000, 0_u32..10_000),
        seconds in prop_oneof![0.0_f64..100_000.0, any::<f64>()],
        sound in any::<bool>(),
        codecs in prop::collection::vec("[a-z0-9_]{1,10}", 0..4),
    ) -> Facts {
        Facts { width, height, seconds, sound, codecs, ..Facts::default() }
    }
}

/// What ffmpeg would be given for it, and what would be published.
fn check_plans(preset: &Preset, facts: &Facts) -> Result<(), TestCaseError> {
    let Ok(plans) = preset.plans(facts) else {
        return Ok(());
    };
    for plan in plans {
        let planned: Vec<&str> = plan.files.iter().map(|f| f.file.as_str()).collect();
        prop_assert!(!planned.is_empty());
        for (index, file) in plan.files.iter().enumerate() {
            prop_assert!(is_output_name(&file.file), "{}", file.file);
            prop_assert!(
                !planned[..index].contains(&file.file.as_str()),
                "{:?}",
                planned
            );
            prop_assert_eq!(
                file.name.is_some(),
                plan.files.len() > 1 || preset.outputs[0].ladder.is_some()
            );
            if let Some(name) = &file.name {
                prop_assert!(is_output_name(name), "{}", name);
            }
        }
        // Only these files are named, and by the program.
        let mut args = plan.args.iter();
        while let Some(arg) = args.next() {
            if let Some(file) = arg.strip_prefix("file:") {
                prop_assert!(planned.contains(&file), "{}", file);
            } else if matches!(arg.as_str(), "-hls_segment_filename" | "-master_pl_name") {
                let name = args.next().expect("a value");
                prop_assert!(name == "%v.mp4" || name == "master.m3u8", "{}", name);
            } else {
                prop_assert!(
                    !arg.contains("://") && !arg.starts_with('/') && !arg.contains(".."),
                    "{}",
                    arg
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_passes_is_of_its_form_and_reaches_no_file(name in name(), text in text(), facts in facts()) {
        match Preset::from_definition(&name, &text) {
            Ok(preset) => {
                let definition = preset.definition();
                prop_assert!(definition.len() <= MAX_DEFINITION_BYTES);
                prop_assert!(definition.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", definition);
                let again = Preset::from_definition(&name, &definition).expect("reads its own");
                prop_assert_eq!(again.digest(), preset.digest());
                prop_assert_eq!(&again, &preset);
                prop_assert!(Presets::with(std::slice::from_ref(&preset)).is_ok() || preset.is_builtin());
                for output in &preset.outputs {
                    grammar::check_reaches_no_file(&output.args)?;
                }
                check_plans(&preset, &facts)?;
            }
            Err(error) => {
                let shown = error.to_string();
                prop_assert_eq!(printable(&shown), shown.clone());
                // Some three hundred signs of foreign text, each of which may be shown by ten.
                prop_assert!(shown.chars().count() <= 3500, "{}", shown);
            }
        }
    }
}

/// The property above says something: of what is tried, a good part passes.
#[test]
fn changed_definitions_that_pass_are_among_those_tried() {
    let passes = |text: &String| Preset::from_definition("own", text).is_ok();
    let part = crate::mutation::part_of(&text(), passes);
    assert!(part > 0.05, "{part}");
}

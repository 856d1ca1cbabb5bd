//! `muck.toml` and what it means: every key optional, unknown keys refused by name.
//!
//! Precedence, strongest first: command-line flag, environment (`MUCK_…`), `muck.toml`, default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use muck_worker::preset::{Preset, Presets};
use muck_worker::slots::Slots;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::lifetime::OnExpiry;
use crate::names::StackName;

mod company_tags;

/// The preset of files that are submitted without another: what plays everywhere.
const DEFAULT_PRESET: &str = "web";

/// The file looked for in the working folder.
pub const FILE_NAME: &str = "muck.toml";

/// What `muck init` writes.
pub const COMMENTED: &str = include_str!("../templates/muck.toml");

/// The file's contents.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    stack: Option<StackName>,
    region: Option<String>,
    preset: Option<PresetKey>,
    default_preset: Option<String>,
    instances: Option<u32>,
    instance_type: Option<String>,
    slots: Option<String>,
    disk: Option<u32>,
    ttl: Option<String>,
    sweep: Option<bool>,
    idle: Option<String>,
    email: Option<String>,
    subnet: Option<String>,
    subnets: Option<Vec<String>>,
    public_ip: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    security_groups: Option<Vec<String>>,
    worker: Option<PathBuf>,
    image: Option<PathBuf>,
    architecture: Option<String>,
    salvage: Option<bool>,
}

/// The key `preset`: the name of the default, or tables with presets of the user's own.
#[derive(Debug, Clone)]
enum PresetKey {
    Default(String),
    Own(Vec<Preset>),
}

impl<'de> Deserialize<'de> for PresetKey {
    /// By hand, because serde's own choice between forms forgets where and what was wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = PresetKey;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a preset, or `[[preset]]` tables")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Self::Value, E> {
                Ok(PresetKey::Default(name.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                seq: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(PresetKey::Own)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

/// Settings in force, defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    pub stack: StackName,
    /// `None`: the usual AWS sources (`AWS_REGION`, profile).
    pub region: Option<String>,
    /// Name of the preset for files submitted without `--preset`.
    pub preset: String,
    /// The built-in presets and the file's own.
    pub presets: Presets,
    /// Damaged files are converted as far as they decode.
    pub salvage: bool,
    /// Instances that `launch` and `run` start.
    pub instances: u32,
    /// `None`: the usual one for the image's architecture.
    pub instance_type: Option<String>,
    /// Files that each instance works on beside each other.
    pub slots: Slots,
    /// GiB of each worker's disk; `None`: as the image recipe says.
    pub disk: Option<u32>,
    /// After this long an instance ends itself, whatever it is doing, and the stack expires.
    pub ttl: SignedDuration,
    /// What may happen to the stack when it has expired; decided by the command.
    pub on_expiry: OnExpiry,
    /// Look, beside each command, for what has expired, and remove it.
    pub sweep: bool,
    /// How long no message must wait before a worker ends; one stays until none is in flight either.
    pub idle: SignedDuration,
    /// Told by mail when a worker starts and stops.
    pub email: Option<String>,
    /// Instances are spread over them. Empty: the default VPC's subnets, one an availability zone.
    pub subnets: Vec<String>,
    /// Whether instances get a public address; `None`: as their subnet says.
    pub public_ip: Option<bool>,
    /// What is created gets these too. Checked: every service takes them.
    pub tags: BTreeMap<String, String>,
    /// Empty: the VPC's default group.
    pub security_groups: Vec<String>,
    /// The `muck-worker` binary; `None`: beside this program.
    pub worker: Option<PathBuf>,
    /// Folder of the image recipe; `None`: the one built in.
    pub image: Option<PathBuf>,
    /// `x86_64` or `arm64`; `None`: as the image recipe says.
    pub architecture: Option<String>,
    /// Folder of the settings file; where there is none, the working folder.
    pub folder: PathBuf,
}

/// Two cores and 4 GiB: the smallest current compute-optimised types.
const DEFAULT_INSTANCE_TYPE: &str = "c7i.large";
const DEFAULT_INSTANCE_TYPE_ARM64: &str = "c7g.large";
/// Long enough for a night's batch, short enough that a forgotten one costs cents.
const DEFAULT_TTL: SignedDuration = SignedDuration::from_hours(12);
/// A second is billed as a second, so waiting longer than queue counts need to settle is waste;
/// SQS's approximate counts settle within a minute.
const DEFAULT_IDLE: SignedDuration = SignedDuration::from_secs(60);
/// Shorter and an instance would end before it has booted.
const SHORTEST_TTL: SignedDuration = SignedDuration::from_mins(5);
/// Longer is a mistake in the unit, and times so far away do not fit every calendar.
const LONGEST_TTL: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What the command line and the environment say over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`; `None`: `muck.toml` in the working folder if there.
    pub file: Option<PathBuf>,
    pub stack: Option<StackName>,
    pub region: Option<String>,
}

impl Config {
    /// What the command line says over the file, if it says anything.
    pub fn override_ttl(&mut self, ttl: Option<SignedDuration>) {
        if let Some(ttl) = ttl {
            self.ttl = ttl;
        }
    }

    /// The same for the workers' disks.
    pub fn override_disk(&mut self, disk: Option<u32>) {
        self.disk = disk.or(self.disk);
    }

    /// The same for the processor architecture.
    pub fn override_architecture(&mut self, architecture: Option<&str>) {
        if let Some(architecture) = architecture {
            self.architecture = Some(architecture.to_owned());
        }
    }

    /// The type that workers have unless another is named.
    pub fn instance_type_for(&self, architecture: &str) -> String {
        self.instance_type.clone().unwrap_or_else(|| {
            match architecture {
                "arm64" => DEFAULT_INSTANCE_TYPE_ARM64,
                _ => DEFAULT_INSTANCE_TYPE,
            }
            .to_owned()
        })
    }

    /// Reads the file (if there is one) and applies `overrides`.
    ///
    /// # Errors
    /// Kind `Usage`, naming file, line and key.
    pub fn load(overrides: &Overrides) -> Result<Self> {
        let file = match &overrides.file {
            Some(path) => read(path)?,
            None if Path::new(FILE_NAME).exists() => read(Path::new(FILE_NAME))?,
            None => File::default(),
        };
        let mut config = resolve(file)?;
        if let Some(folder) = overrides.file.as_deref().and_then(Path::parent) {
            folder.clone_into(&mut config.folder);
        }
        if let Some(stack) = &overrides.stack {
            config.stack = stack.clone();
        }
        if overrides.region.is_some() {
            config.region.clone_from(&overrides.region);
        }
        Ok(config)
    }
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?;
    parse(&text).map_err(|error| {
        Error::usage(format!(
            "{} is not right:\n{}",
            path.display(),
            error.to_string().trim_end()
        ))
        .hint("`muck init` writes a file with every key explained")
    })
}

fn parse(text: &str) -> std::result::Result<File, toml::de::Error> {
    toml::from_str(text)
}

fn resolve(file: File) -> Result<Config> {
    let ttl = match &file.ttl {
        Some(text) => parse_ttl(text).map_err(|why| Error::usage(format!("ttl: {why}")))?,
        None => DEFAULT_TTL,
    };
    let (default, own) = match file.preset {
        Some(PresetKey::Default(_)) if file.default_preset.is_some() => {
            return Err(Error::usage(
                "both preset and default_preset name a default preset",
            ));
        }
        Some(PresetKey::Default(name)) => (Some(name), Vec::new()),
        Some(PresetKey::Own(own)) => (file.default_preset, own),
        None => (file.default_preset, Vec::new()),
    };
    let presets = Presets::with(&own).map_err(|error| Error::usage(error.to_string()))?;
    let instances = file.instances.unwrap_or(1);
    if instances == 0 {
        return Err(Error::usage(
            "instances = 0 would convert nothing: use 1 or more",
        ));
    }
    Ok(Config {
        stack: match file.stack {
            Some(stack) => stack,
            None => "muck".parse().map_err(Error::usage)?,
        },
        region: file.region,
        preset: default.unwrap_or_else(|| DEFAULT_PRESET.to_owned()),
        presets,
        salvage: file.salvage.unwrap_or(false),
        instances,
        instance_type: file.instance_type,
        slots: match file.slots {
            None => Slots::Auto,
            Some(text) => text
                .parse()
                .map_err(|why| Error::usage(format!("slots = {text:?} is {why}")))?,
        },
        disk: match file.disk {
            None => None,
            Some(gib) => {
                Some(disk(&gib.to_string()).map_err(|why| Error::usage(format!("disk: {why}")))?)
            }
        },
        ttl,
        on_expiry: OnExpiry::default(),
        sweep: file.sweep.unwrap_or(true),
        idle: duration("idle", file.idle.as_deref(), DEFAULT_IDLE)?,
        email: file.email,
        subnets: subnets(file.subnet, file.subnets)?,
        public_ip: file.public_ip,
        tags: company_tags::checked(file.tags.unwrap_or_default())?,
        security_groups: file.security_groups.unwrap_or_default(),
        worker: file.worker,
        image: file.image,
        architecture: file
            .architecture
            .map(|name| architecture(&name).map_err(Error::usage))
            .transpose()?,
        folder: PathBuf::new(),
    })
}

/// The key `subnets`, or `subnet` for one alone.
fn subnets(one: Option<String>, several: Option<Vec<String>>) -> Result<Vec<String>> {
    let subnets = match (one, several) {
        (Some(_), Some(_)) => {
            return Err(Error::usage("both subnet and subnets are set")
                .hint("name all in subnets = [\"subnet-…\"]"));
        }
        (Some(one), None) => vec![one],
        (None, several) => several.unwrap_or_default(),
    };
    match duplicate(&subnets) {
        Some(twice) => Err(Error::usage(format!("subnets names {twice} twice"))),
        None => Ok(subnets),
    }
}

fn duplicate(names: &[String]) -> Option<&String> {
    (names.iter().enumerate())
        .find(|(place, name)| names[..*place].contains(name))
        .map(|(_, name)| name)
}

/// Reads a time to live: a duration of 5 minutes to a year.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ttl(text: &str) -> Result<SignedDuration, String> {
    let ttl: SignedDuration = text.parse().map_err(|_| {
        format!("{text:?} is not a duration: write for example \"12h\", \"90m\" or \"1h30m\"")
    })?;
    if ttl < SHORTEST_TTL {
        return Err(format!(
            "{text:?} is under 5 minutes: no instance boots and converts in that"
        ));
    }
    if ttl > LONGEST_TTL {
        return Err(format!("{text:?} is over a year"));
    }
    Ok(ttl)
}

/// Reads a disk's size: whole GiB, 1 to 16,384 (the most that a gp3 volume has).
///
/// # Errors
/// What is wrong with it.
pub fn disk(text: &str) -> std::result::Result<u32, String> {
    let number = text.strip_suffix("GiB").unwrap_or(text).trim();
    match number.parse() {
        Ok(gib @ 1..=16_384) => Ok(gib),
        _ => Err(format!("{text:?}: use whole GiB, 1 to 16384")),
    }
}

/// The name of a service that workers know.
///
/// # Errors
/// A sentence, if they know none of that name.
pub fn service(name: &str) -> std::result::Result<&'static str, String> {
    muck_worker::service::find(name).ok_or_else(|| {
        let known = muck_worker::service::NAMES.join(" or ");
        format!("there is no service {name:?}: use {known}")
    })
}

/// EC2's name of a processor architecture.
///
/// # Errors
/// A sentence, if it is none that images are made for.
pub fn architecture(name: &str) -> std::result::Result<String, String> {
    if matches!(name, "x86_64" | "arm64") {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "architecture {name:?}: use \"x86_64\" or \"arm64\""
        ))
    }
}

/// Parses `90m`, `12h`, `1h30m` or ISO 8601; `key` names the culprit.
pub fn duration(key: &str, text: Option<&str>, default: SignedDuration) -> Result<SignedDuration> {
    let Some(text) = text else { return Ok(default) };
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration > SignedDuration::ZERO => Ok(duration),
        _ => Err(Error::usage(format!(
            "{key} = {text:?} is not a duration: write for example \"12h\", \"90m\" or \"1h30m\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config> {
        resolve(parse(text).map_err(|error| Error::usage(error.to_string()))?)
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = load("").expect("valid");
        assert_eq!(config.stack.as_str(), "muck");
        assert_eq!(config.ttl, SignedDuration::from_hours(12));
    }

    #[test]
    fn the_commented_file_is_valid_and_says_the_defaults() {
        let commented = load(COMMENTED).expect("valid");
        assert_eq!(
            format!("{commented:?}"),
            format!("{:?}", load("").expect("valid"))
        );
        // Every key that is commented out must be known too, with the value shown.
        let active: String = COMMENTED
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n")
            .collect();
        load(&active).expect("every shown key is valid");
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = parse("instance_typ = \"x\"").expect_err("unknown");
        assert!(error.to_string().contains("instance_typ"), "{error}");
    }

    const OWN: &str = "default_preset = \"small\"\n[[preset]]\nname = \"small\"\ndescription = \"d\"\n\
        [[preset.output]]\nextension = \"mp4\"\nmime = \"video/mp4\"\n\
        args = [\"-map\", \"0:V:0\", \"-c:v\", \"libx264\", \"-an\", \"-f\", \"mp4\"]\n\
        [preset.output.expect]\ncontainer = \"mp4\"\nvideo = \"h264\"\nsize = \"source\"\nrate = \"source\"\n";

    #[test]
    fn presets_of_the_users_own_join_the_builtin_ones() {
        assert_eq!(load("preset = \"web\"").expect("valid").preset, "web");
        let config = load(OWN).expect("valid");
        assert_eq!(config.preset, "small");
        let own = config.presets.get("small").expect("is there");
        assert!(!own.is_builtin());
        assert!(config.presets.get("ipod").is_some_and(Preset::is_builtin));
        for (from, to, told) in [
            ("name = \"small\"", "name = \"web\"", "built in"),
            ("\"-an\"", "\"-report\"", "`-report`"),
            ("\"-an\"", "\"/tmp/out.mp4\"", "/tmp/out.mp4"),
            ("extension", "extensio", "extensio"),
            ("size = \"source\"\n", "", "size"),
        ] {
            let error = load(&OWN.replacen(from, to, 1)).expect_err("is not right");
            assert!(error.chain().contains(told), "{to}: {}", error.chain());
        }
    }

    #[test]
    fn subnets_are_named_singly_or_in_a_list() {
        let subnets = |text: &str| load(text).map(|config| config.subnets);
        assert_eq!(subnets("").expect("valid"), Vec::<String>::new());
        assert_eq!(
            subnets("subnet = \"subnet-a\"").expect("valid"),
            ["subnet-a"]
        );
        let two = subnets("subnets = [\"subnet-a\", \"subnet-b\"]").expect("valid");
        assert_eq!(two, ["subnet-a", "subnet-b"]);
        let both = subnets("subnet = \"subnet-a\"\nsubnets = [\"subnet-b\"]").expect_err("both");
        assert!(
            both.to_string().contains("both subnet and subnets"),
            "{both}"
        );
        let twice = subnets("subnets = [\"subnet-a\", \"subnet-a\"]").expect_err("twice");
        assert!(twice.to_string().contains("subnet-a twice"), "{twice}");
    }

    #[test]
    fn bad_durations_are_named() {
        let error = load("ttl = \"soon\"").expect_err("bad");
        assert!(error.to_string().contains("ttl: \"soon\""), "{error}");
        assert!(load("ttl = \"1m\"").is_err());
        assert!(load("ttl = \"9000h\"").is_err());
        assert_eq!(
            load("ttl = \"90m\"").expect("ok").ttl,
            SignedDuration::from_mins(90)
        );
    }
}

//! The scripts of the image, rendered: what the builder runs, and `/etc/rc.local`.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::lock::Locked;
use super::recipe::Recipe;
use crate::error::{Error, Result};
use crate::resources::run_instances::USER_DATA_MAX;
use crate::template;

const RC_LOCAL: &str = include_str!("../../templates/rc.local.hbs");
const TIME_TO_LIVE_TIMER: &str = include_str!("../../templates/time-to-live.timer.hbs");
const POWER_OFF_SERVICE: &str = include_str!("../../templates/power-off.service");

/// The power-off that rc.local arms before it knows the instance's own time to live: the default of
/// `ttl` in muck.toml. It must not depend on that setting, or each would need an image of its own.
const RC_LOCAL_MAX: Duration = Duration::from_hours(12);

/// The lines that end the provisioning script's here documents.
const HERE_DOCUMENT_ENDS: [&str; 4] = ["MUCK_RC_LOCAL", "MUCK_UNIT", "MUCK_CHECK", "MUCK_PINS"];

/// What differs from bake to bake: from where the builder gets the worker, and where its report goes.
#[derive(Debug, Clone)]
pub struct Transfers {
    /// Presigned GET.
    pub worker_url: String,
    /// Hex; the download is checked by it.
    pub worker_sha256: String,
    /// `owner/name` of the base image.
    pub base: String,
    /// Presigned PUT.
    pub report_url: String,
    /// Date of the archive that is tried first; `None`: only the image's own is used.
    pub archive: Option<String>,
    /// Less time than the recipe gives, because the URLs end earlier; `None`: the recipe's.
    pub deadline: Option<Duration>,
}

impl Transfers {
    /// Fixed words in place of the URLs, for the digest.
    pub fn placeholders(worker_sha256: &str) -> Self {
        Self {
            worker_url: "worker-url".to_owned(),
            worker_sha256: worker_sha256.to_owned(),
            base: "base".to_owned(),
            report_url: "report-url".to_owned(),
            archive: None,
            deadline: None,
        }
    }
}

/// The script that the builder runs.
///
/// # Errors
/// If a value could mean something else to the shell.
pub fn provision(recipe: &Recipe, transfers: &Transfers) -> Result<String> {
    for url in [&transfers.worker_url, &transfers.report_url] {
        if url.contains(|c: char| c == '\'' || c.is_whitespace() || c.is_control()) {
            return Err(Error::failed(format!(
                "the presigned URL {url:?} can't be put into a script"
            )));
        }
    }
    if transfers
        .base
        .contains(|c: char| c == '\'' || c.is_control())
    {
        return Err(Error::failed(format!(
            "the base image's name {:?} can't be put into a script",
            transfers.base
        )));
    }
    let rc_local = rc_local()?;
    // Each ends the text that stands between the two lines with this word.
    for (name, text) in [("rc.local", &rc_local), ("check.sh", &recipe.check)] {
        if !text.ends_with('\n') || text.lines().any(|line| HERE_DOCUMENT_ENDS.contains(&line)) {
            return Err(Error::usage(format!(
                "{name} of the image recipe must end with a line break and hold no line {}",
                HERE_DOCUMENT_ENDS.join(" or ")
            )));
        }
    }
    let packages: Vec<_> = recipe
        .settings
        .package_specs()
        .into_iter()
        .map(|spec| json!({ "spec": spec }))
        .collect();
    let (archive_main, archive_security) = match (&recipe.settings.archive, &transfers.archive) {
        (Some(archive), Some(date)) => archive.at(date),
        _ => Default::default(),
    };
    let data = json!({
        "ttl_minutes": minutes(transfers.deadline.unwrap_or(recipe.deadline)),
        "packages": packages,
        "worker_url": transfers.worker_url,
        "worker_sha256": transfers.worker_sha256,
        "report_url": transfers.report_url,
        "rc_local": rc_local,
        "time_to_live_timer": time_to_live_timer(recipe.boot_deadline)?,
        "power_off_service": POWER_OFF_SERVICE,
        "check": recipe.check,
        "architecture": recipe.settings.architecture,
        "base": transfers.base,
        "archive_date": transfers.archive.as_deref().unwrap_or_default(),
        "pinned": recipe.locked.is_some(),
        "pins": recipe.locked.as_ref().map(Locked::pins).unwrap_or_default(),
        "archive_main": archive_main,
        "archive_security": archive_security,
    });
    template::render("provision.sh.hbs", &recipe.provision, &data)
}

/// The script as user data: packed by gzip, which cloud-init unpacks, because a lock's packages alone
/// fill most of what EC2 takes.
///
/// # Errors
/// If it does not fit even so.
pub fn user_data(script: &str) -> Result<Vec<u8>> {
    let failed = |error| Error::failed("cannot pack the provision script").because(error);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(script.as_bytes()).map_err(failed)?;
    let packed = gzip.finish().map_err(failed)?;
    if packed.len() > USER_DATA_MAX {
        return Err(Error::failed(format!(
            "the provision script has {} bytes, {} packed, but EC2 takes {USER_DATA_MAX} as user data",
            script.len(),
            packed.len()
        ))
        .hint("shorten provision.sh.hbs or check.sh of the image recipe"));
    }
    Ok(packed)
}

/// `/etc/rc.local` of the image.
pub fn rc_local() -> Result<String> {
    template::render(
        "rc.local.hbs",
        RC_LOCAL,
        &json!({ "max_minutes": minutes(RC_LOCAL_MAX) }),
    )
}

/// The timer that powers an instance off whose boot does not reach `rc.local` within `boot_deadline`.
fn time_to_live_timer(boot_deadline: Duration) -> Result<String> {
    template::render(
        "time-to-live.timer.hbs",
        TIME_TO_LIVE_TIMER,
        &json!({ "boot_minutes": minutes(boot_deadline) }),
    )
}

/// Whole minutes, rounded up: what `shutdown` takes.
fn minutes(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(60)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::{Command, Stdio};

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::image::lock::LockedBase;

    fn sum() -> String {
        "0123456789abcdef".repeat(4)
    }

    /// With everything in it that a script can have.
    fn locked() -> (Recipe, Transfers) {
        let mut recipe = Recipe::load(None).expect("valid");
        let mut packages = BTreeMap::new();
        // As many as ffmpeg brings into Debian 13, with names and versions of usual length.
        for number in 0..220_u32 {
            let sum = hex::encode(Sha256::digest(number.to_be_bytes()));
            packages.insert(
                format!("lib{}-{number}", &sum[..8]),
                format!(
                    "1:{}.{}+dfsg-{}+deb13u1",
                    &sum[8..10],
                    &sum[10..12],
                    number % 7
                )
                .replace(|c: char| c.is_ascii_lowercase(), "3"),
            );
        }
        recipe.locked = Some(Locked {
            archive: "20260102T030405Z".into(),
            worker: sum(),
            base: LockedBase {
                owner: "136693071363".into(),
                name: "debian-13-amd64-20260101-1234".into(),
                ids: BTreeMap::new(),
            },
            packages,
        });
        let mut transfers = Transfers::placeholders(&sum());
        transfers.archive = Some("20260102T030405Z".into());
        (recipe, transfers)
    }

    fn rendered() -> String {
        let recipe = Recipe::load(None).expect("valid");
        provision(&recipe, &Transfers::placeholders(&sum())).expect("renders")
    }

    /// Lets a shell read the script without running it.
    fn assert_is_shell(script: &str) {
        let mut shell = Command::new("sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("every Unix has sh");
        shell
            .stdin
            .take()
            .expect("piped")
            .write_all(script.as_bytes())
            .expect("written");
        let output = shell.wait_with_output().expect("ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    fn scripts_are_shell() {
        assert_is_shell(&rendered());
        let (recipe, transfers) = locked();
        assert_is_shell(&provision(&recipe, &transfers).expect("renders"));
        assert_is_shell(&rc_local().expect("renders"));
        assert_is_shell(&Recipe::load(None).expect("valid").check);
    }

    #[test]
    fn the_power_off_is_armed_before_anything_else() {
        for script in [rendered(), rc_local().expect("renders")] {
            let commands: Vec<_> = script
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
                .filter(|line| {
                    !["PATH=", "export", "trap"]
                        .iter()
                        .any(|quiet| line.starts_with(quiet))
                })
                .collect();
            assert!(commands[0].starts_with("shutdown -h +"), "{}", commands[0]);
        }
        assert!(rendered().contains("shutdown -h +30\n"));
    }

    #[test]
    fn a_boot_that_hangs_is_powered_off_without_cloud_init_and_network() {
        let mut recipe = Recipe::load(None).expect("valid");
        recipe.boot_deadline = Duration::from_mins(45);
        let script = provision(&recipe, &Transfers::placeholders(&sum())).expect("renders");
        let timer = time_to_live_timer(recipe.boot_deadline).expect("renders");
        assert!(script.contains(&timer) && script.contains(POWER_OFF_SERVICE));
        for line in [
            "DefaultDependencies=no",
            "Before=sysinit.target",
            "OnBootSec=45min",
            "Unit=muck-power-off.service",
            "WantedBy=sysinit.target",
        ] {
            assert!(timer.lines().any(|one| one == line), "no {line} in {timer}");
        }
        // An orderly power-off waits for ever for units whose stop has no limit.
        assert!(POWER_OFF_SERVICE.contains("\nSuccessAction=poweroff-force\n"));
        for unit in [&timer, POWER_OFF_SERVICE] {
            for line in unit.lines().filter(|line| !line.starts_with('#')) {
                let waits = ["After=", "Requires=", "network"];
                assert!(!waits.iter().any(|word| line.contains(word)), "{line}");
            }
        }
        // rc.local replaces it by the instance's own time, known or not.
        assert_eq!(
            rc_local().expect("renders").matches("\n    arm ").count(),
            2
        );
    }

    #[test]
    fn the_longest_urls_still_fit_into_user_data() {
        let (recipe, mut transfers) = locked();
        // Presigned URLs with a session token of the length that STS documents as typical, twice over,
        // and what cannot be packed: a signature of its own each.
        let token: String = (0..40_u32)
            .map(|part| hex::encode(Sha256::digest(part.to_be_bytes())))
            .collect();
        let url = |name: &str| {
            format!(
                "https://bucket.s3.region.amazonaws.com/{name}?token={token}&signature={}",
                hex::encode(Sha256::digest(name))
            )
        };
        transfers.worker_url = url("worker");
        transfers.report_url = url("report");
        let script = provision(&recipe, &transfers).expect("renders");
        let packed = user_data(&script).expect("fits");
        assert!(packed.len() <= USER_DATA_MAX);
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*packed), &mut unpacked)
            .expect("unpacks");
        assert_eq!(unpacked, script);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let noise: String = (0..1000_u32)
            .map(|part| hex::encode(Sha256::digest(part.to_be_bytes())))
            .collect();
        let error = user_data(&noise).expect_err("too long");
        assert!(error.to_string().contains("16384"), "{error}");
    }

    #[test]
    fn a_lock_reaches_the_script() {
        let (recipe, transfers) = locked();
        let script = provision(&recipe, &transfers).expect("renders");
        let pins = recipe.locked.as_ref().expect("locked").pins();
        assert!(script.contains(&format!("<<'MUCK_PINS'\n{pins}MUCK_PINS\n")));
        assert!(script.contains("/archive/debian/20260102T030405Z/ $codename main"));
        let free = rendered();
        assert!(!free.contains("MUCK_PINS") && !free.contains("snapshot.debian.org"));
    }

    #[test]
    fn a_url_that_would_leave_its_quotes_is_refused() {
        let recipe = Recipe::load(None).expect("valid");
        let mut transfers = Transfers::placeholders(&sum());
        transfers.report_url = "http://x/'; reboot; '".to_owned();
        assert!(provision(&recipe, &transfers).is_err());
    }

    #[test]
    fn pins_reach_apt() {
        let mut recipe = Recipe::load(None).expect("valid");
        recipe
            .settings
            .packages
            .insert("ffmpeg".into(), "7:7.1.1-1".into());
        recipe
            .settings
            .packages
            .insert("bubblewrap".into(), "*".into());
        let script = provision(&recipe, &Transfers::placeholders(&sum())).expect("renders");
        assert!(
            script.contains("ca-certificates curl 'bubblewrap' 'ffmpeg=7:7.1.1-1'\n"),
            "{script}"
        );
    }

    #[test]
    fn rc_local_reads_well() {
        insta::assert_snapshot!(rc_local().expect("renders"));
    }
}

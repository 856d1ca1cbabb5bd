//! The scripts of the image, rendered: what the builder runs, and `/etc/rc.local`.

use std::time::Duration;

use serde_json::json;

use super::recipe::Recipe;
use super::worker_file::WorkerFile;
use crate::error::{Error, Result};
use crate::resources::run_instances::USER_DATA_MAX;
use crate::template;

const RC_LOCAL: &str = include_str!("../../templates/rc.local.hbs");

/// The power-off that rc.local arms before it knows the instance's own time to live: the default of
/// `ttl` in muck.toml. It must not depend on that setting, or each would need an image of its own.
const RC_LOCAL_MAX: Duration = Duration::from_hours(12);

/// What differs from bake to bake: from where the builder gets the worker, and where its report goes.
#[derive(Debug, Clone)]
pub struct Transfers {
    /// Presigned GET.
    pub worker_url: String,
    /// Hex; the download is checked by it.
    pub worker_sha256: String,
    /// Presigned PUT.
    pub report_url: String,
}

impl Transfers {
    /// Fixed words in place of the URLs, for the digest.
    pub fn placeholders(worker: &WorkerFile) -> Self {
        Self {
            worker_url: "worker-url".to_owned(),
            worker_sha256: worker.sha256.clone(),
            report_url: "report-url".to_owned(),
        }
    }
}

/// The builder's user data.
///
/// # Errors
/// If it does not fit into user data, or a value could mean something else to the shell.
pub fn provision(recipe: &Recipe, transfers: &Transfers) -> Result<String> {
    for url in [&transfers.worker_url, &transfers.report_url] {
        if url.contains(|c: char| c == '\'' || c.is_whitespace() || c.is_control()) {
            return Err(Error::failed(format!(
                "the presigned URL {url:?} can't be put into a script"
            )));
        }
    }
    let rc_local = rc_local()?;
    // Each ends the text that stands between the two lines with this word.
    for (name, text) in [("rc.local", &rc_local), ("check.sh", &recipe.check)] {
        if !text.ends_with('\n')
            || text
                .lines()
                .any(|line| matches!(line, "MUCK_RC_LOCAL" | "MUCK_CHECK"))
        {
            return Err(Error::usage(format!(
                "{name} of the image recipe must end with a line break and hold no line MUCK_RC_LOCAL or MUCK_CHECK"
            )));
        }
    }
    let packages: Vec<_> = recipe
        .settings
        .package_specs()
        .into_iter()
        .map(|spec| json!({ "spec": spec }))
        .collect();
    let data = json!({
        "ttl_minutes": minutes(recipe.deadline),
        "packages": packages,
        "worker_url": transfers.worker_url,
        "worker_sha256": transfers.worker_sha256,
        "report_url": transfers.report_url,
        "rc_local": rc_local,
        "check": recipe.check,
    });
    let script = template::render("provision.sh.hbs", &recipe.provision, &data)?;
    if script.len() > USER_DATA_MAX {
        return Err(Error::failed(format!(
            "the provision script has {} bytes, but EC2 takes {USER_DATA_MAX} as user data",
            script.len()
        ))
        .hint("shorten provision.sh.hbs or check.sh of the image recipe"));
    }
    Ok(script)
}

/// `/etc/rc.local` of the image.
pub fn rc_local() -> Result<String> {
    template::render(
        "rc.local.hbs",
        RC_LOCAL,
        &json!({ "max_minutes": minutes(RC_LOCAL_MAX) }),
    )
}

/// Whole minutes, rounded up: what `shutdown` takes.
fn minutes(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(60)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn worker() -> WorkerFile {
        WorkerFile {
            path: "muck-worker".into(),
            bytes: 1,
            sha256: "0123456789abcdef".repeat(4),
        }
    }

    fn rendered() -> String {
        let recipe = Recipe::load(None).expect("valid");
        provision(&recipe, &Transfers::placeholders(&worker())).expect("renders")
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
    fn the_longest_urls_still_fit_into_user_data() {
        let recipe = Recipe::load(None).expect("valid");
        // A presigned URL with a session token of the length that STS documents as typical, twice over.
        let url = format!(
            "https://bucket.s3.region.amazonaws.com/{}",
            "x".repeat(2600)
        );
        let transfers = Transfers {
            worker_url: url.clone(),
            worker_sha256: worker().sha256,
            report_url: url,
        };
        let script = provision(&recipe, &transfers).expect("fits");
        assert!(script.len() <= USER_DATA_MAX);
    }

    #[test]
    fn a_url_that_would_leave_its_quotes_is_refused() {
        let recipe = Recipe::load(None).expect("valid");
        let mut transfers = Transfers::placeholders(&worker());
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
        let script = provision(&recipe, &Transfers::placeholders(&worker())).expect("renders");
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

//! Some machine with `muck` on it that knows a cloud by its endpoint and keys alone, as with AWS.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Ended, World};

/// How a cloud is reached.
#[derive(Debug, Clone)]
pub struct Access {
    url: String,
    region: String,
    key_id: String,
    secret: String,
}

impl Access {
    /// The local cloud of `world`, which must be running.
    pub fn of(world: &World) -> Self {
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        Self {
            url: text("endpoint"),
            region: text("region"),
            key_id: text("access_key_id"),
            secret: text("secret_access_key"),
        }
    }
}

/// An empty home and an empty working folder, gone when dropped.
pub struct Machine {
    home: tempfile::TempDir,
    access: Access,
    /// Sent with each call, so that fault rules and the journal know this machine's calls.
    client: String,
}

/// The client's time-out in sweeps: long enough for any answer of a busy local cloud, short enough for a sweep
/// of time-outs to end.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

impl Machine {
    pub fn new(access: &Access, client: &str) -> Self {
        let home = tempfile::Builder::new()
            .prefix("muck-machine-")
            .tempdir()
            .expect("temporary folder");
        std::fs::create_dir(home.path().join("work")).expect("working folder");
        Self {
            home,
            access: access.clone(),
            client: client.to_owned(),
        }
    }

    pub fn client(&self) -> &str {
        &self.client
    }

    /// Writes a file into the working folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join("work").join(name);
        std::fs::write(&path, content).expect("file");
        path
    }

    /// `muck` with `arguments` and nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_muck"));
        command
            .args(arguments)
            .current_dir(home.join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("HOME", home)
            .env("MUCK_STATE_DIR", home.join("state"))
            .env("MUCK_CACHE_DIR", home.join("cache"))
            .env("MUCK_READ_TIMEOUT", READ_TIMEOUT.as_secs().to_string())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.access.url)
            .env("AWS_REGION", &self.access.region)
            .env("AWS_ACCESS_KEY_ID", &self.access.key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.access.secret)
            .env("AWS_SDK_UA_APP_ID", &self.client)
            .stdin(Stdio::null());
        command
    }

    /// Runs `muck` to its end.
    pub fn muck(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("muck starts");
        Ended::new(arguments, &output)
    }
}

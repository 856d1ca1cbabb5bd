//! Finding, stopping and resetting a server that another process runs.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::folder::{in_use, read_info};
use super::{ServerError, ServerInfo, health};

/// How long a server may take to end: its guests get a grace of seconds each, all at once.
const ENDING: Duration = Duration::from_mins(1);

/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// The server that runs in `dir`, if one does: it is asked, a left-over `server.json` is not believed.
pub async fn find(dir: &Path) -> Option<ServerInfo> {
    let info = read_info(dir)?;
    health::answers(&info).await.then_some(info)
}

/// Ends the server that runs in `dir` (SIGTERM) and waits until the folder is free. Returns what was
/// stopped; `None` if none ran.
///
/// # Errors
/// If it can't be signalled or doesn't end within a minute.
pub async fn stop(dir: &Path) -> Result<Option<ServerInfo>, ServerError> {
    let Some(info) = find(dir).await else {
        return Ok(None);
    };
    let pid = i32::try_from(info.pid).unwrap_or(i32::MAX);
    match kill(Pid::from_raw(pid), Signal::SIGTERM) {
        // Gone in this moment.
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => {
            return Err(ServerError::File {
                what: "signal the process that serves",
                path: dir.to_owned(),
                source: errno.into(),
            });
        }
    }
    let since = Instant::now();
    while in_use(dir) {
        if since.elapsed() > ENDING {
            return Err(ServerError::DoesNotEnd {
                dir: dir.to_owned(),
                pid: info.pid,
                seconds: ENDING.as_secs(),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Some(info))
}

/// Stops the server that runs in `dir` and removes all its state: keys, objects, messages, images. The
/// cache of base roots lies elsewhere and stays.
///
/// # Errors
/// As [`stop`]; `InUse` if a server holds the folder but doesn't answer; and if something can't be deleted.
pub async fn reset(dir: &Path) -> Result<(), ServerError> {
    stop(dir).await?;
    if in_use(dir) {
        return Err(ServerError::InUse {
            dir: dir.to_owned(),
            pid: read_info(dir).map(|info| info.pid),
        });
    }
    // Only a folder that was a server's: not any folder that someone names by mistake.
    let ours = dir.join("cloud.sqlite").exists() || dir.join("server.lock").exists();
    if ours {
        crate::sandbox::remove_tree(dir).await?;
    }
    Ok(())
}

//! Where instances boot: the `sandbox` driver (namespaces and overlays) and, where the kernel or container
//! forbids those, the `process` driver (a staged folder). It is a rehearsal, not a security boundary: a guest
//! shares the host's kernel, network and processor.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::driver::{Driver, DriverError, DriverResult, PowerEvent};

mod base;
mod boot;
mod console;
mod guest;
mod jail;
mod layout;
mod namespace;
mod overlay;
mod probe;
mod process;
mod processes;
#[cfg(test)]
mod tests;

pub use base::debian_sources;
use layout::Layout;
use namespace::Namespace;

/// Which driver the user wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// `sandbox` where it is possible, else `process`.
    #[default]
    Auto,
    Sandbox,
    Process,
}

/// What `<dir>/ec2/driver` says of layers made by the process driver.
const PROCESS_LABEL: &str = "process";

/// The driver for the server's folder `dir`, and a sentence that says which and why. Base roots are cached in
/// `cache_dir`, which may be shared. Guests that end are told to `power_events`.
///
/// # Errors
/// When the choice is impossible here, or the folder holds layers of another driver: a sentence that says
/// what is missing and what helps.
pub async fn choose(
    choice: DriverChoice,
    dir: &Path,
    cache_dir: &Path,
    power_events: mpsc::UnboundedSender<PowerEvent>,
) -> DriverResult<(Arc<dyn Driver>, String)> {
    let (dir, cache_dir) = (dir.to_owned(), cache_dir.to_owned());
    overlay::blocking(move || choose_now(choice, &dir, &cache_dir, power_events)).await
}

fn choose_now(
    choice: DriverChoice,
    dir: &Path,
    cache_dir: &Path,
    power_events: mpsc::UnboundedSender<PowerEvent>,
) -> DriverResult<(Arc<dyn Driver>, String)> {
    let layout = Layout::open(dir)?;
    layout::make_folder(cache_dir)?;
    let namespace = Namespace::of_caller();
    let sandbox_label = format!("sandbox as {}", namespace.label());
    // Layers of one driver mean nothing to another.
    let bound = layout.recorded_driver().filter(|_| layout.holds_layers());
    let foreign = |wanted: &str, made_by: &str| {
        DriverError(format!(
            "{} holds volumes or images of the driver `{made_by}`, which `{wanted}` can't use: \
             take another folder (`--dir`), or `muck local reset` to empty this one",
            dir.display()
        ))
    };

    let (sandbox, mut why) = match (choice, bound.as_deref()) {
        (DriverChoice::Process, Some(made_by)) if made_by != PROCESS_LABEL => {
            return Err(foreign(PROCESS_LABEL, made_by));
        }
        (DriverChoice::Process, _) => (false, "as asked for".to_owned()),
        (DriverChoice::Auto, Some(PROCESS_LABEL)) => (
            false,
            "this folder's images were made by it (`muck local reset` to choose anew)".to_owned(),
        ),
        (_, Some(made_by)) if made_by != sandbox_label => {
            return Err(foreign(&sandbox_label, made_by));
        }
        (DriverChoice::Auto, None) => match probe::probe(&layout, cache_dir, namespace) {
            Ok(()) => (true, sandbox_sentence(namespace)),
            Err(error) => {
                let impossible = format!("sandboxed guests are not possible here: {error}");
                // The other driver takes its place only where it can convert something.
                if let Some(missing) = process::missing() {
                    return Err(DriverError(format!(
                        "{impossible}. The `process` driver would use this machine's own programs, but {missing}"
                    )));
                }
                (
                    false,
                    format!(
                        "{impossible}. Provisioning scripts see a staged folder and the host's programs instead"
                    ),
                )
            }
        },
        // Asked for by name, or by the layers that are here.
        (_, _) => {
            probe::probe(&layout, cache_dir, namespace).map_err(|error| {
                DriverError(format!("sandboxed guests are not possible here: {error}"))
            })?;
            (true, sandbox_sentence(namespace))
        }
    };
    let driver: Arc<dyn Driver> = if sandbox {
        layout.record_driver(&sandbox_label)?;
        Arc::new(overlay::SandboxDriver::new(
            layout,
            namespace,
            cache_dir,
            power_events,
        ))
    } else {
        layout.record_driver(PROCESS_LABEL)?;
        why = format!("process: {why}");
        let jailless = jail::missing();
        if let Some(missing) = &jailless {
            why = format!("{why}. Its conversions run UNJAILED: {missing}");
        }
        Arc::new(process::ProcessDriver::new(layout, power_events, jailless))
    };
    Ok((driver, why))
}

fn sandbox_sentence(namespace: Namespace) -> String {
    match namespace {
        Namespace::User(_) => "sandbox: namespaces and overlays in a user namespace".to_owned(),
        Namespace::Root | Namespace::NestedRoot => {
            "sandbox: namespaces and overlays, as root".to_owned()
        }
    }
}

/// Deletes a folder of the server with all that guests left in it, whichever of a guest's users owns
/// it. No error if it is absent.
///
/// # Errors
/// When something in it can't be deleted: a sentence that names it.
pub async fn remove_tree(path: &Path) -> DriverResult<()> {
    let path = path.to_owned();
    overlay::blocking(move || {
        // An ordinary user without guests may have no namespaces; what is all the user's own goes without.
        match std::fs::remove_dir_all(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(_) => Namespace::of_caller().remove_tree(&path),
        }
    })
    .await
}

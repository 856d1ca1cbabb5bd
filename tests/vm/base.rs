//! The disk that virtual machines start from, made once by `scripts/vm-base.sh` and kept in `<target>/vm`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::machine::{Accelerator, accelerator};
use super::say;

const SCRIPT: &str = include_str!("../../scripts/vm-base.sh");

/// A folder with `disk.raw`, `vmlinuz` and `initrd.img`.
#[derive(Clone)]
pub struct Base(PathBuf);

impl Base {
    /// Finds it, or makes it: minutes, and the network.
    pub fn ensure() -> Self {
        say(match accelerator() {
            Accelerator::Kvm => "virtual machines by KVM",
            Accelerator::Emulation => {
                "no KVM here: virtual machines are emulated, which takes ten times as long"
            }
        });
        let sources = localcloud::sandbox::debian_sources();
        let mut recipe = Sha256::new_with_prefix(SCRIPT);
        for line in &sources {
            recipe.update(line);
        }
        let name = format!("base-{}", hex::encode(&recipe.finalize()[..8]));
        let folder = vm_folder().join(name);
        if !folder.is_dir() {
            say(&format!("making {}, once", folder.display()));
            let making = folder.with_extension("making");
            let _ = std::fs::remove_dir_all(&making);
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/vm-base.sh");
            let status = Command::new("sh")
                .arg(script)
                .arg(&making)
                .args(&sources)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .expect("there is a shell");
            assert!(status.success(), "scripts/vm-base.sh ended with {status}");
            std::fs::rename(&making, &folder).expect("on one file system");
        }
        Self(folder)
    }

    pub fn disk(&self) -> PathBuf {
        self.0.join("disk.raw")
    }

    pub fn kernel(&self) -> PathBuf {
        self.0.join("vmlinuz")
    }

    pub fn initrd(&self) -> PathBuf {
        self.0.join("initrd.img")
    }
}

/// Where disks and consoles of these tests are kept: `<target>/vm`.
pub fn vm_folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target folder");
    target.join("vm")
}

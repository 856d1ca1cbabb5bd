//! The worker binary that goes into the image.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::error::{Error, Result};

/// Its name beside this program and on the instance.
const NAME: &str = "muck-worker";

/// The binary as found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFile {
    pub path: PathBuf,
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
}

impl WorkerFile {
    /// The binary that `config` names, else the one beside this program; it must be an ELF program for
    /// `architecture` (`x86_64` or `arm64`).
    ///
    /// # Errors
    /// If it isn't there, can't be read or is for another machine.
    pub fn find(config: &Config, architecture: &str) -> Result<Self> {
        let path = match &config.worker {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        Self::read(&path, architecture)
    }

    fn read(path: &Path, architecture: &str) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::failed(format!("cannot read the worker binary {}", path.display())).because(error).hint(
                "build it with `cargo build --workspace`, or name it: worker = \"PATH\" in muck.toml",
            )
        };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mut hash = Sha256::new();
        let mut head = Vec::new();
        let mut bytes = 0;
        // Binaries with debug information have tens of MiB: read them by parts.
        let mut part = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut part).map_err(failed)?;
            if read == 0 {
                break;
            }
            if bytes == 0 {
                head = part[..read.min(ELF_HEAD)].to_vec();
            }
            hash.update(&part[..read]);
            bytes += read as u64;
        }
        let is_for = elf_machine(&head).ok_or_else(|| {
            Error::failed(format!("{} is no Linux program", path.display()))
                .hint("an instance needs muck-worker built for Linux: name it by worker = \"PATH\" in muck.toml")
        })?;
        if is_for != architecture {
            return Err(Error::failed(format!(
                "{} is a program for {is_for}, but the image recipe is for {architecture}",
                path.display()
            ))
            .hint("name a worker for that architecture (worker in muck.toml) or change the recipe (image in muck.toml)"));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            sha256: hex::encode(hash.finalize()),
        })
    }
}

fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .map_err(|error| Error::failed("cannot tell where this program lies").because(error))?;
    Ok(program.with_file_name(NAME))
}

/// As much of an ELF file as tells its machine.
const ELF_HEAD: usize = 20;

/// EC2's name of the machine that an ELF program is for; `None` if it is no ELF program. Values of
/// `e_machine` (bytes 18 and 19, in the byte order of byte 5) are of the ELF specification.
fn elf_machine(head: &[u8]) -> Option<&'static str> {
    if head.len() < ELF_HEAD || !head.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = [head[18], head[19]];
    let machine = if head[5] == 2 {
        u16::from_be_bytes(machine)
    } else {
        u16::from_le_bytes(machine)
    };
    Some(match machine {
        62 => "x86_64",
        183 => "arm64",
        _ => "another architecture",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(18, 0);
        head.extend([machine, 0]);
        head.extend(b"rest");
        head
    }

    #[test]
    fn the_machine_is_checked() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("muck-worker");
        std::fs::write(&path, elf(62)).expect("write");
        let worker = WorkerFile::read(&path, "x86_64").expect("right machine");
        assert_eq!(worker.bytes, 24);
        assert_eq!(worker.sha256, hex::encode(Sha256::digest(elf(62))));
        let error = WorkerFile::read(&path, "arm64").expect_err("other machine");
        assert!(error.to_string().contains("program for x86_64"), "{error}");
        std::fs::write(&path, "#!/bin/sh\n").expect("write");
        let error = WorkerFile::read(&path, "x86_64").expect_err("a script");
        assert!(error.to_string().contains("no Linux program"), "{error}");
    }

    #[test]
    fn a_missing_worker_says_what_to_do() {
        let error =
            WorkerFile::read(Path::new("/nowhere/muck-worker"), "x86_64").expect_err("missing");
        assert!(
            error.hints()[0].contains("cargo build"),
            "{:?}",
            error.hints()
        );
    }
}

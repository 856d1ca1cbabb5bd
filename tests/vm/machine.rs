//! One virtual machine: how QEMU is called, so that the guest takes it for an instance of EC2.
//!
//! The guest's network is QEMU's own (no rights needed): the metadata service answers at 169.254.169.254, and
//! what goes to anywhere else goes out from this machine. The local cloud's endpoint is 127.0.0.1 and a port,
//! in signed URLs too, so the guest needs something on its own loopback that passes connections on. That, and
//! what else only the test needs, comes as systemd credentials in the machine's firmware tables: the disk that
//! is tested has nothing of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::process::{Child, Command};

use super::base::Base;

/// Holds 169.254.169.254, and addresses for guest and host that are not link-local: cloud-init and systemd
/// treat such ones differently, and EC2 gives none.
const NETWORK: &str = "net=169.254.0.0/15,dhcpstart=169.255.0.15,dns=169.255.0.3";
/// This machine's loopback, as the guest sees it.
const HOST: &str = "169.255.0.2";
/// As `scripts/vm-base.sh` makes it.
const ROOT: &str = "PARTUUID=6d75636b-0000-4000-8000-000000000001";
/// MiB; the least that a small instance type has. ffmpeg and cloud-init fit in.
const MEMORY: u32 = 1536;

/// A systemd credential, e.g. `("systemd.unit-dropin.rc-local.service", "[Service]\n…")`; see
/// systemd.system-credentials(7).
pub type Credential = (String, String);

/// What differs from machine to machine.
pub struct Machine<'a> {
    pub instance_id: &'a str,
    pub disk: &'a Path,
    pub mac: &'a str,
    /// `127.0.16.4:40123`
    pub metadata: &'a str,
    /// Of the local cloud, on loopback.
    pub port: u16,
    pub console: &'a Path,
    /// Where the machine's power button is: QEMU's monitor, a socket.
    pub monitor: &'a Path,
    pub more: &'a [Credential],
}

impl Machine<'_> {
    /// Switches it on. It ends with the thread that calls this.
    pub fn start(&self, base: &Base) -> std::io::Result<Child> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        match accelerator() {
            Accelerator::Kvm => command.args(["-accel", "kvm", "-cpu", "host", "-smp", "2"]),
            // One processor: with two, kernels that change their own code crash now and then (QEMU 7.2).
            Accelerator::Emulation => command.args([
                "-accel",
                "tcg,tb-size=512",
                // Has what Debian and ffmpeg want, and not what is slow to emulate.
                "-cpu",
                "Nehalem",
                "-smp",
                "1",
            ]),
        };
        command.args(["-m", &MEMORY.to_string()]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(base.kernel());
        command.arg("-initrd").arg(base.initrd());
        // The arguments of Debian's image, but that a crash ends the machine, and that a processor which is
        // emulated is not guarded against its own faults.
        command.args([
            "-append",
            &format!(
                "root={ROOT} ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0 panic=-1 mitigations=off"
            ),
        ]);
        command.args([
            "-drive",
            &format!(
                "file={},format=raw,if=none,id=root,cache=unsafe,discard=unmap",
                escaped(self.disk)
            ),
            "-device",
            "nvme,drive=root,serial=vol00000000000000d13",
            "-netdev",
            &format!(
                "user,id=net,{NETWORK},host={HOST},guestfwd=tcp:169.254.169.254:80-cmd:socat - TCP:{}",
                self.metadata
            ),
            "-device",
            &format!("virtio-net-pci,netdev=net,mac={},romfile=", self.mac),
        ]);
        command.args(["-serial", &format!("file:{}", escaped(self.console))]);
        command.args([
            "-monitor",
            &format!("unix:{},server=on,wait=off", escaped(self.monitor)),
        ]);
        // By these cloud-init knows EC2: a UUID that begins with ec2, and the same as serial number.
        let id = format!("ec2{:0<5.5}-0000-4000-8000-000000000000", self.hex());
        command.args([
            "-smbios",
            &format!("type=1,manufacturer=Amazon EC2,product=c7i.large,serial={id},uuid={id}"),
        ]);
        for (name, text) in self.endpoint().iter().chain(self.more) {
            let text = STANDARD.encode(text);
            command.args([
                "-smbios",
                &format!("type=11,value=io.systemd.credential.binary:{name}={text}"),
            ]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// The digits of the instance's id.
    fn hex(&self) -> &str {
        self.instance_id.trim_start_matches("i-")
    }

    /// What passes the guest's connections on to the local cloud, and what tells rc.local of it: on EC2
    /// the worker finds the services by itself.
    fn endpoint(&self) -> [Credential; 4] {
        let port = self.port;
        let socket = format!("[Socket]\nListenStream=127.0.0.1:{port}\n");
        let service =
            format!("[Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd {HOST}:{port}\n");
        let wanted = "[Unit]\nWants=muck-endpoint.socket\n".to_owned();
        let told = format!("[Service]\nEnvironment=AWS_ENDPOINT_URL=http://127.0.0.1:{port}\n");
        [
            ("systemd.extra-unit.muck-endpoint.socket".to_owned(), socket),
            (
                "systemd.extra-unit.muck-endpoint.service".to_owned(),
                service,
            ),
            ("systemd.unit-dropin.sockets.target".to_owned(), wanted),
            ("systemd.unit-dropin.rc-local.service".to_owned(), told),
        ]
    }
}

/// What runs the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Emulation,
}

/// KVM where it can be used, else emulation. A machine may have `/dev/kvm` and yet no processor that helps
/// (a nested one, say); Debian's kernel does not start there.
pub fn accelerator() -> Accelerator {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let helps = flags
        .split_whitespace()
        .any(|flag| flag == "vmx" || flag == "svm");
    let allowed = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    if helps && allowed {
        Accelerator::Kvm
    } else {
        Accelerator::Emulation
    }
}

/// In an option of QEMU's a comma ends the value.
fn escaped(path: &Path) -> String {
    path.to_str().expect("UTF-8").replace(',', ",,")
}

/// The power button of the machine whose monitor is `socket`. No error if it is off.
pub async fn press_power_button(socket: &PathBuf) {
    use tokio::io::AsyncWriteExt as _;
    if let Ok(mut monitor) = tokio::net::UnixStream::connect(socket).await {
        let _ = monitor.write_all(b"system_powerdown\n").await;
        let _ = monitor.shutdown().await;
    }
}

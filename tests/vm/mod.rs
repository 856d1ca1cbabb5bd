//! The image under a real systemd and a real cloud-init: the local cloud's instances are virtual machines
//! here, booted from a disk like Debian's own for EC2. See docs/vm-test.md.

mod base;
mod disk;
mod driver;
mod machine;
mod rig;

use std::io::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use muck::image::recipe::Recipe;
use muck::image::report::Report;
use muck::image::script::{self, Transfers};
use serde_json::Value;

use self::base::Base;
use self::disk::Disk;
use self::machine::{Accelerator, Credential, accelerator};
use self::rig::Rig;
use crate::harness::World;
use crate::harness::media::probe;

/// From power on to power off where nothing is to be done. Emulated, a boot alone takes minutes; on a busy
/// machine several times as many.
const BOOT_LIMIT: Duration = Duration::from_mins(30);
/// Emulated, installing ffmpeg takes longer than the half hour that a builder of EC2 may take.
const BUILDER_DEADLINE: &str = "3h";

/// The kernel's last word before the machine is off; a crash ends it with others.
const POWER_DOWN: &str = "reboot: Power down";

/// Talk of a test that runs for long.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
#[ignore = "boots virtual machines for up to an hour: make test-vm"]
fn the_image_boots_under_systemd_and_converts_and_powers_off() {
    let began = Instant::now();
    let rig = Rig::new("converts", Base::ensure());
    shipped_recipe_with_more_time(rig.world());

    let image = bakes(&rig);
    let user_data = converts(&rig);
    let boot = expired_powers_off_at_once(&rig, &image, &user_data);
    time_to_live_ends_a_worker_that_hangs(&rig, &image, &user_data, boot);

    rig.muck(&["down", "--yes"]);
    assert_eq!(rig.account().left_overs(), Vec::<String>::new());
    say(&format!("all in {:.0} s", began.elapsed().as_secs_f64()));
}

/// A script that hangs is told to end while there is a network to report by: a real systemd stops it last.
#[test]
#[ignore = "boots a virtual machine for some minutes: make test-vm"]
fn a_builder_past_its_deadline_says_where_it_was() {
    const BUCKET: &str = "muck-muck-input-000000000000-us-local-1-an";
    let rig = Rig::new("deadline", Base::ensure());
    rig.muck(&["up"]);
    let mut recipe = Recipe::load(None).expect("the shipped recipe");
    // Its clock rings a minute earlier, in the midst of the packages or, on a fast machine, in the check.
    recipe.deadline = Duration::from_mins(2);
    recipe.check = "sleep 3600\n".to_owned();
    let transfers = Transfers {
        report_url: rig.presigned_put(BUCKET, "report"),
        ..Transfers::placeholders(&"0".repeat(64))
    };
    let script = script::provision(&recipe, &transfers).expect("renders");
    let packed = script::user_data(&script).expect("fits");
    let id = rig.launch(localcloud::ec2::base::BASE_IMAGE, packed);
    rig.wait("from launch to power-off", &id, BOOT_LIMIT, || {
        rig.instances().is_empty()
    });
    assert!(
        rig.console(&id).contains(POWER_DOWN),
        "it did not power off"
    );
    let report = Report::parse(&rig.object(BUCKET, "report")).expect("a report");
    say(&format!(
        "it says: step {:?}, exit code {}, {} s",
        report.step, report.exit, report.seconds
    ));
    // 128 + SIGTERM
    assert_eq!(report.exit, 143);
    assert!(!report.step.is_empty() && report.check().is_err());
    rig.muck(&["down", "--yes"]);
}

/// A cloud-init that hangs keeps `rc.local` from running, and hears no signal when the machine goes off. Alongside, an
/// instance whose worker hangs outlives the boot's limit, because its own time to live is longer.
#[test]
#[ignore = "boots virtual machines for up to an hour: make test-vm"]
fn a_hanging_cloud_init_does_not_keep_the_machine_on() {
    const SLACK: Duration = Duration::from_mins(5);
    // Emulated, a boot to rc.local takes minutes.
    let boot_deadline = match accelerator() {
        Accelerator::Kvm => Duration::from_mins(5),
        Accelerator::Emulation => Duration::from_mins(12),
    };
    let rig = Rig::new("hangs", Base::ensure());
    recipe_without_packages(rig.world(), boot_deadline);
    rig.muck(&["up"]);
    let baked: Value = serde_json::from_str(&rig.muck(&["bake", "--json"])).expect("JSON");
    let image = baked["image_id"].as_str().expect("an id").to_owned();
    let expires = Timestamp::now() + boot_deadline + 2 * SLACK;
    // All that rc.local reads of it.
    let user_data = format!("Expires: {}\n", muck_worker::dates::write(expires));
    rig.driver().boot_with(worker_that_hangs());
    let working = rig.launch(&image, &user_data);
    let began = Instant::now();
    rig.wait("to the first word of a machine", &working, SLACK, || {
        !rig.console(&working).is_empty()
    });
    rig.driver().boot_with(cloud_init_that_hangs());
    let hanging = rig.launch(&image, &user_data);
    let hung = Instant::now();
    let limit = boot_deadline + SLACK;
    rig.wait(
        "from launch to cloud-init that hangs",
        &hanging,
        limit,
        || rig.console(&hanging).contains("cloud-init hangs"),
    );
    rig.wait(
        "from launch to a worker that hangs",
        &working,
        limit,
        || rig.console(&working).contains("hanging"),
    );
    rig.wait("from there to power-off", &hanging, limit, || {
        !rig.instances().contains(&hanging)
    });
    let lived = hung.elapsed();
    say(&format!(
        "the boot that hangs: off after {:.0} s",
        lived.as_secs_f64()
    ));
    let console = rig.console(&hanging);
    assert!(console.contains(POWER_DOWN), "it did not power off");
    assert!(
        console.contains("muck: the boot or the time to live is over its limit"),
        "something else powered it off"
    );
    assert!(!console.contains("muck-worker"), "rc.local ran");
    assert!(lived >= boot_deadline, "off before the boot's limit");

    // Beyond the boot's limit and what a power-off may take, it is on: rc.local has replaced the limit.
    std::thread::sleep((limit + Duration::from_mins(1)).saturating_sub(began.elapsed()));
    assert!(
        rig.instances().contains(&working),
        "off at the boot's limit"
    );
    rig.wait("from there to power-off", &working, BOOT_LIMIT, || {
        rig.instances().is_empty()
    });
    let late = Timestamp::now().as_second() - expires.as_second();
    say(&format!(
        "the worker that hangs: off {late} s after its time"
    ));
    assert!((0..10 * 60).contains(&late), "off {late} s after its time");
    rig.driver().boot_with(Vec::new());
    rig.muck(&["down", "--yes"]);
}

/// Hears no signal, as a process does that waits for a file system of the network.
fn cloud_init_that_hangs() -> Vec<Credential> {
    vec![(
        "systemd.unit-dropin.cloud-init-network.service~hangs".to_owned(),
        "[Service]\nExecStart=\nStandardOutput=journal+console\n\
         ExecStart=/bin/sh -c 'trap \"\" HUP INT TERM; echo cloud-init hangs; while :; do sleep 1; done'\n"
            .to_owned(),
    )]
}

/// The shipped recipe without packages and check, which an emulated machine needs half an hour for.
fn recipe_without_packages(world: &World, boot_deadline: Duration) {
    shipped_recipe_with_more_time(world);
    let folder = world.work().join("recipe");
    let change = |name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(folder.join(name)).expect("the recipe");
        let changed = text.replace(from, to);
        assert_ne!(
            text, changed,
            "{from:?} is not in {name}: change this test too"
        );
        world.file(&format!("recipe/{name}"), changed);
    };
    change(
        "provision.sh.hbs",
        "    apt-get -q -y",
        "    : apt-get -q -y",
    );
    change(
        "image.toml",
        "[boot]\ndeadline = \"30m\"",
        &format!("[boot]\ndeadline = \"{}m\"", boot_deadline.as_secs() / 60),
    );
    world.file("recipe/check.sh", "exit 0\n");
}

fn shipped_recipe_with_more_time(world: &World) {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/converter");
    for entry in std::fs::read_dir(shipped).expect("the shipped recipe") {
        let path = entry.expect("entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let name = path.file_name().expect("name").to_str().expect("UTF-8");
        let more = text.replace(
            "[builder]\ndeadline = \"30m\"",
            &format!("[builder]\ndeadline = \"{BUILDER_DEADLINE}\""),
        );
        assert!(
            name != "image.toml" || more != text,
            "the shipped deadline has changed: change this test too"
        );
        world.file(&format!("recipe/{name}"), more);
    }
    world.file("muck.toml", "image = \"recipe\"\n");
}

/// The provisioning script, run by cloud-init. Returns the image's id.
fn bakes(rig: &Rig) -> String {
    rig.muck(&["up"]);
    let baked: Value = serde_json::from_str(&rig.muck(&["bake", "--json"])).expect("JSON");
    say(&format!(
        "steps of the script: {}",
        baked["report"]["steps"]
    ));
    let image = baked["image_id"].as_str().expect("an id").to_owned();

    let builder = rig.first_console();
    for text in [
        "Hostname set to <localhost>",
        "running 'init-local'",
        "running 'modules:final'",
        POWER_DOWN,
    ] {
        assert!(builder.contains(text), "no {text:?} on the console");
    }
    assert!(
        builder
            .lines()
            .any(|line| line.contains("cloud-init[") && line.contains("== install packages")),
        "it was not cloud-init that ran the script"
    );

    let disk = Disk::of(rig.driver(), &rig.snapshot());
    assert!(
        disk.gibibytes() > 15.0,
        "the root did not grow with its volume: {} GiB",
        disk.gibibytes()
    );
    assert_eq!(disk.read("/etc/machine-id"), "", "a machine id is left");
    assert_eq!(disk.mode("/etc/rc.local"), Some(0o755));
    assert_eq!(
        disk.names("/etc/systemd/system/sysinit.target.wants")
            .iter()
            .filter(|name| *name == "muck-time-to-live.timer")
            .count(),
        1,
        "nothing powers off a boot that hangs"
    );
    assert_eq!(disk.mode("/usr/local/bin/muck-worker"), Some(0o755));
    assert!(
        !disk.exists("/var/lib/systemd/random-seed"),
        "a random seed is left"
    );
    // A first boot must find itself to be one, and no instance knows another's secrets.
    for folder in ["/var/lib/cloud", "/var/lib/apt/lists", "/var/log/journal"] {
        assert_eq!(disk.names(folder), Vec::<String>::new(), "left in {folder}");
    }
    let keys: Vec<String> = disk
        .names("/etc/ssh")
        .into_iter()
        .filter(|name| name.starts_with("ssh_host_"))
        .collect();
    assert_eq!(keys, Vec::<String>::new(), "host keys are left");
    image
}

/// `rc.local` and the worker, from the first boot to the power-off. Returns the user data.
fn converts(rig: &Rig) -> String {
    let clip = World::sample("MVI_3121.AVI");
    rig.muck(&[
        "submit",
        clip.to_str().expect("UTF-8"),
        "--batch",
        "vm",
        "--preset",
        "ipod",
    ]);
    let launched = Timestamp::now();
    rig.muck(&["launch", "-n", "1", "--batch", "vm"]);
    let id = rig.instances().pop().expect("an instance");
    let user_data = rig.user_data(&id);

    rig.wait("from launch to power-off", &id, BOOT_LIMIT, || {
        rig.instances().is_empty()
    });
    let console = rig.console(&id);
    for text in [
        "runs ConvertVideo",
        "for the stack muck",
        "end: no more work",
        "muck: the worker ended with exit code 0",
        POWER_DOWN,
    ] {
        assert!(console.contains(text), "no {text:?} on the console");
    }

    rig.muck(&["results", "back", "--batch", "vm", "--no-wait"]);
    let back = rig.world().work().join("back");
    let media = probe(&back.join("MVI_3121.mov"));
    assert_eq!((media.width, media.height), (320, 240));
    let mut log = csv::Reader::from_path(back.join("log.csv")).expect("log.csv");
    let column = log
        .headers()
        .expect("headers")
        .iter()
        .position(|name| name == "Service-Read")
        .expect("a column");
    let row = log.records().next().expect("a row").expect("readable");
    let read = muck_worker::dates::parse(&row[column]).expect("a date");
    say(&format!(
        "from launch to the first message read: {} s",
        read.as_second() - launched.as_second()
    ));
    user_data
}

/// The same user data with another end.
fn expiring(user_data: &str, at: Timestamp) -> String {
    user_data
        .lines()
        .map(|line| {
            if line.starts_with("Expires:") {
                format!("Expires: {}\n", muck_worker::dates::write(at))
            } else {
                format!("{line}\n")
            }
        })
        .collect()
}

/// Returns how long a machine is on that does nothing.
fn expired_powers_off_at_once(rig: &Rig, image: &str, user_data: &str) -> Duration {
    let past = Timestamp::now() - Duration::from_mins(10);
    let id = rig.launch(image, expiring(user_data, past));
    let took = rig.wait("from launch to power-off, expired", &id, BOOT_LIMIT, || {
        rig.instances().is_empty()
    });
    let console = rig.console(&id);
    for text in ["muck: this instance expired at ", POWER_DOWN] {
        assert!(console.contains(text), "no {text:?} on the console");
    }
    assert!(!console.contains("runs ConvertVideo"), "the worker ran");
    took
}

fn worker_that_hangs() -> Vec<Credential> {
    const HANGS: &str =
        "#!/bin/sh\\ntrap \"\" HUP INT TERM\\necho hanging\\nwhile :; do sleep 1; done\\n";
    // Not in /run, from which nothing can be executed.
    vec![
        (
            "tmpfiles.extra".to_owned(),
            format!("f+ /var/lib/hangs 0755 root root - {HANGS}\n"),
        ),
        (
            "systemd.unit-dropin.rc-local.service~hangs".to_owned(),
            "[Service]\nBindReadOnlyPaths=/var/lib/hangs:/usr/local/bin/muck-worker\n".to_owned(),
        ),
    ]
}

/// A worker that hears no signal must not keep the machine on: neither for ever, as `rc.local`'s unit
/// would let it, nor for the half hour after which systemd gives up an orderly power-off.
fn time_to_live_ends_a_worker_that_hangs(rig: &Rig, image: &str, user_data: &str, boot: Duration) {
    rig.driver().boot_with(worker_that_hangs());
    // Its worker is up by then.
    let lives = boot * 3 / 2;
    let expires = Timestamp::now() + lives;
    let id = rig.launch(image, expiring(user_data, expires));
    rig.wait("from launch to a worker that hangs", &id, lives, || {
        rig.console(&id).contains("hanging")
    });
    // `shutdown` counts whole minutes; then an orderly power-off takes its time.
    rig.wait("from there to power-off", &id, BOOT_LIMIT, || {
        rig.instances().is_empty()
    });
    let late = Timestamp::now().as_second() - expires.as_second();
    say(&format!("off {late} s after its time"));
    assert!(late < 10 * 60, "off only {late} s after its time");
    assert!(
        rig.console(&id).contains(POWER_DOWN),
        "it did not power off"
    );
    rig.driver().boot_with(Vec::new());
}

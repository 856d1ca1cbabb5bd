//! Images that can be baked again: lock, verification, papers, and the images' own commands. The recipes here need
//! no network: what they install is a package that their script builds itself.

use std::path::Path;

use serde_json::Value;

use crate::harness::World;
use crate::harness::account::Account;

/// The shipped recipe but for this: the archive is a function `apt` that builds and installs the package `muck-probe`,
/// whose only version is `version`, and `more` are lines run before the files are checked.
fn write_recipe(world: &World, version: &str, more: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/converter");
    let read =
        |name: &str| std::fs::read_to_string(shipped.join(name)).expect("the shipped recipe");
    let script = read("provision.sh.hbs");
    let own_apt = format!(
        "apt() {{
    case \" $* \" in
        *' install '*)
            install -d \"$work/probe/DEBIAN\" \"$work/probe/usr/share/muck-probe\"
            printf 'Package: muck-probe\\nVersion: {version}\\nArchitecture: all\\nInstalled-Size: 3\\nMaintainer: x <x@example.org>\\nDescription: x\\n' >\"$work/probe/DEBIAN/control\"
            echo {version} >\"$work/probe/usr/share/muck-probe/file\"
            SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group -b \"$work/probe\" \"$work/probe.deb\"
            dpkg -i \"$work/probe.deb\"
            ;;
    esac
}}
mkdir \"$work/bin\"
printf '#!/bin/sh\necho \" muck-probe | {version} | here\"\n' >\"$work/bin/apt-cache\"
chmod +x \"$work/bin/apt-cache\"
PATH=$work/bin:$PATH
"
    );
    let changed = script
        .replacen("sources=''\n", &format!("{own_apt}sources=''\n"), 1)
        .replacen("step 'check'\n", &format!("{more}\nstep 'check'\n"), 1);
    assert_eq!(
        changed.len(),
        script.len() + own_apt.len() + more.len() + 1,
        "the script has changed: change this test too"
    );
    // No dated archive here.
    let settings = read("image.toml");
    let without_archive = settings
        .lines()
        .filter(|line| !line.starts_with("[archive]") && !line.contains("{timestamp}/"))
        .fold(String::new(), |text, line| text + line + "\n");
    world.file("recipe/image.toml", without_archive);
    world.file("recipe/provision.sh.hbs", changed);
    world.file("recipe/check.sh", "exit 0\n");
}

fn world_with(version: &str, more: &str) -> (World, Account) {
    let world = World::new();
    write_recipe(&world, version, more);
    world.file("muck.toml", "image = \"recipe\"\n");
    world.muck(&["up", "--local"]).exits(0);
    let account = Account::of(&world);
    (world, account)
}

fn bake(world: &World, options: &[&str]) -> Value {
    let arguments = [&["bake", "--local", "--json"], options].concat();
    world.muck(&arguments).exits(0).json()
}

fn instances(account: &Account) -> Vec<String> {
    account
        .left_overs()
        .into_iter()
        .filter(|thing| thing.starts_with("instance") || thing.starts_with("volume"))
        .collect()
}

#[track_caller]
fn assert_no_instances(account: &Account) {
    let start = std::time::Instant::now();
    while !instances(account).is_empty() {
        assert!(
            start.elapsed().as_secs() < 30,
            "left: {:?}",
            instances(account)
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn two_bakes_have_one_manifest_and_a_tampered_one_is_named() {
    let (world, account) = world_with("1.0", "");
    let first = bake(&world, &[]);
    let second = bake(&world, &["--force"]);
    assert_ne!(first["image_id"], second["image_id"]);
    assert_eq!(first["manifest"], second["manifest"]);
    let image = first["image_id"].as_str().expect("an id").to_owned();

    // The same once more, as `--verify` does it: nothing is made.
    let images = account.left_overs().len();
    let verified = world
        .muck(&["bake", "--verify", "--local", "--json"])
        .exits(0)
        .json();
    assert_eq!(verified["differences"], serde_json::json!([]));
    assert_eq!(verified["kept"], first["manifest"]);
    assert_no_instances(&account);
    assert_eq!(
        account.left_overs().len(),
        images,
        "{:?}",
        account.left_overs()
    );

    // A changed file, a changed mode, a new link, a removed file: each is named.
    write_recipe(
        &world,
        "1.0",
        "echo more >>/usr/share/muck-probe/file\necho tampered >/etc/issue\nchmod 700 /usr/share/muck-probe\nln -s nowhere /etc/probe\nrm /etc/debian_version",
    );
    let tampered = world
        .muck(&["bake", "--verify", &image, "--local"])
        .exits(1)
        .says(&["is not what its recipe makes"]);
    for named in [
        "  file /etc/issue: only in the second bake\n",
        "  file /usr/share/muck-probe/file: content ",
        "  link /etc/probe: only in the second bake\n",
        "  folder /usr/share/muck-probe: mode 755 → 700\n",
        "  removed /etc/debian_version: only in the second bake\n",
        "/usr/share/muck-probe/file: content ",
        ", bytes 4 → 9\n",
    ] {
        assert!(
            tampered.stdout.contains(named),
            "{named:?} is not in\n{}",
            tampered.stdout
        );
    }
    assert_no_instances(&account);
    assert_eq!(
        account.left_overs().len(),
        images,
        "{:?}",
        account.left_overs()
    );
}

#[test]
fn what_differs_from_bake_to_bake_is_found() {
    let (world, _account) = world_with("1.0", "date +%s.%N >/etc/baked");
    bake(&world, &[]);
    let verified = world.muck(&["bake", "--verify", "--local"]).exits(1);
    assert!(
        verified.stdout.contains("file /etc/baked: content "),
        "{}",
        verified.stdout
    );
}

#[test]
fn a_lock_binds_and_says_what_an_update_changed() {
    let (world, account) = world_with("1.0", "");
    let first = world.muck(&["bake", "--update", "--local"]).exits(0).stdout;
    assert!(first.contains("+ muck-probe 1.0"), "{first}");
    let lock = world.work().join("recipe/image.lock");
    let text = std::fs::read_to_string(&lock).expect("the lock");
    assert!(text.contains("muck-probe = \"1.0\""), "{text}");

    // It finds its image, even without the worker binary.
    world.file(
        "muck.toml",
        "image = \"recipe\"\nworker = \"/nowhere/muck-worker\"\n",
    );
    world
        .muck(&["launch", "--local", "--type", "c7g.large"])
        .exits(2)
        .says(&["instances of type c7g.large are arm64, but the image is x86_64"]);
    world.file("muck.toml", "image = \"recipe\"\n");

    // Another worker is not the lock's.
    let other = world.file("other-worker", worker_with_more_bytes());
    world
        .muck(&["bake", "--local", "--worker", &other.display().to_string()])
        .exits(1)
        .says(&["but image.lock says", "muck bake --update"]);

    // A version that the archive has not: the package is named, and nothing is left.
    write_recipe(&world, "1.1", "");
    world.muck(&["bake", "--local", "--force"]).exits(1).says(&[
        "packages are not as the lock says",
        "muck-probe: wanted 1.0, there is 1.1",
        "muck bake --update",
    ]);
    assert_no_instances(&account);

    // Resolved anew: the difference is told, and the new image is the lock's.
    let updated = bake(&world, &["--update"]);
    let changes = updated["lock_changes"].as_array().expect("changes");
    assert!(
        changes
            .iter()
            .any(|one| one["what"] == "muck-probe" && one["old"] == "1.0" && one["new"] == "1.1"),
        "{changes:?}"
    );
    let found = bake(&world, &[]);
    assert_eq!(found["reused"], true, "{found}");
    assert_eq!(found["image_id"], updated["image_id"]);

    // An architecture for which there is no base image here.
    world
        .muck(&["bake", "--local", "--architecture", "arm64"])
        .exits(1)
        .says(&["is a program for x86_64, but the image recipe is for arm64"]);
}

/// The worker that the bakes take, with other bytes at its end: still an ELF program.
fn worker_with_more_bytes() -> Vec<u8> {
    let beside = Path::new(env!("CARGO_BIN_EXE_muck")).with_file_name("muck-worker");
    let mut bytes = std::fs::read(beside).expect("built with the workspace");
    bytes.extend_from_slice(b"more");
    bytes
}

#[test]
fn images_are_listed_shown_copied_and_pruned() {
    let (world, account) = world_with("1.0", "");
    let first = bake(&world, &[]);
    let second = bake(&world, &["--force"]);
    let id = |baked: &Value| baked["image_id"].as_str().expect("an id").to_owned();
    let (old, new) = (id(&first), id(&second));

    let listed = world
        .muck(&["images", "ls", "--local", "--json"])
        .exits(0)
        .json();
    let ids: Vec<&str> = listed
        .as_array()
        .expect("images")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(ids, [new.as_str(), old.as_str()]);
    assert_eq!(listed[0]["manifest"], first["manifest"]);
    assert!(
        listed[0]["tool"]
            .as_str()
            .is_some_and(|tool| tool.starts_with("muck "))
    );
    assert!(listed[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0));

    // What the baking machine has at hand, any other gets out of the image.
    let shown = world
        .muck(&["images", "show", &new, "--local"])
        .exits(0)
        .stdout;
    assert!(shown.contains("muck-probe"), "{shown}");
    std::fs::remove_dir_all(world.state().join("images")).expect("the copies");
    let shown = world
        .muck(&["images", "show", &new, "--local"])
        .exits(0)
        .stdout;
    assert!(!shown.contains("muck-probe"), "{shown}");
    let sbom = world
        .muck(&["images", "show", &new, "--sbom", "--local"])
        .exits(0)
        .says(&["read the report out of"])
        .json();
    assert_eq!(sbom["spdxVersion"], "SPDX-2.3");
    assert!(sbom["packages"].as_array().is_some_and(|all| {
        all.iter()
            .any(|one| one["name"] == "muck-probe" && one["versionInfo"] == "1.0")
    }));
    let log = world
        .muck(&["images", "show", &new, "--log", "--local"])
        .exits(0);
    assert!(log.stdout.contains("== download worker"), "{}", log.stdout);
    assert!(!log.stderr.contains("read the report"), "{}", log.stderr);
    assert_no_instances(&account);

    // The copy carries tags and report; a second one is not made.
    let copy = [
        "images",
        "copy",
        &old,
        "--to",
        "us-local-1",
        "--local",
        "--json",
    ];
    let copied = world.muck(&copy).exits(0).json();
    // Its twin of the same recipe and manifest counts as one.
    assert_eq!(
        (&copied["reused"], copied["image_id"].as_str()),
        (&true.into(), Some(new.as_str()))
    );
    world
        .muck(&["images", "copy", &old, "--to", "eu-central-1", "--local"])
        .exits(2)
        .says(&["the local cloud has one region"]);

    // An image in use stays, however old.
    world
        .muck(&["launch", "--local", "--image", &old, "-n", "1"])
        .exits(0);
    let pruned = world
        .muck(&[
            "images", "prune", "--keep", "0", "--yes", "--local", "--json",
        ])
        .exits(0)
        .json();
    assert_eq!(
        pruned["doomed"].as_array().map(Vec::len),
        Some(1),
        "{pruned}"
    );
    assert_eq!(pruned["doomed"][0]["id"], new.as_str());
    assert_eq!(pruned["staying"][0][1], "an instance uses it");

    // Now that its twin is gone, it is really copied.
    let copied = world.muck(&copy).exits(0).json();
    assert_eq!(copied["reused"], false, "{copied}");
    let copy_id = copied["image_id"].as_str().expect("an id");
    assert_eq!(world.muck(&copy).exits(0).json()["reused"], true);
    let manifest = world
        .muck(&["images", "show", copy_id, "--manifest", "--local"])
        .exits(0)
        .stdout;
    assert!(manifest.contains(" muck-probe 1.0 all\n"), "{manifest}");

    // The teardown takes all of them, the copy and its snapshot too.
    world.muck(&["down", "--yes", "--local"]).exits(0);
    assert_eq!(account.left_overs(), Vec::<String>::new());
}

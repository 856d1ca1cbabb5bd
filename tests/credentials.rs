//! Credentials that end before what is planned, and profiles that need the user.

use jiff::Timestamp;

use crate::harness::World;
use crate::harness::faults::Faults;
use crate::harness::machine::{Access, Machine};

/// A machine with a session token that ends in so many seconds, and says so if `stated`.
fn session(world: &World, seconds: u32) -> (Machine, String) {
    let session = Faults::of(world).session(seconds);
    let access = Access::of(world).with_keys(&session.keys);
    (Machine::new(&access, "session"), session.expires)
}

#[test]
fn a_session_that_ends_before_the_run_creates_nothing() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let (machine, expires) = session(&world, 3000);
    let clip = World::sample("MVI_3121.AVI");
    let arguments = ["run", clip.to_str().expect("UTF-8"), "-o", "out"];
    let calls = Faults::of(&world);
    let before = calls.last_call();
    let output = machine
        .command(&arguments)
        .env("AWS_CREDENTIAL_EXPIRATION", &expires)
        .output()
        .expect("muck starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for text in [
        "the AWS session token expires in 49m",
        "`muck run` may need it for 12h",
        "nothing has been created",
        "aws sts get-session-token --duration-seconds 43200",
    ] {
        assert!(stderr.contains(text), "no {text:?} in\n{stderr}");
    }
    let changed: Vec<String> = calls
        .calls("session", before)
        .into_iter()
        .map(|call| call.action)
        .filter(|action| action.starts_with("Create") || action.starts_with("Put"))
        .collect();
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn a_session_that_lasts_is_used_and_one_without_an_end_is_warned_of() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let (machine, expires) = session(&world, 3600);
    let up = |expiration: Option<&str>| {
        let mut command = machine.command(&["up"]);
        if let Some(end) = expiration {
            command.env("AWS_CREDENTIAL_EXPIRATION", end);
        }
        let output = command.output().expect("muck starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        stderr
    };
    let lasting = up(Some(&expires));
    assert!(!lasting.contains("session token"), "{lasting}");
    let unknown = up(None);
    assert!(
        unknown.contains("the AWS session token does not say when it expires"),
        "{unknown}"
    );
}

/// Of the process's own, so that a profile decides.
fn with_profile(machine: &Machine, profile: &str) -> (i32, String) {
    let folder = machine.work().parent().expect("home").join(".aws");
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::write(folder.join("config"), format!("[default]\n{profile}\n")).expect("config");
    let mut command = machine.command(&["plan", "--no-sweep"]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let output = command.output().expect("muck starts");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_profile_that_asks_for_mfa_names_the_way_out() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let access = Access::of(&world);
    let machine = Machine::new(&access, "mfa");
    let profile = format!(
        "role_arn = arn:aws:iam::{}:role/admin\nsource_profile = keys\n\
         mfa_serial = arn:aws:iam::{}:mfa/ann\n\
         [profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        access.account, access.account, access.keys.id, access.keys.secret
    );
    let (code, stderr) = with_profile(&machine, &profile);
    assert_eq!(code, 1);
    for text in [
        "the profile default asks for an MFA code",
        "aws configure export-credentials --profile default --format env",
        "aws sts get-session-token --serial-number",
    ] {
        assert!(stderr.contains(text), "no {text:?} in\n{stderr}");
    }
}

#[test]
fn a_profile_of_aws_login_is_understood() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let machine = Machine::new(&Access::of(&world), "login");
    let profile = "login_session = arn:aws:iam::123456789012:user/ann\n";
    let (code, stderr) = with_profile(&machine, profile);
    assert_eq!(code, 1);
    // There is no session; without support it would be the feature that is missing.
    assert!(stderr.contains("aws login"), "{stderr}");
    assert!(!stderr.contains("credentials-login"), "{stderr}");
}

#[test]
fn a_bake_by_a_short_session_is_refused_before_a_builder_starts() {
    let world = World::without_booting();
    world.muck(&["up", "--local"]).exits(0);
    let (machine, _) = session(&world, 3600);
    let soon = Timestamp::now() + jiff::SignedDuration::from_mins(20);
    let output = machine
        .command(&["bake"])
        .env("AWS_CREDENTIAL_EXPIRATION", soon.to_string())
        .output()
        .expect("muck starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("a bake may need it for 45m"), "{stderr}");
}

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn user_data_runs_and_the_guest_powers_off() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/bash\necho \"host $(hostname), region $AWS_REGION, id $(id -u), init $(cat /proc/1/comm)\"\n\
         grep -q 'VERSION_CODENAME=trixie' /etc/os-release && echo Debian\n\
         cat /var/lib/cloud/instance/user-data.txt | head -1\necho to-stderr >&2\n\
         echo by-console >/dev/console\ncurl --version | head -1\nls -A / | tr '\\n' ' '\npoweroff\n",
    )
    .await;
    assert_eq!(room.off().await, ("i-1".to_owned(), PowerOff::Guest));
    let console = room.console("i-1").await;
    for expected in [
        "host ip-i-1, region us-local-1, id 0, init sh",
        "Debian",
        "#!/bin/bash",
        "to-stderr",
        "by-console",
        "curl 8",
        "Power off.",
    ] {
        assert!(
            console.contains(expected),
            "{expected:?} is missing:\n{console}"
        );
    }
    // Nothing of ours stays in the root.
    assert!(!console.contains("localcloud "), "{console}");
    room.close().await;
}

#[tokio::test]
async fn a_guest_without_a_script_idles_until_it_is_powered_off() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot("i-1", "Service: ConvertVideo\n").await;
    let start = Instant::now();
    room.driver.power_off("i-1").await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        start.elapsed()
    );
    assert_eq!(room.off().await, ("i-1".to_owned(), PowerOff::Requested));
    assert!(!room.console("i-1").await.contains("Running the user data"));
    room.driver.power_off("i-1").await.unwrap();
    room.driver.power_off("i-unknown").await.unwrap();
    room.close().await;
}

/// Processes get SIGTERM and a grace; one that ignores it is killed.
#[tokio::test]
async fn power_off_asks_first_and_then_kills() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/bash\n(trap 'echo asked politely; exit' TERM; while :; do sleep 0.1; done) &\n\
         (trap '' TERM; while :; do sleep 0.1; done) &\nsleep 0.3\necho ready\nsleep 1000\n",
    )
    .await;
    room.shows("i-1", "ready").await;
    room.driver.power_off("i-1").await.unwrap();
    assert_eq!(room.off().await.1, PowerOff::Requested);
    let console = room.console("i-1").await;
    assert!(console.contains("asked politely"), "{console}");
    assert!(console.contains("by force"), "{console}");
    room.close().await;
}

/// Every way by which Debian's programs power a machine off, with a script that would never end.
#[tokio::test]
async fn all_power_commands_act() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    for (number, command) in [
        "shutdown -h now",
        "/sbin/shutdown -P now bye",
        "/usr/sbin/poweroff",
        "systemctl poweroff",
        "systemctl --no-block poweroff",
        "poweroff -f",
        "systemctl poweroff --force --force",
        "shutdown -h +0",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("i-{number}");
        room.boot(&id, &format!("#!/bin/sh\n{command}\nsleep 1000\n"))
            .await;
        assert_eq!(room.off().await, (id.clone(), PowerOff::Guest), "{command}");
    }
    room.close().await;
}

#[tokio::test]
async fn a_timed_shutdown_is_armed_shown_and_cancelled() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\nshutdown -h +720\ncat /run/localcloud/scheduled\nshutdown -c\n\
         [ -e /run/localcloud/scheduled ] || echo cancelled\nshutdown +x || echo refused\n\
         shutdown -h +1\necho armed\n",
    )
    .await;
    let console = room.shows("i-1", "armed").await;
    assert!(console.contains("Shutdown scheduled for"), "{console}");
    assert!(console.contains(" poweroff\n"), "{console}");
    assert!(
        console.contains("cancelled") && console.contains("refused"),
        "{console}"
    );
    // A minute is the least that shutdown(8) can wait, so this test takes one.
    let event = tokio::time::timeout(Duration::from_secs(100), room.events.recv()).await;
    assert_eq!(event.unwrap().unwrap().cause, PowerOff::Guest);
    room.close().await;
}

#[tokio::test]
async fn a_reboot_boots_again_but_runs_user_data_once() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\nprintf '#!/bin/sh\\necho rc.local ran\\npoweroff\\n' >/etc/rc.local\n\
         chmod +x /etc/rc.local\necho user data ran\nreboot\n",
    )
    .await;
    assert_eq!(room.off().await.1, PowerOff::Guest);
    let console = room.console("i-1").await;
    assert_eq!(console.matches("user data ran").count(), 1, "{console}");
    assert_eq!(console.matches("rc.local ran").count(), 1, "{console}");
    room.close().await;
}

/// As on EC2, where a halted instance is not stopped and goes on costing.
#[tokio::test]
async fn a_halted_guest_still_runs() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot("i-1", "#!/bin/sh\nhalt\n").await;
    room.shows("i-1", "System halted").await;
    assert!(room.events.try_recv().is_err());
    room.driver.power_off("i-1").await.unwrap();
    assert_eq!(room.off().await.1, PowerOff::Requested);
    room.close().await;
}

#[tokio::test]
async fn two_guests_at_once_see_nothing_of_each_other() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    let script = "#!/bin/sh\nhostname\necho mine >/srv/$(hostname)\nls /srv\nps -e | wc -l\n\
        echo seen\nsleep 1000\n";
    let both = [spec("i-1", &[BASE], script), spec("i-2", &[BASE], script)];
    let [one, two] = both.map(|spec| room.driver.boot(spec));
    let (one, two) = tokio::join!(one, two);
    one.unwrap();
    two.unwrap();
    let first = room.shows("i-1", "seen").await;
    let second = room.shows("i-2", "seen").await;
    assert!(
        first.contains("ip-i-1") && !first.contains("ip-i-2"),
        "{first}"
    );
    assert!(
        second.contains("ip-i-2") && !second.contains("ip-i-1"),
        "{second}"
    );
    let error = room
        .driver
        .boot(spec("i-1", &[BASE], ""))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("runs already"), "{error}");
    room.driver.power_off("i-1").await.unwrap();
    assert_eq!(room.off().await.0, "i-1");
    room.shows("i-2", "seen").await;
    assert!(
        room.events.try_recv().is_err(),
        "the other one must still run"
    );
    room.close().await;
}

#[tokio::test]
async fn a_guest_that_fills_its_console_keeps_its_end() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\necho\necho the very end\npoweroff\n",
    )
    .await;
    room.off().await;
    let console = room.driver.console("i-1").await.unwrap();
    assert_eq!(console.len(), 64 * 1024);
    assert!(String::from_utf8_lossy(&console).contains("the very end"));
    let file = std::fs::metadata(room.driver.console_path("i-1")).unwrap();
    assert!(file.len() <= 1024 * 1024, "{} bytes", file.len());
    room.close().await;
}

/// A jail inside, as the worker makes for ffmpeg, needs a user namespace, which a chroot would forbid.
#[tokio::test]
async fn a_user_namespace_can_be_made_inside() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\nunshare --user --map-root-user --mount --pid --fork --net sh -c \
         'mount -t proc proc /proc && mount -t tmpfs tmpfs /mnt && echo jailed with $$ processes'\npoweroff\n",
    )
    .await;
    room.off().await;
    let console = room.console("i-1").await;
    assert!(console.contains("jailed with 1 processes"), "{console}");
    room.close().await;
}

/// The host's clock and network are not the guest's to set.
#[tokio::test]
async fn the_host_is_not_the_guests_to_change() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\ndate -s 2001-01-01 >/dev/null 2>&1 && echo changed the time\n\
         ip link add muck0 type dummy 2>/dev/null && echo changed the network\n\
         [ -e /sys/power ] && echo mem 2>/dev/null >/sys/power/state && echo changed the power\npoweroff\n",
    )
    .await;
    room.off().await;
    let console = room.console("i-1").await;
    assert!(!console.contains("changed the"), "{console}");
    room.close().await;
}

#[tokio::test]
async fn an_image_that_can_not_boot_is_an_error() {
    let Some(room) = Room::sandbox().await else {
        return;
    };
    let error = room
        .driver
        .boot(spec("i-1", &["snap-gone"], ""))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("snap-gone"), "{error}");
    let error = room.driver.boot(spec("i-1", &[], "")).await.unwrap_err();
    assert!(error.to_string().contains("nothing to boot"), "{error}");
    let mut bad = spec("i-1", &[BASE], "");
    bad.hostname = "a;b".to_owned();
    assert!(room.driver.boot(bad).await.is_err());
    room.close().await;
}

#[tokio::test]
async fn killing_the_server_kills_the_guests() {
    let Some(room) = Room::sandbox().await else {
        return;
    };
    room.close().await;
    guests_die_with_the_server("sandbox::tests::sandbox::server_to_kill").await;
}

/// Not a test: the server that the test above kills.
#[tokio::test]
#[ignore = "started by killing_the_server_kills_the_guests"]
async fn server_to_kill() {
    serve_until_killed(DriverChoice::Sandbox).await;
}

#[tokio::test]
async fn packed_user_data_is_unpacked() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    let script = "#!/bin/sh\necho was packed\npoweroff\n";
    room.driver.boot(packed_spec("i-1", script)).await.unwrap();
    assert_eq!(room.off().await, ("i-1".to_owned(), PowerOff::Guest));
    let console = room.console("i-1").await;
    assert!(console.contains("was packed"), "{console}");
    room.close().await;
}

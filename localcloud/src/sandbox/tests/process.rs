use super::*;

#[tokio::test]
async fn user_data_runs_against_a_staged_folder() {
    let mut room = Room::process().await;
    room.boot(
        "i-1",
        "#!/bin/sh\nset -e\npwd\necho \"region $AWS_REGION\"\napt-get install -y ffmpeg\n\
         mkdir -p $DESTDIR/usr/local/bin\nprintf '#!/bin/sh\\necho tool of the image\\n' >$DESTDIR/usr/local/bin/tool\n\
         chmod +x $DESTDIR/usr/local/bin/tool\ntool\n\
         printf '#!/bin/sh\\ntool\\nshutdown -h now\\n' >$DESTDIR/etc/rc.local\nchmod +x $DESTDIR/etc/rc.local\n\
         systemctl daemon-reload\nsystemctl poweroff\nsleep 1000\n",
    )
    .await;
    assert_eq!(room.off().await, ("i-1".to_owned(), PowerOff::Guest));
    let console = room.console("i-1").await;
    for expected in [
        "nothing is isolated",
        "ec2/volumes/vol-1/upper",
        "region us-local-1",
        "skips: apt-get install -y ffmpeg",
        "skips: systemctl daemon-reload",
        "tool of the image",
    ] {
        assert!(
            console.contains(expected),
            "{expected:?} is missing:\n{console}"
        );
    }
    room.driver.freeze("vol-1", "snap-1").await.unwrap();
    room.driver
        .freeze("vol-never-booted", "snap-2")
        .await
        .unwrap();
    room.driver
        .boot(spec("i-2", &[BASE, "snap-1", "snap-2"], ""))
        .await
        .unwrap();
    assert_eq!(room.off().await, ("i-2".to_owned(), PowerOff::Guest));
    let console = room.console("i-2").await;
    assert!(
        console.contains("Running etc/rc.local\ntool of the image"),
        "{console}"
    );
    room.close().await;
}

/// However its processes have hidden themselves.
#[tokio::test]
async fn power_off_ends_all_processes() {
    let mut room = Room::process().await;
    let [a, b, c, d] = [(); 4].map(|()| unique_seconds());
    room.boot(
        "i-1",
        &format!(
            "#!/bin/bash\nsleep {a} &\nsetsid sleep {b} &\nsetsid -f env -i sleep {c}\n\
             (trap '' TERM; exec setsid sleep {d}) &\n(trap 'echo asked politely' TERM; sleep 1000) &\n\
             sleep 0.3\necho ready\nwait\n"
        ),
    )
    .await;
    room.shows("i-1", "ready").await;
    for seconds in [&a, &b, &c, &d] {
        assert!(lives(&format!("sleep\0{seconds}")));
    }
    room.driver.power_off("i-1").await.unwrap();
    assert_eq!(room.off().await.1, PowerOff::Requested);
    for seconds in [&a, &b, &c, &d] {
        assert!(!lives(&format!("sleep\0{seconds}")));
    }
    room.close().await;
}

#[tokio::test]
async fn reboot_halt_and_timed_shutdown() {
    let mut room = Room::process().await;
    room.boot(
        "i-1",
        "#!/bin/sh\nprintf '#!/bin/sh\\necho rc.local ran\\nhalt\\n' >etc/rc.local\nchmod +x etc/rc.local\n\
         shutdown -h +720\nshutdown -c\nshutdown x || echo refused\nreboot\n",
    )
    .await;
    let console = room.shows("i-1", "System halted").await;
    assert!(console.contains("Shutdown scheduled for"), "{console}");
    assert!(
        console.contains("refused") && console.contains("rc.local ran"),
        "{console}"
    );
    assert!(room.events.try_recv().is_err());
    room.driver.power_off("i-1").await.unwrap();
    assert_eq!(room.off().await.1, PowerOff::Requested);
    room.close().await;
}

/// The host's answer for what it has; the version that a program tells for what came otherwise.
#[tokio::test]
async fn packages_of_the_host_count_as_installed() {
    let mut room = Room::process().await;
    room.boot(
        "i-1",
        "#!/bin/sh\nprintf '#!/bin/sh\\necho ffmpeg version 7.1.2-x Copyright\\n' >usr/local/bin/made-up\n\
         chmod +x usr/local/bin/made-up\ndpkg-query -W -f='[${Package}=${Version}]\\n' made-up\npoweroff\n",
    )
    .await;
    room.off().await;
    let console = room.console("i-1").await;
    assert!(console.contains("[made-up=7.1.2-x]"), "{console}");
    room.close().await;
}

#[tokio::test]
async fn killing_the_server_kills_the_guests() {
    guests_die_with_the_server("sandbox::tests::process::server_to_kill").await;
}

/// Not a test: the server that the test above kills.
#[tokio::test]
#[ignore = "started by killing_the_server_kills_the_guests"]
async fn server_to_kill() {
    serve_until_killed(DriverChoice::Process).await;
}

#[tokio::test]
async fn packed_user_data_is_unpacked_here_too() {
    let mut room = Room::process().await;
    let script = "#!/bin/sh\necho was packed\npoweroff\n";
    room.driver.boot(packed_spec("i-1", script)).await.unwrap();
    assert_eq!(room.off().await, ("i-1".to_owned(), PowerOff::Guest));
    let console = room.console("i-1").await;
    assert!(console.contains("was packed"), "{console}");
    room.close().await;
}

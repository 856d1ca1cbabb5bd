use super::*;

/// What an image is: a frozen layer, under others' volumes.
#[tokio::test]
async fn a_frozen_layer_boots_and_deletions_stay() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot(
        "i-1",
        "#!/bin/sh\necho kept >/opt/file\nrm /etc/debian_version\nrm -r /etc/skel\nmkdir /etc/skel\n\
         echo new >/etc/skel/only\nuseradd -m someone\nsu someone -c 'echo his >~/file; chmod 700 ~'\npoweroff\n",
    )
    .await;
    room.off().await;
    let size = room.driver.freeze("vol-1", "snap-1").await.unwrap();
    assert!(size > 100, "{size} bytes");
    // Again, as after a crash.
    let again = room.driver.freeze("vol-1", "snap-1").await.unwrap();
    assert_eq!(size, again);

    let look = "#!/bin/sh\necho \"file $(cat /opt/file)\"\n[ -e /etc/debian_version ] || echo deleted\n\
        echo \"skel $(ls -A /etc/skel)\"\necho \"his $(cat /home/someone/file) $(stat -c %U /home/someone)\"\n\
        echo changed >/opt/file\nls /var/lib/cloud/instances\nshutdown -h now\n";
    for id in ["i-2", "i-3"] {
        room.driver
            .boot(spec(id, &[BASE, "snap-1"], look))
            .await
            .unwrap();
        room.off().await;
        let console = room.console(id).await;
        // The second sees nothing of what the first changed.
        for expected in ["file kept", "deleted", "skel only", "his his someone", id] {
            assert!(
                console.contains(expected),
                "{expected:?} is missing:\n{console}"
            );
        }
    }
    // The builder's own volume goes on over its snapshot.
    let mut next = spec("i-1", &[BASE, "snap-1"], look);
    next.first_boot = false;
    room.driver.boot(next).await.unwrap();
    room.driver.power_off("i-1").await.unwrap();
    room.off().await;

    room.driver.delete_volume("vol-2").await.unwrap();
    room.driver.delete_volume("vol-2").await.unwrap();
    room.driver.delete_snapshot("snap-1").await.unwrap();
    assert!(!room.dir.join("ec2/snapshots/snap-1").exists());
    // The base root is the cache's.
    room.driver.delete_snapshot(BASE).await.unwrap();
    let (progress, _told) = mpsc::unbounded_channel();
    room.driver.ensure_base(BASE, progress).await.unwrap();
    room.boot("i-4", "#!/bin/sh\npoweroff\n").await;
    room.off().await;
    room.close().await;
}

#[tokio::test]
async fn a_volume_in_use_is_neither_frozen_nor_deleted() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    room.boot("i-1", "").await;
    for error in [
        room.driver.freeze("vol-1", "snap-1").await.unwrap_err(),
        room.driver.delete_volume("vol-1").await.unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .contains("in use by the running instance i-1"),
            "{error}"
        );
    }
    room.driver.power_off("i-1").await.unwrap();
    room.off().await;
    room.driver.freeze("vol-1", "snap-1").await.unwrap();
    // Never booted: an empty layer.
    room.driver.freeze("vol-9", "snap-9").await.unwrap();
    room.driver
        .boot(spec(
            "i-2",
            &[BASE, "snap-1", "snap-9"],
            "#!/bin/sh\npoweroff\n",
        ))
        .await
        .unwrap();
    room.off().await;
    room.close().await;
}

/// The kernel takes a page of mount options; names of layers must not fill it.
#[tokio::test]
async fn a_chain_of_a_hundred_layers_boots() {
    let Some(mut room) = Room::sandbox().await else {
        return;
    };
    let names: Vec<String> = (0..100)
        .map(|number| format!("snap-0123456789abcde{number:02}"))
        .collect();
    let mut chain = vec![BASE];
    for name in &names {
        room.driver.freeze("vol-0", name).await.unwrap();
        chain.push(name);
    }
    room.driver
        .boot(spec("i-1", &chain, "#!/bin/sh\npoweroff\n"))
        .await
        .unwrap();
    assert_eq!(room.off().await.1, PowerOff::Guest);
    room.close().await;
}

#[tokio::test]
async fn a_folder_is_bound_to_the_driver_of_its_layers() {
    let mut room = Room::process().await;
    room.boot("i-1", "#!/bin/sh\npoweroff\n").await;
    room.off().await;
    let (sender, _events) = mpsc::unbounded_channel();
    let error = choose(
        DriverChoice::Sandbox,
        &room.dir,
        &cache_dir(),
        sender.clone(),
    )
    .await;
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("`process`") && error.contains("muck local reset"),
        "{error}"
    );
    let (driver, why) = choose(DriverChoice::Auto, &room.dir, &cache_dir(), sender.clone())
        .await
        .unwrap();
    assert_eq!(driver.name(), "process", "{why}");
    // A base image alone binds nothing: any driver can make it.
    room.driver.delete_volume("vol-1").await.unwrap();
    if let Ok((driver, _)) = choose(DriverChoice::Sandbox, &room.dir, &cache_dir(), sender).await {
        let (progress, _told) = mpsc::unbounded_channel();
        driver.ensure_base("snap-other", progress).await.unwrap();
    }
    room.close().await;
}

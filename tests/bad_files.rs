//! Files that cannot be converted: each a failure with its reason, and the batch goes on.

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::media::probe;

#[test]
fn a_file_that_ffmpeg_cannot_read_fails_alone() {
    let world = World::without_booting();
    // A camera's header and then nothing that a decoder could use.
    let mut broken = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    broken.truncate(200);
    world.file("films/broken.avi", &broken);
    let good = std::fs::read(World::sample("MVI_3113.AVI")).expect("sample");
    world.file("films/trip/good one.avi", good);

    let ended = world
        .muck(&["run", "--local", "films", "-o", "out"])
        .exits(4);
    assert!(
        ended.stdout.contains("broken.avi"),
        "the table of failures names it: {ended:?}"
    );
    probe(&world.work().join("out/trip/good one.mp4"));
    assert!(!world.work().join("out/broken.mp4").exists());

    world.muck(&["plan", "--local"]).exits(3);
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn names_of_all_kinds_come_back_below_the_folder() {
    let world = World::without_booting();
    let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    // What memory sticks refuse becomes `_`; all else stays.
    let names = [
        ("-y.avi", "-y.mp4"),
        ("a%d.avi", "a%d.mp4"),
        ("quo'te \"$(reboot)`.avi", "quo'te _$(reboot)`.mp4"),
        ("überall.avi", "überall.mp4"),
        ("two.dots.AVI", "two.dots.mp4"),
    ];
    for (name, _) in names {
        world.file(&format!("films/{name}"), &clip);
    }
    let told = world
        .muck(&["run", "--local", "films", "-o", "out", "--json"])
        .exits(0)
        // One document, whatever was done.
        .json();
    assert_eq!(told["report"]["failures"], serde_json::json!([]), "{told}");
    assert_eq!(told["teardown"]["left"], serde_json::json!([]), "{told}");
    assert!(told["bill"].is_object(), "{told}");
    for (_, result) in names {
        let media = probe(&world.work().join("out").join(result));
        assert_eq!(media.video_codec, "h264", "{result}");
    }
}

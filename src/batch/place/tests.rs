use std::io::Write as _;

use super::*;

pub(super) fn put(folder: &Folder, wanted: &Wanted, content: &[u8]) -> String {
    let temporary = folder.temporary().expect("makes");
    (&*temporary.file).write_all(content).expect("writes");
    temporary.publish(wanted).expect("publishes")
}

#[test]
fn results_are_named_after_their_originals() {
    let name = |original| named(stem(original), "mov").numbered(1).expect("the first");
    let poster = named(stem("MVI_3113.AVI"), "poster.jpg");
    assert_eq!(
        poster.numbered(2).as_deref(),
        Some("MVI_3113 (2).poster.jpg")
    );
    assert_eq!(
        exactly("360p.m3u8").numbered(1).as_deref(),
        Some("360p.m3u8")
    );
    assert_eq!(exactly("360p.m3u8").numbered(2), None);
    // Names without a dot, and one that looks like such a name with something in its place.
    for exact in ["init", "init._", "a.b.c", "a."] {
        assert_eq!(exactly(exact).numbered(1).as_deref(), Some(exact));
    }
    assert_eq!(name("MVI_3113.AVI"), "MVI_3113.mov");
    assert_eq!(name("two.dots.avi"), "two.dots.mov");
    assert_eq!(name("none"), "none.mov");
    assert_eq!(name("Größe 東京.avi"), "Größe 東京.mov");
    assert_eq!(name("-rf.avi"), "-rf.mov");
    assert_eq!(name("../../etc/passwd"), "passwd.mov");
    assert_eq!(name("C:\\dir\\x.avi"), "x.mov");
    assert_eq!(name(".bashrc"), "_bashrc.mov");
    assert_eq!(name("..avi"), "_.avi.mov");
    assert_eq!(name(""), "_.mov");
    assert_eq!(name("a\x1b[31m\u{202e}b.avi"), "a_[31m_b.mov");
    assert_eq!(name("trailing . .avi"), "trailing.mov");
    assert_eq!(name("con.avi"), "_con.mov");
    assert_eq!(name("Lpt1.1.avi"), "_Lpt1.1.mov");
    assert_eq!(name("console.avi"), "console.mov");
    let csv = |original| named(stem(original), "csv").numbered(1).expect("the first");
    assert_eq!(csv("log.avi"), "_log.csv");
    assert_eq!(csv("LOG (2).avi"), "_LOG (2).csv");
    assert_eq!(csv("blog.avi"), "blog.csv");
    assert_eq!(name("log.avi"), "log.mov");
}

#[test]
fn sub_folders_are_kept_and_never_lead_out() {
    assert_eq!(folder_parts("trip/day 1"), ["trip", "day 1"]);
    assert_eq!(folder_parts("/abs//./x/"), ["abs", "x"]);
    assert_eq!(folder_parts("../..\\.ssh"), ["_", "_", "_ssh"]);
    assert_eq!(folder_parts(&"a/".repeat(1000)).len(), DEEPEST);
    let long = folder_parts(&format!("{}/", "ä".repeat(500)).repeat(32));
    assert_eq!(long.len(), 11);
    assert_eq!(folder_parts("trip/nul/x"), ["trip", "_nul", "x"]);
}

#[test]
fn no_file_is_written_over() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (folder, _) = Folder::open(dir.path()).expect("opens");
    std::fs::write(dir.path().join("a.mov"), "mine").expect("writes");
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("a (2).mov")).expect("links");
    let wanted = named(stem("a.avi"), "mov");
    assert_eq!(put(&folder, &wanted, b"one"), "a (3).mov");
    assert_eq!(put(&folder, &wanted, b"two"), "a (4).mov");
    assert_eq!(
        std::fs::read(dir.path().join("a.mov")).expect("reads"),
        b"mine"
    );
    assert_eq!(
        std::fs::read(dir.path().join("a (3).mov")).expect("reads"),
        b"one"
    );
    let found = folder.find(&wanted, |file| Ok(io::read_to_string(file)? == "two"));
    assert_eq!(found.expect("looks").as_deref(), Some("a (4).mov"));
    let left = std::fs::read_dir(dir.path()).expect("lists").count();
    assert_eq!(left, 4, "no temporary file is left");
}

#[test]
fn the_way_without_links_does_not_write_over_either() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (folder, _) = Folder::open(dir.path()).expect("opens");
    std::fs::write(dir.path().join("a.mov"), "mine").expect("writes");
    let mut temporary = folder.temporary().expect("makes");
    assert!(!temporary.rename_over_own("a.mov").expect("tries"));
    assert!(temporary.rename_over_own("b.mov").expect("renames"));
    temporary.published = true;
    drop(temporary);
    assert_eq!(
        std::fs::read(dir.path().join("a.mov")).expect("reads"),
        b"mine"
    );
    assert!(dir.path().join("b.mov").exists());
}

#[test]
fn links_in_the_way_are_not_followed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let outside = tempfile::tempdir().expect("temp dir");
    std::os::unix::fs::symlink(outside.path(), dir.path().join("trip")).expect("links");
    std::fs::write(dir.path().join("trip (2)"), "a file").expect("writes");
    let (folder, _) = Folder::open(dir.path()).expect("opens");
    let sub = folder.sub(&["trip".into(), "day".into()]).expect("enters");
    assert_eq!(
        put(&sub, &named(stem("a.avi"), "mov"), b"x"),
        "trip (3)/day/a.mov"
    );
    assert_eq!(std::fs::read_dir(outside.path()).expect("lists").count(), 0);
}

#[test]
fn a_link_to_the_same_content_is_no_result() {
    let dir = tempfile::tempdir().expect("temp dir");
    let outside = dir.path().join("elsewhere");
    std::fs::write(&outside, "x").expect("writes");
    let (folder, _) = Folder::open(&dir.path().join("out")).expect("opens");
    std::os::unix::fs::symlink(&outside, dir.path().join("out/a.mov")).expect("links");
    let wanted = named(stem("a.avi"), "mov");
    let known = folder.find(&wanted, |_| Ok(true)).expect("looks");
    assert_eq!(known, None);
    assert_eq!(put(&folder, &wanted, b"x"), "a (2).mov");
}

#[test]
fn a_result_that_is_a_folder_is_put_where_all_its_files_can_be() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (folder, _) = Folder::open(dir.path()).expect("opens");
    let wanted = named(stem("a.avi"), "hls");
    let one = exactly("master.m3u8");
    let suits = |content: &'static str| {
        let one = one.clone();
        move |folder: &Folder| {
            folder.has_room_for(&one, |file| Ok(io::read_to_string(file)? == content))
        }
    };
    let first = folder.of_result(&wanted, suits("x")).expect("opens");
    assert_eq!(first.below(), "a.hls");
    put(&first, &one, b"x");
    // The same content belongs there, another doesn't.
    let again = folder.of_result(&wanted, suits("x")).expect("opens");
    assert_eq!(again.below(), "a.hls");
    std::fs::write(dir.path().join("a (2).hls"), "a file").expect("writes");
    let other = folder.of_result(&wanted, suits("y")).expect("opens");
    assert_eq!(other.below(), "a (3).hls");
    let taken = first.temporary().expect("makes");
    let error = taken.publish(&one).expect_err("is taken");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn an_unfinished_file_goes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (folder, _) = Folder::open(dir.path()).expect("opens");
    drop(folder.temporary().expect("makes"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
}

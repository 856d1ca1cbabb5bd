use super::*;

#[test]
fn the_builtin_presets_are_well_formed() {
    let presets = Presets::builtin();
    assert_eq!(
        presets.names().collect::<Vec<_>>(),
        [
            "ipod",
            "web",
            "web-1080p",
            "hevc",
            "av1",
            "hls",
            "audio",
            "gif",
            "thumbnails",
            "remux"
        ]
    );
    let ipod = &presets.get(DEFAULT).expect("the default exists").outputs[0];
    assert_eq!(ipod.mime, "video/quicktime");
    assert_eq!(ipod.expect.size, Some(Size::Fit(320, 240)));
    assert_eq!(ipod.expect.rate, Some(Rate::Exact(30_000, 1001)));
    let web = &presets.get("web").expect("exists").outputs[0];
    assert_eq!(
        (web.expect.size, web.expect.rate),
        (Some(Size::Even), Some(Rate::Source))
    );
    assert!(presets.get("../etc/passwd").is_none());
}

#[test]
fn digests_tell_what_is_made_apart_and_nothing_else() {
    let presets = Presets::builtin();
    let (ipod, web) = (presets.get("ipod").unwrap(), presets.get("web").unwrap());
    assert_eq!(ipod.digest().len(), 64);
    assert_ne!(ipod.digest(), web.digest());
    let mut other = ipod.clone();
    other.name = "other".to_owned();
    other.description = "other words".to_owned();
    assert_eq!(other.digest(), ipod.digest());
    let change = |change: &dyn Fn(&mut Preset)| {
        let mut other = ipod.clone();
        change(&mut other);
        assert_ne!(other.digest(), ipod.digest());
    };
    change(&|p| p.threads = 2);
    change(&|p| p.outputs[0].mime = "video/mp4".to_owned());
    change(&|p| p.outputs[0].expect.rate = Some(Rate::Source));
    change(&|p| p.outputs[0].args[1] = "0:V:1".to_owned());
}

#[test]
fn encoders_are_named() {
    let encoders = |name: &str| {
        let preset = Presets::builtin().get(name).expect("exists");
        preset.encoders().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(encoders("av1"), ["libsvtav1", "aac", "mov_text"]);
    assert_eq!(encoders("thumbnails"), ["mjpeg", "mjpeg"]);
    assert!(encoders("remux").is_empty());
}

fn with(from: &str, to: &str) -> Result<Presets, PresetError> {
    let text = include_str!("../../presets.toml");
    assert!(text.contains(from), "{from}");
    Presets::parse(&text.replacen(from, to, 1))
}

#[test]
fn faults_are_refused() {
    assert!(matches!(
        with("name = \"web\"", "name = \"ipod\""),
        Err(PresetError::Duplicate(_))
    ));
    for (from, to) in [
        (
            "mime = \"video/mp4\"",
            "mime = \"video/mp4\"\ncommand = \"rm\"",
        ),
        ("size = { fit = [320, 240] }", "size = { fit = [0, 240] }"),
        ("color = \"sdr\"", "color = \"red\""),
        ("size = \"even\"", "size = \"odd\""),
        (
            "size = { width = 1280 }",
            "size = { width = 1280, height = 3 }",
        ),
        ("rate = \"source\"", "rate = \"1/0\""),
        ("threads = 1", "threads = -1"),
        ("segment_seconds = 6", "segments = 6"),
    ] {
        assert!(matches!(with(from, to), Err(PresetError::Form(_))), "{to}");
    }
    for (from, to) in [
        ("name = \"web\"", "name = \"Web page\""),
        ("name = \"web\"", "name = \"-y\""),
        ("extension = \"mp4\"", "extension = \"../x\""),
        ("suffix = \"poster\"", "suffix = \"a/b\""),
        ("mime = \"video/mp4\"", "mime = \"a,b;c\""),
        ("mime = \"video/mp4\"", "mime = \"text/html\""),
    ] {
        assert!(
            matches!(with(from, to), Err(PresetError::Field { .. })),
            "{to}"
        );
    }
    for (from, to) in [
        ("threads = 1", "threads = 17"),
        ("suffix = \"poster\"\n", ""),
        ("suffix = \"poster\"", "suffix = \"sheet\""),
        // The extension would choose the format.
        ("    \"-f\", \"mp4\",\n", ""),
        ("alternatives = true", "alternatives = false"),
        ("rate = \"source\"\n", ""),
        // Read as what it says, a list of other files.
        ("container = \"mjpeg\"", "container = \"concat\""),
        ("pictures = 1", "rate = \"source\"\npictures = 1"),
        ("segment_seconds = 6", "segment_seconds = 0"),
        ("{ height = 720,", "{ height = 1080,"),
        ("{ height = 720,", "{ height = 721,"),
    ] {
        assert!(
            matches!(with(from, to), Err(PresetError::Rule { .. })),
            "{to}: {:?}",
            with(from, to).err()
        );
    }
    assert!(matches!(
        with("\"-f\", \"mp4\"", "\"-f\", \"tee\""),
        Err(PresetError::Argument { .. })
    ));
}

#[test]
fn own_presets_join_the_builtin_ones_under_other_names() {
    let mut own = Presets::builtin().get("web").expect("exists").clone();
    assert!(matches!(
        Presets::with(std::slice::from_ref(&own)),
        Err(PresetError::Builtin(_))
    ));
    own.name = "small".to_owned();
    let all = Presets::with(&[own.clone()]).expect("is right");
    assert_eq!(all.names().last(), Some("small"));
    assert!(matches!(
        Presets::with(&[own.clone(), own.clone()]),
        Err(PresetError::Duplicate(_))
    ));
    own.outputs[0].args.push("out.mp4".to_owned());
    assert!(matches!(
        Presets::with(&[own]),
        Err(PresetError::Argument { .. })
    ));
}

//! Makes the hostile files: with ffmpeg where it can be brought to it, else byte by byte. The same bytes each time, but
//! for the path, the port and what ffmpeg's version does.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::bytes;

/// What files are made to reach.
pub struct Bait<'a> {
    /// A file outside of the jail.
    pub secret: &'a Path,
    /// A port of loopback on which somebody listens.
    pub port: u16,
}

/// A small right film to start from.
const PICTURES: [&str; 4] = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=15"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=sample_rate=11025"];
const CAMERA: [&str; 6] = ["-c:v", "mjpeg", "-q:v", "5", "-c:a", "pcm_u8"];

/// Writes all of them into `folder`, each under its name in `files.toml`.
pub fn make(folder: &Path, bait: &Bait<'_>) {
    let corpus = Corpus {
        folder: folder.to_owned(),
    };
    corpus.broken();
    corpus.cut();
    corpus.flipped();
    corpus.without_video();
    corpus.encrypted();
    corpus.playlists(bait);
    corpus.references(bait);
    corpus.bombs();
    corpus.long();
    corpus.names();
}

/// A film that any of the playlists can name, with a text in it that is found again.
pub fn readable_bait(path: &Path, marker: &str) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(PICTURES)
        .args(["-t", "1", "-c:v", "mpeg2video", "-f", "mpegts", "-metadata"])
        .arg(format!("service_name={marker}"))
        .arg(path)
        .status();
    assert!(status.expect("ffmpeg runs").success());
}

/// Whether ffmpeg, told to trust it, gets pictures out of a file.
pub fn can_be_read(path: &Path, options: &[&str]) -> bool {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(options)
        .arg("-i")
        .arg(path)
        .args(["-f", "null", "-"])
        .output();
    let output = output.expect("ffmpeg runs");
    output.status.success() && output.stderr.is_empty()
}

struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.join(name), content).expect("written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).expect("was made")
    }

    fn take(&self, name: &str) -> Vec<u8> {
        let content = self.read(name);
        std::fs::remove_file(self.folder.join(name)).expect("removed");
        content
    }

    /// Runs ffmpeg; the output has this name.
    fn ffmpeg(&self, name: &str, args: &[&str]) {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-bitexact"])
            .args(args)
            .arg(format!("file:{}", self.folder.join(name).display()))
            .output()
            .expect("ffmpeg is installed by `make test`");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {words}");
    }

    /// A film of some seconds with sound.
    fn film(&self, name: &str, seconds: &str, options: &[&str]) {
        let args = [&PICTURES[..], &SOUND, &["-t", seconds], options].concat();
        self.ffmpeg(name, &args);
    }

    /// A film of some seconds without.
    fn silent(&self, name: &str, seconds: &str, options: &[&str]) {
        let args = [&PICTURES[..], &["-t", seconds], options].concat();
        self.ffmpeg(name, &args);
    }

    fn broken(&self) {
        self.write("empty.avi", "");
        self.write("one-byte.avi", "R");
        self.write("noise.avi", bytes::noise(1, 1 << 20));
        self.write("zeros.avi", vec![0; 1 << 20]);
        // A right beginning, then noise.
        self.film("header-then-noise.avi", "4", &CAMERA);
        let mut film = self.read("header-then-noise.avi");
        film.truncate(6000);
        film.extend(bytes::noise(2, 200_000));
        self.write("header-then-noise.avi", film);
    }

    fn cut(&self) {
        let x264 = ["-c:v", "libx264", "-g", "15", "-c:a", "aac"];
        let kinds: [(&str, Vec<&str>); 9] = [
            ("cut.avi", CAMERA.to_vec()),
            ("cut.mkv", x264.to_vec()),
            ("cut-live.mkv", [&x264[..], &["-live", "1"]].concat()),
            ("cut.ts", x264.to_vec()),
            ("cut-index-last.mp4", x264.to_vec()),
            (
                "cut-index-first.mp4",
                [&x264[..], &["-movflags", "+faststart"]].concat(),
            ),
            (
                "cut-fragments.mp4",
                [&x264[..], &["-movflags", "+frag_keyframe+empty_moov"]].concat(),
            ),
            (
                "cut.flv",
                vec!["-c:v", "flv", "-c:a", "aac", "-ar", "44100"],
            ),
            ("cut.webm", vec!["-c:v", "libvpx", "-c:a", "libvorbis"]),
        ];
        for (name, options) in kinds {
            self.film(name, "6", &options);
            let film = self.read(name);
            // Odd, so not at the end of a packet of a transport stream.
            self.write(name, &film[..(film.len() / 2) | 1]);
        }
    }

    /// A bit in 200, 2,000 and 20,000 bytes, and headers only.
    fn flipped(&self) {
        for (kind, options) in [
            ("avi", &CAMERA[..]),
            ("mp4", &["-c:v", "libx264", "-c:a", "aac"]),
            ("mkv", &["-c:v", "mpeg4", "-c:a", "aac"]),
            ("ts", &["-c:v", "mpeg2video", "-c:a", "mp2", "-ar", "44100"]),
            ("flv", &["-c:v", "flv", "-c:a", "aac", "-ar", "44100"]),
        ] {
            self.film("whole", "4", &[options, &["-f", muxer(kind)]].concat());
            let film = self.take("whole");
            for every in [200, 2000, 20_000] {
                let name = format!("flipped-{every}.{kind}");
                self.write(&name, bytes::flipped(&film, every, 0..film.len()));
            }
            let head = 0..film.len().min(4000);
            self.write(
                &format!("flipped-head.{kind}"),
                bytes::flipped(&film, 50, head),
            );
        }
    }

    fn without_video(&self) {
        self.ffmpeg("tone.wav", &[&SOUND[..], &["-t", "2"]].concat());
        self.silent("picture.png", "1", &["-frames:v", "1"]);
        self.silent("picture.jpg", "1", &["-frames:v", "1"]);
        let picture = self.folder.join("picture.png");
        let picture = picture.to_str().expect("UTF-8");
        let cover = [
            "-i", picture, "-t", "2", "-map", "0", "-map", "1", "-c:v", "copy",
        ];
        let cover = [&cover[..], &["-disposition:v", "attached_pic"]].concat();
        self.ffmpeg("tone-with-cover.mp3", &[&SOUND[..], &cover].concat());
        self.write("text.avi", "hello, world\n".repeat(1000));
        self.write("document.pdf", "%PDF-1.4\n1 0 obj\n<< >>\nendobj\n");
        let text = "1\n00:00:00,000 --> 00:00:02,000\n<font face=\"/etc/passwd\">hello</font>\n";
        self.write("subtitles.srt", text);
        self.write("only-subtitles.mkv", "");
        let subtitles = self.folder.join("subtitles.srt");
        let subtitles = subtitles.to_str().expect("UTF-8");
        self.ffmpeg("only-subtitles.mkv", &["-i", subtitles, "-c:s", "ass"]);
    }

    fn encrypted(&self) {
        let cenc = [
            "-c:v",
            "libx264",
            "-c:a",
            "aac",
            "-encryption_scheme",
            "cenc-aes-ctr",
            "-encryption_key",
            "76a6c65c5ea762046bd749a2e632ccbb",
            "-encryption_kid",
            "a7e61c373e219033c21091fa607bf3b8",
        ];
        self.film("encrypted.mp4", "4", &cenc);
        // What gpg and the like make: nothing but noise behind a few bytes.
        let mut gpg = vec![0x8c, 0x0d, 0x04, 0x09, 0x03, 0x02];
        gpg.extend(bytes::noise(3, 100_000));
        self.write("encrypted.avi.gpg", gpg);
    }

    /// Texts that name other files and addresses, under the names of films.
    fn playlists(&self, bait: &Bait<'_>) {
        let secret = bait.secret.display();
        let web = format!("http://127.0.0.1:{}", bait.port);
        let hls =
            |lines: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{lines}\n#EXT-X-ENDLIST\n");
        let one = |address: &str| hls(&format!("#EXTINF:1,\n{address}"));
        self.write("hls-file.avi", one(&format!("file://{secret}")));
        self.write("hls-path.m3u8", one(&secret.to_string()));
        self.write("hls-http.avi", one(&format!("{web}/a.ts")));
        self.write("hls-concat.avi", one(&format!("concat:{secret}|{secret}")));
        let subfile = format!("subfile,,start,0,end,0,,:{secret}");
        self.write("hls-subfile.avi", one(&subfile));
        self.write(
            "hls-data.avi",
            one("data:video/mp4;base64,AAAAIGZ0eXBpc29t"),
        );
        self.write("hls-crypto.avi", one(&format!("crypto:{secret}")));
        let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{web}/key\"\n#EXTINF:1,\n{secret}");
        self.write("hls-key.mp4", hls(&key));
        let map = format!("#EXT-X-MAP:URI=\"{secret}\"\n#EXTINF:1,\n{secret}");
        self.write("hls-map.mp4", hls(&map));
        let ladder = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{web}/b.m3u8\n");
        self.write("hls-ladder.mov", ladder);
        let concat = |line: &str| format!("ffconcat version 1.0\n{line}\n");
        self.write("ffconcat.avi", concat(&format!("file '{secret}'")));
        self.write("ffconcat-http.avi", concat(&format!("file {web}/c.avi")));
        self.write("ffconcat-subfile.avi", concat(&format!("file '{subfile}'")));
        self.write("concat.txt", format!("file '{secret}'\n"));
        let dash = format!(
            "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" \
             bandwidth=\"1\"><BaseURL>{web}/d.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
        );
        self.write("dash.mp4", &dash);
        self.write(
            "dash.mpd",
            dash.replace(&format!("{web}/d.mp4"), &format!("file://{secret}")),
        );
        let cpl = format!(
            "<?xml version=\"1.0\"?>\n<CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\">\
             <Id>urn:uuid:0</Id><Asset>{secret}</Asset></CompositionPlaylist>\n"
        );
        self.write("imf.xml", cpl);
        self.write("edl.avi", format!("# mpv EDL v0\n{secret},0,1\n"));
        let sdp = format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\n",
            bait.port
        );
        self.write("session.sdp", sdp);
        self.write(
            "rtsp.mov",
            format!("RTSPtextrtsp://127.0.0.1:{}/x\r\n", bait.port),
        );
        self.write(
            "asx.wmv",
            format!("<asx version=\"3.0\"><entry><ref href=\"{web}/e.wmv\"/></entry></asx>\n"),
        );
        self.write(
            "playlist.pls",
            format!("[playlist]\nFile1={web}/f.avi\nNumberOfEntries=1\n"),
        );
        let avisynth = format!("Import(\"{secret}\")\nAviSource(\"{secret}\")\n");
        self.write("avisynth.avs", avisynth);
        self.write("filter.avi", format!("movie={secret}\n"));
        self.write("metadata.avi", format!(";FFMETADATA1\ntitle={secret}\n"));
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"file://{secret}\"/></svg>\n"
        );
        self.write("picture.svg", svg);
    }

    /// Films that name other files.
    fn references(&self, bait: &Bait<'_>) {
        let secret = bait.secret.display().to_string();
        self.silent("elsewhere.mov", "2", &["-c:v", "mpeg4"]);
        let film = self.read("elsewhere.mov");
        self.write("elsewhere.mov", bytes::external_reference(&film, &secret));
        // A film with a subtitle stream that is a playlist (2016's way into servers that convert).
        self.silent("frame.jpg", "1", &["-frames:v", "1"]);
        let picture = self.take("frame.jpg");
        let playlist = format!(
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nfile://{secret}\n#EXT-X-ENDLIST\n"
        );
        self.write(
            "subtitle-playlist.avi",
            bytes::avi_with_subtitle(&picture, playlist.as_bytes()),
        );
        // Fonts, and subtitles that ask for them: both stay outside of our outputs.
        self.write("font.ttf", bytes::noise(4, 50_000));
        let ass = format!(
            "[Script Info]\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,{secret}\n[Events]\n\
             Format: Start, End, Text\nDialogue: 0:00:00.00,0:00:02.00,{{\\fn{secret}}}hello\n"
        );
        self.write("styled.ass", ass);
        let font = self.folder.join("font.ttf");
        let styled = self.folder.join("styled.ass");
        let (font, styled) = (
            font.to_str().expect("UTF-8"),
            styled.to_str().expect("UTF-8"),
        );
        let options = [
            "-i",
            styled,
            "-t",
            "2",
            "-map",
            "0",
            "-map",
            "1",
            "-c:v",
            "mpeg4",
            "-c:s",
            "copy",
            "-attach",
            font,
            "-metadata:s:t",
            "mimetype=application/x-truetype-font",
        ];
        self.ffmpeg("fonts.mkv", &[&PICTURES[..], &options].concat());
        for made in ["font.ttf", "styled.ass"] {
            self.take(made);
        }
    }

    fn bombs(&self) {
        // Pixels: a header's claim, and true ones, a black picture of 256 million in some kB.
        self.write(
            "pixels.y4m",
            "YUV4MPEG2 W100000 H100000 F25:1 Ip A1:1 C420\nFRAME\n",
        );
        let black = [
            "-f",
            "lavfi",
            "-i",
            "color=size=16000x16000:rate=1",
            "-frames:v",
            "1",
        ];
        self.ffmpeg(
            "pixels.mov",
            &[&black[..], &["-pix_fmt", "gray", "-c:v", "png"]].concat(),
        );
        self.write("pixels.gif", bytes::gif(65_535, 65_535));
        self.film("pixels.avi", "2", &CAMERA);
        let film = bytes::avi_with_size(&self.read("pixels.avi"), 60_000, 60_000);
        self.write("pixels.avi", film);
        // Time: two pictures a hundred hours apart, and a length that is a lie.
        let gap = "select=lt(n\\,2),setpts=N*360000/TB";
        let pictures = [
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=160x120:rate=15:duration=1",
        ];
        let options = ["-vf", gap, "-fps_mode", "passthrough", "-c:v", "mjpeg"];
        self.ffmpeg("gap.mkv", &[&pictures[..], &options].concat());
        self.silent(
            "long.mp4",
            "2",
            &["-c:v", "mpeg4", "-movflags", "+faststart"],
        );
        let film = bytes::mov_with_duration(&self.read("long.mp4"), 0x7fff_ffff);
        self.write("long.mp4", film);
        // Streams.
        let many: Vec<&str> = (0..120).flat_map(|_| ["-map", "1"]).collect();
        let options = ["-t", "1", "-map", "0", "-c:v", "mpeg4", "-c:a", "pcm_u8"];
        self.ffmpeg(
            "streams.mkv",
            &[&PICTURES[..], &SOUND, &options, &many].concat(),
        );
        // Frame rate: a million a second.
        self.silent("rate.avi", "2", &["-c:v", "mjpeg"]);
        let film = bytes::avi_with_rate(&self.read("rate.avi"), 1, 1_000_000);
        self.write("rate.avi", film);
        self.write("rate.y4m", bytes::y4m(16, 16, "1000000000:1", 2000));
        self.write("slow.y4m", bytes::y4m(16, 16, "1:1000000", 20));
        // Attachments.
        for number in 0..20 {
            self.write(
                &format!("attached-{number}"),
                bytes::noise(10 + number, 500_000),
            );
        }
        let files: Vec<String> = (0..20)
            .map(|number| {
                self.folder
                    .join(format!("attached-{number}"))
                    .display()
                    .to_string()
            })
            .collect();
        let attach: Vec<&str> = files.iter().flat_map(|file| ["-attach", file]).collect();
        let options = [
            &["-t", "2", "-c:v", "mpeg4"],
            &attach[..],
            &["-metadata:s:t", "mimetype=application/octet-stream"],
        ]
        .concat();
        self.ffmpeg("attachments.mkv", &[&PICTURES[..], &options].concat());
        for number in 0..20 {
            self.take(&format!("attached-{number}"));
        }
        // Tables of sixty million samples in some bytes, and a packed header that says it is 2 GiB.
        self.silent(
            "samples.mov",
            "2",
            &[
                "-c:v",
                "mpeg4",
                "-movflags",
                "+faststart",
                "-use_editlist",
                "0",
            ],
        );
        let film = bytes::mov_with_samples(&self.read("samples.mov"), 60_000_000);
        self.write("samples.mov", film);
        self.write("packed.mov", bytes::mov_with_packed_header(0x7fff_ffff));
    }

    /// Streams that hardly end.
    fn long(&self) {
        // 15 days of pictures of four pixels, one a second.
        self.write("endless.y4m", bytes::y4m(2, 2, "1:1", 1_300_000));
        // Empty packets without end of a transport stream.
        self.write("endless.ts", bytes::empty_transport_packets(100_000));
        // Whatever comes after a right film, for 20 MB.
        self.film(
            "tail.ts",
            "2",
            &["-c:v", "mpeg2video", "-c:a", "mp2", "-ar", "44100"],
        );
        let mut film = self.read("tail.ts");
        film.extend(bytes::empty_transport_packets(100_000));
        self.write("tail.ts", film);
    }

    /// Right films under names that somebody could take for something else.
    fn names(&self) {
        for (number, name) in [
            "-y.avi",
            "a%d.avi",
            "new\nline.avi",
            "http:host.avi",
            "file:input.avi",
            "|id.avi",
            "a;reboot.avi",
            "quo'te$(reboot)`id`.avi",
        ]
        .iter()
        .enumerate()
        {
            let title = format!("title={number}");
            self.film(name, "2", &[&CAMERA[..], &["-metadata", &title]].concat());
        }
    }
}

fn muxer(kind: &str) -> &str {
    match kind {
        "mkv" => "matroska",
        "ts" => "mpegts",
        other => other,
    }
}

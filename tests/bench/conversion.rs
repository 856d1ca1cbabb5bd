//! The worker against the same ffmpeg commands under `xargs -P` on local files.
//!
//! The worker fetches each clip from S3, looks at it, converts it in a jail, decodes the output to check it, stores it and
//! tells it. xargs does nothing but convert; and in a third way it decodes what it made, as the worker does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muck_worker::ffmpeg::INPUT_NAME;

use super::{RUNS, Way, table, timed};
use crate::harness::sweep::{keep_table, number, tell};
use crate::harness::yard::{Worker, Yard};

/// What cameras of the article's time wrote, as long as a scene is.
const SIZE: (u32, u32) = (640, 480);
const RATE: u32 = 30;
const SECONDS: u32 = 30;
/// So many that starting and the last one's end weigh little.
const CLIPS: u64 = 12;
/// From cheap to dear, and which part of the clips they convert.
const PRESETS: [(&str, usize); 3] = [("ipod", 1), ("web", 2), ("hevc", 3)];
/// Over the same commands alone.
const MOST: f64 = 1.05;
/// How the worker decodes an output.
const DECODE: &str = "ffmpeg -hide_banner -nostdin -nostats -v error -xerror -threads 1 -skip_loop_filter all \
    -i \"$(echo output.*)\" -map '0:v?' -map '0:a?' -fps_mode passthrough -f null -";
const LIMIT: Duration = Duration::from_mins(30);

#[test]
#[ignore = "takes many minutes: run it by `make bench`"]
fn a_worker_takes_little_more_than_ffmpeg_alone() {
    let beside = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = tempfile::tempdir().expect("a folder");
    let all: Vec<PathBuf> = (0..number("CLIPS").unwrap_or(CLIPS))
        .map(|index| clip(folder.path(), index))
        .collect();
    let mut tables = Vec::new();
    let mut slow = Vec::new();
    for (preset, part) in PRESETS {
        let clips = linked(
            &all[..all.len().div_ceil(part)],
            &folder.path().join(preset),
        );
        let arguments = arguments(preset, &clips[0]);
        let mut alone = Way::new(format!("xargs -P {beside} ffmpeg"));
        let mut checked = Way::new("… and decode the output");
        let mut worker = Way::new(format!("muck-worker --slots {beside}"));
        for run in 1..=RUNS {
            alone.add(timed(|| run_alone(&clips, &arguments, "true", beside)));
            checked.add(timed(|| run_alone(&clips, &arguments, DECODE, beside)));
            worker.add(convert_by_worker(&clips, preset, beside));
            tell(format!(
                "{preset} {run}: {:?} {:?} {:?}",
                alone.runs, checked.runs, worker.runs
            ));
        }
        let title = format!(
            "{preset}: {} clips of {SECONDS} s, {}x{} at {RATE}/s, MJPEG and PCM, on {beside} cores",
            clips.len(),
            SIZE.0,
            SIZE.1
        );
        tables.push(table(&title, &[&alone, &checked, &worker], &alone));
        let ratio = worker.median() / alone.median();
        if ratio > MOST {
            slow.push(format!("{preset}: x {ratio:.3}"));
        }
    }
    keep_table("bench-conversion.txt", &tables.join("\n"));
    assert!(slow.is_empty(), "over x {MOST}: {slow:?}");
}

/// Moving pictures with some noise, as of a camera, and a tone of its own.
fn clip(folder: &Path, index: u64) -> PathBuf {
    let path = folder.join(format!("{index}")).join(INPUT_NAME);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes it");
    let (width, height) = SIZE;
    let pictures = format!(
        "testsrc2=size={width}x{height}:rate={RATE}:duration={SECONDS},noise=alls=6:allf=t:all_seed={index}"
    );
    let tone = format!(
        "sine=frequency={}:sample_rate=11025:duration={SECONDS}",
        300 + index
    );
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            &pictures,
        ])
        .args(["-f", "lavfi", "-i", &tone])
        .args(["-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-q:v", "6"])
        .args(["-c:a", "pcm_u8", "-f", "avi"])
        .arg(&path)
        .status()
        .expect("ffmpeg starts");
    assert!(status.success());
    path
}

/// The same clips in folders of their own below `folder`: an output of another preset may bear another name.
fn linked(clips: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
    let link = |(index, clip): (usize, &PathBuf)| {
        let path = folder.join(index.to_string()).join(INPUT_NAME);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes it");
        std::fs::hard_link(clip, &path).expect("links");
        path
    };
    clips.iter().enumerate().map(link).collect()
}

/// What the worker gives ffmpeg for such a clip, as the kernel tells it.
fn arguments(preset: &str, clip: &Path) -> Vec<String> {
    let yard = Yard::open();
    yard.submit("one.avi", &std::fs::read(clip).expect("the clip"), preset);
    let worker = yard.start("seen", &["--slots", "1", "--hold", "90"]);
    let start = Instant::now();
    loop {
        let conversion = worker
            .conversions()
            .into_iter()
            .filter_map(|process| std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok())
            // Others only read.
            .find(|line| line.contains("-filter_threads"));
        if let Some(line) = conversion {
            let words = line.trim_end_matches('\0').split('\0').skip(1);
            return words.map(str::to_owned).collect();
        }
        assert!(start.elapsed() < LIMIT, "no conversion:\n{}", worker.said());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Converts each clip in its folder, and runs `then` there.
fn run_alone(clips: &[PathBuf], arguments: &[String], then: &str, beside: usize) {
    let quoted: Vec<String> = arguments
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    let script = format!(
        "cd \"$0\" && ffmpeg {} >progress && {then}",
        quoted.join(" ")
    );
    let mut xargs = Command::new("xargs")
        .args(["-P", &beside.to_string(), "-n", "1", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("xargs starts");
    let mut folders = xargs.stdin.take().expect("piped");
    for clip in clips {
        writeln!(folders, "{}", clip.parent().expect("a folder").display()).expect("xargs reads");
    }
    drop(folders);
    assert!(xargs.wait().expect("xargs ends").success());
}

/// From the worker's start until the queue is empty.
fn convert_by_worker(clips: &[PathBuf], preset: &str, beside: usize) -> Duration {
    let yard = Yard::open();
    for (index, clip) in clips.iter().enumerate() {
        let content = std::fs::read(clip).expect("the clip");
        yard.submit(&format!("{index}.avi"), &content, preset);
    }
    let start = Instant::now();
    let worker = yard.start("bench", &["--slots", &beside.to_string(), "--hold", "90"]);
    yard.wait_done(LIMIT, &worker);
    let took = start.elapsed();
    assert_all_converted(&yard, &worker, clips.len());
    took
}

fn assert_all_converted(yard: &Yard, worker: &Worker, count: usize) {
    let told = yard.drain("output");
    let converted = told
        .iter()
        .filter(|text| text.contains("Status: converted"))
        .count();
    assert_eq!(converted, count, "{}", worker.said());
}

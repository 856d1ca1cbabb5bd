//! The bake: a builder provisions itself, and its root volume becomes an image. Each step is an event with
//! its time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::builder::Made;
use super::console::Follower;
use super::recipe::Recipe;
use super::report::Report;
use super::script::{self, Transfers};
use super::worker_file::WorkerFile;
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::lifetime::{expiry_tag, whole_seconds};
use crate::names::{ResourceKind, TAG_RECIPE};
use crate::resources::image::{Image, NewImage};
use crate::resources::instance::{self, Instance};
use crate::resources::placement::{self, Place};
use crate::resources::run_instances::{LaunchSpec, OnPowerOff, client_token};
use crate::resources::{bake_objects, image, snapshot};

/// The builder powers itself off at its deadline; this much later we no longer believe that it will.
const BEYOND_DEADLINE: Duration = Duration::from_mins(3);
/// This long after its deadline any `muck` may remove the builder: when it has powered itself off, been
/// seen to, and its volume's snapshot has begun (EC2 needs the volume no longer).
const BEYOND_BAKE: Duration = Duration::from_mins(15);
/// Presigned URLs outlive every deadline by this, and are valid for an hour at least.
const URL_MARGIN: Duration = Duration::from_mins(15);
const URL_LEAST: Duration = Duration::from_hours(1);
/// Lines of console that an error shows when no report came.
const LAST_LINES: usize = 15;

/// Exit code of the script when a signal ended it (128 + SIGTERM).
const TOLD_TO_END: i32 = 143;

/// How to bake.
#[derive(Debug, Clone, Copy, Default)]
pub struct BakeOptions {
    /// Bake even if an image of this recipe is there.
    pub force: bool,
}

/// The image, and how it came to be.
#[derive(Debug, Clone, Serialize)]
pub struct Baked {
    pub image_id: String,
    pub name: String,
    /// Hex SHA-256; see [`Recipe::digest`].
    pub recipe: String,
    pub base_image_id: String,
    /// It was there already.
    pub reused: bool,
    pub seconds: f64,
    /// What the builder said; `None` if the image was there.
    pub report: Option<Report>,
}

impl Baked {
    /// For people: what is there now, and what is in it.
    pub fn text(&self) -> String {
        let Self { image_id, name, .. } = self;
        let Some(report) = &self.report else {
            return format!("Image {image_id} ({name}) is there already: nothing to bake");
        };
        let mut lines = vec![format!(
            "Image {image_id} ({name}) baked in {:.0} s",
            self.seconds
        )];
        let mut parts = vec![format!("{} packages", report.packages.len())];
        parts.extend(
            report
                .version_of("ffmpeg")
                .map(|version| format!("ffmpeg {version}")),
        );
        parts.push(format!("{} files made or changed", report.files.len()));
        parts.extend(
            report
                .root_kib
                .map(|kib| format!("{} MiB in all", kib / 1024)),
        );
        lines.push(format!("  {}", parts.join(", ")));
        lines.join("\n")
    }
}

/// Finds or makes the image of the current recipe. When `cancel` ends first, everything that the bake made is
/// removed and the error is of kind `Interrupted`.
///
/// # Errors
/// The first thing that failed. Failures to clean up after it are told as warnings.
pub async fn bake(
    cloud: &Cloud,
    options: BakeOptions,
    cancel: impl Future<Output = ()>,
) -> Result<Baked> {
    let made = Made::default();
    let outcome = tokio::select! {
        outcome = Box::pin(steps(cloud, options, &made)) => outcome,
        () = cancel => Err(Error::new(Kind::Interrupted, "the bake was interrupted")),
    };
    if outcome.is_err() && !made.is_nothing() {
        cloud.events.note("removing what the bake has made");
    }
    for failure in made.remove(cloud).await {
        cloud
            .events
            .warn(format!("{} (`muck down` will remove it)", failure.chain()));
    }
    outcome
}

/// The newest available image of the current recipe; makes nothing.
pub async fn find(cloud: &Cloud) -> Result<Option<Image>> {
    let recipe = Recipe::load(cloud.config.image.as_deref())?;
    let worker = WorkerFile::find(&cloud.config, &recipe.settings.architecture)?;
    let base = find_base(cloud, &recipe).await?;
    let digest = recipe.digest(&base.id, &worker)?;
    find_image(cloud, &digest).await
}

async fn find_base(cloud: &Cloud, recipe: &Recipe) -> Result<Image> {
    let settings = &recipe.settings;
    image::find_base(
        &cloud.aws,
        &settings.base.owner,
        &settings.base.name,
        &settings.architecture,
    )
    .await
}

async fn find_image(cloud: &Cloud, digest: &str) -> Result<Option<Image>> {
    let images = image::list_of_recipe(&cloud.aws, digest).await?;
    Ok(images.into_iter().find(Image::is_available))
}

/// What all steps need to know.
struct Bake<'a> {
    cloud: &'a Cloud,
    made: &'a Made,
    recipe: Recipe,
    worker: WorkerFile,
    base: Image,
    digest: String,
    /// Of image and snapshot.
    name: String,
    began: Timestamp,
}

async fn steps(cloud: &Cloud, options: BakeOptions, made: &Made) -> Result<Baked> {
    let clock = Instant::now();
    let events = &cloud.events;
    let recipe = Recipe::load(cloud.config.image.as_deref())?;
    let worker = WorkerFile::find(&cloud.config, &recipe.settings.architecture)?;
    let base = events
        .step("find the base image", find_base(cloud, &recipe))
        .await?;
    events.note(format!("  base image {} ({})", base.name, base.id));
    let digest = recipe.digest(&base.id, &worker)?;
    if !options.force
        && let Some(image) = find_image(cloud, &digest).await?
    {
        return Ok(Baked {
            image_id: image.id,
            name: image.name,
            recipe: digest,
            base_image_id: base.id,
            reused: true,
            seconds: clock.elapsed().as_secs_f64(),
            report: None,
        });
    }
    let began = Timestamp::now();
    let name = cloud
        .names
        .image(&digest, &began.strftime("%Y%m%dT%H%M%SZ").to_string());
    let this = Bake {
        cloud,
        made,
        recipe,
        worker,
        base,
        digest,
        name,
        began,
    };
    let (report, image) = Box::pin(this.run()).await?;
    Ok(Baked {
        image_id: image.id,
        name: image.name,
        recipe: this.digest,
        base_image_id: this.base.id,
        reused: false,
        seconds: clock.elapsed().as_secs_f64(),
        report: Some(report),
    })
}

impl Bake<'_> {
    async fn run(&self) -> Result<(Report, Image)> {
        let events = &self.cloud.events;
        let report_key = self.report_key();
        let transfers = events
            .step("upload the worker", Box::pin(self.hand_over(&report_key)))
            .await?;
        let script = script::provision(&self.recipe, &transfers)?;
        let builder = events
            .step("launch the builder", Box::pin(self.launch(&script)))
            .await?;
        let console = Mutex::new(Console::default());
        let stopped = events
            .step("provision", async {
                let limit = self.recipe.deadline + BEYOND_DEADLINE;
                let looked = instance::wait_stopped(&self.cloud.aws, &builder.id, limit, |_| {
                    self.follow_console(&builder.id, &console)
                });
                let outcome = looked.await;
                self.follow_console(&builder.id, &console).await;
                self.end_console(&builder.id, &console);
                outcome
            })
            .await
            .map_err(|error| {
                error.hint("a longer deadline can be set in image.toml (builder.deadline)")
            })?;
        let report = self.read_report(&report_key, &console).await?;
        report.check().map_err(|error| {
            if report.exit != TOLD_TO_END {
                return error;
            }
            error.hint(format!(
                "it was told to end, as the builder's power-off does at the deadline of {} min (builder.deadline in image.toml)",
                self.recipe.deadline.as_secs() / 60
            ))
        })?;
        let volume = stopped.root_volume.ok_or_else(|| {
            Error::failed(format!(
                "EC2 does not tell the root volume of {}",
                stopped.id
            ))
        })?;
        self.made.image(&self.name);
        let snapshot = events
            .step("take a snapshot", self.snapshot(&volume))
            .await?;
        let image = events
            .step("register the image", self.register(&snapshot))
            .await?;
        self.made.done();
        events
            .step("terminate the builder", self.terminate(&builder))
            .await;
        Ok((report, image))
    }

    /// Where in the input bucket the builder's report goes.
    fn report_key(&self) -> String {
        format!("bake/{}/report", self.name)
    }

    /// Uploads the worker and signs the builder's two URLs.
    async fn hand_over(&self, report_key: &str) -> Result<Transfers> {
        let aws = &self.cloud.aws;
        let bucket = self.cloud.names.input_bucket();
        let key = format!("worker/{}", self.worker.sha256);
        bake_objects::upload_once(aws, &bucket, &key, &self.worker.path, self.worker.bytes)
            .await
            .map_err(|error| {
                error.hint(format!(
                    "the stack must be up: muck up --stack {}",
                    self.cloud.names.stack
                ))
            })?;
        let valid = (self.recipe.deadline + URL_MARGIN).max(URL_LEAST);
        Ok(Transfers {
            worker_url: bake_objects::presign_get(aws, &bucket, &key, valid).await?,
            worker_sha256: self.worker.sha256.clone(),
            report_url: bake_objects::presign_put(aws, &bucket, report_key, valid).await?,
        })
    }

    async fn launch(&self, script: &str) -> Result<Instance> {
        let places = placement::places(self.cloud).await?;
        // The builder sends its report; from here on there may be one.
        self.made.report(&self.report_key());
        let reservation = placement::launch_first(self.cloud, &places, |place| {
            let spec = self.spec(script, place);
            self.made.token(&spec.token);
            spec
        })
        .await?;
        let builder = reservation.instances.into_iter().next().ok_or_else(|| {
            Error::failed("EC2 answered the launch of the builder without an instance")
        })?;
        self.made.instance(&builder.id);
        self.cloud.events.note(format!(
            "  builder {} ({})",
            builder.id, builder.instance_type
        ));
        Ok(builder)
    }

    fn spec(&self, script: &str, place: &Place) -> LaunchSpec {
        let names = &self.cloud.names;
        // From now, not from the bake's beginning: the upload before this may have taken its time.
        let expires = whole_seconds(Timestamp::now() + self.recipe.deadline + BEYOND_BAKE);
        let mut volume_tags = names.tags(ResourceKind::Volume);
        let mut tags = names.tags(ResourceKind::Builder);
        for tags in [&mut tags, &mut volume_tags] {
            tags.push((TAG_RECIPE.to_owned(), self.digest.clone()));
            tags.push(expiry_tag(expires));
        }
        tags.push(("Name".to_owned(), format!("muck {} builder", names.stack)));
        // The generation: a bake of its own each time, so that a token that EC2 still remembers does not
        // give back an earlier bake's builder.
        let generation = self.began.as_millisecond().to_string();
        LaunchSpec {
            image_id: self.base.id.clone(),
            instance_type: self.recipe.settings.builder.instance_type.clone(),
            min: 1,
            max: 1,
            subnet: place.subnet.clone(),
            security_groups: self.cloud.config.security_groups.clone(),
            profile: None,
            user_data: script.as_bytes().to_vec(),
            token: client_token(&[
                "bake",
                names.stack.as_str(),
                &self.digest,
                &generation,
                place.subnet.as_deref().unwrap_or_default(),
            ]),
            on_power_off: OnPowerOff::Stop,
            root_device: self.base.root_device.clone(),
            volume_size: Some(self.recipe.settings.volume.size),
            volume_type: self.recipe.settings.volume.kind.clone(),
            tags,
            volume_tags,
        }
    }

    /// Tells the console's new lines. A console that can't be read now may be at the next look.
    async fn follow_console(&self, id: &str, console: &Mutex<Console>) {
        match instance::console(&self.cloud.aws, id).await {
            Ok(text) => {
                let lines = lock(console).follower.new_lines(&text);
                self.tell(id, console, lines);
            }
            Err(cause) => tracing::debug!(%cause, id, "cannot read the console"),
        }
    }

    fn end_console(&self, id: &str, console: &Mutex<Console>) {
        let rest = lock(console).follower.rest();
        self.tell(id, console, rest.into_iter().collect());
    }

    fn tell(&self, id: &str, console: &Mutex<Console>, lines: Vec<String>) {
        let mut console = lock(console);
        for line in lines {
            if console.last.len() == LAST_LINES {
                console.last.pop_front();
            }
            console.last.push_back(line.clone());
            self.cloud.events.emit(Event::Console {
                instance: id.to_owned(),
                line,
            });
        }
    }

    async fn read_report(&self, key: &str, console: &Mutex<Console>) -> Result<Report> {
        let bucket = self.cloud.names.input_bucket();
        if let Some(text) = bake_objects::read_text(&self.cloud.aws, &bucket, key).await? {
            return Report::parse(&text);
        }
        let lines = indented(&lock(console).last);
        Err(Error::failed(format!(
            "the builder powered off without a report; its console's last lines:{lines}"
        ))
        .hint(format!(
            "it may not reach the network, or have run into its deadline of {} min (builder.deadline in image.toml)",
            self.recipe.deadline.as_secs() / 60
        )))
    }

    async fn snapshot(&self, volume: &str) -> Result<String> {
        let mut tags = self.cloud.names.tags(ResourceKind::Snapshot);
        tags.push((TAG_RECIPE.to_owned(), self.digest.clone()));
        // Until an image stands on it: then the sweep lets it be, whatever its tag says.
        tags.push(expiry_tag(self.cloud.lifetime().expires));
        let id = snapshot::create(&self.cloud.aws, volume, &self.name, &tags).await?;
        self.made.snapshot(&id);
        snapshot::wait_completed(&self.cloud.aws, &id, &self.cloud.events).await?;
        Ok(id)
    }

    async fn register(&self, snapshot: &str) -> Result<Image> {
        let mut tags = self.cloud.names.tags(ResourceKind::Image);
        tags.push((TAG_RECIPE.to_owned(), self.digest.clone()));
        let new = NewImage {
            name: self.name.clone(),
            description: format!(
                "Video converter on {} (muck {})",
                self.base.name,
                env!("CARGO_PKG_VERSION")
            ),
            snapshot: snapshot.to_owned(),
            base: self.base.clone(),
            volume_type: self.recipe.settings.volume.kind.clone(),
            tags,
        };
        image::register(&self.cloud.aws, &new).await
    }

    /// The image is done: a failure here is tried again by the clean-up, and told there. That the
    /// termination takes its time costs nothing, so nobody waits for it.
    async fn terminate(&self, builder: &Instance) {
        match instance::terminate(&self.cloud.aws, std::slice::from_ref(&builder.id)).await {
            Ok(()) => self.made.terminated(),
            Err(error) => {
                tracing::debug!(error = error.chain(), "the builder is left to the clean-up");
            }
        }
    }
}

/// Lines as they stand below a sentence.
pub(super) fn indented<'a>(lines: impl IntoIterator<Item = &'a String>) -> String {
    lines
        .into_iter()
        .fold(String::new(), |text, line| text + "\n    " + line)
}

/// What was told of the console.
#[derive(Default)]
struct Console {
    follower: Follower,
    last: VecDeque<String>,
}

fn lock(console: &Mutex<Console>) -> std::sync::MutexGuard<'_, Console> {
    console
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

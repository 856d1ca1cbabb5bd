//! The bake: a builder provisions itself, and its root volume becomes an image. Each step is an event with
//! its time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use muck_worker::text::quantity_of;
use serde::Serialize;

use super::base;
use super::builder::{Builder, Provisioned};
use super::lock::{self, ARCHIVE_DATE, Change, Lock, Locked};
use super::made::Made;
use super::papers;
use super::recipe::Recipe;
use super::report::Report;
use super::signing_window::signed;
use super::size::Size;
use super::worker_file::WorkerFile;
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::lifetime::expiry_tag;
use crate::names::{ResourceKind, TAG_MANIFEST, TAG_RECIPE, TAG_TOOL};
use crate::resources::image::{Image, NewImage};
use crate::resources::instance::{self, Instance};
use crate::resources::{image, snapshot};

/// The value of the tag `muck:tool`.
pub(super) const TOOL: &str = concat!("muck ", env!("CARGO_PKG_VERSION"));

/// From the builder's power-off to the registered image: a snapshot of some GB, and cleaning up.
const TO_AN_IMAGE: Duration = Duration::from_mins(15);

/// How to bake.
#[derive(Debug, Clone, Copy, Default)]
pub struct BakeOptions {
    /// Bake even if an image of this recipe is there.
    pub force: bool,
    /// Resolve everything anew and write the lock.
    pub update: bool,
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
    /// Hex SHA-256 of the manifest; `None` if the image was there.
    pub manifest: Option<String>,
    /// What an update changed in the lock; `None` if none was asked for.
    pub lock_changes: Option<Vec<Change>>,
}

impl Baked {
    /// For people: what is there now, and what is in it.
    pub fn text(&self) -> String {
        let Self { image_id, name, .. } = self;
        let mut lines = Vec::new();
        match &self.lock_changes {
            Some(changes) if changes.is_empty() => lines.push("The lock is as it was".to_owned()),
            Some(changes) => {
                lines.push(format!("{} changed:", lock::FILE_NAME));
                lines.extend(changes.iter().map(|change| format!("  {change}")));
            }
            None => {}
        }
        let Some(report) = self.report.as_ref().filter(|_| !self.reused) else {
            lines.push(format!(
                "Image {image_id} ({name}) is there already: nothing to bake"
            ));
            return lines.join("\n");
        };
        lines.push(format!(
            "Image {image_id} ({name}) baked in {:.0} s",
            self.seconds
        ));
        lines.extend(contents(report));
        lines.join("\n")
    }
}

/// What an image holds and how large that is: two or three lines for people.
pub fn contents(report: &Report) -> Vec<String> {
    let manifest = &report.manifest;
    let mut parts = vec![quantity_of(&manifest.packages, "package")];
    parts.extend(
        manifest
            .version_of("ffmpeg")
            .map(|version| format!("ffmpeg {version}")),
    );
    parts.push(format!(
        "{} created or changed",
        quantity_of(&manifest.files, "file")
    ));
    let mut lines = vec![format!("  {}", parts.join(", "))];
    lines.extend(
        Size::of(report)
            .lines()
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    lines
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
    cleaning_up(cloud, cancel, async |made| {
        Box::pin(steps(cloud, options, made)).await
    })
    .await
}

/// Does `work`, and then removes what it made and did not finish, however it ended.
///
/// # Errors
/// Those of `work`. After work that went well, what could not be removed.
pub(super) async fn cleaning_up<T>(
    cloud: &Cloud,
    cancel: impl Future<Output = ()>,
    work: impl AsyncFnOnce(&Made) -> Result<T>,
) -> Result<T> {
    let made = Made::default();
    let outcome = tokio::select! {
        outcome = work(&made) => outcome,
        () = cancel => Err(Error::new(Kind::Interrupted, "the bake was interrupted")),
    };
    if outcome.is_err() && !made.is_nothing() {
        cloud.events.note("removing what the bake has made");
    }
    let remedy = cloud.down_command();
    let failures = made.remove(cloud).await;
    if outcome.is_err() {
        for failure in failures {
            let text = failure.chain();
            cloud
                .events
                .warn(format!("{text} (`{remedy}` will remove it)"));
        }
        return outcome;
    }
    // The work is done, but something of it would go on costing money: nobody may take that for success.
    let count = failures.len();
    match failures.into_iter().next() {
        None => outcome,
        Some(first) => Err(first.hint(match count {
            1 => format!("the bake is done but for that; remove what is left: {remedy}"),
            _ => format!("and {} more; remove what is left: {remedy}", count - 1),
        })),
    }
}

/// The newest available image of the current recipe; makes nothing. A lock says which that is without the
/// worker binary at hand.
pub async fn find(cloud: &Cloud) -> Result<Option<Image>> {
    let recipe = Recipe::of(&cloud.config)?;
    let digest = if let Some(locked) = &recipe.locked {
        let base = format!("{}/{}", locked.base.owner, locked.base.name);
        recipe.digest(&base, &locked.worker)?
    } else {
        let worker = WorkerFile::find(&cloud.config, &recipe.settings.architecture)?;
        let base = base::find(cloud, &recipe).await?;
        recipe.digest(&base::key(&base), &worker.sha256)?
    };
    find_image(cloud, &digest).await
}

async fn find_image(cloud: &Cloud, digest: &str) -> Result<Option<Image>> {
    let images = image::list_of_recipe(&cloud.aws, digest).await?;
    Ok(images.into_iter().find(Image::is_available))
}

/// What a bake begins with.
pub(super) struct Prepared {
    pub recipe: Recipe,
    pub worker: WorkerFile,
    pub base: Image,
    /// The recipe's.
    pub digest: String,
}

impl Prepared {
    /// Everything there is, and the worker is the lock's.
    async fn find(cloud: &Cloud, recipe: Recipe) -> Result<Self> {
        let prepared = Self::find_any_worker(cloud, recipe).await?;
        prepared.recipe.check_worker(&prepared.worker)?;
        Ok(prepared)
    }

    /// The same with whatever worker is at hand.
    pub(super) async fn find_any_worker(cloud: &Cloud, recipe: Recipe) -> Result<Self> {
        let events = &cloud.events;
        let worker = WorkerFile::find(&cloud.config, &recipe.settings.architecture)?;
        let base = events
            .step("find the base image", base::find(cloud, &recipe))
            .await?;
        events.note(format!("  base image {} ({})", base.name, base.id));
        let digest = recipe.digest(&base::key(&base), &worker.sha256)?;
        Ok(Self {
            recipe,
            worker,
            base,
            digest,
        })
    }

    /// Starts a builder and waits for its report.
    pub(super) async fn provision(
        &self,
        cloud: &Cloud,
        made: &Made,
        name: &str,
        began: Timestamp,
        archive: Option<String>,
    ) -> Result<Provisioned> {
        let builder = Builder {
            cloud,
            made,
            recipe: &self.recipe,
            worker: &self.worker,
            base: &self.base,
            digest: &self.digest,
            name,
            began,
            archive,
        };
        Box::pin(builder.provision()).await
    }
}

/// Names a bake that begins now.
pub(super) fn bake_name(cloud: &Cloud, digest: &str, began: Timestamp) -> String {
    let time = began.strftime("%Y%m%dT%H%M%SZ").to_string();
    cloud.names.image(digest, &time)
}

async fn steps(cloud: &Cloud, options: BakeOptions, made: &Made) -> Result<Baked> {
    let clock = Instant::now();
    let recipe = if options.update {
        Recipe::unlocked(&cloud.config)?
    } else {
        Recipe::of(&cloud.config)?
    };
    let prepared = Prepared::find(cloud, recipe).await?;
    if !options.force
        && !options.update
        && let Some(image) = find_image(cloud, &prepared.digest).await?
    {
        return Ok(Baked {
            image_id: image.id,
            name: image.name,
            recipe: prepared.digest,
            base_image_id: prepared.base.id,
            reused: true,
            seconds: clock.elapsed().as_secs_f64(),
            report: None,
            manifest: None,
            lock_changes: None,
        });
    }
    let began = Timestamp::now();
    let needed = signed(prepared.recipe.deadline + TO_AN_IMAGE);
    cloud.require_credentials(needed, "a bake")?;
    let archive = match &prepared.recipe.locked {
        Some(locked) => locked.archive_date(),
        None if options.update => Some(began.strftime(ARCHIVE_DATE).to_string()),
        None => None,
    };
    let name = bake_name(cloud, &prepared.digest, began);
    let done = prepared
        .provision(cloud, made, &name, began, archive)
        .await?;
    let mut this = Bake {
        cloud,
        made,
        prepared,
        name,
        began,
        options,
    };
    let lock_changes = this.lock(&done)?;
    let (image, reused) = Box::pin(this.keep(&done)).await?;
    if options.update {
        this.write_lock(&done)?;
    }
    Ok(Baked {
        image_id: image.id,
        name: image.name,
        recipe: this.prepared.digest,
        base_image_id: this.prepared.base.id,
        reused,
        seconds: clock.elapsed().as_secs_f64(),
        manifest: Some(done.report.manifest.digest()),
        report: Some(done.report),
        lock_changes,
    })
}

/// A builder's work on its way to an image.
struct Bake<'a> {
    cloud: &'a Cloud,
    made: &'a Made,
    prepared: Prepared,
    /// Of image and snapshot.
    name: String,
    began: Timestamp,
    options: BakeOptions,
}

impl Bake<'_> {
    /// What this bake took, as a lock says it.
    fn resolved(&self, done: &Provisioned) -> Result<Locked> {
        let mut locked = done.report.locked()?;
        let base = &self.prepared.base;
        let region = self.cloud.aws.region.clone();
        locked.base.ids.insert(region, base.id.clone());
        Ok(locked)
    }

    /// In an update, the image is that of the recipe with the new lock: a later bake must find it by that.
    fn lock(&mut self, done: &Provisioned) -> Result<Option<Vec<Change>>> {
        if !self.options.update {
            return Ok(None);
        }
        let resolved = self.resolved(done)?;
        let architecture = &self.prepared.recipe.settings.architecture;
        let old = Lock::read(&lock::path(&self.cloud.config))?;
        let changes = Locked::changes(old.as_ref().and_then(|old| old.of(architecture)), &resolved);
        self.prepared.recipe.locked = Some(resolved);
        let base = base::key(&self.prepared.base);
        let worker = &self.prepared.worker.sha256;
        self.prepared.digest = self.prepared.recipe.digest(&base, worker)?;
        self.name = bake_name(self.cloud, &self.prepared.digest, self.began);
        Ok(Some(changes))
    }

    fn write_lock(&self, done: &Provisioned) -> Result<()> {
        let path = lock::path(&self.cloud.config);
        let mut lock = Lock::read(&path)?.unwrap_or_default();
        lock.set(
            &self.prepared.recipe.settings.architecture,
            self.resolved(done)?,
        );
        lock.write(&path)?;
        self.cloud.events.note(format!("wrote {}", path.display()));
        Ok(())
    }

    /// Makes the image of the builder's volume, and ends the builder. Returns whether the image was there
    /// already: an update that changed nothing makes none.
    async fn keep(&self, done: &Provisioned) -> Result<(Image, bool)> {
        let events = &self.cloud.events;
        if self.options.update
            && !self.options.force
            && let Some(image) = find_image(self.cloud, &self.prepared.digest).await?
        {
            return Ok((image, true));
        }
        self.made.image(&self.name);
        let manifest = done.report.manifest.digest();
        let snapshot = events
            .step("take a snapshot", self.snapshot(&done.volume, &manifest))
            .await?;
        let image = events
            .step("register the image", self.register(&snapshot, &manifest))
            .await?;
        self.made.done();
        papers::keep(self.cloud, &image, &done.text);
        events
            .step("terminate the builder", self.terminate(&done.builder))
            .await?;
        Ok((image, false))
    }

    fn tags(&self, kind: ResourceKind, manifest: &str) -> Vec<(String, String)> {
        let mut tags = self.cloud.names.tags(kind);
        tags.extend([
            (TAG_RECIPE.to_owned(), self.prepared.digest.clone()),
            (TAG_MANIFEST.to_owned(), manifest.to_owned()),
            (TAG_TOOL.to_owned(), TOOL.to_owned()),
        ]);
        tags
    }

    async fn snapshot(&self, volume: &str, manifest: &str) -> Result<String> {
        let mut tags = self.tags(ResourceKind::Snapshot, manifest);
        // Until an image stands on it: then the sweep lets it be, whatever its tag says.
        tags.push(expiry_tag(self.cloud.lifetime().expires));
        let id = snapshot::create(&self.cloud.aws, volume, &self.name, &tags).await?;
        self.made.snapshot(&id);
        snapshot::wait_completed(&self.cloud.aws, &id, &self.cloud.events).await?;
        Ok(id)
    }

    async fn register(&self, snapshot: &str, manifest: &str) -> Result<Image> {
        let new = NewImage {
            name: self.name.clone(),
            description: format!("Video converter on {} ({TOOL})", self.prepared.base.name),
            snapshot: snapshot.to_owned(),
            base: self.prepared.base.clone(),
            volume_type: self.prepared.recipe.settings.volume.kind.clone(),
            tags: self.tags(ResourceKind::Image, manifest),
        };
        image::register(&self.cloud.aws, &new).await
    }

    /// The image is done: a failure here is tried again by the clean-up, and told there. That the
    /// termination takes its time costs nothing, so nobody waits for it.
    async fn terminate(&self, builder: &Instance) -> Result<()> {
        match instance::terminate(&self.cloud.aws, std::slice::from_ref(&builder.id)).await {
            Ok(()) => self.made.terminated(),
            Err(error) => {
                tracing::debug!(error = error.chain(), "the builder is left to the clean-up");
            }
        }
        Ok(())
    }
}

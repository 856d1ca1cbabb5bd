//! The builder: an instance of the base image that provisions itself, reports, and powers itself off.

use std::time::Duration;

use jiff::Timestamp;

use super::builder_console::BuilderConsole;
use super::made::Made;
use super::recipe::Recipe;
use super::report::Report;
use super::script::{self, Transfers};
use super::signing_window::SigningWindow;
use super::worker_file::WorkerFile;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::lifetime::{expiry_tag, whole_seconds};
use crate::names::{ResourceKind, TAG_RECIPE};
use crate::resources::image::Image;
use crate::resources::instance::{self, Instance};
use crate::resources::placement::{self, Place};
use crate::resources::reach::Purpose;
use crate::resources::run_instances::{LaunchSpec, OnPowerOff, client_token};
use crate::resources::{bake_objects, instance_type};

/// The builder powers itself off at its deadline; this much later we no longer believe that it will.
const BEYOND_DEADLINE: Duration = Duration::from_mins(3);
/// This long after its deadline any `muck` may remove the builder: when it has powered itself off, been
/// seen to, and its volume's snapshot has begun (EC2 needs the volume no longer).
const BEYOND_BAKE: Duration = Duration::from_mins(15);
/// Presigned URLs outlive every deadline by this, and are valid for an hour at least.
const URL_MARGIN: Duration = Duration::from_mins(15);
const URL_LEAST: Duration = Duration::from_hours(1);

/// Exit code of the script when a signal ended it (128 + SIGTERM).
const TOLD_TO_END: i32 = 143;

/// One provisioning.
pub(super) struct Builder<'a> {
    pub cloud: &'a Cloud,
    pub made: &'a Made,
    pub recipe: &'a Recipe,
    pub worker: &'a WorkerFile,
    pub base: &'a Image,
    /// The recipe's; tags what is made.
    pub digest: &'a str,
    /// Names this bake.
    pub name: &'a str,
    pub began: Timestamp,
    /// Date of the archive to try first, see [`super::lock::ARCHIVE_DATE`].
    pub archive: Option<String>,
}

/// A builder that has done its work and powered itself off.
pub(super) struct Provisioned {
    pub builder: Instance,
    pub report: Report,
    /// The report as it came.
    pub text: String,
    /// Id of its root volume.
    pub volume: String,
}

impl Builder<'_> {
    /// Provisions. What was made is noted in `made`, the builder itself too: it is still there.
    ///
    /// # Errors
    /// Whatever failed; of a script that failed its step and last words.
    pub(super) async fn provision(&self) -> Result<Provisioned> {
        let events = &self.cloud.events;
        let report_key = self.report_key();
        let architecture = &self.recipe.settings.architecture;
        instance_type::check(&self.cloud.aws, self.recipe.builder_type()?, architecture).await?;
        let window = SigningWindow::open(self.cloud, self.recipe.deadline).await?;
        let transfers = events
            .step(
                "upload the worker",
                Box::pin(self.hand_over(&report_key, &window)),
            )
            .await?;
        let user_data = script::user_data(&script::provision(self.recipe, &transfers)?)?;
        let builder = events
            .step(
                "launch the builder",
                Box::pin(self.launch(&user_data, window.deadline)),
            )
            .await?;
        let console = BuilderConsole::open(self.cloud, &builder.id, self.name)?;
        events.note(format!("  console in {}", console.path.display()));
        let whole_console = format!("the whole console is in {}", console.path.display());
        let limit = window.deadline + BEYOND_DEADLINE;
        let stopped =
            instance::wait_stopped(&self.cloud.aws, &builder.id, limit, |_| console.look()).await;
        console.look().await;
        console.end(stopped.is_ok());
        let stopped = stopped.map_err(|error| {
            error
                .hint("a longer deadline can be set in image.toml (builder.deadline)")
                .hint(&whole_console)
        })?;
        let text = self
            .read_report(&report_key, &console, window.deadline)
            .await
            .map_err(|error| error.hint(&whole_console))?;
        let report = Report::parse(&text)?;
        report.check().map_err(|error| {
            let error = error.hint(&whole_console);
            if report.exit != TOLD_TO_END {
                return error;
            }
            error.hint(format!(
                "it was told to end, as the builder's power-off does at the deadline of {} min (builder.deadline in image.toml)",
                window.deadline.as_secs() / 60
            ))
        })?;
        let volume = stopped.root_volume.ok_or_else(|| {
            Error::failed(format!(
                "EC2 does not tell the root volume of {}",
                stopped.id
            ))
        })?;
        Ok(Provisioned {
            builder,
            report,
            text,
            volume,
        })
    }

    /// Where in the input bucket the builder's report goes.
    fn report_key(&self) -> String {
        format!("bake/{}/report", self.name)
    }

    /// Uploads the worker and signs the builder's two URLs.
    async fn hand_over(&self, report_key: &str, window: &SigningWindow) -> Result<Transfers> {
        let aws = &self.cloud.aws;
        let bucket = self.cloud.names.input_bucket();
        let key = format!("worker/{}", self.worker.sha256);
        bake_objects::upload_once(aws, &bucket, &key, &self.worker.path, self.worker.bytes)
            .await
            .map_err(|error| {
                error.hint(format!(
                    "the stack must be up: {}",
                    self.cloud.command("up")
                ))
            })?;
        let valid = (window.deadline + URL_MARGIN).max(URL_LEAST);
        let signer = &window.signer;
        Ok(Transfers {
            worker_url: bake_objects::presign_get(aws, signer, &bucket, &key, valid).await?,
            worker_sha256: self.worker.sha256.clone(),
            base: super::base::key(self.base),
            report_url: bake_objects::presign_put(aws, signer, &bucket, report_key, valid).await?,
            archive: self.archive.clone(),
            deadline: Some(window.deadline),
        })
    }

    async fn launch(&self, user_data: &[u8], deadline: Duration) -> Result<Instance> {
        let instance_type = self.recipe.builder_type()?;
        let places = placement::places(
            self.cloud,
            Purpose::Builder {
                packages: self.cloud.config.image.is_none(),
            },
        )
        .await?;
        // The builder sends its report; from here on there may be one.
        self.made.report(&self.report_key());
        let reservation = placement::launch_first(self.cloud, &places, |place| {
            let spec = self.spec(user_data, instance_type, place, deadline);
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

    fn spec(
        &self,
        user_data: &[u8],
        instance_type: &str,
        place: &Place,
        deadline: Duration,
    ) -> LaunchSpec {
        let names = &self.cloud.names;
        // From now, not from the bake's beginning: the upload before this may have taken its time.
        let expires = whole_seconds(Timestamp::now() + deadline + BEYOND_BAKE);
        let mut volume_tags = names.tags(ResourceKind::Volume);
        let mut tags = names.tags(ResourceKind::Builder);
        for tags in [&mut tags, &mut volume_tags] {
            tags.push((TAG_RECIPE.to_owned(), self.digest.to_owned()));
            tags.push(expiry_tag(expires));
        }
        tags.push(("Name".to_owned(), format!("muck {} builder", names.stack)));
        // The generation: a bake of its own each time, so that a token that EC2 still remembers does not
        // give back an earlier bake's builder.
        let generation = self.began.as_millisecond().to_string();
        LaunchSpec {
            image_id: self.base.id.clone(),
            instance_type: instance_type.to_owned(),
            min: 1,
            max: 1,
            subnet: place.subnet.clone(),
            public_ip: self.cloud.config.public_ip,
            security_groups: self.cloud.config.security_groups.clone(),
            profile: None,
            user_data: user_data.to_vec(),
            token: client_token(&[
                "bake",
                names.stack.as_str(),
                self.digest,
                &generation,
                &place.subnet,
            ]),
            on_power_off: OnPowerOff::Stop,
            root_device: self.base.root_device.clone(),
            volume_size: Some(self.recipe.settings.volume.size),
            volume_type: self.recipe.settings.volume.kind.clone(),
            tags,
            volume_tags,
        }
    }

    async fn read_report(
        &self,
        key: &str,
        console: &BuilderConsole<'_>,
        deadline: Duration,
    ) -> Result<String> {
        let bucket = self.cloud.names.input_bucket();
        if let Some(text) = bake_objects::read_text(&self.cloud.aws, &bucket, key).await? {
            return Ok(text);
        }
        let lines = indented(&console.last_lines());
        Err(Error::failed(format!(
            "the builder powered off without a report; its console's last lines:{lines}"
        ))
        .hint(format!(
            "it may not reach the network, or have run into its deadline of {} min (builder.deadline in image.toml)",
            deadline.as_secs() / 60
        )))
    }
}

/// Lines as they stand below a sentence.
pub(super) fn indented<'a>(lines: impl IntoIterator<Item = &'a String>) -> String {
    lines
        .into_iter()
        .fold(String::new(), |text, line| text + "\n    " + line)
}

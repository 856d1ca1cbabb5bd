//! What is known of an image: the report of its bake, with manifest, log and sizes.
//!
//! The image holds it (`/usr/local/share/muck/report`), so that it lives as long as the image, goes with its copies and costs
//! nothing. Whoever baked it has a copy in the state folder; anybody else starts the image for some seconds and is
//! sent it. The tag `muck:manifest` proves that it is the right one.

use std::path::PathBuf;

use jiff::Timestamp;

use super::made::Made;
use super::report::Report;
use super::signing_window::SigningWindow;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::folders;
use crate::lifetime::{expiry_tag, whole_seconds};
use crate::names::{ResourceKind, TAG_MANIFEST};
use crate::resources::image::Image;
use crate::resources::reach::Purpose;
use crate::resources::run_instances::{LaunchSpec, OnPowerOff, client_token};
use crate::resources::{bake_objects, instance, placement};
use crate::wait::{self, Look};

/// A boot and an upload take seconds; a slow first read of a fresh volume some minutes.
const READ_LIMIT: std::time::Duration = std::time::Duration::from_mins(5);
/// Nobody needs the reading instance longer than that.
const EXPIRES: std::time::Duration = std::time::Duration::from_mins(15);

fn cached(image: &Image) -> Result<PathBuf> {
    let folder = folders::state()?.join("images");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::failed(format!("cannot make the folder {}", folder.display())).because(error)
    })?;
    Ok(folder.join(format!("{}.report", image.id)))
}

/// Keeps a report in the state folder. That is a convenience: a failure is only told.
pub(super) fn keep(cloud: &Cloud, image: &Image, text: &str) {
    let kept = cached(image).and_then(|path| {
        std::fs::write(&path, text).map_err(|error| {
            Error::failed(format!("cannot write {}", path.display())).because(error)
        })
    });
    if let Err(error) = kept {
        cloud.events.warn(error.chain());
    }
}

/// Forgets the copy of an image that is no more.
pub(super) fn forget(image: &Image) {
    if let Ok(path) = cached(image) {
        // Most images have none here.
        let _ = std::fs::remove_file(path);
    }
}

/// The copy in the state folder, if there is one and it is this image's.
pub fn at_hand(image: &Image) -> Option<Report> {
    let text = std::fs::read_to_string(cached(image).ok()?).ok()?;
    let report = Report::parse(&text).ok()?;
    is_of(&report, image).then_some(report)
}

fn is_of(report: &Report, image: &Image) -> bool {
    image.tags.get(TAG_MANIFEST) == Some(&report.manifest.digest())
}

/// The report: the copy at hand, else out of the image, which is started for that. The instance is noted
/// in `made`.
///
/// # Errors
/// If the image sends none, or another than its tag says.
pub(super) async fn of(cloud: &Cloud, made: &Made, image: &Image) -> Result<Report> {
    if let Some(report) = at_hand(image) {
        return Ok(report);
    }
    let text = cloud
        .events
        .step(
            format!("read the report out of {}", image.id),
            Box::pin(read(cloud, made, image)),
        )
        .await?;
    let report = Report::parse(&text)?;
    if !is_of(&report, image) {
        return Err(Error::failed(format!(
            "the report in {} has the manifest {}, but the image's tag {TAG_MANIFEST} says {}",
            image.id,
            report.manifest.digest(),
            image
                .tags
                .get(TAG_MANIFEST)
                .map_or("nothing", String::as_str)
        ))
        .hint("do not trust that image: bake another (muck bake --force)"));
    }
    keep(cloud, image, &text);
    Ok(report)
}

async fn read(cloud: &Cloud, made: &Made, image: &Image) -> Result<String> {
    let (aws, names) = (&cloud.aws, &cloud.names);
    let bucket = names.input_bucket();
    let now = Timestamp::now();
    let generation = now.as_millisecond().to_string();
    let key = format!("bake/{}-{generation}/report", image.name);
    let window = SigningWindow::open(cloud, READ_LIMIT).await?;
    let url = bake_objects::presign_put(aws, &window.signer, &bucket, &key, EXPIRES).await?;
    let expires = whole_seconds(now + EXPIRES);
    let user_data = format!(
        "Service: Report\nExpires: {}\nReport-To: {url}\n",
        muck_worker::dates::write(expires)
    );
    let with_expiry = |mut tags: Vec<(String, String)>| {
        tags.push(expiry_tag(expires));
        tags
    };
    let mut tags = with_expiry(names.tags(ResourceKind::Builder));
    tags.push(("Name".to_owned(), format!("muck {} reader", names.stack)));
    made.report(&key);
    let places = placement::places(cloud, Purpose::Reader).await?;
    let reservation = placement::launch_first(cloud, &places, |place| {
        let spec = LaunchSpec {
            image_id: image.id.clone(),
            instance_type: cloud.config.instance_type_for(&image.architecture),
            min: 1,
            max: 1,
            subnet: place.subnet.clone(),
            public_ip: cloud.config.public_ip,
            security_groups: cloud.config.security_groups.clone(),
            profile: None,
            user_data: user_data.clone().into_bytes(),
            token: client_token(&[
                "read",
                names.stack.as_str(),
                &image.id,
                &generation,
                &place.subnet,
            ]),
            on_power_off: OnPowerOff::Terminate,
            root_device: image.root_device.clone(),
            volume_size: None,
            volume_type: "gp3".to_owned(),
            tags: tags.clone(),
            volume_tags: with_expiry(names.tags(ResourceKind::Volume)),
        };
        made.token(&spec.token);
        spec
    })
    .await?;
    let ids: Vec<String> = reservation
        .instances
        .into_iter()
        .map(|one| one.id)
        .collect();
    for id in &ids {
        made.instance(id);
    }
    let what = format!("the report of {}", image.id);
    wait::until(&what, READ_LIMIT, || async {
        // Looked at first: an instance that has ended by then has sent it, or never will.
        let found = instance::find(aws, &ids)
            .await
            .map_err(|cause| Error::failed("cannot look at the reading instance").because(cause))?;
        if let Some(text) = bake_objects::read_text(aws, &bucket, &key).await? {
            return Ok(Look::Done(text));
        }
        match found.first() {
            Some(one) if one.state.is_ending() => Err(Error::failed(format!(
                "{} has ended without sending the report of {}: the image may hold none",
                one.id, image.id
            ))),
            Some(one) => Ok(Look::NotYet(one.state.to_string())),
            None => Ok(Look::NotYet("not listed".to_owned())),
        }
    })
    .await
}

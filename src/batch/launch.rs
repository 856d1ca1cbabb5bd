//! Launch: start instances that convert until the queue is empty, and then end themselves.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use muck_worker::slots::Slots;
use muck_worker::user_data::DEFAULT_SERVICE;

use super::disk;
use super::fleet;
use super::launched::{Launch, Launched, LaunchedReservation};
use super::user_data;
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::image;
use crate::lifetime::expiry_tag;
use crate::names::{ResourceKind, TAG_BATCH};
use crate::resources::image::Image;
use crate::resources::instance::{self, Instance, InstanceState};
use crate::resources::instance_type;
use crate::resources::placement::{self, Place};
use crate::resources::reach::Purpose;
use crate::resources::run_instances::{self, LaunchSpec, OnPowerOff, Reservation, client_token};
use crate::stack::{self, Stack};
use crate::wait::{self, Look};

/// A new instance profile is unknown to EC2 for 8 s typically, for minutes at worst.
const PROFILE_KNOWN: Duration = Duration::from_mins(5);
/// EC2 may not list an instance that it has just started for this long.
const LISTED: Duration = Duration::from_secs(150);
/// Type of the instances' volumes: the cheapest that is an SSD (EBS price list).
const VOLUME_TYPE: &str = "gp3";

/// What to launch.
#[derive(Debug, Clone, Default)]
pub struct LaunchOptions {
    pub count: u32,
    /// `None`: from the settings.
    pub instance_type: Option<String>,
    /// Address to tell of start and stop; `None`: the one in the settings, if any.
    pub email: Option<String>,
    /// Batch that the instances are tagged with.
    pub batch: Option<String>,
    /// Files that each instance works on beside each other; `None`: from the settings.
    pub slots: Option<Slots>,
    /// Name of the service that the workers run, one of [`muck_worker::service::NAMES`]; `None`: the
    /// article's.
    pub service: Option<&'static str>,
    /// AMI id; `None`: the newest of the current recipe.
    pub image: Option<String>,
}

/// Starts instances of the stack's image, spread over availability zones. Where a zone has no room, the
/// others take more; fewer than asked for is told with its reason, none is an error.
///
/// # Errors
/// If the stack isn't up, there is no image, or no instance could be started.
pub async fn launch(cloud: &Cloud, options: &LaunchOptions) -> Result<Launch> {
    if options.count == 0 {
        return Err(Error::usage(
            "0 instances would convert nothing: use 1 or more",
        ));
    }
    if let Some(batch) = &options.batch {
        super::check_batch_name(batch)?;
    }
    let expires = cloud.lifetime().expires;
    let (stack, image) = tokio::try_join!(
        find_stack(cloud, options, expires),
        find_image(cloud, options)
    )?;
    if cloud.config.email.is_some() && stack.topic_arn.is_none() {
        cloud.events.warn(format!(
            "no mail will be sent: the stack has no topic, or these credentials may not use SNS; `{}` creates it",
            cloud.command("up")
        ));
    }
    let instance_type = options
        .instance_type
        .clone()
        .unwrap_or_else(|| cloud.config.instance_type_for(&image.architecture));
    if let (Some(disk), Some(least)) = (cloud.config.disk, image.volume_size) {
        disk::check_fits(disk, least, &format!("image {}", image.id))?;
    }
    instance_type::check(&cloud.aws, &instance_type, &image.architecture).await?;
    if instance_type::is_burstable(&instance_type) {
        cloud.events.note(format!(
            "{instance_type} is a burstable type: once its CPU credits are spent, it converts at its baseline speed"
        ));
    }
    let began = Timestamp::now();
    let launcher = Launcher {
        cloud,
        options,
        user_data: user_data::render(
            cloud,
            &stack,
            options.service.unwrap_or(DEFAULT_SERVICE),
            options.batch.as_deref(),
            expires,
            options.slots.unwrap_or(cloud.config.slots),
        )?,
        stack,
        image,
        instance_type,
        began,
        expires,
    };
    let places = placement::places(
        cloud,
        Purpose::Worker {
            mail: launcher.stack.topic_arn.is_some(),
        },
    )
    .await?;
    launcher.wait_for_profile(&places[0]).await?;
    let (reservations, shortfall) = launcher.start(&places).await?;
    launcher.ensure_profiles(&reservations).await?;
    Ok(launcher.told(reservations, shortfall))
}

/// With an address of its own the stack may have to be mended first: the topic, and the right to use it.
async fn find_stack(cloud: &Cloud, options: &LaunchOptions, expires: Timestamp) -> Result<Stack> {
    match &options.email {
        Some(email) if cloud.config.email.as_ref() != Some(email) => {
            stack::find(cloud).await?;
            let mut with_mail = cloud.clone();
            with_mail.config.email = Some(email.clone());
            stack::up(&with_mail).await
        }
        // The stack must not expire before its instances.
        _ => {
            let (stack, ()) = tokio::try_join!(stack::find(cloud), stack::renew(cloud, expires))?;
            Ok(stack)
        }
    }
}

async fn find_image(cloud: &Cloud, options: &LaunchOptions) -> Result<Image> {
    let bake_hint = format!(
        "make one: muck bake --stack {}; or name one by --image",
        cloud.names.stack
    );
    match &options.image {
        Some(id) => crate::resources::image::find(&cloud.aws, id)
            .await?
            .ok_or_else(|| {
                Error::failed(format!("there is no image {id} in {}", cloud.names.region))
                    .hint(bake_hint)
            }),
        None => image::find(cloud).await?.ok_or_else(|| {
            Error::failed(format!(
                "stack {} has no image of the current recipe",
                cloud.names.stack
            ))
            .hint(bake_hint)
        }),
    }
}

struct Launcher<'a> {
    cloud: &'a Cloud,
    options: &'a LaunchOptions,
    stack: Stack,
    image: Image,
    instance_type: String,
    user_data: String,
    began: Timestamp,
    expires: Timestamp,
}

impl Launcher<'_> {
    /// `count` instances at `place`. `round` tells calls for the same place apart.
    fn spec(&self, place: &Place, count: u32, round: u32) -> LaunchSpec {
        let names = &self.cloud.names;
        let mut tags = names.tags(ResourceKind::Worker);
        let mut volume_tags = names.tags(ResourceKind::Volume);
        for tags in [&mut tags, &mut volume_tags] {
            tags.push(expiry_tag(self.expires));
            if let Some(batch) = &self.options.batch {
                tags.push((TAG_BATCH.to_owned(), batch.clone()));
            }
        }
        tags.push(("Name".to_owned(), format!("muck {} worker", names.stack)));
        // The generation: two launches are two on purpose. Repeats of one call share its token.
        let generation = self.began.as_nanosecond().to_string();
        LaunchSpec {
            image_id: self.image.id.clone(),
            instance_type: self.instance_type.clone(),
            min: 1,
            max: count,
            subnet: place.subnet.clone(),
            public_ip: self.cloud.config.public_ip,
            security_groups: self.cloud.config.security_groups.clone(),
            profile: Some(self.stack.instance_profile_name.clone()),
            user_data: self.user_data.clone().into_bytes(),
            token: client_token(&[
                "launch",
                names.stack.as_str(),
                self.options.batch.as_deref().unwrap_or_default(),
                &generation,
                &place.subnet,
                &round.to_string(),
            ]),
            on_power_off: OnPowerOff::Terminate,
            root_device: self.image.root_device.clone(),
            // The image's is what EC2 would take by itself; others that speak its protocol want it said.
            volume_size: self.cloud.config.disk.or(self.image.volume_size),
            volume_type: VOLUME_TYPE.to_owned(),
            tags,
            volume_tags,
        }
    }

    /// Asks by dry runs until EC2 knows the instance profile, which IAM may just have made.
    async fn wait_for_profile(&self, place: &Place) -> Result<()> {
        let spec = self.spec(place, 1, 0);
        let what = format!(
            "EC2 to know the instance profile {}",
            self.stack.instance_profile_name
        );
        wait::until(&what, PROFILE_KNOWN, || async {
            match run_instances::probe(&self.cloud.aws, &spec).await {
                Ok(()) => Ok(Look::Done(())),
                Err(cause) if is_unknown_profile(&cause) => Ok(Look::NotYet(cause.to_string())),
                // A dry run does not look for room; the launch will, elsewhere too.
                Err(cause) if placement::is_lack_of_room(&cause) => Ok(Look::Done(())),
                Err(cause) => Err(placement::explain(&spec, cause)),
            }
        })
        .await
    }

    /// One call; waits where the profile is known to one of EC2's servers but not to this one.
    async fn run(&self, spec: &LaunchSpec) -> Result<Reservation, Cause> {
        let outcome = wait::until("the instance profile", PROFILE_KNOWN, || async {
            match run_instances::run(&self.cloud.aws, spec).await {
                Err(cause) if is_unknown_profile(&cause) => Ok(Look::NotYet(cause.to_string())),
                outcome => Ok(Look::Done(outcome)),
            }
        })
        .await;
        outcome.unwrap_or_else(|error| {
            Err(Cause {
                code: None,
                message: error.chain(),
                request_id: None,
                uncertain: false,
            })
        })
    }

    /// A first round gives each place its share, all at once; further rounds give what is missing to
    /// the places that still had room, one by one.
    async fn start(&self, places: &[Place]) -> Result<(Vec<Reservation>, Option<String>)> {
        let asks: Vec<_> = places
            .iter()
            .zip(shares(self.options.count, places.len()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let first = join_all(asks.iter().map(|(place, count)| async move {
            let spec = self.spec(place, *count, 0);
            self.run(&spec)
                .await
                .map_err(|cause| (cause.clone(), placement::explain(&spec, cause)))
        }))
        .await;
        let (mut reservations, mut failure, mut with_room) = (Vec::new(), None, Vec::new());
        for ((place, count), outcome) in asks.iter().zip(first) {
            match outcome {
                Ok(reservation) => {
                    if reservation.instances.len() >= *count as usize {
                        with_room.push(*place);
                    }
                    self.note_nat(place, &reservation);
                    reservations.push(reservation);
                }
                Err((cause, error)) => {
                    if placement::is_lack_of_room(&cause) {
                        self.cloud.events.note(format!("no room in {}", place.zone));
                    }
                    failure.get_or_insert(error);
                }
            }
        }
        // Places that got no share in the first round have not been asked.
        with_room.extend(
            places
                .iter()
                .filter(|place| !asks.iter().any(|(asked, _)| asked == place)),
        );
        for place in with_room {
            let missing = self.options.count.saturating_sub(count(&reservations));
            if missing == 0 {
                break;
            }
            let spec = self.spec(place, missing, 1);
            match self.run(&spec).await {
                Ok(reservation) => {
                    self.note_nat(place, &reservation);
                    reservations.push(reservation);
                }
                Err(cause) => {
                    failure.get_or_insert(placement::explain(&spec, cause));
                }
            }
        }
        self.judge(reservations, failure)
    }

    /// Writes down for the bill that what these instances fetch and store passes a NAT gateway.
    fn note_nat(&self, place: &Place, reservation: &Reservation) {
        if !place.nat {
            return;
        }
        let ids = reservation.instances.iter().map(|one| one.id.as_str());
        if let Err(error) = fleet::behind_nat(self.cloud, ids) {
            self.cloud.events.warn(format!(
                "the bill will lack the NAT gateway: {}",
                error.chain()
            ));
        }
    }

    fn judge(
        &self,
        reservations: Vec<Reservation>,
        failure: Option<Error>,
    ) -> Result<(Vec<Reservation>, Option<String>)> {
        let started = count(&reservations);
        if started == 0 {
            return Err(failure
                .unwrap_or_else(|| Error::failed("EC2 started no instance and gave no reason")));
        }
        let shortfall = (started < self.options.count).then(|| {
            failure.map_or_else(
                || "EC2 had no room for more".to_owned(),
                |error| error.chain(),
            )
        });
        Ok((reservations, shortfall))
    }

    /// RunInstances may succeed and leave the profile out: a worker without it could do nothing.
    async fn ensure_profiles(&self, reservations: &[Reservation]) -> Result<()> {
        let profile = &self.stack.instance_profile_name;
        let all = reservations
            .iter()
            .flat_map(|reservation| &reservation.instances);
        for started in all.filter(|instance| instance.profile_arn.is_none()) {
            let instance = self.wait_listed(&started.id).await?;
            if instance.state.is_ending() {
                continue;
            }
            if instance::ensure_profile(&self.cloud.aws, &instance, profile).await? {
                self.cloud.events.note(format!(
                    "attached the instance profile {profile} to {}",
                    instance.id
                ));
            }
        }
        Ok(())
    }

    async fn wait_listed(&self, id: &str) -> Result<Instance> {
        wait::until(&format!("{id} to be listed"), LISTED, || async {
            let found = instance::find(&self.cloud.aws, &[id.to_owned()])
                .await
                .map_err(|cause| Error::failed(format!("cannot look at {id}")).because(cause))?
                .pop()
                .filter(|instance| instance.state != InstanceState::Unknown);
            Ok(found.map_or_else(|| Look::NotYet("not listed".to_owned()), Look::Done))
        })
        .await
    }

    fn told(self, reservations: Vec<Reservation>, shortfall: Option<String>) -> Launch {
        let reservations = reservations
            .into_iter()
            .map(|reservation| LaunchedReservation {
                id: reservation.id,
                instances: reservation
                    .instances
                    .into_iter()
                    .map(|one| Launched {
                        id: one.id,
                        instance_type: one.instance_type,
                        zone: one.zone,
                    })
                    .collect(),
            })
            .collect();
        Launch {
            service: self.options.service.unwrap_or(DEFAULT_SERVICE).to_owned(),
            image_id: self.image.id,
            reservations,
            requested: self.options.count,
            shortfall,
            expires: self.expires,
        }
    }
}

fn count(reservations: &[Reservation]) -> u32 {
    let instances: usize = reservations
        .iter()
        .map(|reservation| reservation.instances.len())
        .sum();
    u32::try_from(instances).unwrap_or(u32::MAX)
}

/// IAM's new profiles reach EC2 late: `InvalidParameterValue: Value (…) for parameter
/// iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name`.
fn is_unknown_profile(cause: &Cause) -> bool {
    cause.is("InvalidParameterValue")
        && cause
            .message
            .to_ascii_lowercase()
            .contains("iam instance profile")
}

/// `count` in `places` parts that differ by one at most, the larger first.
fn shares(count: u32, places: usize) -> impl Iterator<Item = u32> {
    let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
    (0..places).map(move |place| count / places + u32::from(place < count % places))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_late_profile_is_waited_for() {
        let cause = |message: &str| Cause {
            code: Some("InvalidParameterValue".to_owned()),
            message: message.to_owned(),
            request_id: None,
            uncertain: false,
        };
        assert!(is_unknown_profile(&cause(
            "Value (muck-demo-worker) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        )));
        assert!(!is_unknown_profile(&cause(
            "Invalid value 'c99.large' for InstanceType."
        )));
    }

    proptest! {
        #[test]
        fn shares_are_even_and_complete(count in 0_u32..1000, places in 1_usize..10) {
            let all: Vec<u32> = shares(count, places).collect();
            prop_assert_eq!(all.len(), places);
            prop_assert_eq!(all.iter().sum::<u32>(), count);
            prop_assert!(all.iter().max().zip(all.iter().min()).is_some_and(|(max, min)| max - min <= 1));
        }
    }
}

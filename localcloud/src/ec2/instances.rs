//! DescribeInstances, DescribeInstanceStatus, StartInstances, StopInstances, TerminateInstances.

use rusqlite::Transaction;

use super::dry_run::DryRun;
use super::filters::{Filters, maybe, one};
use super::instance_xml::{self, Shown};
use super::network::VPC;
use super::paging::Page;
use super::{Ec2, ids, iso};
use crate::account::ACCOUNT;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::instance::Cause;
use crate::state::ec2::{Instance, InstanceState, list, put};
use jiff::Timestamp;

/// Filters of DescribeInstances beside tags; DescribeInstanceStatus knows some of them.
const FILTERS: &[&str] = &[
    "instance-id",
    "instance-state-name",
    "instance-state-code",
    "instance-type",
    "instance-lifecycle",
    "architecture",
    "availability-zone",
    "client-token",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "launch-time",
    "owner-id",
    "private-ip-address",
    "private-dns-name",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "spot-instance-request-id",
    "state-reason-code",
    "subnet-id",
    "vpc-id",
    "block-device-mapping.volume-id",
    "metadata-options.http-tokens",
];

/// An instance and the states before and after a change of it.
struct Change {
    id: String,
    before: InstanceState,
    after: InstanceState,
}

impl Ec2 {
    /// Visible instances with these ids (all, if none are given) that pass the filters.
    fn find_instances(&self, wanted: &[String], filters: &Filters) -> ApiResult<Vec<Shown>> {
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let instances = if wanted.is_empty() {
                list::<Instance>(tx)?
                    .into_iter()
                    .filter(|instance| instance.visible(now))
                    .collect()
            } else {
                ids::instances(tx, wanted, now)?
            };
            let mut found = Vec::new();
            for instance in instances {
                let shown = Shown::read(tx, instance)?;
                if filters.pass(&shown.tags, |name| facet(&shown, name)) {
                    found.push(shown);
                }
            }
            Ok(found)
        })
    }

    pub(super) fn describe_instances(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = params.list("InstanceId");
        let filters = Filters::read(params, FILTERS)?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "instancesSet")?;
        dry_run.end()?;
        let found = self.find_instances(&wanted, &filters)?;
        let (found, next) = page.cut(found, order);
        let mut body = XmlBody::new();
        // Instances of a reservation lie beside each other in this order.
        let reservations =
            found.chunk_by(|a, b| a.instance.reservation_id == b.instance.reservation_id);
        body.list("reservationSet", "item", reservations, |xml, shown| {
            instance_xml::reservation(xml, &shown[0].instance.reservation_id, shown);
        });
        body.optional("nextToken", next);
        Ok(body)
    }

    /// Without ids EC2 lists those of instances with `unlimited` credits.
    pub(super) fn describe_credit_specifications(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = params.list("InstanceId");
        let filters = Filters::read(params, &[])?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "instancesSet")?;
        dry_run.end()?;
        let mut found = self.find_instances(&wanted, &filters)?;
        let credits = |shown: &Shown| shown.instance.cpu_credits.clone();
        if wanted.is_empty() {
            found.retain(|shown| credits(shown).as_deref() == Some("unlimited"));
        } else if let Some(other) = found.iter().find(|shown| credits(shown).is_none()) {
            return Err(ApiError::new(
                "InstanceCreditSpecification.NotSupported",
                format!(
                    "The {} instance type does not support T2 Unlimited.",
                    other.instance.instance_type
                ),
            ));
        }
        let (found, next) = page.cut(found, order);
        let mut body = XmlBody::new();
        body.list(
            "instanceCreditSpecificationSet",
            "item",
            &found,
            |xml, shown| {
                xml.text("instanceId", &shown.instance.id);
                xml.text("cpuCredits", credits(shown).unwrap_or_default());
            },
        );
        body.optional("nextToken", next);
        Ok(body)
    }

    pub(super) fn describe_instance_status(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = params.list("InstanceId");
        let all = params.boolean("IncludeAllInstances")?.unwrap_or(false);
        let filters = Filters::read(
            params,
            &[
                "instance-state-name",
                "instance-state-code",
                "availability-zone",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "instancesSet")?;
        dry_run.end()?;
        let mut found = self.find_instances(&wanted, &filters)?;
        found.retain(|shown| all || shown.instance.state == InstanceState::Running);
        let (found, next) = page.cut(found, order);
        let mut body = XmlBody::new();
        body.list("instanceStatusSet", "item", &found, |xml, shown| {
            let instance = &shown.instance;
            let health = if instance.state == InstanceState::Running {
                "ok"
            } else {
                "not-applicable"
            };
            xml.text("instanceId", &instance.id)
                .text("availabilityZone", &instance.zone);
            instance_xml::state(xml, "instanceState", instance.state);
            for check in ["instanceStatus", "systemStatus"] {
                xml.element(check, |xml| {
                    xml.text("status", health);
                });
            }
        });
        body.optional("nextToken", next);
        Ok(body)
    }

    pub(super) fn start_instances(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let wanted = required_ids(params)?;
        params.finish()?;
        self.change(&wanted, dry_run, |instance, now| match instance.state {
            InstanceState::Stopped => {
                instance.start(now);
                Ok(())
            }
            InstanceState::Pending | InstanceState::Running => Ok(()),
            _ => Err(wrong_state(instance, "started")),
        })
    }

    pub(super) fn stop_instances(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let wanted = required_ids(params)?;
        // A guest that doesn't go off when asked is killed anyway, so force changes nothing.
        params.boolean("Force")?;
        params.finish()?;
        self.change(&wanted, dry_run, |instance, now| {
            if instance.state.is_ending() {
                return Err(wrong_state(instance, "stopped"));
            }
            if instance.spot_request.is_some() {
                return Err(ApiError::new(
                    "UnsupportedOperation",
                    format!(
                        "You can't stop the Spot Instance '{}' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
                        instance.id
                    ),
                ));
            }
            instance.stop(&Cause::User, now);
            Ok(())
        })
    }

    pub(super) fn terminate_instances(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = required_ids(params)?;
        params.boolean("Force")?;
        params.finish()?;
        self.change(&wanted, dry_run, |instance, now| {
            if instance.disable_api_termination {
                return Err(ApiError::new(
                    "OperationNotPermitted",
                    format!(
                        "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                        instance.id
                    ),
                ));
            }
            instance.terminate(&Cause::User, now);
            Ok(())
        })
    }

    /// Changes all of the instances or none, settles them, and answers with the states.
    fn change(
        &self,
        wanted: &[String],
        dry_run: DryRun,
        apply: impl Fn(&mut Instance, Timestamp) -> ApiResult<()>,
    ) -> ApiResult<XmlBody> {
        let now = self.clock.now();
        let changes = self.store.transaction(|tx| {
            let mut changes = Vec::new();
            for mut instance in ids::instances(tx, wanted, now)? {
                let before = instance.state;
                apply(&mut instance, now)?;
                put(tx, &instance)?;
                changes.push(Change {
                    id: instance.id,
                    before,
                    after: instance.state,
                });
            }
            dry_run.end()?;
            Ok(changes)
        })?;
        let mut body = XmlBody::new();
        body.list("instancesSet", "item", &changes, |xml, change| {
            xml.text("instanceId", &change.id);
            instance_xml::state(xml, "currentState", change.after);
            instance_xml::state(xml, "previousState", change.before);
        });
        for change in changes {
            self.lifecycle.settle(&change.id);
        }
        Ok(body)
    }

    /// Reads one visible instance, changes it and writes it back.
    pub(super) fn change_one<T>(
        &self,
        id: &str,
        dry_run: DryRun,
        apply: impl FnOnce(&Transaction<'_>, &mut Instance, Timestamp) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut instance = ids::instance(tx, id, now)?;
            let value = apply(tx, &mut instance, now)?;
            put(tx, &instance)?;
            dry_run.end()?;
            Ok(value)
        })
    }
}

/// Keeps a reservation's instances together, in the order of their launch. (The launch time changes
/// with each start, so it is no part of it.)
fn order(shown: &Shown) -> String {
    let instance = &shown.instance;
    format!(
        "{}/{:05}/{}",
        instance.reservation_id, instance.launch_index, instance.id
    )
}

fn facet(shown: &Shown, name: &str) -> Vec<String> {
    let instance = &shown.instance;
    let profile = instance.profile.as_ref();
    let live = instance.state != InstanceState::Terminated;
    match name {
        "instance-id" => one(&instance.id),
        "instance-state-name" => one(instance.state.name()),
        "instance-state-code" => one(instance.state.code()),
        "instance-type" => one(&instance.instance_type),
        "instance-lifecycle" => maybe(instance.spot_request.as_ref().map(|_| "spot")),
        "architecture" => one(&instance.architecture),
        "availability-zone" => one(&instance.zone),
        "client-token" => maybe(instance.client_token.as_ref()),
        "iam-instance-profile.arn" => maybe(profile.map(|profile| &profile.arn)),
        "iam-instance-profile.id" => maybe(profile.map(|profile| &profile.profile_id)),
        "image-id" => one(&instance.image_id),
        "launch-time" => one(iso(instance.launch_time)),
        "owner-id" => one(ACCOUNT),
        "private-ip-address" => maybe(live.then_some(instance.private_ip)),
        "private-dns-name" => maybe(live.then(|| instance_xml::private_dns_name(instance))),
        "reservation-id" => one(&instance.reservation_id),
        "root-device-name" => one(&instance.root_device),
        "root-device-type" => one("ebs"),
        "spot-instance-request-id" => maybe(instance.spot_request.as_ref()),
        "state-reason-code" => maybe(instance.state_reason.as_ref().map(|reason| &reason.code)),
        "subnet-id" => maybe(live.then_some(&instance.subnet_id)),
        "vpc-id" => maybe(live.then_some(VPC)),
        "block-device-mapping.volume-id" => maybe(shown.volume.as_ref().map(|volume| &volume.id)),
        "metadata-options.http-tokens" => one(if instance.metadata.tokens_required {
            "required"
        } else {
            "optional"
        }),
        _ => Vec::new(),
    }
}

fn required_ids(params: &Params) -> ApiResult<Vec<String>> {
    let mut wanted = params.list("InstanceId");
    if wanted.is_empty() {
        return Err(ApiError::new(
            "MissingParameter",
            "The request must contain the parameter InstanceId",
        ));
    }
    // An id given twice counts once, as on EC2.
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

fn wrong_state(instance: &Instance, what: &str) -> ApiError {
    ApiError::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in a state from which it can be {what}.",
            instance.id
        ),
    )
}

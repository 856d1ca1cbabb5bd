//! Attributes of one instance, and its instance profile.

use super::dry_run::DryRun;
use super::filters::{Filters, one};
use super::launch_request::{check_user_data, read_shutdown_behavior};
use super::paging::Page;
use super::profiles::ProfileName;
use super::{Ec2, ids, iso, types};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::instance::ProfileAssociation;
use crate::state::ec2::{Instance, InstanceState, ShutdownBehavior, Volume, list, put};

/// One change that ModifyInstanceAttribute may ask for.
enum Change {
    ShutdownBehavior(ShutdownBehavior),
    DisableApiTermination(bool),
    InstanceType(String),
    /// Base64.
    UserData(String),
    DeleteOnTermination {
        device: String,
        delete: bool,
    },
}

fn value(params: &Params, name: &str) -> Option<String> {
    params
        .structure(name)
        .and_then(|given| given.optional("Value"))
}

fn flag(name: &str, text: &str) -> ApiResult<bool> {
    text.parse().map_err(|_| {
        ApiError::new(
            "InvalidParameterValue",
            format!("Value ({text}) for parameter {name} is invalid. Expected true or false."),
        )
    })
}

fn read_changes(params: &Params) -> ApiResult<Vec<Change>> {
    let mut changes = Vec::new();
    let mut named: Vec<(String, String)> = Vec::new();
    // The older form: the attribute's name and its value side by side.
    if let Some(attribute) = params.optional("Attribute") {
        named.push((attribute, params.required("Value")?));
    }
    for (parameter, attribute) in [
        (
            "InstanceInitiatedShutdownBehavior",
            "instanceInitiatedShutdownBehavior",
        ),
        ("DisableApiTermination", "disableApiTermination"),
        ("InstanceType", "instanceType"),
        ("UserData", "userData"),
    ] {
        if let Some(value) = value(params, parameter) {
            named.push((attribute.to_owned(), value));
        }
    }
    for (attribute, value) in named {
        changes.push(match attribute.as_str() {
            "instanceInitiatedShutdownBehavior" => {
                Change::ShutdownBehavior(read_shutdown_behavior(Some(value))?)
            }
            "disableApiTermination" => {
                Change::DisableApiTermination(flag("disableApiTermination", &value)?)
            }
            "instanceType" => Change::InstanceType(value),
            "userData" => {
                check_user_data(&value)?;
                Change::UserData(value)
            }
            other => {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("Value ({other}) for parameter attribute is invalid here."),
                ));
            }
        });
    }
    for mapping in params.structures("BlockDeviceMapping") {
        let device = mapping.required("DeviceName")?;
        let delete = mapping
            .structure("Ebs")
            .map(|ebs| ebs.boolean("DeleteOnTermination"))
            .transpose()?
            .flatten();
        if let Some(delete) = delete {
            changes.push(Change::DeleteOnTermination { device, delete });
        }
    }
    Ok(changes)
}

impl Ec2 {
    pub(super) fn modify_instance_attribute(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let id = params.required("InstanceId")?;
        let mut changes = read_changes(params)?;
        params.finish()?;
        let change = match (changes.pop(), changes.is_empty()) {
            (Some(change), true) => change,
            (None, _) => {
                return Err(ApiError::new(
                    "InvalidParameterCombination",
                    "No attributes specified.",
                ));
            }
            (Some(_), false) => {
                return Err(ApiError::new(
                    "InvalidParameterCombination",
                    "Fields for multiple attribute types specified. Only one attribute can be changed in a call.",
                ));
            }
        };
        self.change_one(&id, dry_run, |tx, instance, _| {
            match change {
                Change::ShutdownBehavior(behavior) => instance.shutdown_behavior = behavior,
                Change::DisableApiTermination(disabled) => {
                    instance.disable_api_termination = disabled;
                }
                Change::InstanceType(name) => {
                    stopped(instance, "instanceType")?;
                    let kind = types::find(&name)
                        .filter(|kind| kind.family.architecture == instance.architecture)
                        .ok_or_else(|| {
                            ApiError::new(
                                "InvalidParameterValue",
                                format!("Invalid value '{name}' for InstanceType."),
                            )
                        })?;
                    instance.instance_type = kind.name;
                }
                Change::UserData(text) => {
                    stopped(instance, "userData")?;
                    instance.user_data = Some(text).filter(|text| !text.is_empty());
                }
                Change::DeleteOnTermination { device, delete } => {
                    let mut volume: Volume = ids::known(tx, &instance.volume_id)?;
                    match &mut volume.attachment {
                        Some(attachment) if attachment.device == device => {
                            attachment.delete_on_termination = delete;
                        }
                        _ => {
                            return Err(ApiError::new(
                                "InvalidInstanceAttributeValue",
                                format!("No device is currently mapped at {device}"),
                            ));
                        }
                    }
                    put(tx, &volume)?;
                }
            }
            Ok(())
        })?;
        Ok(XmlBody::return_true())
    }

    pub(super) fn describe_instance_attribute(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let id = params.required("InstanceId")?;
        let attribute = params.required("Attribute")?;
        params.finish()?;
        dry_run.end()?;
        let now = self.clock.now();
        let instance = self.store.transaction(|tx| ids::instance(tx, &id, now))?;
        let value = match attribute.as_str() {
            "instanceInitiatedShutdownBehavior" => {
                Some(instance.shutdown_behavior.name().to_owned())
            }
            "instanceType" => Some(instance.instance_type),
            "userData" => instance.user_data,
            "disableApiTermination" => Some(instance.disable_api_termination.to_string()),
            "rootDeviceName" => Some(instance.root_device),
            "ebsOptimized" => Some(instance.ebs_optimized.to_string()),
            "enaSupport" => Some(true.to_string()),
            other => {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("Value ({other}) for parameter attribute is invalid here."),
                ));
            }
        };
        let mut body = XmlBody::new();
        body.text("instanceId", &id).element(&attribute, |xml| {
            xml.optional("value", value);
        });
        Ok(body)
    }

    pub(super) fn associate_profile(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let id = params.required("InstanceId")?;
        let profile = ProfileName::read(params)?;
        params.finish()?;
        let profile = profile.ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                "The request must contain the parameter IamInstanceProfile",
            )
        })?;
        let association = self.change_one(&id, dry_run, |tx, instance, now| {
            if instance.state.is_ending() {
                return Err(ApiError::new(
                    "IncorrectInstanceState",
                    format!(
                        "The instance '{}' is not in the 'running' or 'stopped' states.",
                        instance.id
                    ),
                ));
            }
            if instance.profile.is_some() {
                return Err(ApiError::new(
                    "IncorrectState",
                    format!(
                        "There is an existing association for instance {}",
                        instance.id
                    ),
                ));
            }
            let association = profile.associate(tx, now)?;
            instance.profile = Some(association.clone());
            Ok(association)
        })?;
        let mut body = XmlBody::new();
        body.element("iamInstanceProfileAssociation", |xml| {
            write_association(xml, &id, &association, "associating");
        });
        Ok(body)
    }

    pub(super) fn disassociate_profile(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let association_id = params.required("AssociationId")?;
        params.finish()?;
        let (id, association) = self.store.transaction(|tx| {
            for mut instance in list::<Instance>(tx)? {
                if instance
                    .profile
                    .as_ref()
                    .is_some_and(|profile| profile.association_id == association_id)
                    && !instance.state.is_ending()
                    && let Some(association) = instance.profile.take()
                {
                    put(tx, &instance)?;
                    dry_run.end()?;
                    return Ok((instance.id, association));
                }
            }
            Err(ApiError::new(
                "NoSuchAssociation",
                format!("An invalid association-id of '{association_id}' was given"),
            ))
        })?;
        let mut body = XmlBody::new();
        body.element("iamInstanceProfileAssociation", |xml| {
            write_association(xml, &id, &association, "disassociating");
        });
        Ok(body)
    }

    pub(super) fn describe_profile_associations(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = params.list("AssociationId");
        let filters = Filters::read(params, &["instance-id", "state"])?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "associationIds")?;
        dry_run.end()?;
        let found = self.store.transaction(|tx| {
            let found: Vec<(String, ProfileAssociation)> = list::<Instance>(tx)?
                .into_iter()
                .filter(|instance| instance.state != InstanceState::Terminated)
                .filter_map(|instance| Some((instance.id, instance.profile?)))
                .filter(|(_, profile)| {
                    wanted.is_empty() || wanted.contains(&profile.association_id)
                })
                .filter(|(id, _)| {
                    filters.pass(&[], |name| match name {
                        "instance-id" => one(id),
                        "state" => one("associated"),
                        _ => Vec::new(),
                    })
                })
                .collect();
            Ok(found)
        })?;
        if let Some(unknown) = wanted.iter().find(|id| {
            !found
                .iter()
                .any(|(_, profile)| profile.association_id == **id)
        }) {
            return Err(ApiError::new(
                "NoSuchAssociation",
                format!("An invalid association-id of '{unknown}' was given"),
            ));
        }
        let (found, next) = page.cut(found, |(id, _)| id.clone());
        let mut body = XmlBody::new();
        body.list(
            "iamInstanceProfileAssociationSet",
            "item",
            &found,
            |xml, (id, association)| write_association(xml, id, association, "associated"),
        );
        body.optional("nextToken", next);
        Ok(body)
    }
}

fn stopped(instance: &Instance, attribute: &str) -> ApiResult<()> {
    if instance.state == InstanceState::Stopped {
        return Ok(());
    }
    Err(ApiError::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in the 'stopped' state: {attribute} can't be changed.",
            instance.id
        ),
    ))
}

fn write_association(
    xml: &mut XmlBody,
    instance_id: &str,
    association: &ProfileAssociation,
    state: &str,
) {
    xml.text("associationId", &association.association_id)
        .text("instanceId", instance_id)
        .element("iamInstanceProfile", |xml| {
            xml.text("arn", &association.arn)
                .text("id", &association.profile_id);
        })
        .text("state", state)
        .text("timestamp", iso(association.since));
}

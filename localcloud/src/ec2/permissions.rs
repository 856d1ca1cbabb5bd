//! Which permissions each action needs, and on which resources (Service Authorization Reference, "Actions,
//! resources, and condition keys for Amazon EC2"). Instances, volumes, snapshots and images are told apart by
//! id and tags; what only lists or describes is checked on `*`, as on AWS.

use rusqlite::Transaction;

use super::{Ec2, network};
use crate::account::{ACCOUNT, REGION};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::iam::{Context, authorize};
use crate::query_protocol::Params;
use crate::state::ec2::{Image, get, tags};
use crate::state::iam;

/// One permission to ask for.
struct Needed {
    action: String,
    resource: String,
    context: Context,
}

impl Ec2 {
    /// Checks all that the caller must be allowed for this call.
    ///
    /// # Errors
    /// `UnauthorizedOperation` (HTTP 403) naming the first permission that is missing.
    pub fn allow(&self, caller: &Caller, action: &str, params: &Params) -> ApiResult<()> {
        let base = Context::at(self.clock.now());
        let network = self.network();
        let needed = self.store.transaction(|tx| {
            let mut reading = Reading {
                tx,
                params,
                base,
                subnet_owner: network.owner(),
                needed: Vec::new(),
            };
            reading.read(action)?;
            Ok(reading.needed)
        })?;
        for one in needed {
            authorize(
                &self.store,
                caller,
                &one.action,
                &one.resource,
                &one.context,
            )
            .map_err(|error| {
                ApiError::new(
                    "UnauthorizedOperation",
                    format!(
                        "You are not authorized to perform this operation. {}",
                        error.message
                    ),
                )
                .with_status(error.status)
            })?;
        }
        Ok(())
    }
}

/// The ARN of a resource; those of images and snapshots name no account.
fn arn(kind: &str, id: &str) -> String {
    let account = match kind {
        "image" | "snapshot" => "",
        _ => ACCOUNT,
    };
    format!("arn:aws:ec2:{REGION}:{account}:{kind}/{id}")
}

/// The resource type that an id tells.
fn kind_of(id: &str) -> &'static str {
    match id.split('-').next().unwrap_or_default() {
        "i" => "instance",
        "vol" => "volume",
        "snap" => "snapshot",
        "ami" => "image",
        "subnet" => "subnet",
        "sg" => "security-group",
        _ => "*",
    }
}

/// A second reading of a call's parameters, for its permissions alone. What is wrong with them is for the
/// action itself to say.
struct Reading<'a> {
    tx: &'a Transaction<'a>,
    params: &'a Params,
    base: Context,
    /// 12 digits: of a shared VPC's subnets it is not this account.
    subnet_owner: &'a str,
    needed: Vec<Needed>,
}

impl Reading<'_> {
    fn read(&mut self, action: &str) -> ApiResult<()> {
        match action {
            "RunInstances" => self.run_instances(),
            "StartInstances" | "StopInstances" | "TerminateInstances" => {
                for id in self.params.list("InstanceId") {
                    self.existing(action, &id)?;
                }
                Ok(())
            }
            "GetConsoleOutput" | "ModifyInstanceAttribute" | "DescribeInstanceAttribute" => {
                self.existing_named(action, "InstanceId")
            }
            "AssociateIamInstanceProfile" => {
                self.existing_named(action, "InstanceId")?;
                self.pass_role()
            }
            "CreateSnapshot" => {
                self.existing_named(action, "VolumeId")?;
                self.making(action, "snapshot");
                Ok(())
            }
            "DeleteSnapshot" => self.existing_named(action, "SnapshotId"),
            "DeleteVolume" => self.existing_named(action, "VolumeId"),
            "CreateImage" => {
                self.existing_named(action, "InstanceId")?;
                self.making(action, "image");
                self.making(action, "snapshot");
                Ok(())
            }
            "RegisterImage" => {
                for device in self.params.structures("BlockDeviceMapping") {
                    if let Some(id) = device.optional("Ebs.SnapshotId") {
                        self.existing(action, &id)?;
                    }
                }
                self.making(action, "image");
                Ok(())
            }
            "CopyImage" => {
                self.copied_image(action)?;
                self.making(action, "image");
                self.making(action, "snapshot");
                Ok(())
            }
            "DeregisterImage" => self.deregister_image(),
            "CreateTags" | "DeleteTags" => {
                let new = self.params.tags("Tag").unwrap_or_default();
                for id in self.params.list("ResourceId") {
                    let mut context = self.tagged(&id)?;
                    context.request_tags(&new);
                    self.need(action, arn(kind_of(&id), &id), context);
                }
                Ok(())
            }
            describing => {
                let context = self.base.clone();
                self.need(describing, "*".to_owned(), context);
                Ok(())
            }
        }
    }

    fn need(&mut self, action: &str, resource: String, context: Context) {
        self.needed.push(Needed {
            action: format!("ec2:{action}"),
            resource,
            context,
        });
    }

    /// What is known of a resource that is there; nothing of one that is not.
    fn tagged(&self, id: &str) -> ApiResult<Context> {
        let mut context = self.base.clone();
        let tags = tags::of(self.tx, id)?;
        context.resource_tags(&tags);
        for (key, value) in &tags {
            context.set(&format!("ec2:ResourceTag/{key}"), value);
        }
        if let Some(image) = get::<Image>(self.tx, id)? {
            context
                .set("ec2:Owner", &image.owner)
                .set("ec2:Public", &image.public.to_string());
        }
        Ok(context)
    }

    fn existing(&mut self, action: &str, id: &str) -> ApiResult<()> {
        let context = self.tagged(id)?;
        let resource = match kind_of(id) {
            "subnet" => format!("arn:aws:ec2:{REGION}:{}:subnet/{id}", self.subnet_owner),
            kind => arn(kind, id),
        };
        self.need(action, resource, context);
        Ok(())
    }

    fn existing_named(&mut self, action: &str, parameter: &str) -> ApiResult<()> {
        match self.params.optional(parameter) {
            Some(id) => self.existing(action, &id),
            None => Ok(()),
        }
    }

    /// The source of a copy, told apart by owner and id: the table has no tags of it.
    fn copied_image(&mut self, action: &str) -> ApiResult<()> {
        let Some(id) = self.params.optional("SourceImageId") else {
            return Ok(());
        };
        let mut context = self.base.clone();
        context.set("ec2:ImageID", &id);
        if let Some(image) = get::<Image>(self.tx, &id)? {
            context.set("ec2:Owner", &image.owner);
        }
        self.need(action, arn("image", &id), context);
        Ok(())
    }

    /// The tags that the call gives to new resources of a kind.
    fn new_tags(&self, kind: &str) -> Vec<(String, String)> {
        self.params
            .copy()
            .structures("TagSpecification")
            .into_iter()
            .filter(|given| given.optional("ResourceType").as_deref() == Some(kind))
            .flat_map(|given| given.tags("Tag").unwrap_or_default())
            .collect()
    }

    /// Making a resource of this kind, and tagging it if tags are given.
    fn making(&mut self, action: &str, kind: &str) {
        let context = self.base.clone();
        self.making_with(action, kind, context);
    }

    fn making_with(&mut self, action: &str, kind: &str, mut context: Context) {
        let tags = self.new_tags(kind);
        context.request_tags(&tags);
        self.need(action, arn(kind, "*"), context.clone());
        if !tags.is_empty() {
            context.set("ec2:CreateAction", action);
            self.need("CreateTags", arn(kind, "*"), context);
        }
    }

    fn run_instances(&mut self) -> ApiResult<()> {
        const ACTION: &str = "RunInstances";
        self.existing_named(ACTION, "ImageId")?;
        let mut instance = self.base.clone();
        if let Some(kind) = self.params.optional("InstanceType") {
            instance.set("ec2:InstanceType", &kind);
        }
        if let Some(options) = self.params.structure("MetadataOptions") {
            if let Some(tokens) = options.optional("HttpTokens") {
                instance.set("ec2:MetadataHttpTokens", &tokens);
            }
            if let Some(hops) = options.optional("HttpPutResponseHopLimit") {
                instance.set("ec2:MetadataHttpPutResponseHopLimit", &hops);
            }
        }
        self.making_with(ACTION, "instance", instance);
        let mut volume = self.base.clone();
        if let Some(device) = self.params.structures("BlockDeviceMapping").first()
            && let Some(encrypted) = device.optional("Ebs.Encrypted")
        {
            volume.set("ec2:Encrypted", &encrypted);
        }
        self.making_with(ACTION, "volume", volume);
        self.making(ACTION, "network-interface");
        let interface = self
            .params
            .structures("NetworkInterface")
            .into_iter()
            .next();
        let place = interface.as_ref().unwrap_or(self.params);
        let subnet = place
            .optional("SubnetId")
            .unwrap_or_else(|| network::ZONES[0].subnet.to_owned());
        let mut groups = place.list("SecurityGroupId");
        if groups.is_empty() {
            groups.push(network::SECURITY_GROUP.to_owned());
        }
        for id in groups.iter().chain([&subnet]) {
            self.existing(ACTION, id)?;
        }
        self.pass_role()
    }

    /// The role of the profile that the call names is handed to EC2.
    fn pass_role(&mut self) -> ApiResult<()> {
        let Some(given) = self.params.structure("IamInstanceProfile") else {
            return Ok(());
        };
        let profile = match (given.optional("Name"), given.optional("Arn")) {
            (Some(name), _) => iam::find_profile(self.tx, &name).ok(),
            (None, Some(arn)) => iam::find_profile_by_arn(self.tx, &arn)?,
            (None, None) => None,
        };
        if let Some(role) = profile.and_then(|profile| profile.role) {
            let mut context = self.base.clone();
            context.set("iam:PassedToService", "ec2.amazonaws.com");
            self.needed.push(Needed {
                action: "iam:PassRole".to_owned(),
                resource: role.arn(),
                context,
            });
        }
        Ok(())
    }

    fn deregister_image(&mut self) -> ApiResult<()> {
        let Some(id) = self.params.optional("ImageId") else {
            return Ok(());
        };
        self.existing("DeregisterImage", &id)?;
        if self.params.optional("DeleteAssociatedSnapshots").as_deref() == Some("true")
            && let Some(image) = get::<Image>(self.tx, &id)?
        {
            self.existing("DeleteSnapshot", &image.snapshot_id)?;
        }
        Ok(())
    }
}

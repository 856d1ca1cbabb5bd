//! `moto_server` as a judge: the program of `tests/python/second_judge.py`.

mod instances;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_ec2::types as sdk;
use serde_json::{Value, json};

use super::judge::Judge;
use super::machine::{Access, Keys, Machine};
use super::sdk::{BASE, Sdk};
use super::{Ended, python};

/// moto's account, unless told otherwise.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";
/// S3 takes no location constraint here, and wants one everywhere else.
const SPECIAL_REGION: &str = "us-east-1";
const DEBIAN: &str = "136693071363";
const DEBIAN_IMAGE: &str = "debian-13-amd64-20260101-1234";

pub struct Moto {
    server: Child,
    access: Access,
    folder: tempfile::TempDir,
}

impl Moto {
    /// A fresh one on a free port, with nothing in it but default networks and Debian's image.
    pub fn start(tls: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("muck-moto-")
            .tempdir()
            .expect("temporary folder");
        let images = folder.path().join("images.json");
        std::fs::write(&images, debian_image().to_string()).expect("images");
        let mut command = Command::new(python::interpreter());
        command.arg(python::script("second_judge.py"));
        if tls {
            command.arg(folder.path());
        }
        let mut server = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("MOTO_AMIS_PATH", &images)
            // As strict as it can be.
            .env("MOTO_ENABLE_AMI_VALIDATION", "true")
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .env("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")
            // Held until it is killed: it ends with us, however we end.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let mut told = String::new();
        BufReader::new(server.stdout.take().expect("piped"))
            .read_line(&mut told)
            .expect("moto tells its endpoint");
        let told: Value = serde_json::from_str(&told).expect("moto started: see above");
        let access = Access {
            url: told["endpoint"].as_str().expect("a URL").to_owned(),
            // Each of the two has stories enough.
            region: if tls { SPECIAL_REGION } else { REGION }.to_owned(),
            account: ACCOUNT.to_owned(),
            keys: Keys {
                id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret: "moto looks at no signature".to_owned(),
                token: None,
            },
            certificate: tls.then(|| folder.path().join("certificate.pem")),
        };
        give_internet(&access);
        Self {
            server,
            access,
            folder,
        }
    }

    /// Gives each image the tags that it was registered with: its snapshot has them too.
    fn tag_images(ec2: &Sdk) {
        let images = ec2
            .run(ec2.ec2.describe_images().owners("self").send())
            .expect("images");
        let snapshots = ec2
            .run(ec2.ec2.describe_snapshots().owner_ids("self").send())
            .expect("snapshots");
        for image in images
            .images()
            .iter()
            .filter(|image| image.tags().is_empty())
        {
            let twin = snapshots
                .snapshots()
                .iter()
                .find(|one| one.description() == image.name());
            let tags = twin
                .expect("the image's snapshot")
                .tags()
                .iter()
                .filter(|tag| tag.key() != Some("muck:expires"));
            let tags = tags.map(|tag| match tag.key() {
                Some("muck:kind") => sdk::Tag::builder().key("muck:kind").value("image").build(),
                _ => tag.clone(),
            });
            let call = ec2
                .ec2
                .create_tags()
                .resources(image.image_id().expect("an id"));
            ec2.run(call.set_tags(Some(tags.collect())).send())
                .expect("tags");
        }
    }
}

/// moto's default VPC has no way out; AWS's has one.
fn give_internet(access: &Access) {
    let client = Sdk::over(access);
    let ec2 = &client.ec2;
    let main = sdk::Filter::builder()
        .name("association.main")
        .values("true")
        .build();
    let tables = client
        .run(ec2.describe_route_tables().filters(main).send())
        .expect("route tables");
    let table = &tables.route_tables()[0];
    let created = client
        .run(ec2.create_internet_gateway().send())
        .expect("a gateway");
    let gateway = created
        .internet_gateway()
        .and_then(|gateway| gateway.internet_gateway_id())
        .expect("an id");
    let attach = ec2
        .attach_internet_gateway()
        .internet_gateway_id(gateway)
        .set_vpc_id(table.vpc_id.clone());
    client.run(attach.send()).expect("attached");
    let route = ec2
        .create_route()
        .set_route_table_id(table.route_table_id.clone())
        .destination_cidr_block("0.0.0.0/0")
        .gateway_id(gateway);
    client.run(route.send()).expect("a route");
}

impl Judge for Moto {
    fn access(&self) -> &Access {
        &self.access
    }

    /// What it knows of an image that was registered is its name, so a type can't be checked against it.
    fn image_to_launch(&self) -> Option<&'static str> {
        Some(BASE)
    }

    fn another_region(&self) -> Option<&'static str> {
        Some(SPECIAL_REGION)
    }

    fn bake(&self, machine: &Machine, arguments: &[&str]) -> Ended {
        let arguments = [&["bake"], arguments].concat();
        let ec2 = Sdk::over(&self.access);
        let mut muck = machine
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("muck starts");
        while muck.try_wait().expect("waits").is_none() {
            for builder in instances::running(&ec2, "builder") {
                instances::play_builder(&ec2, &builder);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Self::tag_images(&ec2);
        let output = muck.wait_with_output().expect("muck ends");
        Ended::new(&arguments, &output)
    }

    fn work(&self) {
        let ec2 = Sdk::over(&self.access);
        for instance in instances::running(&ec2, "worker") {
            instances::play_worker(&ec2, &instance, &self.access, self.folder.path());
        }
    }

    /// Of RegisterImage it reads name and description; the image has no tags and no architecture, and stands on a
    /// snapshot of moto's own.
    fn keeps_what_images_are_registered_with(&self) -> bool {
        false
    }

    /// It does not read the parameter.
    fn deletes_associated_snapshots(&self) -> bool {
        false
    }

    /// It tells an instance's token and does nothing else with it.
    fn remembers_client_tokens(&self) -> bool {
        false
    }

    /// It answers MissingParameter, though AWS's own example is such a mapping (EC2 user guide, "Configure the root
    /// volume to persist"). `muck` says the size, so launches work.
    fn takes_volume_sizes_from_images(&self) -> bool {
        false
    }

    /// It takes a policy that is not named for none.
    fn keeps_policies_of_queues(&self) -> bool {
        false
    }

    /// A deleted queue's name can be had at once.
    fn remembers_deleted_queues(&self) -> bool {
        false
    }

    /// It reads effect, action and resource of a statement, so one that denies plain HTTP denies all.
    fn weighs_conditions_of_bucket_policies(&self) -> bool {
        false
    }

    /// It looks at no signature unless told to from some request on, and then at policies too, without conditions.
    fn verifies_signatures(&self) -> bool {
        false
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What it has to know of the image that bakes begin with.
fn debian_image() -> Value {
    json!([{
        "ami_id": BASE,
        "state": "available",
        "public": true,
        "owner_id": DEBIAN,
        "name": DEBIAN_IMAGE,
        "description": "Debian 13",
        "architecture": "x86_64",
        "image_type": "machine",
        "image_location": format!("{DEBIAN}/{DEBIAN_IMAGE}"),
        "creation_date": "2026-01-01T12:34:00.000Z",
        "root_device_type": "ebs",
        "root_device_name": "/dev/xvda",
        "virtualization_type": "hvm",
        "hypervisor": "xen",
        "sriov": "simple",
        "boot_mode": "uefi-preferred",
    }])
}

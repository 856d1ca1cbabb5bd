//! The tree of pages under `/latest/`: what each category says, and the listings of folders.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::credentials::seconds;
use crate::account::{ACCOUNT, REGION};
use crate::state::ec2::InstanceFacts;

/// The DNS domain of the services of the standard partition, which clients build endpoints of.
const DOMAIN: &str = "amazonaws.com";

/// All pages by path below `/latest/`. Credentials are not among them: the value is empty there, and the
/// caller makes them when they are asked for.
pub(super) fn pages(
    facts: &InstanceFacts,
    role: Option<&str>,
    now: Timestamp,
) -> BTreeMap<String, Vec<u8>> {
    let mut pages = BTreeMap::new();
    let mut page = |path: &str, text: String| {
        pages.insert(path.to_owned(), text.into_bytes());
    };
    let ip = facts.private_ip.to_string();
    for (name, value) in [
        ("ami-id", facts.image_id.clone()),
        ("ami-launch-index", facts.launch_index.to_string()),
        ("ami-manifest-path", "(unknown)".to_owned()),
        ("hostname", facts.hostname.clone()),
        ("instance-action", "none".to_owned()),
        ("instance-id", facts.instance_id.clone()),
        (
            "instance-life-cycle",
            if facts.spot { "spot" } else { "on-demand" }.to_owned(),
        ),
        ("instance-type", facts.instance_type.clone()),
        ("local-hostname", facts.hostname.clone()),
        ("local-ipv4", ip.clone()),
        ("mac", facts.mac.clone()),
        ("placement/availability-zone", facts.zone.clone()),
        ("placement/region", REGION.to_owned()),
        ("profile", "default-hvm".to_owned()),
        ("reservation-id", facts.reservation_id.clone()),
        ("security-groups", facts.security_groups.join("\n")),
        ("services/domain", DOMAIN.to_owned()),
        ("services/partition", "aws".to_owned()),
    ] {
        page(&format!("meta-data/{name}"), value);
    }
    let interface = format!("meta-data/network/interfaces/macs/{}", facts.mac);
    page(&format!("{interface}/device-number"), "0".to_owned());
    page(
        &format!("{interface}/local-hostname"),
        facts.hostname.clone(),
    );
    page(&format!("{interface}/local-ipv4s"), ip.clone());
    page(&format!("{interface}/mac"), facts.mac.clone());
    page(&format!("{interface}/owner-id"), ACCOUNT.to_owned());
    if let Some(profile) = &facts.profile {
        page(
            "meta-data/iam/info",
            pretty(&json!({
                "Code": "Success",
                "LastUpdated": seconds(now),
                "InstanceProfileArn": profile.arn,
                "InstanceProfileId": profile.id,
            })),
        );
        if let Some(role) = role {
            page(&format!("{CREDENTIALS}{role}"), String::new());
        }
    }
    if let Some(notice) = &facts.spot_notice {
        let time = seconds(notice.at);
        page(
            "meta-data/spot/instance-action",
            json!({ "action": notice.action, "time": time }).to_string(),
        );
        if notice.action == "terminate" {
            page("meta-data/spot/termination-time", time);
        }
    }
    for (key, value) in facts.tags.iter().flatten() {
        page(&format!("meta-data/tags/instance/{key}"), value.clone());
    }
    page(
        "dynamic/instance-identity/document",
        pretty(&json!({
            "accountId": ACCOUNT,
            "architecture": facts.architecture,
            "availabilityZone": facts.zone,
            "billingProducts": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "imageId": facts.image_id,
            "instanceId": facts.instance_id,
            "instanceType": facts.instance_type,
            "kernelId": null,
            "pendingTime": seconds(facts.launch_time),
            "privateIp": ip,
            "ramdiskId": null,
            "region": REGION,
            "version": "2017-09-30",
        })),
    );
    if let Some(user_data) = &facts.user_data {
        pages.insert("user-data".to_owned(), user_data.clone());
    }
    pages
}

/// Where the roles' credentials are.
pub(super) const CREDENTIALS: &str = "meta-data/iam/security-credentials/";

/// The names in a folder, those of sub-folders with a `/`, one a line without a last newline; `None` if
/// there is no such folder. `folder` is empty or ends with `/`.
pub(super) fn listing(pages: &BTreeMap<String, Vec<u8>>, folder: &str) -> Option<String> {
    let mut names: Vec<&str> = pages
        .keys()
        .filter_map(|path| path.strip_prefix(folder))
        .map(|rest| rest.find('/').map_or(rest, |end| &rest[..=end]))
        .collect();
    names.dedup();
    (!names.is_empty()).then(|| names.join("\n"))
}

fn pretty(value: &serde_json::Value) -> String {
    // Pretty, as the real ones are, because people read them by `curl`.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_list_what_is_in_them() {
        let pages: BTreeMap<String, Vec<u8>> = ["a/b", "a/c/d", "a/c/e", "f"]
            .into_iter()
            .map(|path| (path.to_owned(), Vec::new()))
            .collect();
        assert_eq!(listing(&pages, "").unwrap(), "a/\nf");
        assert_eq!(listing(&pages, "a/").unwrap(), "b\nc/");
        assert_eq!(listing(&pages, "a/c/").unwrap(), "d\ne");
        assert_eq!(listing(&pages, "g/"), None);
    }
}

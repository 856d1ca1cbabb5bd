//! The price list: a dated file in `prices/`, built in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::money::Dollars;

/// The list in force.
const NEWEST: &str = include_str!("../../prices/2026-07-20.toml");
/// Whose prices a cloud that is not AWS is billed by.
const STAND_IN: &str = "us-east-1";

static BUILTIN: LazyLock<PriceList> =
    LazyLock::new(|| toml::from_str(NEWEST).expect("the list is checked by a test"));

/// A dated price list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// Of the newest source, `2026-07-20`.
    pub date: String,
    region: BTreeMap<String, Prices>,
}

/// The prices of one region; what each is for is told in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub storage: Dollars,
    pub put: Dollars,
    pub get: Dollars,
    pub transfer: Dollars,
    pub queue: Dollars,
    pub volume: Dollars,
    pub snapshot: Dollars,
    pub ipv4: Dollars,
    pub nat: Dollars,
    #[serde(default)]
    compute: BTreeMap<String, Dollars>,
}

impl PriceList {
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The prices of `region`, and the name of the region that they are of: another cloud than
    /// AWS is priced as us-east-1. `None` for an AWS region that is not in the list.
    pub fn of(&self, region: &str, is_aws: bool) -> Option<(&str, &Prices)> {
        let name = if is_aws { region } else { STAND_IN };
        self.region
            .get_key_value(name)
            .map(|(name, prices)| (name.as_str(), prices))
    }
}

impl Prices {
    /// The price of an hour of that type.
    pub fn compute(&self, instance_type: &str) -> Option<Dollars> {
        self.compute.get(instance_type).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_well_formed_and_sane() {
        let list = PriceList::builtin();
        assert!(NEWEST.contains(&format!("date = \"{}\"", list.date)));
        for region in [
            "us-east-1",
            "us-east-2",
            "us-west-2",
            "eu-west-1",
            "eu-central-1",
        ] {
            let (_, prices) = list.of(region, true).expect(region);
            for price in [
                prices.storage,
                prices.put,
                prices.get,
                prices.transfer,
                prices.queue,
                prices.volume,
                prices.snapshot,
                prices.ipv4,
                prices.nat,
            ] {
                assert!(price > Dollars::ZERO, "{region}");
            }
            assert!(
                prices.get < prices.put && prices.ipv4 < prices.transfer,
                "{region}"
            );
        }
        for region in [
            "us-east-1",
            "us-east-2",
            "us-west-2",
            "eu-west-1",
            "eu-central-1",
        ] {
            let (_, prices) = list.of(region, true).expect(region);
            for name in [
                "c7i.large",
                "c7a.4xlarge",
                "c6i.xlarge",
                "c7g.large",
                "t3.micro",
            ] {
                assert!(prices.compute(name).is_some(), "{name} in {region}");
            }
        }
        assert!(list.of("mars-north-1", true).is_none());
        let (name, prices) = list.of("us-local-1", false).expect("priced as another");
        assert_eq!(name, "us-east-1");
        let hour = |name: &str| prices.compute(name).unwrap_or_else(|| panic!("{name}"));
        for family in ["c7i", "c7a", "c6i", "c7g", "m7i", "m7g"] {
            assert_eq!(
                hour(&format!("{family}.xlarge")),
                hour(&format!("{family}.large")).times(2, 1),
                "{family}"
            );
        }
        assert!(hour("t3.medium") < hour("c7i.large"));
        assert_eq!(prices.compute("z99.huge"), None);
    }
}

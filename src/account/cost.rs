//! What standing still costs: dollars an hour, by the price list.

use serde::Serialize;

use crate::batch::money::Dollars;
use crate::batch::prices::{PriceList, Prices};
use crate::cloud::Cloud;
use crate::resources::instance::{Instance, InstanceState};
use crate::resources::snapshot::Snapshot;
use crate::resources::volume::Volume;

/// Hours of a month, as AWS's own calculator reckons.
const MONTH: u128 = 730;
/// AWS's GB of storage are 2^30 bytes.
const GB: u128 = 1 << 30;

/// An amount an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hourly {
    pub dollars: Dollars,
    /// It is more than that: something has no known price, or was not counted to its end.
    pub at_least: bool,
}

/// What costs by the hour while nobody does anything.
#[derive(Debug, Default)]
pub struct Standing<'a> {
    pub instances: Vec<&'a Instance>,
    pub volumes: Vec<&'a Volume>,
    pub snapshots: Vec<&'a Snapshot>,
    pub stored_bytes: u64,
}

impl Standing<'_> {
    /// Spot instances are priced as others: that is the most they cost.
    pub fn an_hour(&self, prices: &Prices) -> Hourly {
        let mut hourly = Hourly::default();
        let billed = self.instances.iter().filter(|one| {
            matches!(
                one.state,
                InstanceState::Pending | InstanceState::Running | InstanceState::Unknown
            )
        });
        for instance in billed {
            match prices.compute(&instance.instance_type) {
                Some(price) => hourly.dollars = hourly.dollars + price,
                None => hourly.at_least = true,
            }
            if instance.public_ip {
                hourly.dollars = hourly.dollars + prices.ipv4;
            }
        }
        let gib: u128 = self.volumes.iter().map(|one| u128::from(one.size)).sum();
        // Where EC2 doesn't tell what a snapshot stores, its volume's size is the most it can be.
        let snapshots: u128 = self
            .snapshots
            .iter()
            .map(|one| {
                let most = u64::from(one.volume_size.unwrap_or(0)) << 30;
                u128::from(one.bytes.unwrap_or(most))
            })
            .sum();
        hourly.dollars = hourly.dollars
            + prices.volume.times(gib, MONTH)
            + prices.snapshot.times(snapshots, GB * MONTH)
            + prices
                .storage
                .times(u128::from(self.stored_bytes), GB * MONTH);
        hourly
    }
}

impl Hourly {
    /// `$0.0893`, `≥ $0.0893`, or `-` for nothing.
    pub fn text(self) -> String {
        match (self.dollars == Dollars::ZERO, self.at_least) {
            (true, false) => "-".to_owned(),
            (_, true) => format!("≥ {}", fine(self.dollars)),
            (false, false) => small(self.dollars),
        }
    }
}

/// To a hundredth of a cent, or more finely where that would be nothing.
fn fine(dollars: Dollars) -> Dollars {
    if dollars.nanos() >= 100_000 {
        Dollars::from_nanos((dollars.nanos() + 50_000) / 100_000 * 100_000)
    } else {
        dollars.rounded()
    }
}

/// A small amount as people read it, `$0.0893` or `< $0.000001`.
pub fn small(dollars: Dollars) -> String {
    match fine(dollars) {
        Dollars::ZERO if dollars != Dollars::ZERO => "< $0.000001".to_owned(),
        fine => fine.to_string(),
    }
}

/// What it costs to store so many bytes in S3 for a day; `None`: the prices of the region are not known.
pub fn daily_storage(cloud: &Cloud, stored_bytes: u64) -> Option<Dollars> {
    let standing = Standing {
        stored_bytes,
        ..Standing::default()
    };
    let hourly = standing.an_hour(prices_of(cloud)?);
    Some(hourly.dollars.times(24, 1))
}

/// The prices of the cloud's region, if they are known.
pub(super) fn prices_of(cloud: &Cloud) -> Option<&'static Prices> {
    let (_, prices) = PriceList::builtin().of(&cloud.aws.region, cloud.aws.endpoint.is_none())?;
    Some(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(nanos: u128, at_least: bool) -> String {
        let dollars = Dollars::from_nanos(nanos);
        Hourly { dollars, at_least }.text()
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(hourly(0, false), "-");
        assert_eq!(hourly(0, true), "≥ $0.00");
        assert_eq!(hourly(300, false), "< $0.000001");
        assert_eq!(hourly(34_250, false), "$0.000034");
        assert_eq!(hourly(183_512_345, false), "$0.1835");
        assert_eq!(hourly(183_512_345, true), "≥ $0.1835");
    }

    #[test]
    fn storage_is_priced_by_the_month() {
        let (_, prices) = PriceList::builtin().of("us-east-1", true).expect("priced");
        let standing = Standing {
            stored_bytes: 730 << 30,
            ..Standing::default()
        };
        assert_eq!(standing.an_hour(prices).dollars, prices.storage);
    }
}

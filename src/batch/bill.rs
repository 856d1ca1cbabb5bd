//! *Check please!*: the article's bill, from what was really used. The arithmetic is exact.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};
use jiff::Timestamp;
use muck_worker::text::{printable_short, quantity, quantity_of};
use serde::Serialize;

use super::fleet;
use super::ledger::{Batch, Ledger};
use super::money::Dollars;
use super::prices::{PriceList, Prices};
use super::usage::{self, InstanceTime, Usage};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::snapshot;

/// AWS bills an instance by the second, a minute at least:
/// <https://aws.amazon.com/ec2/pricing/on-demand/>
const LEAST_SECONDS: u64 = 60;
const HOUR: u128 = 3600;
/// 730 hours, as AWS's own calculator reckons a month.
const MONTH: u128 = 730 * HOUR;
/// AWS's GB of storage and transfer are 2^30 bytes.
const GB: u128 = 1 << 30;

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The article's label, `Storage`, or what it consists of.
    pub item: String,
    pub quantity: String,
    /// With its unit; empty where the price is not known.
    pub unit_price: String,
    /// `None`: the price is not known.
    pub dollars: Option<Dollars>,
}

/// The bill of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bill {
    pub batch: String,
    /// Date of the price list.
    pub prices_of: String,
    /// Whose prices these are, or would be.
    pub region: String,
    /// The region has prices; without them there are quantities, and no total.
    pub priced: bool,
    /// Nothing is really asked for: this is what AWS would have asked.
    pub rehearsal: bool,
    pub lines: Vec<Line>,
    /// Of all lines with a known price.
    pub total: Dollars,
    /// Some line has no known price, so the total is too low.
    pub incomplete: bool,
    pub videos: u64,
    /// `None` if none was converted.
    pub per_video: Option<Dollars>,
    pub notes: Vec<String>,
}

/// The bill of a batch (`None`: the one last submitted from here), until now.
///
/// # Errors
/// No batch known, no ledger. A stack that is gone is no error: the ledger remembers.
pub async fn bill(cloud: &Cloud, batch: Option<&str>) -> Result<Bill> {
    bill_by(cloud, &Ledger::open(cloud)?, batch).await
}

/// The same with the ledger given.
pub(super) async fn bill_by(cloud: &Cloud, ledger: &Ledger, batch: Option<&str>) -> Result<Bill> {
    let batch = known(ledger, batch)?;
    let (observed, ends) = tokio::join!(
        fleet::observe(cloud, ledger),
        fleet::note_ends(cloud, ledger)
    );
    observed?;
    if let Err(error) = ends {
        cloud.events.warn(format!(
            "instances that powered themselves off are billed until last seen running: {}",
            error.chain()
        ));
    }
    let snapshots = snapshot::list(&cloud.aws, &cloud.names.stack).await?;
    // Where EC2 doesn't tell what is stored, the volume's size is the most that it can be.
    let bytes = snapshots
        .iter()
        .map(|one| {
            one.bytes
                .unwrap_or_else(|| u64::from(one.volume_size.unwrap_or(0)) << 30)
        })
        .sum();
    let usage = usage::gather(ledger, &batch, bytes, Timestamp::now())?;
    Ok(price(&usage, &cloud.names.region, is_aws(cloud)))
}

/// The batch of that name, or the newest.
pub(super) fn known(ledger: &Ledger, name: Option<&str>) -> Result<Batch> {
    let found = match name {
        Some(name) => ledger.batch(name)?,
        None => ledger.newest_batch()?,
    };
    found.ok_or_else(|| match name {
        Some(name) => Error::failed(format!("no batch {name:?} of this stack is known here")),
        None => none_submitted().hint(
            "name the stack that it was in with --stack: `muck run` gives each run one of its own",
        ),
    })
}

/// No batch is known of the stack.
pub(super) fn none_submitted() -> Error {
    Error::failed("no batch of this stack was submitted from here")
}

pub(super) fn is_aws(cloud: &Cloud) -> bool {
    cloud.aws.endpoint.is_none()
}

/// Prices what was used; in a region without prices only the quantities are told. Pure.
pub fn price(usage: &Usage, region: &str, is_aws: bool) -> Bill {
    let list = PriceList::builtin();
    let known = list.of(region, is_aws);
    let prices = known.map(|(_, prices)| prices);
    let mut lines = vec![
        storage(usage, prices),
        requests("  writes", usage.puts, prices.map(|all| all.put)),
        requests("  reads", usage.gets, prices.map(|all| all.get)),
        transfer(
            "Transfer",
            usage.bytes_out,
            "out",
            prices.map(|all| all.transfer),
        ),
    ];
    if usage.nat_bytes > 0 {
        let nat = prices.map(|all| all.nat);
        lines.push(transfer(
            "  NAT gateway",
            usage.nat_bytes,
            "in and out",
            nat,
        ));
    }
    lines.push(messages(usage, prices));
    lines.extend(compute(&usage.instances, prices));
    if usage.snapshot_bytes > 0 {
        let stored = Stored {
            bytes: usage.snapshot_bytes,
            seconds: usage.stored_seconds,
        };
        lines.push(stored.line("Image", prices.map(|all| all.snapshot)));
    }
    let total: Dollars = lines.iter().filter_map(|line| line.dollars).sum();
    let incomplete = lines.iter().any(|line| line.dollars.is_none());
    let mut notes = notes(usage, incomplete && prices.is_some());
    if prices.is_none() {
        notes.push(format!(
            "the price list of {} does not have the region {region}; AWS's own bill is under Billing and Cost \
             Management in its console",
            list.date
        ));
    }
    Bill {
        batch: usage.batch.clone(),
        prices_of: list.date.clone(),
        region: known.map_or(region, |(name, _)| name).to_owned(),
        priced: prices.is_some(),
        rehearsal: !is_aws,
        notes,
        lines,
        total,
        incomplete,
        videos: usage.converted,
        per_video: (usage.converted > 0 && prices.is_some()).then(|| total.share(usage.converted)),
    }
}

/// The cells of a price and an amount: `quantity` at so much for each `per`, whose name is `unit`.
fn cells(
    price: Option<Dollars>,
    unit: &str,
    quantity: u128,
    per: u128,
) -> (String, Option<Dollars>) {
    (
        price.map_or_else(
            || "price not known".to_owned(),
            |price| format!("{price} / {unit}"),
        ),
        price.map(|price| price.times(quantity, per).rounded()),
    )
}

struct Stored {
    bytes: u64,
    seconds: u64,
}

impl Stored {
    fn line(&self, item: &str, a_gb_month: Option<Dollars>) -> Line {
        let byte_seconds = u128::from(self.bytes) * u128::from(self.seconds);
        let (unit_price, dollars) = cells(a_gb_month, "GB-month", byte_seconds, GB * MONTH);
        Line {
            item: item.to_owned(),
            quantity: format!("{} for {}", bytes(self.bytes), span(self.seconds)),
            unit_price,
            dollars,
        }
    }
}

fn storage(usage: &Usage, prices: Option<&Prices>) -> Line {
    Stored {
        bytes: usage.stored_bytes,
        seconds: usage.stored_seconds,
    }
    .line("Storage", prices.map(|all| all.storage))
}

/// Only what left AWS or went through a NAT gateway: into S3, and between S3 and instances of its region, costs
/// nothing.
fn transfer(item: &str, count: u64, way: &str, a_gb: Option<Dollars>) -> Line {
    let (unit_price, dollars) = cells(a_gb, "GB", u128::from(count), GB);
    Line {
        item: item.to_owned(),
        quantity: format!("{} {way}", bytes(count)),
        unit_price,
        dollars,
    }
}

fn messages(usage: &Usage, prices: Option<&Prices>) -> Line {
    let price = prices.map(|all| all.queue);
    let count = usage.queue_requests;
    let (unit_price, dollars) = cells(price, "million", u128::from(count), 1_000_000);
    Line {
        item: "Messages".to_owned(),
        quantity: quantity(count, "request"),
        unit_price,
        dollars,
    }
}

fn requests(item: &str, count: u64, a_thousand: Option<Dollars>) -> Line {
    let (unit_price, dollars) = cells(a_thousand, "thousand", u128::from(count), 1000);
    Line {
        item: item.to_owned(),
        quantity: quantity(count, "request"),
        unit_price,
        dollars,
    }
}

/// A heading with the instances, then one line a kind and type, their volumes and addresses.
fn compute(instances: &[InstanceTime], prices: Option<&Prices>) -> Vec<Line> {
    let billed = |one: &InstanceTime| one.seconds.max(LEAST_SECONDS);
    let mut lines = vec![Line {
        item: "Compute Resources".to_owned(),
        quantity: quantity_of(instances, "instance"),
        unit_price: String::new(),
        dollars: Some(Dollars::ZERO),
    }];
    let mut groups: Vec<(&str, &str)> = instances
        .iter()
        .map(|one| (one.kind.as_str(), one.instance_type.as_str()))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for (kind, instance_type) in groups.into_iter().rev() {
        let of: Vec<&InstanceTime> = instances
            .iter()
            .filter(|one| one.kind == kind && one.instance_type == instance_type)
            .collect();
        let seconds: u64 = of.iter().map(|one| billed(one)).sum();
        let an_hour = prices.and_then(|all| all.compute(instance_type));
        let (unit_price, dollars) = cells(an_hour, "hour", u128::from(seconds), HOUR);
        // The kind is a tag's value, which anyone in the account can write.
        let what = if kind.is_empty() {
            "instance".to_owned()
        } else {
            printable_short(kind, 20)
        };
        lines.push(Line {
            item: format!("  {} {instance_type}", quantity_of(&of, &what)),
            quantity: format!("{seconds} s"),
            unit_price: match (an_hour, prices) {
                (None, Some(_)) => format!("price of {instance_type} not known"),
                _ => unit_price,
            },
            dollars,
        });
    }
    let gib_seconds: u128 = instances
        .iter()
        .map(|one| u128::from(one.volume_gib) * u128::from(billed(one)))
        .sum();
    if gib_seconds > 0 {
        let price = prices.map(|all| all.volume);
        let (unit_price, dollars) = cells(price, "GB-month", gib_seconds, MONTH);
        lines.push(Line {
            item: "  volumes".to_owned(),
            quantity: format!("{gib_seconds} GB-seconds"),
            unit_price,
            dollars,
        });
    }
    let address_seconds: u64 = instances
        .iter()
        .filter(|one| one.public_ip)
        .map(billed)
        .sum();
    if address_seconds > 0 {
        let price = prices.map(|all| all.ipv4);
        let (unit_price, dollars) = cells(price, "hour", u128::from(address_seconds), HOUR);
        lines.push(Line {
            item: "  public addresses".to_owned(),
            quantity: format!("{address_seconds} s"),
            unit_price,
            dollars,
        });
    }
    lines
}

fn notes(usage: &Usage, incomplete: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if incomplete {
        notes.push("the total lacks what has no known price".to_owned());
    }
    let unsure = usage.instances.iter().filter(|one| one.at_least).count() as u64;
    if unsure > 0 {
        notes.push(format!(
            "{}: end time unknown, billed until last seen running",
            quantity(unsure, "instance")
        ));
    }
    notes
}

impl Bill {
    /// The article's table.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        for line in &self.lines {
            let heading = line.unit_price.is_empty();
            let amount = match line.dollars {
                _ if heading => String::new(),
                Some(dollars) => six(dollars),
                None => "?".to_owned(),
            };
            table.add_row([&line.item, &line.quantity, &line.unit_price, &amount]);
        }
        if self.priced {
            table.add_row(["  Total:", "", "", &six(self.total)]);
        }
        if let Some(column) = table.column_mut(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let asked = if self.rehearsal {
            "what AWS would have asked"
        } else {
            "list prices, without tax and free tier"
        };
        let what = if self.priced {
            format!(
                "prices of {} as of {}: {asked}",
                self.region, self.prices_of
            )
        } else {
            format!("quantities: prices of {} are not known", self.region)
        };
        let mut text = format!("Batch {}, {what}\n\n{}", self.batch, table.trim_fmt());
        if let Some(per_video) = self.per_video {
            let videos = quantity(self.videos, "video");
            let _ = write!(text, "\n\n{videos} converted, {} a video", six(per_video));
        }
        for (index, note) in self.notes.iter().enumerate() {
            let _ = write!(
                text,
                "{}Note: {note}",
                if index == 0 { "\n\n" } else { "\n" }
            );
        }
        text
    }
}

/// All amounts with six decimals, so that they stand below each other and add up.
fn six(dollars: Dollars) -> String {
    let micros = dollars.rounded().nanos() / 1000;
    format!("${}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// `1.9 MB` in AWS's units (2^20 …).
pub(super) fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        quantity(count, "byte")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

fn span(seconds: u64) -> String {
    crate::ui::seconds(std::time::Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(seconds: u64, instance_type: &str) -> InstanceTime {
        InstanceTime {
            id: "i-1".into(),
            kind: "worker".into(),
            instance_type: instance_type.into(),
            seconds,
            volume_gib: 8,
            public_ip: true,
            at_least: false,
        }
    }

    /// The article's second run: 500 videos, 2.5 GB in all, 10 instances for about 20 minutes.
    fn article() -> Usage {
        Usage {
            batch: "20070328-203400-beef".into(),
            jobs: 500,
            converted: 500,
            stored_bytes: 2_684_354_560,
            stored_seconds: 730 * 3600,
            bytes_out: 1_342_177_280,
            nat_bytes: 0,
            puts: 1500,
            gets: 2000,
            queue_requests: 2600,
            instances: (0..10).map(|_| worker(1200, "c7i.large")).collect(),
            snapshot_bytes: 0,
        }
    }

    #[test]
    fn the_articles_run_at_todays_prices() {
        insta::assert_snapshot!(price(&article(), "us-east-1", true).text(), @r"
        Batch 20070328-203400-beef, prices of us-east-1 as of 2026-07-20: list prices, without tax and free tier

         Storage                 2.5 GB for 730 h 00 min  $0.023 / GB-month   $0.057500
           writes                1500 requests            $0.005 / thousand   $0.007500
           reads                 2000 requests            $0.0004 / thousand  $0.000800
         Transfer                1.2 GB out               $0.09 / GB          $0.112500
         Messages                2600 requests            $0.40 / million     $0.001040
         Compute Resources       10 instances
           10 workers c7i.large  12000 s                  $0.08925 / hour     $0.297500
           volumes               96000 GB-seconds         $0.08 / GB-month    $0.002922
           public addresses      12000 s                  $0.005 / hour       $0.016667
           Total:                                                             $0.496429

        500 videos converted, $0.000993 a video
        ");
    }

    #[test]
    fn what_has_no_known_price_says_so() {
        let mut usage = article();
        usage.instances = vec![worker(10, "z99.huge"), worker(3600, "c7i.large")];
        usage.instances[1].at_least = true;
        usage.instances[0].kind = "builder".into();
        usage.snapshot_bytes = 1 << 30;
        usage.converted = 0;
        insta::assert_snapshot!(price(&usage, "us-local-1", false).text(), @r"
        Batch 20070328-203400-beef, prices of us-east-1 as of 2026-07-20: what AWS would have asked

         Storage               2.5 GB for 730 h 00 min  $0.023 / GB-month            $0.057500
           writes              1500 requests            $0.005 / thousand            $0.007500
           reads               2000 requests            $0.0004 / thousand           $0.000800
         Transfer              1.2 GB out               $0.09 / GB                   $0.112500
         Messages              2600 requests            $0.40 / million              $0.001040
         Compute Resources     2 instances
           1 worker c7i.large  3600 s                   $0.08925 / hour              $0.089250
           1 builder z99.huge  60 s                     price of z99.huge not known          ?
           volumes             29280 GB-seconds         $0.08 / GB-month             $0.000891
           public addresses    3660 s                   $0.005 / hour                $0.005083
         Image                 1.0 GB for 730 h 00 min  $0.05 / GB-month             $0.050000
           Total:                                                                    $0.324564

        Note: the total lacks what has no known price
        Note: 1 instance: end time unknown, billed until last seen running
        ");
    }

    #[test]
    fn a_region_without_prices_gets_its_quantities() {
        let mut usage = article();
        usage.nat_bytes = 1 << 30;
        let bill = price(&usage, "mars-north-1", true);
        assert!(bill.incomplete && !bill.priced && bill.per_video.is_none());
        assert_eq!(bill.total, Dollars::ZERO);
        insta::assert_snapshot!(bill.text(), @r"
        Batch 20070328-203400-beef, quantities: prices of mars-north-1 are not known

         Storage                 2.5 GB for 730 h 00 min  price not known  ?
           writes                1500 requests            price not known  ?
           reads                 2000 requests            price not known  ?
         Transfer                1.2 GB out               price not known  ?
           NAT gateway           1.0 GB in and out        price not known  ?
         Messages                2600 requests            price not known  ?
         Compute Resources       10 instances
           10 workers c7i.large  12000 s                  price not known  ?
           volumes               96000 GB-seconds         price not known  ?
           public addresses      12000 s                  price not known  ?

        Note: the price list of 2026-07-20 does not have the region mars-north-1; AWS's own bill is under Billing and Cost Management in its console
        ");
    }

    #[test]
    fn what_went_through_a_nat_gateway_is_a_line() {
        let mut usage = article();
        usage.nat_bytes = 4 << 30;
        let without = price(&article(), "us-east-1", true);
        let with = price(&usage, "us-east-1", true);
        let line = with.lines.iter().find(|line| line.item == "  NAT gateway");
        let line = line.expect("a line");
        assert_eq!(line.quantity, "4.0 GB in and out");
        assert_eq!(line.dollars, Some(Dollars::from_nanos(180_000_000)));
        assert_eq!(with.lines.len(), without.lines.len() + 1);
        assert_eq!(with.total, without.total + Dollars::from_nanos(180_000_000));
    }

    #[test]
    fn a_minute_is_the_least() {
        let mut usage = article();
        usage.instances = vec![worker(5, "c7i.large")];
        let short = price(&usage, "us-east-1", true).total;
        usage.instances = vec![worker(60, "c7i.large")];
        assert_eq!(short, price(&usage, "us-east-1", true).total);
    }

    #[test]
    fn lines_add_up_to_the_total() {
        let bill = price(&article(), "eu-central-1", true);
        let sum: Dollars = bill.lines.iter().filter_map(|line| line.dollars).sum();
        assert_eq!(sum, bill.total);
        assert!(!bill.incomplete);
    }
}

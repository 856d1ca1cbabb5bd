//! US dollars, exactly: whole nano-dollars, no floating point.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in billionths of a US dollar: the finest list price (one S3 GET, 0.0000004) is 400.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(u128);

const NANOS: u128 = 1_000_000_000;

impl Dollars {
    pub const ZERO: Self = Self(0);

    pub const fn from_nanos(nanos: u128) -> Self {
        Self(nanos)
    }

    pub const fn nanos(self) -> u128 {
        self.0
    }

    /// `self × quantity / unit`, half a nano-dollar rounded up. `unit` is how many of `quantity`
    /// one price is for, e.g. 3600 where the price is for an hour and the quantity in seconds.
    #[must_use]
    pub fn times(self, quantity: u128, unit: u128) -> Self {
        let unit = unit.max(1);
        Self(self.0.saturating_mul(quantity).saturating_add(unit / 2) / unit)
    }

    /// The mean of `count` equal shares; zero shares of anything cost nothing.
    #[must_use]
    pub fn share(self, count: u64) -> Self {
        if count == 0 {
            Self::ZERO
        } else {
            self.times(1, u128::from(count))
        }
    }

    /// To whole millionths of a dollar, half rounded up, so that lines that are shown with six
    /// decimals add up to the total that is shown.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self((self.0 + 500) / 1000 * 1000)
    }
}

impl Add for Dollars {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Dollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Dollars {
    /// `$1.78`, `$0.000051`: at least two decimals, more only where they are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}", decimal(self.0)))
    }
}

fn decimal(nanos: u128) -> String {
    let all = format!("{}.{:09}", nanos / NANOS, nanos % NANOS);
    let shortest = all.len() - 7; // two decimals stay
    let end = all.trim_end_matches('0').len().max(shortest);
    all[..end].to_owned()
}

/// Why a text is no price.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a price: write dollars with at most 9 decimals, e.g. \"0.0893\"")]
pub struct NotAPrice(String);

impl FromStr for Dollars {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let bad = || NotAPrice(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 9 || whole.len() > 12 {
            return Err(bad());
        }
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        let part: u128 = format!("{part:0<9}").parse().map_err(|_| bad())?;
        Ok(Self(whole * NANOS + part))
    }
}

impl Serialize for Dollars {
    /// A decimal string, because JSON's numbers are floats in many readers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&decimal(self.0))
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dollars(text: &str) -> Dollars {
        text.parse().expect("a price")
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(
            dollars("0.09").times(412, 3600),
            Dollars::from_nanos(10_300_000)
        );
        assert_eq!(dollars("0.0004").times(1, 1000).nanos(), 400);
        assert_eq!(dollars("1.78").share(500).to_string(), "$0.00356");
        assert_eq!(dollars("1").share(0), Dollars::ZERO);
        assert_eq!(dollars("0.0000005").rounded().to_string(), "$0.000001");
        assert_eq!(dollars("0.0000004").rounded().to_string(), "$0.00");
        // A petabyte for a year does not overflow.
        let much = dollars("0.023").times((1 << 50) * 31_536_000, (1 << 30) * 2_628_000);
        assert_eq!(much.to_string(), "$289406.976");
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1.0000000001",
            "$1",
            "1,5",
        ] {
            assert!(bad.parse::<Dollars>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_is_read_back(nanos in 0_u128..1_000_000_000_000_000) {
            let amount = Dollars::from_nanos(nanos);
            prop_assert_eq!(amount.to_string()[1..].parse::<Dollars>(), Ok(amount));
        }

        #[test]
        fn rounded_lines_add_up(amounts in prop::collection::vec(0_u128..10_000_000_000, 1..9)) {
            let lines: Vec<Dollars> = amounts.into_iter().map(|n| Dollars::from_nanos(n).rounded()).collect();
            let total: Dollars = lines.iter().copied().sum();
            prop_assert_eq!(total, total.rounded());
        }
    }
}

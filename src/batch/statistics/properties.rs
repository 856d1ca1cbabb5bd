//! What holds for whichever times status messages tell: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::tests::any_times;
use super::*;

proptest! {
    #[test]
    fn the_figures_are_figures(times in prop::collection::vec(any_times(), 1..50)) {
        let all = Statistics::of(&times).expect("one at least");
        let (least, most) = (all.minimum_processing_seconds, all.maximum_processing_seconds);
        let mean = all.average_processing_seconds;
        prop_assert_eq!(all.results, times.len() as u64);
        prop_assert!(least <= most);
        // Half a second for what a float can't hold of centuries.
        prop_assert!(mean.is_finite() && mean >= least as f64 - 0.5 && mean <= most as f64 + 0.5, "{:?}", all);
        prop_assert!(all.transactions_per_minute.is_finite() && all.transactions_per_minute > 0.0, "{:?}", all);
        prop_assert!(all.elapsed_seconds >= most, "{:?}", all);
        prop_assert_eq!(all.text().lines().count(), 5);
        prop_assert!(all.text().lines().all(|line| line.len() < 80), "{}", all.text());
    }
}

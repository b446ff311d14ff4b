//! What a run is expected to cost in the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pricing::Cost;

/// An expected bill for the whole run, profiling included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Forecast {
    /// The expected total.
    pub cost: Cost,
    /// The total it will be above with probability 95 %, roughly: a forecast, not a promise.
    pub low: Cost,
    /// The total it will be below with probability 95 %, roughly.
    pub high: Cost,
    /// What the reference alone would cost for every item: its mean cost where it was asked, times
    /// the number of items. An estimate, as the others are.
    pub reference_cost: Cost,
}

impl Forecast {
    /// How many times cheaper than the reference alone; 1 if nothing costs anything.
    pub fn saving(&self) -> f64 {
        ratio(self.reference_cost, self.cost)
    }

    /// The same for so many items instead of as many as it was made for.
    pub(crate) fn for_items(self, items: u64, instead_of: u64) -> Self {
        let share = |cost: Cost| {
            let part = u128::from(cost.as_nanos()) * u128::from(items);
            let part = part / u128::from(instead_of.max(1));
            Cost::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
        };
        let Self { cost, low, high, reference_cost } = self;
        let [cost, low, high, reference_cost] = [cost, low, high, reference_cost].map(share);
        Self { cost, low, high, reference_cost }
    }
}

/// `reference / cost`, 1 where that says nothing.
pub(crate) fn ratio(reference: Cost, cost: Cost) -> f64 {
    if cost == Cost::ZERO {
        return 1.0;
    }
    reference.as_usd() / cost.as_usd()
}

/// In words; `{:#}` without the currency.
impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |cost: Cost| cost.said(f.alternate());
        let [cost, low, high, reference] =
            [self.cost, self.low, self.high, self.reference_cost].map(said);
        write!(f, "{cost} ({low} to {high}), against about {reference} for the reference alone")
    }
}

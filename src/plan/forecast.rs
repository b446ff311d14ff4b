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

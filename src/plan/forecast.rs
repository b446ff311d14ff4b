//! What a run is expected to cost in the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pricing::Cost;

/// An expected bill for the whole run, profiling included.
///
/// # How far to believe it
///
/// `low` and `high` are meant to have the bill above and below them in 19 of 20 runs each. The first
/// [`Event::Forecast`](crate::Event), made when some ten items are tested, is held to that on simulated models
/// by `tests/forecasts.rs`; it is wide, because the test may not be passed. In the middle of profiling the
/// bill lies outside more often, mostly with `Families::Consensus`. A plan's own, once something is
/// certified, is a rule of thumb (`1.96 / sqrt(n)` of what is left, either side) and misses more often still.
/// Where all that is left goes to the reference, or a sum of money is spent, it follows the bills that were
/// seen.
///
/// Before the first call ([`Smart::forecast`](crate::Smart::forecast)) it is a range of what the caller guessed,
/// as wide as [`forecast_before`](crate::profile::forecast_before) says and no wider: how far the guesses are off
/// is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Forecast {
    /// The expected total.
    pub cost: Cost,
    /// The total it will be above in about 19 of 20 runs: a forecast, not a promise.
    pub low: Cost,
    /// The total it will be below in about 19 of 20 runs; [`Cost::MAX`] before anything is known.
    pub high: Cost,
    /// What the reference alone would cost for every item: its mean cost where it was asked, times
    /// the number of items. An estimate, as the others are.
    pub reference_cost: Cost,
}

impl Forecast {
    /// Nothing is known: the bill may be anything.
    pub(crate) const UNKNOWN: Self =
        Self { cost: Cost::ZERO, low: Cost::ZERO, high: Cost::MAX, reference_cost: Cost::ZERO };

    /// Whether anything is known to forecast from: not before the first item is profiled, nor for a stream
    /// without a known end, nor where a stored plan is followed at other prices than it was made at.
    pub fn is_known(&self) -> bool {
        self.high < Cost::MAX
    }

    /// How many times cheaper than the reference alone; 1 if nothing costs anything.
    pub fn saving(&self) -> f64 {
        ratio(self.reference_cost, self.cost)
    }

    /// The same where no more than so much is spent.
    pub(crate) fn capped(self, cap: Cost) -> Self {
        let [cost, low, high] = [self.cost, self.low, self.high].map(|cost| cost.min(cap));
        Self { cost, low, high, ..self }
    }

    /// The same for so many items instead of as many as it was made for.
    pub(crate) fn for_items(self, items: u64, instead_of: u64) -> Self {
        if !self.is_known() {
            return self;
        }
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
        if !self.is_known() {
            return f.write_str("unknown");
        }
        let said = |cost: Cost| cost.said(f.alternate());
        let [cost, low, high, reference] =
            [self.cost, self.low, self.high, self.reference_cost].map(said);
        write!(f, "{cost} ({low} to {high}), against about {reference} for the reference alone")
    }
}

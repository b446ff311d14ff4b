//! What a run is expected to cost in total: [`Forecast`].
//!
//! It is made before the first call from guesses, during profiling from the evidence, and once more with
//! the plan. It informs people; no certificate depends on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pricing::Cost;
use crate::target::Share;

/// An expected bill for the whole run, profiling included.
///
/// # How far to believe it
///
/// In 19 of 20 runs the bill should be above `low`, and in 19 of 20 below `high`. `tests/promise/forecasts.rs` holds
/// the first [`Event::Forecast`](crate::Event), made when some ten items are tested, and the plan's own to that on
/// simulated models; the first is wide because the test may fail. In the middle of profiling the bill lies outside
/// more often, mostly with `Families::Consensus`. A plan's range follows from the spread of what its policy costs
/// on the items known, 1.645 standard errors either side. On other items ([`Smart::apply`](crate::Smart::apply)) it
/// is a rule of thumb, `1.96 / sqrt(n)` of the bill, and misses more often.
///
/// Before the first call ([`Smart::forecast`](crate::Smart::forecast)) the range follows from the
/// caller's guesses, as
/// [`ProfileSettings::forecast`](crate::ProfileSettings::forecast) describes, and is no wider.
/// It does not say how wrong the guesses are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Forecast {
    /// The expected total.
    pub cost: Cost,
    /// The total that about 19 of 20 runs exceed: a forecast, not a promise.
    pub low: Cost,
    /// The total that about 19 of 20 runs stay below; [`Cost::MAX`] before anything is known.
    pub high: Cost,
    /// What the reference alone would cost for every item.
    ///
    /// It is the reference's mean cost where it was asked, times the number of items: an estimate like
    /// the others.
    pub reference_cost: Cost,
    /// How far the money is expected to reach, if a cap is expected to leave items without an answer.
    #[serde(default)]
    pub reach: Option<Reach>,
}

/// How many of the items a capped sum of money is expected to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reach {
    /// Items expected to be answered.
    pub answered: u64,
    /// All items.
    pub of: u64,
}

impl Reach {
    /// This many items, rounded down, of all of them.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most all of them"
    )]
    pub(crate) fn new(answered: f64, of: u64) -> Self {
        Self { answered: (answered.max(0.0) as u64).min(of), of }
    }
}

impl Forecast {
    /// The forecast when nothing is known: the bill may be anything.
    pub(crate) const UNKNOWN: Self = Self {
        cost: Cost::ZERO,
        low: Cost::ZERO,
        high: Cost::MAX,
        reference_cost: Cost::ZERO,
        reach: None,
    };

    /// Whether anything is known to forecast from.
    ///
    /// Nothing is known before the first item is profiled, for a stream without a known end, or for a
    /// stored plan that is followed at other prices than it was made at.
    pub fn is_known(&self) -> bool {
        self.high < Cost::MAX
    }

    /// How many times cheaper the run is than the reference alone, on the items that it is expected to
    /// answer; 1 if nothing costs anything.
    pub fn saving(&self) -> f64 {
        let whole = ratio(self.reference_cost, self.cost);
        self.reach
            .map_or(whole, |Reach { answered, of }| whole * answered as f64 / of.max(1) as f64)
    }
}

/// What one item that was not profiled is expected to cost under a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PerItem {
    /// What the plan's policy costs, the reference's answers included.
    pub policy: Cost,
    /// What the reference alone costs.
    pub reference: Cost,
    /// What would come on top if *every* candidate's answer that the policy keeps were audited: the share of
    /// items whose answer is a candidate's, times the reference's answer and a comparison.
    pub audit: Cost,
}

impl PerItem {
    /// Every item goes to the reference, at this cost.
    pub(crate) const fn of_reference(reference: Cost) -> Self {
        Self { policy: reference, reference, audit: Cost::ZERO }
    }

    /// The bill of `items` items of which this share is audited, without profiling. `tested` items showed
    /// what the policy costs: the range is a rule of thumb.
    pub(crate) fn forecast(self, items: u64, audited: Share, tested: u64) -> Forecast {
        let nanos = |cost: Cost| cost.as_nanos() as f64;
        let each = nanos(self.policy) + audited.as_f64() * nanos(self.audit);
        // The reference's own bills are not taken to vary as a policy's do.
        let spread =
            if self.audit == Cost::ZERO { 0.0 } else { 1.96 / (tested.max(1) as f64).sqrt() };
        let total = |luck: f64| Cost::estimated(items as f64 * each * (1.0 + luck).max(0.0));
        Forecast {
            cost: total(0.0),
            low: total(-spread),
            high: total(spread),
            reference_cost: Cost::estimated(items as f64 * nanos(self.reference)),
            reach: None,
        }
    }
}

/// `reference / cost`, or 1 if the cost is zero.
pub(crate) fn ratio(reference: Cost, cost: Cost) -> f64 {
    if cost == Cost::ZERO {
        return 1.0;
    }
    reference.as_usd() / cost.as_usd()
}

/// In words; the alternate form `{:#}` omits the currency.
impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_known() {
            return f.write_str("unknown");
        }
        let said = |cost: Cost| cost.said(f.alternate());
        let [cost, low, high, reference] =
            [self.cost, self.low, self.high, self.reference_cost].map(said);
        write!(f, "{cost} ({low} to {high}), ")?;
        match self.reach {
            None => write!(f, "against about {reference} for the reference alone"),
            Some(Reach { answered, of }) => write!(
                f,
                "which answers about {answered} of {of} items; the reference alone would answer all for about \
                 {reference}"
            ),
        }
    }
}

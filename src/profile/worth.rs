//! Whether more profiling pays: expected savings against profiling cost.
//!
//! It is the paper's question (Jo and Trummer 2024, section 5), asked in money and one-sided. Let
//! `c_now` be the cost of an item under the best plan certified so far, `c_R` the reference's cost, and
//! `c_p` the cost under a policy still to be certified:
//!
//! ```text
//! t more profiled items cost         t (c_R + candidates' calls - c_now)      more than finishing now
//! certifying after t of them gains   (N - k - t) (c_now - c_p)
//! ```
//!
//! The failure rate is uncertain: its posterior `Beta(1/2 + f, 1/2 + k - f)` (Jeffreys) is cut into
//! equally likely nodes, and at each node the policy certifies after some time or never. The best
//! horizon `T` maximises the mean over the nodes of the gain if it comes within `T`, and of minus the
//! cost of `T` if it does not. Where the last items need no test, what they save is had without one, and is
//! no gain of the certificate. None of this affects validity.

use super::chain_test::ChainTest;
use super::thrift::Thrift;
use crate::stats::RatePosterior;

/// Equally likely nodes of a failure rate's posterior.
pub(super) const NODES: u16 = 9;
/// How many horizons are weighed if money is short.
const HORIZONS: usize = 12;

/// What going on with one chain is expected to bring, in nano-units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Worth {
    /// Expected gain of the best horizon, net of its cost.
    pub(super) value: f64,
    /// The best horizon, in further items.
    pub(super) horizon: u64,
}

/// What the last items save under the best plan now, without a test, in nano-units; and how many they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Untested {
    pub(super) saved: f64,
    pub(super) items: u64,
}

impl Untested {
    pub(super) const NOTHING: Self = Self { saved: 0.0, items: 0 };

    /// What they save if no more than `left` items are left.
    fn of(&self, left: u64) -> f64 {
        self.saved * (left.min(self.items) as f64 / self.items.max(1) as f64)
    }

    /// What an item costs on the whole if `rest` are left and the others cost `now` each.
    pub(super) fn mean(&self, now: f64, rest: f64) -> f64 {
        now - self.saved / rest.max(1.0)
    }
}

/// The money side of the question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stakes {
    /// Items neither profiled nor answered.
    pub(super) remaining: u64,
    /// Cost of an item under the best certified plan.
    pub(super) now: f64,
    /// Cost of an item under the policy to be certified.
    pub(super) then: f64,
    /// What one more profiled item costs in excess of answering it under the best certified plan.
    pub(super) extra: f64,
    /// What needs no test.
    pub(super) untested: Untested,
    /// The money left.
    pub(super) thrift: Thrift,
}

impl Stakes {
    /// Net gain if the policy is certified after `t` more items.
    fn gain(&self, t: u64) -> f64 {
        self.against(t, self.then) - self.untested.saved
    }

    /// Net loss, as a negative number, if it is not certified after `t` more items.
    fn lost(&self, t: u64) -> f64 {
        let left = self.untested.of(self.remaining.saturating_sub(t));
        self.against(t, self.now) - (self.untested.saved - left)
    }

    /// How much less profiling `t` more items and answering the rest at `then` loses than finishing now.
    fn against(&self, t: u64, then: f64) -> f64 {
        let rest = self.remaining.saturating_sub(t) as f64;
        let stay = self.thrift.loss([(self.remaining as f64, self.now)]);
        stay - self.thrift.loss([(t as f64, self.extra + self.now), (rest, then)])
    }
}

/// What going on with a chain is worth if all its items would be given away.
///
/// `before` are the items and failures seen before the test began: not part of the test, but known. Of the
/// candidate's own answers it must be shown to fail on fewer than the `floor` leaves.
pub(super) fn of_whole_chain(
    test: &ChainTest,
    before: (u64, u64),
    stakes: &Stakes,
    floor: f64,
) -> Worth {
    let nothing = Worth { value: 0.0, horizon: 0 };
    let (items, failures) = (test.tested + before.0, test.failures() + before.1);
    let Ok(posterior) = RatePosterior::new(items, failures) else { return nothing };
    let rates = posterior.nodes(NODES);
    let times = test.times_to_certify(&rates, floor);
    let mut best = nothing;
    if !stakes.thrift.bears(stakes.remaining as f64 * stakes.now) {
        best = with_luck(test, &rates, stakes, floor).unwrap_or(nothing);
    }
    for horizon in times.iter().copied().flatten() {
        let lost = stakes.lost(horizon);
        let mean = times.iter().map(|time| match time {
            Some(t) if *t <= horizon => stakes.gain(*t),
            _ => lost,
        });
        let value = mean.sum::<f64>() / f64::from(NODES);
        if value > best.value {
            best = Worth { value, horizon };
        }
    }
    best
}

/// The best horizon if the money does not last for what is left.
///
/// Then a certificate may be worth a hundred times the search for it. So the chance of a lucky one
/// matters, which the expected failures alone would not show.
fn with_luck(test: &ChainTest, rates: &[f64], stakes: &Stakes, floor: f64) -> Option<Worth> {
    let ahead = test.later_looks().filter_map(|(look, limit)| {
        Some((look - test.tested, limit.checked_sub(test.failures())?))
    });
    let price = stakes.extra + stakes.now;
    let floored: Vec<Option<f64>> =
        rates.iter().map(|rate| test.time_to_floor(*rate, floor)).collect();
    let within: Vec<(u64, u64)> =
        ahead.take_while(|(t, _)| stakes.thrift.bears(*t as f64 * price)).collect();
    let step = within.len().div_ceil(HORIZONS).max(1);
    let worths = within.iter().step_by(step).chain(within.last()).map(|(horizon, room)| {
        let mean = rates.iter().zip(&floored).map(|(rate, least)| {
            let above = least.is_some_and(|least| *horizon as f64 >= least);
            let luck = if above { at_most(*room, *horizon, *rate) } else { 0.0 };
            luck * stakes.gain(*horizon) + (1.0 - luck) * stakes.lost(*horizon)
        });
        let value = mean.sum::<f64>() / rates.len().max(1) as f64;
        Worth { value, horizon: *horizon }
    });
    worths.filter(|worth| worth.value > 0.0).max_by(|a, b| a.value.total_cmp(&b.value))
}

/// `P(Bin(n, p) <= most)`, or 0 where the first term underflows.
fn at_most(most: u64, n: u64, p: f64) -> f64 {
    if most >= n {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    let mut term = (1.0 - p).powf(n as f64);
    let mut sum = term;
    for i in 0..most {
        term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
        sum += term;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_binomial() {
        assert!((at_most(1, 3, 0.5) - 0.5).abs() < 1e-12);
        assert!((at_most(3, 3, 0.2) - 1.0).abs() < 1e-12);
        // From integers: sum of C(100, i) 3^i 97^(100 - i) / 100^100 over i = 0, 1, 2.
        assert!((at_most(2, 100, 0.03) - 0.419_775_083).abs() < 1e-9);
        assert!(at_most(0, 5, 1.0).abs() < 1e-12);
    }
}

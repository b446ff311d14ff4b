//! Expected savings against profiling cost.
//!
//! The paper's question (Jo and Trummer 2024, section 5): is it worth profiling on? Here it is
//! asked in money and one-sided. With `c_now` the cost of an item under the best plan certified so
//! far, `c_R` the reference's and `c_p` the cost under a policy still to be certified,
//!
//! ```text
//! t more profiled items cost         t (c_R + candidates' calls - c_now)      more than finishing now
//! certifying after t of them gains   (N - k - t) (c_now - c_p)
//! ```
//! The failure rate is uncertain: its posterior `Beta(1/2 + f, 1/2 + k - f)` (Jeffreys) is cut into
//! equally likely nodes, each of which certifies after some time or never. The best horizon `T`
//! maximises the mean over nodes of the gain where it comes within `T`, and of minus the cost of
//! `T` where it does not. Nothing here touches validity.

use serde::{Deserialize, Serialize};

use super::chain_test::ChainTest;
use crate::stats::RatePosterior;

/// Equally likely nodes of a failure rate's posterior.
pub(super) const NODES: u16 = 9;

/// What going on with one chain is expected to bring, in nano-units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Worth {
    /// Expected gain of the best horizon, net of its cost.
    pub(super) value: f64,
    /// The best horizon, in further items.
    pub(super) horizon: u64,
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
    /// What one more profiled item costs more than answering it under the best certified plan.
    pub(super) extra: f64,
}

impl Stakes {
    /// Net gain if the policy is certified after `t` more items.
    fn gain(&self, t: u64) -> f64 {
        let rest = self.remaining.saturating_sub(t) as f64;
        rest * (self.now - self.then) - t as f64 * self.extra
    }
}

/// What going on with a chain, all of whose items would be given away, is worth.
///
/// `before` are the items and failures seen before the test began: no part of it, but known.
pub(super) fn of_whole_chain(test: &ChainTest, before: (u64, u64), stakes: &Stakes) -> Worth {
    let nothing = Worth { value: 0.0, horizon: 0 };
    let (items, failures) = (test.tested + before.0, test.failures() + before.1);
    let Ok(posterior) = RatePosterior::new(items, failures) else { return nothing };
    let times = test.times_to_certify(&posterior.nodes(NODES));
    let mut best = nothing;
    for horizon in times.iter().copied().flatten() {
        let lost = -(horizon as f64) * stakes.extra;
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

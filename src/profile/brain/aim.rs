//! The reverse objective: the best agreement that a sum of money pays for.
//!
//! The allowance `F` is chosen on the pilot, like the chain: the smallest one at which the cheapest
//! prospect is likely to stay within the money. Given the pilot it is a constant, so the test after
//! it, at this allowance, keeps the promise as it does at the caller's own (see
//! [`search`](super::super::search)).

use super::super::settings::Objective;
use super::Brain;
use crate::evidence::ItemEvidence;
use crate::pricing::Cost;
use crate::target::Target;

/// How much stricter one allowance is than the one tried before it.
const FINER: f64 = 0.85;
/// The share of the money that a prospect may be expected to cost: forecasts err.
const MARGIN: f64 = 0.9;
/// The share of the possible truths about a prospect under which it is to stay within that.
const CAUTION: f64 = 0.9;

impl Brain {
    /// The money to get the best agreement for, if that is the objective.
    pub(super) fn money(&self) -> Option<Cost> {
        match self.settings.objective {
            Objective::BestAgreement { within } => Some(within),
            Objective::LeastCost => None,
        }
    }

    /// What is left of it to plan with, in nano-units.
    fn money_left(&self) -> Option<f64> {
        let (within, spent) = (self.money()?, self.means.paid());
        Some(MARGIN * (within.as_nanos() as f64 - spent.as_nanos() as f64 - self.judged))
    }

    /// Whether it bears the reference's answer to everything that is left.
    pub(super) fn money_suffices(&self) -> bool {
        let remaining = (self.order.population() - self.profiled()) as f64;
        let reference = self.till().reference(&self.evidence);
        self.money_left().is_some_and(|left| remaining * reference <= left)
    }

    /// Chooses the target to test for. `false` if the reference alone is within the money, so that
    /// nothing needs testing.
    pub(super) fn aim(&mut self) -> bool {
        let Some(left) = self.money_left() else { return true };
        if self.money_suffices() {
            return false;
        }
        let population = self.order.population();
        let most = self.target.allowance(population);
        let mut tried = Vec::new();
        let mut at = most as f64;
        while at >= 1.0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
            tried.push(at as u64);
            at = (at * FINER).min(at - 1.0);
        }
        // The cost falls as more may fail: halve the list until the strictest within the money is found.
        let affordable = tried.partition_point(|allowance| {
            let total = self.schedule(*allowance).and_then(|schedule| {
                let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
                Some(
                    self.scene(&items, &schedule)
                        .prospects()
                        .first()?
                        .priced
                        .likely_within(CAUTION),
                )
            });
            total.is_some_and(|total| total <= left)
        });
        let strictest = affordable.checked_sub(1).and_then(|at| tried.get(at)).copied();
        self.aimed = strictest
            .filter(|allowance| *allowance < most)
            .and_then(|allowance| Target::with_allowance(self.target, allowance, population));
        true
    }
}

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
    /// Chooses the target to test for. `false` if the reference alone is within the money, so that
    /// nothing needs testing.
    pub(super) fn aim(&mut self) -> bool {
        let Objective::BestAgreement { within } = self.settings.objective else { return true };
        let spent: Cost = self.means.paid();
        let left = MARGIN * (within.as_nanos() as f64 - spent.as_nanos() as f64 - self.judged);
        let population = self.order.population();
        let remaining = (population - self.profiled()) as f64;
        if remaining * self.till().reference(&self.evidence) <= left {
            return false;
        }
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

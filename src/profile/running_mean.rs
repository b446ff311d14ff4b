//! What a policy of a chain has cost so far: [`RunningMean`].

use crate::evidence::ItemEvidence;
use crate::order::Order;
use crate::plan::{Chain, Mark, Strata, Till, Wanted};
use crate::pricing::Usage;
use crate::roster::ModelId;

/// A running mean of the cost per item of one policy of a chain.
///
/// Every review needs this mean. Computing it afresh over all the evidence, as [`Till::mean`] does, would
/// make a profile of `k` items cost `k log k` and more, so it is updated item by item. If everything is known
/// of every item, the sum has the same terms in the same order and is equal to the bit. If a bill is unknown,
/// or judging costs money, a mean stands in for it and changes with every item; then there is no answer.
#[derive(Debug, Clone)]
pub(super) struct RunningMean {
    threshold: Mark,
    seen: usize,
    total: f64,
    /// The part of the total that comes from items whose answer agrees.
    agreeing: f64,
    strata: Strata,
    unknown: bool,
}

impl Default for RunningMean {
    fn default() -> Self {
        Self {
            threshold: Mark::LOWEST,
            seen: 0,
            total: 0.0,
            agreeing: 0.0,
            strata: Strata::default(),
            unknown: false,
        }
    }
}

impl RunningMean {
    /// Adds the items that came since the last update; another threshold begins anew.
    pub(super) fn update(
        &mut self,
        chain: &Chain,
        threshold: Mark,
        evidence: &[ItemEvidence],
        order: &Order,
        till: &Till<'_>,
    ) {
        if self.threshold != threshold {
            *self = Self { threshold, ..Self::default() };
        }
        self.unknown |= chain.compares() && till.comparison > 0.0;
        let models = chain.models();
        let wanted = Wanted::new(chain, till.roster);
        let rated = wanted.rated();
        // Until it is settled which bills to believe, sums might have to be corrected.
        let means = till.means;
        let settled = means.is_settled(ModelId::REFERENCE)
            && models.iter().all(|id| means.is_settled(id))
            && rated.iter().all(|id| means.is_rating_settled(id));
        if !settled {
            return;
        }
        let new = evidence.get(self.seen..).filter(|_| !self.unknown).unwrap_or_default();
        self.seen = evidence.len();
        let known = |id, usage: Option<Usage>| {
            let model = till.roster.model(id);
            usage.is_some_and(|usage| model.is_some_and(|m| m.pricing.is_metered(Some(&usage))))
        };
        for item in new {
            let (agrees, all) = (wanted.agrees(item), wanted.is_known(item));
            self.strata.count(agrees, all);
            if !all {
                continue;
            }
            let billed = |id| {
                let record = item.candidate(id);
                // A call that was not made has no bill.
                record.is_none_or(|r| {
                    known(id, r.usage) && (!rated.contains(id) || known(id, r.rating))
                })
            };
            self.unknown |= !known(ModelId::REFERENCE, item.usage) || !models.iter().all(billed);
            let cost = till.walk(chain, &threshold, item, order.coin(item.index));
            self.total += cost;
            self.agreeing += if agrees == Some(true) { cost } else { 0.0 };
        }
    }

    /// The mean over all of `items` items, in nano-units, if it is known for this threshold.
    pub(super) fn mean(&self, threshold: &Mark, items: usize) -> Option<f64> {
        let count = self.strata.weighed();
        let known =
            self.threshold == *threshold && self.seen == items && !self.unknown && count > 0.0;
        known.then(|| (self.total + (self.strata.weight() - 1.0) * self.agreeing) / count)
    }
}

//! What a policy of a chain cost so far: [`Tab`].

use crate::backend::Scoring;
use crate::evidence::{ItemEvidence, ModelSet};
use crate::order::Order;
use crate::plan::{Chain, Mark, Till};
use crate::pricing::Usage;
use crate::roster::ModelId;

/// A running mean of what one policy of a chain costs an item.
///
/// Every look asks for it. Worked out afresh over all the evidence, as [`Till::mean`] does, looks
/// would take ever longer, and a profile of `k` items `k log k` and more; so it is added to item by
/// item. The sum has the same terms in the same order, and is the same to the bit. Where a bill is
/// not known, or judging costs money, a mean stands in for it, and that moves: there the tab says
/// nothing.
#[derive(Debug, Clone)]
pub(super) struct Tab {
    threshold: Mark,
    seen: usize,
    total: f64,
    count: u64,
    unknown: bool,
}

impl Default for Tab {
    fn default() -> Self {
        Self { threshold: Mark::LOWEST, seen: 0, total: 0.0, count: 0, unknown: false }
    }
}

impl Tab {
    /// Adds the items that came since; another threshold begins a new tab.
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
        let second = |id| till.roster.model(id).is_some_and(|m| m.scoring == Scoring::SecondCall);
        let rated: ModelSet = chain.scored_models().iter().filter(|id| second(*id)).collect();
        // Until it is settled which bills to believe, what was added up might have to be mended.
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
            if models.iter().any(|id| item.candidate(id).is_none()) {
                continue;
            }
            let billed = |id| {
                let record = item.candidate(id);
                record.is_some_and(|r| {
                    known(id, r.usage) && (!rated.contains(id) || known(id, r.rating))
                })
            };
            self.unknown |= !known(ModelId::REFERENCE, item.usage) || !models.iter().all(billed);
            self.total += till.walk(chain, &threshold, item, order.coin(item.index));
            self.count += 1;
        }
    }

    /// The mean over all of so many items, in nano-units, if it is known for this threshold.
    pub(super) fn mean(&self, threshold: &Mark, items: usize) -> Option<f64> {
        let known =
            self.threshold == *threshold && self.seen == items && !self.unknown && self.count > 0;
        known.then(|| self.total / self.count as f64)
    }
}

//! What giving every item to one candidate cost so far: [`Tab`].

use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Key, Mark, Till};
use crate::roster::ModelId;

/// A running mean of what a whole chain of one candidate costs an item.
///
/// Every look asks for it. Worked out afresh over all the evidence, as [`Till::mean`] does, looks
/// would take ever longer, and a profile of `k` items `k log k` and more; so it is added to item by
/// item. The sum has the same terms in the same order, and is the same to the bit. Where a bill is
/// not known the mean bill stands in for it, and that moves: there the tab says nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Tab {
    seen: usize,
    total: f64,
    count: u64,
    unknown: bool,
}

impl Tab {
    /// Adds the items that came since.
    pub(super) fn update(&mut self, chain: &Chain, evidence: &[ItemEvidence], till: &Till<'_>) {
        self.unknown |= chain.second.is_some() || chain.key != Key::Coin;
        // Until it is settled which bills to believe, what was added up might have to be mended.
        let means = till.means;
        if !means.is_settled(chain.first) || !means.is_settled(ModelId::REFERENCE) {
            return;
        }
        let new = evidence.get(self.seen..).filter(|_| !self.unknown).unwrap_or_default();
        self.seen = evidence.len();
        for item in new {
            let Some(record) = item.candidate(chain.first) else { continue };
            self.unknown |= record.usage.is_none() || item.usage.is_none();
            self.total += till.walk(chain, &Mark::LOWEST, item, 0);
            self.count += 1;
        }
    }

    /// The mean over all of so many items, in nano-units, if it is known.
    pub(super) fn mean(&self, items: usize) -> Option<f64> {
        let known = self.seen == items && !self.unknown && self.count > 0;
        known.then(|| self.total / self.count as f64)
    }
}

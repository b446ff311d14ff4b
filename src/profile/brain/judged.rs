//! A judge so dear that trying candidates cannot pay.
//!
//! Each profiled item costs one comparison for every candidate. What a comparison costs is known after the
//! first, and a test that can certify anything takes about `k` items, `exp(-k F / N) = alpha`. If these `k` comparisons
//! cost more than the reference does on all other items, no candidate can pay, and nothing more is asked.
//! Later reviews and gates weigh judging like any other cost; this one comes before they begin.

use super::super::settings::Families;
use super::Brain;
use super::hopeless::DOUBT;
use crate::evidence::ModelSet;
use crate::pricing::Pricing;
use crate::roster::ModelId;
use crate::stats::{Design, Probability};

/// How many items may be waited for one by one until a comparison shows its cost.
const PATIENCE: u64 = 4;
/// If judging costs something, single candidates are reviewed from this many items on, before any look.
const EARLY: u64 = 6;

impl Brain {
    /// Whether no more than one item is to be begun, because nobody knows yet what judging costs.
    pub(super) fn waits_for_judge(&self) -> bool {
        let priced = self.judge != Pricing::default();
        priced && self.comparisons == 0 && self.profiled() < PATIENCE
    }

    /// After the first comparison: ends profiling if no candidate can pay for being judged.
    pub(super) fn weigh_judge(&mut self) {
        if self.judged <= 0.0 {
            return;
        }
        if self.settings.families == Families::Single {
            self.next_review = EARLY;
        }
        let Ok(design) = self.design(self.profiled()) else { return };
        let items = self.shortest_test(design, self.level());
        let (till, reference) = (self.till(), self.means.answer(ModelId::REFERENCE));
        let rest = (self.order.population() - self.profiled()) as f64 - items;
        let saved = DOUBT * rest.max(0.0) * reference;
        let asked = self.demand.ask.len();
        let pairs = (asked * asked.saturating_sub(1) / 2) as f64;
        // Comparing all pairs may be too dear as well, unless a gate finds that two may check each other.
        let compares = items * pairs * till.comparison <= saved;
        let judges = items * till.comparison <= saved;
        self.demand.compare &= compares;
        if judges {
            return;
        }
        self.keep_only(ModelSet::EMPTY, "judging costs more than could be saved");
    }

    /// About the fewest items that can certify anything at this level: no fewer than the exact test takes.
    pub(super) fn shortest_test(&self, design: Design, level: Probability) -> f64 {
        let items = (1.0 / level.get()).ln() / design.rate().max(1e-9);
        items.min(self.order.population() as f64)
    }
}

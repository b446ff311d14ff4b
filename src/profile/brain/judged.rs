//! A judge so dear that trying a candidate cannot pay.
//!
//! Each profiled item costs one comparison for every candidate. What a comparison costs is known after the
//! first, and the shortest test that can certify anything has `(1 - F / N)^k <= alpha`. A candidate whose `k`
//! answers cost more, with their comparisons, than it could save on all other items is not asked any more.
//! Later reviews and gates weigh judging like any other cost; this one comes before they begin.

use super::super::StopReason;
use super::super::decision::Decision;
use super::super::search;
use super::super::settings::Families;
use super::Brain;
use crate::evidence::ModelSet;
use crate::pricing::Pricing;
use crate::roster::ModelId;
use crate::stats::Design;

/// How many items may be waited for one by one until a comparison shows its cost.
const PATIENCE: u64 = 4;
/// One item shows costs roughly, so a candidate is asked on if it costs up to this many times what it can save.
const DOUBT: f64 = 1.5;
/// If judging costs something, single candidates are reviewed from this many items on, before any look.
const EARLY: u64 = 6;

impl Brain {
    /// Whether no more than one item is to be begun, because nobody knows yet what judging costs.
    pub(super) fn waits_for_judge(&self) -> bool {
        let priced = self.judge != Pricing::default();
        priced && self.comparisons == 0 && self.profiled() < PATIENCE
    }

    /// After the first comparison: gives up the candidates that cannot pay for being judged.
    pub(super) fn weigh_judge(&mut self) {
        if self.judged <= 0.0 {
            return;
        }
        if self.settings.families == Families::Single {
            self.next_review = EARLY;
        }
        let Ok(design) = self.design(self.profiled()) else { return };
        let items = self.shortest_test(design);
        let (till, reference) = (self.till(), self.means.answer(ModelId::REFERENCE));
        let rest = (self.order.population() - self.profiled()) as f64 - items;
        let hopeless = |id: &ModelId| {
            let saved = rest.max(0.0) * (reference - self.means.answer(*id));
            items * till.trial(*id) > DOUBT * saved
        };
        let gone: ModelSet = self.demand.ask.iter().filter(hopeless).collect();
        let kept: ModelSet = self.demand.ask.iter().filter(|id| !gone.contains(*id)).collect();
        let pairs = (kept.len() * kept.len().saturating_sub(1) / 2) as f64;
        // So does comparing all pairs, unless a gate finds that two may check each other.
        let dear = items * pairs * till.comparison > DOUBT * rest.max(0.0) * reference;
        self.demand.compare &= !dear;
        if gone.is_empty() {
            return;
        }
        let reason = "judging its answers costs more than it could save";
        for model in gone.iter() {
            for at in 0..self.tests.len() {
                if self.tests.get(at).is_some_and(|test| test.chain.first == model) {
                    self.drop_test(at, reason);
                }
            }
            let (name, profiled) = (self.roster.name(model).to_owned(), self.profiled());
            let reason = reason.to_owned();
            self.decisions.push_back(Decision::Dropped { model, name, profiled, reason });
        }
        self.demand.ask = kept;
        self.demand.rate = self.demand.rate.iter().filter(|id| kept.contains(*id)).collect();
        self.demand.compare &= search::compares(self.settings.families, kept);
        if self.demand.ask.is_empty() {
            self.halt(StopReason::NotWorthMore);
        }
    }

    /// The fewest items that can certify anything.
    pub(super) fn shortest_test(&self, design: Design) -> f64 {
        let items = (1.0 / self.level().get()).ln() / design.rate().max(1e-9);
        items.min(self.order.population() as f64)
    }
}

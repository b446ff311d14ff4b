//! What a policy would have asked, and paid, on items whose evidence is complete.

use crate::backend::Scoring;
use crate::evidence::{ItemEvidence, MeanCosts};
use crate::plan::{Chain, Mark};
use crate::plan::{Heard, Known, Move, Policy, Scored, recorded};
use crate::roster::{ModelId, RosterSpec};

/// Prices calls on recorded items, in nano-units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Till<'a> {
    pub(crate) roster: &'a RosterSpec,
    pub(crate) means: &'a MeanCosts,
    /// What one comparison costs on average.
    pub(crate) comparison: f64,
}

impl Till<'_> {
    fn answer(&self, item: &ItemEvidence, id: ModelId) -> f64 {
        let usage = if id.is_reference() {
            item.usage
        } else {
            item.candidate(id).and_then(|record| record.usage)
        };
        self.roster.model(id).map_or(0.0, |model| self.means.bill(id, &model.pricing, usage))
    }

    fn rating(&self, item: &ItemEvidence, id: ModelId) -> f64 {
        let usage = item.candidate(id).and_then(|record| record.rating);
        self.roster.model(id).map_or(0.0, |model| self.means.rating_bill(id, &model.pricing, usage))
    }

    /// What having a model rate its answer costs on average; a guess before the first: half as much
    /// again as the answer, for the question is longer by it.
    pub(crate) fn rating_guess(&self, id: ModelId) -> f64 {
        let second = self.roster.model(id).is_some_and(|m| m.scoring == Scoring::SecondCall);
        let seen = self.means.rating(id);
        if second && seen <= 0.0 { 1.5 * self.means.answer(id) } else { seen }
    }

    /// What the policy `chain` at `threshold` costs on one item.
    pub(crate) fn walk(
        &self,
        chain: &Chain,
        threshold: &Mark,
        item: &ItemEvidence,
        coin: u64,
    ) -> f64 {
        let truth = recorded(chain, item, coin);
        let mut known = Known { coin, router: truth.router, ..Known::default() };
        let mut cost = 0.0;
        let heard = |id: ModelId, truth: Heard| {
            let rates = self.roster.model(id).is_some_and(|m| m.scoring == Scoring::SecondCall);
            match truth {
                Heard::Answer { .. } if rates => Heard::Answer { score: Scored::Unrated },
                // Not asked in profiling: as good as no answer.
                Heard::Nothing => Heard::NoAnswer,
                other => other,
            }
        };
        // A chain has at most two models: ask, rate, ask, compare, rate.
        for _ in 0..8 {
            match chain.next(threshold, &known) {
                Move::Ask(id) => {
                    cost += self.answer(item, id);
                    if known.first == Heard::Nothing && id == chain.first {
                        known.first = heard(id, truth.first);
                    } else {
                        known.second = heard(id, truth.second);
                    }
                }
                Move::Rate(id) => {
                    cost += self.rating(item, id);
                    if id == chain.first {
                        known.first = truth.first;
                    } else {
                        known.second = truth.second;
                    }
                }
                Move::Compare(..) => {
                    cost += self.comparison;
                    known.agree = Some(truth.agree.unwrap_or(false));
                }
                Move::Accept(_) => return cost,
                Move::Escalate => break,
            }
        }
        cost + self.answer(item, ModelId::REFERENCE)
    }

    /// The mean cost of a policy over recorded items, in nano-units an item.
    pub(crate) fn mean<'a>(
        &self,
        policy: &Policy,
        items: impl IntoIterator<Item = (&'a ItemEvidence, u64)>,
    ) -> f64 {
        let (mut total, mut count) = (0.0, 0_u64);
        for (item, coin) in items {
            total += match policy {
                Policy::Reference => self.answer(item, ModelId::REFERENCE),
                Policy::Chain { chain, threshold } => self.walk(chain, threshold, item, coin),
            };
            count += 1;
        }
        if count == 0 { 0.0 } else { total / count as f64 }
    }
}

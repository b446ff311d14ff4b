//! After the pilot: which chains to test, and at which looks.
//!
//! The pilot's items are not part of any test. Conditional on them the remaining items are still
//! in uniformly random order, so everything chosen here, the chains, the fits inside them, the
//! looks, is as good as chosen in advance, and costs no level.

use super::curve::CostCurve;
use super::settings::Families;
use crate::backend::Scoring;
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::plan::{Chain, Example, Fit, Key, Till};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{Design, Probability, single_look_limit};

use super::brain::Demand;

/// The ratio between the look sizes that are tried out.
const LOOK_RATIO: f64 = 1.12;
/// A candidate that agreed on fewer of the pilot's items than this share leads no chain.
const HOPELESS: f64 = 0.25;

/// How many items the pilot takes.
pub(super) fn pilot_size(population: u64, roster: &RosterSpec) -> u64 {
    let _ = roster;
    (population / 20).clamp(20, 40).min(population)
}

/// What to find out about the pilot's items.
pub(super) fn pilot_demand(roster: &RosterSpec, families: Families) -> Demand {
    let ask: ModelSet = roster.candidates().collect();
    let scored = matches!(families, Families::Auto | Families::Cascade | Families::Consensus);
    let second = |id: &ModelId| roster.model(*id).is_some_and(|m| m.scoring == Scoring::SecondCall);
    let rate = roster.candidates().filter(second).filter(|_| scored).collect();
    Demand { ask, rate, compare: matches!(families, Families::Auto | Families::Consensus) }
}

/// A chain with what testing it is expected to lead to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prospect {
    pub(super) chain: Chain,
    /// The best look, in tested items; 0 if no test is expected to pay.
    pub(super) look: u64,
    /// Expected cost of everything after the pilot, in nano-units.
    pub(super) total: f64,
    /// Expected cost per item under the certified policy, in nano-units.
    pub(super) per_item: f64,
}

/// The stage for the search.
pub(super) struct Pilot<'a> {
    pub(super) items: &'a [(&'a ItemEvidence, u64)],
    pub(super) till: Till<'a>,
    pub(super) design: Design,
    /// Items after the pilot.
    pub(super) remaining: u64,
    pub(super) level: Probability,
    pub(super) families: Families,
}

impl Pilot<'_> {
    /// All prospects, the cheapest first.
    pub(super) fn prospects(&self) -> Vec<Prospect> {
        let looks = self.looks();
        let mut found: Vec<Prospect> =
            self.chains().into_iter().map(|chain| self.prospect(chain, &looks)).collect();
        // Sorting is stable: of equals the simpler chain, listed first, wins.
        found.sort_by(|a, b| a.total.total_cmp(&b.total));
        found
    }

    /// What all remaining items cost with the reference alone.
    pub(super) fn reference_total(&self) -> f64 {
        self.remaining as f64 * self.till.means.answer(ModelId::REFERENCE)
    }

    /// Look sizes to try, with the failures they tolerate.
    fn looks(&self) -> Vec<(u64, u64)> {
        let mut looks = Vec::new();
        let mut at = 8.0_f64;
        let end = self.remaining as f64 * 0.5;
        while at <= end && at < 200_000.0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
            let look = at as u64;
            if let Some(limit) = single_look_limit(self.design, look, self.level) {
                looks.push((look, limit));
            }
            at = (at * LOOK_RATIO).max(at + 1.0);
        }
        looks
    }

    fn prospect(&self, chain: Chain, looks: &[(u64, u64)]) -> Prospect {
        let curve = CostCurve::new(&chain, self.items, &self.till);
        let profiling = self.profiling_cost(&chain);
        let mut best = Prospect { chain, look: 0, total: f64::INFINITY, per_item: 0.0 };
        for (look, limit) in looks {
            let rate = (*limit as f64 + 0.5) / (*look as f64 + 1.0);
            let per_item = curve.at(rate);
            let rest = self.remaining.saturating_sub(*look) as f64;
            let total = *look as f64 * profiling + rest * per_item;
            if total < best.total {
                best.look = *look;
                best.total = total;
                best.per_item = per_item;
            }
        }
        best
    }

    /// What testing a chain costs per item.
    fn profiling_cost(&self, chain: &Chain) -> f64 {
        let means = self.till.means;
        let scored = chain.scored_models();
        let calls = chain
            .models()
            .iter()
            .map(|id| means.answer(id) + if scored.contains(id) { means.rating(id) } else { 0.0 });
        means.answer(ModelId::REFERENCE) + calls.sum::<f64>()
    }

    /// The chains worth considering, simple ones first.
    fn chains(&self) -> Vec<Chain> {
        let means = self.till.means;
        let reference = means.answer(ModelId::REFERENCE);
        let hopeful: Vec<ModelId> = self
            .till
            .roster
            .candidates()
            .filter(|id| means.answer(*id) < reference)
            .filter(|id| self.agreement(*id) >= HOPELESS)
            .collect();
        let wants = |families: &[Families]| {
            self.families == Families::Auto || families.contains(&self.families)
        };
        let mut chains = Vec::new();
        if wants(&[Families::Mix]) {
            chains.extend(hopeful.iter().map(|id| Chain::single(*id)));
            if self.items.iter().any(|(item, _)| item.router.is_some()) {
                let router = |id: &ModelId| Chain { first: *id, second: None, key: Key::Router };
                chains.extend(hopeful.iter().map(router));
            }
        }
        if wants(&[Families::Cascade]) {
            chains.extend(
                hopeful.iter().filter(|id| self.has_scores(**id)).map(|id| Chain::cascade(*id)),
            );
        }
        for first in &hopeful {
            for second in hopeful.iter().filter(|second| *second != first) {
                self.pairs(*first, *second, &wants, &mut chains);
            }
        }
        chains
    }

    fn pairs(
        &self,
        first: ModelId,
        second: ModelId,
        wants: &dyn Fn(&[Families]) -> bool,
        chains: &mut Vec<Chain>,
    ) {
        let scored = self.has_scores(first);
        if wants(&[Families::Consensus]) {
            chains.push(Chain::consensus(first, second, false));
            if scored {
                chains.push(Chain::consensus(first, second, true));
                chains.push(self.fitted(first, second));
            }
        }
        if wants(&[Families::Cascade]) && scored && self.has_scores(second) {
            chains.extend(self.gate(first).map(|gate| Chain {
                first,
                second: Some(second),
                key: Key::Relay { gate },
            }));
        }
    }

    fn agreement(&self, id: ModelId) -> f64 {
        let records = self.items.iter().filter_map(|(item, _)| item.candidate(id));
        let (agree, all) = records.fold((0.0, 0.0), |(agree, all), record| {
            (agree + f64::from(u8::from(record.agreement == Agreement::Agrees)), all + 1.0)
        });
        if all == 0.0 { 0.0 } else { agree / all }
    }

    fn has_scores(&self, id: ModelId) -> bool {
        self.items.iter().any(|(item, _)| item.candidate(id).is_some_and(|r| r.score.is_some()))
    }

    /// A fit of the first model's correctness to its score and the second's agreement.
    fn fitted(&self, first: ModelId, second: ModelId) -> Chain {
        let examples: Vec<Example> = self
            .items
            .iter()
            .filter_map(|(item, _)| {
                let own = item.candidate(first)?;
                if own.agreement == Agreement::NoAnswer {
                    return None;
                }
                let other = item.candidate(second)?;
                let agree = other.agreement != Agreement::NoAnswer && item.consensus(first, second);
                Some(Example {
                    first: own.score.map(|s| s.as_f64()),
                    second: None,
                    agree: Some(agree),
                    right: own.agreement == Agreement::Agrees,
                })
            })
            .collect();
        Chain { first, second: Some(second), key: Key::Fitted(Fit::new(&examples)) }
    }

    /// The first model's median score among the items on which it is right: its surer half.
    fn gate(&self, first: ModelId) -> Option<f64> {
        let records = self.items.iter().filter_map(|(item, _)| item.candidate(first));
        let mut scores: Vec<f64> = records
            .filter(|r| r.agreement == Agreement::Agrees)
            .filter_map(|r| r.score.map(|s| s.as_f64()))
            .collect();
        scores.sort_by(f64::total_cmp);
        scores.get(scores.len() / 2).copied()
    }
}

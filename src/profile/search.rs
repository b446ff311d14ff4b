//! The pilot: which candidates to go on asking, which chain to test, and at which looks.
//!
//! # Why the choice is free
//!
//! Let `n` be the pilot's length (fixed by `N` and the roster), and `P` everything seen on the
//! ranks below `n`. The order is uniformly random, so conditional on `P` the other `N - n` items
//! are still in uniformly random order. Given `P` the chain `C`, what was fitted inside it, the
//! look or looks, and the boundary `b` are constants. Of the items after the pilot let `W_t` be
//! the number on which policy `t` of `C` fails: a constant too, by the assumption that answers do
//! not depend on the order. The boundary is calibrated for population `N - n` and the allowance
//! `F = floor(delta N)`, the whole of it, since the pilot's items deliver the reference's answer
//! and cannot fail. By the bound of [`Boundary::chain`](crate::stats::Boundary::chain) (or, for a
//! chain reduced to one policy, of `Boundary::single_policy`)
//!
//! ```text
//! P( more than F failures are delivered | P ) <= alpha     for every P,
//! ```
//! and so also without the condition. Three things are used beyond that:
//!
//! * *Of several certified thresholds the cheapest is delivered.* The bound is on the event that
//!   *any* policy that would deliver more than `F` failures is certified at any look, so a choice
//!   among certified policies costs nothing. A policy stricter than a certified one delivers a
//!   subset of its failures and needs no test of its own.
//! * *Models are dropped, and looks skipped, for any reason.* Skipping a look shrinks the event.
//! * *Running past a look.* Items asked beyond the last folded rank are no evidence and follow the
//!   plan like all the others: they are among the `W_t - f_k` that the test bounds.
//!
//! Only one chain is opened after a pilot, so there is nothing to correct for.

use super::curve::CostCurve;
use super::decision::Demand;
use super::settings::Families;
use super::thrift::Thrift;
use crate::backend::{Confidence, Scoring};
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::plan::{Chain, Example, Fit, Key, Till};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{Design, Probability, least_draws, single_look_limit};

/// Candidates that cost more than this share of the reference are asked only if few are cheaper.
const DEAR: f64 = 0.2;
/// The ratio between the look sizes that are tried out.
const LOOK_RATIO: f64 = 1.12;
/// From this many items on a test has several looks.
pub(super) const LARGE: u64 = 4_000;

/// How many items the pilot takes.
pub(super) fn pilot_size(population: u64) -> u64 {
    let size = if population < LARGE {
        (population * 8 / 100).min(36)
    } else {
        (population * 12 / 1_000).min(120)
    };
    size.max(10).min(population)
}

/// Ranks at which candidates may be dropped: costs are known after a few items, agreement later.
pub(super) fn gates(pilot: u64) -> Vec<u64> {
    [4, 10, 20, 40, 70].into_iter().filter(|gate| *gate < pilot).chain([pilot]).collect()
}

/// What to find out about the pilot's first items.
pub(super) fn pilot_demand(roster: &RosterSpec, families: Families) -> Demand {
    let ask: ModelSet = roster.candidates().collect();
    demand(roster, families, ask)
}

/// Scores that cost money are bought only by a caller who wants cascades and nothing else.
fn demand(roster: &RosterSpec, families: Families, ask: ModelSet) -> Demand {
    let second = |id: &ModelId| roster.model(*id).is_some_and(|m| m.scoring == Scoring::SecondCall);
    let rate = ask.iter().filter(second).filter(|_| families == Families::Cascade).collect();
    let compare = matches!(families, Families::Auto | Families::Consensus) && ask.len() > 1;
    Demand { ask, rate, compare }
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
    /// The failure rate if every item were given to the chain.
    pub(super) rate: f64,
    /// Roughly the range in which `total` will lie.
    pub(super) range: (f64, f64),
}

/// The stage for the search.
pub(super) struct Pilot<'a> {
    pub(super) items: &'a [&'a ItemEvidence],
    pub(super) till: Till<'a>,
    pub(super) design: Design,
    /// Items after the pilot.
    pub(super) remaining: u64,
    pub(super) level: Probability,
    pub(super) families: Families,
    pub(super) asked: ModelSet,
    pub(super) floor: f64,
    /// The money there is.
    pub(super) thrift: Thrift,
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

    /// What to go on asking after a gate.
    pub(super) fn narrowed(&self) -> Demand {
        let seen = self.items.len() as u64;
        let roster = self.till.roster;
        let mut keep = self.affordable();
        if seen >= 10 {
            let prospects = self.prospects();
            let reference = self.reference_total();
            let best = prospects.first().map_or(reference, |p| p.total).min(reference);
            let slack = match seen {
                0..20 => 0.15,
                20..40 => 0.10,
                _ => 0.08,
            };
            let near = prospects.iter().filter(|p| p.total <= best + slack * reference);
            let useful: ModelSet =
                near.flat_map(|p| p.chain.models().iter().collect::<Vec<_>>()).collect();
            keep = keep.intersection(useful);
        }
        demand(roster, self.families, keep)
    }

    /// Candidates that cost little enough to matter, but always the two cheapest.
    fn affordable(&self) -> ModelSet {
        let means = self.till.means;
        let reference = means.answer(ModelId::REFERENCE);
        let mut by_cost: Vec<(f64, ModelId)> =
            self.asked.iter().map(|id| (means.answer(id), id)).collect();
        by_cost.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let few = by_cost.iter().enumerate();
        let kept = few.filter(|(place, (cost, _))| {
            *cost < DEAR * reference || (*place < 2 && *cost < 0.95 * reference)
        });
        kept.map(|(_, (_, id))| *id).collect()
    }

    /// Look sizes to try, with the failures they tolerate: for each number of failures the
    /// smallest look that tolerates it.
    fn looks(&self) -> Vec<(u64, u64)> {
        let mut looks: Vec<(u64, u64)> = Vec::new();
        let mut at = 12.0_f64;
        let end = self.remaining as f64 * 0.5;
        let limit_at = |look| single_look_limit(self.design, look, self.level);
        while at <= end && at < 60_000.0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
            let look = at as u64;
            if let Some(limit) = limit_at(look) {
                let mut above = look;
                if limit < 100 {
                    above = least_draws(self.design, limit, self.level, look * 3 / 4, look);
                }
                if looks.last().is_none_or(|last| last.0 < above) {
                    looks.push((above, limit));
                }
            }
            at = (at * LOOK_RATIO).max(at + 1.0);
        }
        looks
    }

    fn prospect(&self, chain: Chain, looks: &[(u64, u64)]) -> Prospect {
        let curve = CostCurve::new(&chain, self.items, &self.till);
        let nothing = f64::INFINITY;
        let mut best = Prospect {
            chain,
            look: 0,
            total: nothing,
            per_item: 0.0,
            rate: curve.whole(),
            range: (0.0, nothing),
        };
        // No more than half of the money is for finding out what to do with the rest.
        let bears = |look: u64| self.thrift.bears(2.0 * look as f64 * curve.profiling);
        for (look, limit) in looks.iter().filter(|(look, _)| bears(*look)) {
            let per_item = curve.expected(*limit, *look);
            let rest = self.remaining.saturating_sub(*look) as f64;
            let total = *look as f64 * curve.profiling + rest * per_item;
            if total < best.total {
                best.look = *look;
                best.total = total;
                best.per_item = per_item;
                let ends = curve.range(*limit, *look);
                let spent = *look as f64 * curve.profiling;
                best.range = (spent + rest * ends.0, spent + rest * ends.1);
            }
        }
        best
    }

    /// The chains worth considering, simple ones first. A chain by score contains the single
    /// candidate and the share by coin at no statistical price, so where scores are free nothing
    /// else is listed beside it.
    fn chains(&self) -> Vec<Chain> {
        let means = self.till.means;
        let reference = means.answer(ModelId::REFERENCE);
        let hopeful: Vec<ModelId> = self
            .asked
            .iter()
            .filter(|id| means.answer(*id) < reference && self.hopeful(*id))
            .collect();
        let wants = |family| self.families == Families::Auto || self.families == family;
        let mut chains = Vec::new();
        for id in &hopeful {
            if wants(Families::Mix) {
                chains.push(Chain::single(*id));
                if self.items.iter().any(|item| item.router.is_some()) {
                    chains.push(Chain { first: *id, second: None, key: Key::Router });
                }
            }
            if wants(Families::Cascade) && self.has_scores(*id) {
                chains.push(Chain::cascade(*id));
            }
        }
        if wants(Families::Consensus) {
            for first in &hopeful {
                let others = self.asked.iter().filter(|second| second != first);
                // Asked for consensus alone, scores that are there order it further.
                let fitted = self.families == Families::Consensus && self.has_scores(*first);
                chains.extend(others.map(|second| {
                    if fitted {
                        self.fitted(*first, second)
                    } else {
                        Chain::consensus(*first, second, false)
                    }
                }));
            }
        }
        chains
    }

    /// Whether the candidate's agreement may still be above the floor, give or take one standard
    /// error.
    fn hopeful(&self, id: ModelId) -> bool {
        let records = self.items.iter().filter_map(|item| item.candidate(id));
        let (fails, all) = records.fold((0.0, 0.0), |(fails, all), record| {
            let fail = matches!(record.agreement, Agreement::Differs | Agreement::Unheard);
            (fails + f64::from(u8::from(fail)), all + 1.0)
        });
        all > 0.0 && fails / all - (0.25_f64 / all).sqrt() <= 1.0 - self.floor
    }

    /// A fit of the first model's correctness to its score and the second's agreement.
    fn fitted(&self, first: ModelId, second: ModelId) -> Chain {
        let example = |item: &&ItemEvidence| {
            let own = item.candidate(first)?;
            let other = item.candidate(second)?;
            let answered = own.agreement != Agreement::NoAnswer;
            let agree = other.agreement != Agreement::NoAnswer && item.consensus(first, second);
            answered.then_some(Example {
                first: own.score.map(Confidence::as_f64),
                second: None,
                agree: Some(agree),
                right: own.agreement == Agreement::Agrees,
            })
        };
        let examples: Vec<Example> = self.items.iter().filter_map(example).collect();
        Chain { first, second: Some(second), key: Key::Fitted(Fit::new(&examples)) }
    }

    fn has_scores(&self, id: ModelId) -> bool {
        self.items.iter().any(|item| item.candidate(id).is_some_and(|r| r.score.is_some()))
    }
}

/// The looks of a chain on a large population: geometric, from about the first that can certify to
/// a tenth of the population. Every look costs level, and half as much again is flat.
pub(super) fn chain_looks(design: Design, level: Probability, remaining: u64) -> Vec<u64> {
    let from = (2.4 / design.rate().max(1e-9)).max(15.0);
    let looks = grown(from, remaining / 10, |at| at * 0.5);
    let certifies = |look: &u64| single_look_limit(design, *look, level).is_some();
    looks.into_iter().filter(certifies).collect()
}

fn grown(from: f64, end: u64, step: impl Fn(f64) -> f64) -> Vec<u64> {
    let mut looks = Vec::new();
    let mut at = from;
    while at <= end as f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        looks.push(at as u64);
        at += step(at).max(1.0);
    }
    looks
}

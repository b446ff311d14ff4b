//! A lax target: every cheap candidate is tested whole from the second item on, and there is no pilot.
//!
//! A pilot finds out what is worth testing, and its items are lost to the test. Where half of the answers may
//! fail, a dozen items certify a candidate, and a pilot would take as many. It is cheaper then to test every
//! cheap candidate at its share of the level and to deliver the first that passes, or a cheaper one that follows.
//! With a stricter target it is not: the share costs more items than the pilot, and a candidate that fails too
//! often as a whole may still serve for the answers that it is sure of, which only a chain certifies.
//!
//! The first item shows what calls cost, and whether anything orders the answers.
//!
//! # Why the levels sum to `alpha`
//! Let `E` be what the first items showed, up to one that the reference answered, or up to the end of a pilot
//! that was too short for any other choice. Given `E`, the `M` candidates tested and the boundary are constants,
//! and the items left are in uniformly random order (see [`search`](super::super::search)). Each candidate is
//! tested at the level `alpha / M` on all of these items, whether it is given up on the way or not. So the
//! probability that any of them is certified wrongly is at most `alpha` given `E`, whatever the dependence between
//! candidates, and hence without the condition. Of those certified the cheapest is delivered.

use super::super::chain_test::ChainTest;
use super::super::scheme::LARGE;
use super::super::scores::has_scores;
use super::Brain;
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::roster::ModelId;

/// Where this share of the answers may fail, candidates are tested whole, whatever could order their answers.
///
/// Measured on nine recorded traces with one to sixteen candidates, at targets from .50 to .75.
const LAX: f64 = 0.4;
/// Where this share may fail, they are on fewer than [`LARGE`] items, if nothing orders the answers or if
/// there is one candidate only.
const UNORDERED: f64 = 0.25;
/// Candidates at or above this share of the reference's cost are tested only if there is no cheaper one: a
/// cheap one is likely to pass, and every test takes its share of the level.
const CHEAP: f64 = 0.25;

impl Brain {
    /// Whether the target may be lax enough to do without a pilot.
    pub(super) fn is_lax(&self) -> bool {
        let share = self.tolerated();
        let few = self.order.population() < LARGE;
        self.tests_whole() && (share >= LAX || (few && share >= UNORDERED))
    }

    /// The tests of all candidates, if the target is lax enough for them.
    pub(super) fn lax_tests(&self) -> Option<Vec<ChainTest>> {
        if !self.is_lax() || (self.tolerated() < LAX && self.has_order()?) {
            return None;
        }
        let reference = self.means.answer(ModelId::REFERENCE);
        let below = |share: f64| -> Vec<ModelId> {
            self.demand.ask.iter().filter(|id| self.means.answer(*id) < share * reference).collect()
        };
        let cheap = below(CHEAP);
        let tested = if cheap.is_empty() { below(1.0) } else { cheap };
        let shares = u32::try_from(tested.len()).ok().filter(|count| *count > 0)?;
        let (level, design) = (self.level().split(shares), self.design(self.profiled()).ok()?);
        // All of them are asked until the first may be certified. Within a budget that must leave half of it.
        let calls: f64 = tested.iter().map(|id| self.till().trial(*id)).sum();
        let test = self.shortest_test(design, level) * (reference + calls);
        if !self.thrift().bears(2.0 * test) {
            return None;
        }
        tested.into_iter().map(|id| self.test_of_all(id, level)).collect()
    }

    /// The share of the answers that may fail.
    pub(super) fn tolerated(&self) -> f64 {
        self.target.agreement().complement()
    }

    /// Whether there is a choice by which answers to take; `None` before any candidate answered.
    pub(super) fn has_order(&self) -> Option<bool> {
        let candidates: ModelSet = self.roster.candidates().collect();
        if candidates.len() == 1 {
            return Some(false);
        }
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let silent = |item: &&ItemEvidence| {
            item.candidates.iter().flatten().all(|own| own.agreement == Agreement::NoAnswer)
        };
        if items.iter().all(silent) {
            return None;
        }
        let rated = self.reads_scores() && candidates.iter().any(|id| self.roster.rates(id));
        let routed = items.iter().any(|item| item.router.is_some());
        Some(rated || routed || candidates.iter().any(|id| self.orders(id, &items)))
    }

    /// Whether a candidate's answers have scores that the families read.
    pub(super) fn orders(&self, id: ModelId, items: &[&ItemEvidence]) -> bool {
        self.reads_scores() && has_scores(id, items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Completion, Confidence};
    use crate::evidence::CandidateRecord;
    use crate::order::Order;
    use crate::pricing::{Cost, Pricing, Usage};
    use crate::profile::ProfileSettings;
    use crate::roster::{Model, RosterSpec};
    use crate::target::Target;

    const REFERENCE: u64 = 1_000_000;

    /// What one candidate did with an item: its cost, score and agreement.
    type Seen = (u64, Option<f64>, Agreement);
    const PLAIN: Seen = (20_000, None, Agreement::Agrees);
    const SCORED: Seen = (20_000, Some(0.7), Agreement::Agrees);

    /// A brain that has seen items like this one.
    fn brain(population: u64, agreement: f64, candidates: &[Seen], items: u64) -> Brain {
        let model = |at: usize| {
            let backend = crate::from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
            Model::<u64, u8>::new(format!("m{at}"), backend).spec().clone()
        };
        let roster = RosterSpec::new((0..=candidates.len()).map(model).collect()).unwrap();
        let target = Target::new(agreement, 0.95).unwrap();
        let (order, settings) = (Order::new(population, 1), ProfileSettings::default());
        let mut brain = Brain::new(&roster, Pricing::default(), target, order, &settings).unwrap();
        let usage = |nanos| Some(Usage::billed(Cost::from_nanos(nanos)));
        for rank in 0..items {
            let mut item = ItemEvidence::new(order.index(rank), true, usage(REFERENCE));
            let records = candidates.iter().map(|(cost, score, agreement)| {
                let mut record = CandidateRecord::new(*agreement, usage(*cost));
                record.score = score.and_then(Confidence::new);
                Some(record)
            });
            item.candidates = records.collect();
            brain.fold(item);
        }
        brain
    }

    /// How many tests are open after these items, with the level of each.
    fn open(brain: &Brain) -> (usize, f64) {
        let level = brain.tests.first().map_or(0.0, |test| test.boundary.alpha().get());
        (brain.tests.len(), level)
    }

    #[test]
    fn at_a_lax_target_every_candidate_is_tested_from_the_second_item_on() {
        let (tests, level) = open(&brain(2_000, 0.6, &[SCORED, PLAIN, PLAIN, PLAIN], 1));
        assert_eq!(tests, 4);
        assert!((level - 0.05 / 4.0).abs() < 1e-12, "{level}");
        assert_eq!(open(&brain(100_000, 0.6, &[PLAIN; 3], 1)).0, 3, "on many items as well");
        assert_eq!(
            open(&brain(2_000, 0.61, &[SCORED; 2], 1)).0,
            0,
            "a stricter target has a pilot"
        );
    }

    #[test]
    fn at_a_middling_target_they_are_if_nothing_orders_their_answers() {
        assert_eq!(open(&brain(2_000, 0.75, &[PLAIN; 3], 1)).0, 3);
        assert_eq!(open(&brain(2_000, 0.75, &[PLAIN, SCORED], 1)).0, 0);
        assert_eq!(open(&brain(2_000, 0.75, &[SCORED], 1)).0, 1, "one candidate leaves no choice");
        assert_eq!(
            open(&brain(LARGE, 0.75, &[PLAIN; 3], 1)).0,
            0,
            "on many items a pilot is cheap"
        );
        assert_eq!(open(&brain(2_000, 0.76, &[PLAIN; 3], 1)).0, 0);
    }

    #[test]
    fn nothing_is_known_of_scores_before_an_answer() {
        let silent = (20_000, None, Agreement::NoAnswer);
        assert_eq!(open(&brain(2_000, 0.75, &[silent; 2], 3)).0, 0);
    }

    #[test]
    fn a_candidate_as_dear_as_the_reference_gets_no_share_of_the_level() {
        let dear = (REFERENCE, None, Agreement::Agrees);
        let brain = brain(2_000, 0.6, &[dear, PLAIN], 1);
        assert_eq!(open(&brain), (1, brain.level().get()));
        assert_eq!(brain.demand.ask.len(), 1, "and is asked no more");
    }

    #[test]
    fn dear_candidates_are_tested_only_if_there_is_no_cheap_one() {
        let dear = (REFERENCE / 2, None, Agreement::Agrees);
        assert_eq!(open(&brain(2_000, 0.6, &[dear, PLAIN, dear, PLAIN], 1)).0, 2);
        assert_eq!(open(&brain(2_000, 0.6, &[dear, dear], 1)).0, 2);
    }

    #[test]
    fn a_lax_target_is_certified_within_a_dozen_items() {
        let brain = brain(2_000, 0.5, &[PLAIN; 2], 12);
        assert!(brain.tests.iter().any(|test| test.certified.is_some()));
        assert!(brain.stop().is_some());
    }
}

//! One candidate, and nothing to order its answers by: there is no chain to choose.
//!
//! A pilot finds out which candidate, score or pair to test, and its items are lost to the test. With a
//! single candidate whose answers come without scores, and without a router, the only choice is how to test
//! it: a share of its answers at one look, or all of them at every look. The second also mixes the candidate
//! with the reference, since profiling goes on until it certifies. It is taken if the candidate costs little,
//! or if one item and the prior favour it. So the pilot ends with the first item that the candidate answers,
//! which shows whether a score comes with it. [`search`] proves that a pilot may end for any such reason.

use super::super::boundaries;
use super::super::chain_test::ChainTest;
use super::super::priced::Scheme;
use super::super::scheme::Schedule;
use super::super::scores::has_scores;
use super::super::search;
use super::super::settings::{Families, Objective};
use super::Brain;
use crate::evidence::{Agreement, ItemEvidence};
use crate::plan::Chain;
use crate::roster::ModelId;

/// A candidate below this share of the reference's cost is tested whole, whatever a share of it promises.
const CHEAP: f64 = 0.2;

impl Brain {
    /// The first rank at which a pilot of one candidate may end, if it may end before all other gates.
    pub(super) fn first_gate(&self) -> Option<u64> {
        (self.only_candidate().is_some() && self.pilot > 1).then_some(1)
    }

    /// The test of all answers of an only candidate, if nothing else is worth testing.
    pub(super) fn lone_test(&self, schedule: &Schedule) -> Option<ChainTest> {
        let id = self.only_candidate()?;
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let answers = |item: &&ItemEvidence| {
            let agreement = item.candidate(id).map(|record| record.agreement);
            matches!(agreement, Some(Agreement::Agrees | Agreement::Differs))
        };
        let plain = !has_scores(id, &items) && items.iter().all(|item| item.router.is_none());
        if !plain || !items.iter().any(answers) {
            return None;
        }
        let cheap = self.till().trial(id) < CHEAP * self.means.answer(ModelId::REFERENCE);
        if !cheap {
            let best = self.scene(&items, schedule).prospects().into_iter().next()?;
            if best.priced.scheme != Scheme::Dense {
                return None;
            }
        }
        let start = self.profiled();
        let boundary = boundaries::single_policy(self.design(start).ok()?, self.level()).ok()?;
        Some(ChainTest::new(Chain::single(id), boundary, start))
    }

    /// The only candidate, if there is one whose mix is to be considered and which cannot rate its answers.
    fn only_candidate(&self) -> Option<ModelId> {
        let mut candidates = self.roster.candidates();
        let (only, None) = (candidates.next()?, candidates.next()) else { return None };
        let mixed = matches!(self.settings.families, Families::Auto | Families::Mix);
        let cheapest = self.settings.objective == Objective::LeastCost;
        let unrated = search::paid(&self.roster, [only].into_iter().collect()).is_empty();
        (mixed && cheapest && unrated).then_some(only)
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

    /// An item: what the reference and the candidate cost, and the candidate's answer.
    #[derive(Clone, Copy)]
    struct Seen {
        reference: u64,
        candidate: u64,
        score: Option<f64>,
        answers: bool,
    }

    const PLAIN: Seen =
        Seen { reference: 1_000_000, candidate: 20_000, score: None, answers: true };

    /// A brain within a budget that has seen these items, none of which fails.
    fn brain(candidates: usize, budget: Option<Cost>, items: &[Seen]) -> Brain {
        let model = |at: usize| {
            let backend = crate::from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
            Model::<u64, u8>::new(format!("m{at}"), backend).spec().clone()
        };
        let roster = RosterSpec::new((0..=candidates).map(model).collect()).unwrap();
        let (target, order) = (Target::new(0.8, 0.95).unwrap(), Order::new(2000, 1));
        let settings = ProfileSettings::default();
        let brain = Brain::new(&roster, Pricing::default(), target, order, &settings).unwrap();
        let mut brain = brain.with_budget(budget);
        for (rank, seen) in (0..).zip(items) {
            let usage = |nanos| Some(Usage::billed(Cost::from_nanos(nanos)));
            let agreement = if seen.answers { Agreement::Agrees } else { Agreement::NoAnswer };
            let mut record = CandidateRecord::new(agreement, usage(seen.candidate));
            record.score = seen.score.and_then(Confidence::new);
            let mut item = ItemEvidence::new(order.index(rank), true, usage(seen.reference));
            item.candidates = vec![Some(record); candidates];
            brain.fold(item);
        }
        brain
    }

    /// The rank at which tests begin after these items; `None` while the pilot goes on.
    fn begins(candidates: usize, items: &[Seen]) -> Option<u64> {
        brain(candidates, None, items).tests.first().map(|test| test.start)
    }

    #[test]
    fn an_only_candidate_without_scores_is_tested_from_the_second_item_on() {
        assert_eq!(begins(1, &[PLAIN]), Some(1));
        assert_eq!(begins(2, &[PLAIN]), None, "of two, one is to be chosen");
        let silent = Seen { answers: false, ..PLAIN };
        assert_eq!(begins(1, &[silent; 3]), None, "nobody knows yet whether there are scores");
        assert_eq!(begins(1, &[silent, PLAIN, PLAIN, PLAIN]), Some(4));
    }

    #[test]
    fn one_dear_item_does_not_end_a_budget() {
        let money = Some(Cost::from_nanos(600 * PLAIN.reference));
        let dear = Seen { reference: 60_000_000, candidate: 1_200_000, ..PLAIN };
        assert_eq!(brain(1, money, &[dear]).stop(), None);
    }

    #[test]
    fn scores_are_worth_a_pilot() {
        let scored = Seen { score: Some(0.7), ..PLAIN };
        assert_eq!(begins(1, &[scored; 2]), None);
    }

    #[test]
    fn of_a_dear_candidate_a_share_may_be_better_than_all() {
        let priced = |candidate| Seen { candidate, ..PLAIN };
        assert_eq!(begins(1, &[priced(199_000)]), Some(1));
        // At four fifths of the reference's price a long test never pays.
        assert_eq!(begins(1, &[priced(800_000); 3]), None);
    }
}

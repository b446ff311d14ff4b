//! One candidate, and nothing to order its answers by: there is no chain to choose.
//!
//! A pilot finds out which candidate to test, or which score, or which pair, and its items are lost to the
//! test. Where there is one candidate, whose answers come without a score and whose items have no router's,
//! all that could be chosen is a share of its answers, at one look. Testing the whole of them at every look is
//! cheaper where the candidate costs little, for profiling on until it certifies is a mix with the reference
//! as well; or where that is the better of the two as far as one item and the prior tell. So the pilot ends
//! with the first item that the candidate answers: long enough to see whether a score comes with it. Why a
//! pilot may end for any such reason: [`search`](super::super::search).

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

/// A candidate that costs less than this share of what the reference does is tested whole, whatever else
/// its price promises.
const CHEAP: f64 = 0.2;

impl Brain {
    /// The first rank at which a pilot of one candidate may end, if that is before all others.
    pub(super) fn first_gate(&self) -> Option<u64> {
        (self.only_candidate().is_some() && self.pilot > 1).then_some(1)
    }

    /// The test of all answers of an only candidate, where that is all there is to test.
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
        let cheap = self.means.answer(id) < CHEAP * self.means.answer(ModelId::REFERENCE);
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

    /// The only candidate, if there is one, its share of the items is to be considered, and it cannot rate
    /// its answers.
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

    /// What an item looks like: what the reference and the candidate cost, and the latter's answer.
    #[derive(Clone, Copy)]
    struct Seen {
        reference: u64,
        candidate: u64,
        score: Option<f64>,
        answers: bool,
    }

    const PLAIN: Seen =
        Seen { reference: 1_000_000, candidate: 20_000, score: None, answers: true };

    /// A brain within so much money that has seen such items, of which none fails.
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

    /// Where tests begin after such items; nothing while the pilot goes on.
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
        // At four in five of the reference's price a long test never pays.
        assert_eq!(begins(1, &[priced(800_000); 3]), None);
    }
}

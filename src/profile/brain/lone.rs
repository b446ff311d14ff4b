//! One candidate, and nothing to order its answers by: there is no chain to choose.
//!
//! A pilot finds out which candidate, score or pair to test, and its items are lost to the test. With a
//! single candidate whose answers come without scores, and without a router, the only choice is how to test
//! it: a share of its answers at one look, or all of them at every look. The second also mixes the candidate
//! with the reference, since profiling goes on until it certifies. It is taken if the candidate costs little,
//! or if one item and the prior favour it. So the pilot ends with the first item that the candidate answers,
//! which shows whether a score comes with it. [`search`](super::super::search) proves that a pilot may end for any
//! such reason.

use super::super::chain_test::ChainTest;
use super::super::priced::Scheme;
use super::super::scheme::Schedule;
use super::Brain;
use crate::evidence::{Agreement, ItemEvidence};
use crate::roster::ModelId;

/// A candidate below this share of the reference's cost is tested whole, whatever a share of it promises.
const CHEAP: f64 = 0.2;
/// From this share on, and from this many items on, a pilot up to this rank finds out first whether the
/// candidate fails too often.
///
/// If it does, testing all of it would ask it about many items that go to the reference anyway. Those calls
/// then cost more than the items that a share, certified at a look or two, loses to chance. Below this share
/// of the reference's cost the calls are too cheap for that, and on fewer items the wait is too dear.
const WATCHED: (f64, u64, u64) = (0.05, 8_000, 27);

impl Brain {
    /// The first rank at which the pilot may end, if it may end before all other gates.
    pub(super) fn first_gate(&self) -> Option<u64> {
        let soon = self.only_candidate().is_some() || self.is_lax();
        (soon && self.pilot > 1).then_some(1)
    }

    /// Whether more is to be seen of an only candidate before anything is decided about it.
    pub(super) fn watches(&self) -> bool {
        let (share, items, rank) = WATCHED;
        let many = self.order.population() >= items && self.profiled() < rank;
        let middling = |id| !self.is_below(share, id) && self.is_below(CHEAP, id);
        many && self.plain_candidate().is_some_and(middling)
    }

    /// The test of all answers of an only candidate, if that is all there is to test.
    pub(super) fn lone_test(&self, schedule: &Schedule) -> Option<ChainTest> {
        let id = self.plain_candidate()?;
        let start = self.profiled();
        let design = self.design(start).ok()?;
        let differs = |item: &&ItemEvidence| {
            item.candidate(id).is_some_and(|record| record.agreement == Agreement::Differs)
        };
        let failing = self.evidence.iter().filter(differs).count() as f64;
        let good = start < WATCHED.2 || failing <= design.rate() * start as f64;
        if !(good && self.is_below(CHEAP, id)) {
            let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
            let best = self.scene(&items, schedule).prospects().into_iter().next()?;
            if best.priced.scheme != Scheme::Dense {
                return None;
            }
        }
        self.test_of_all(id, self.level())
    }

    /// Whether trying the candidate on an item costs less than this share of what the reference does.
    pub(super) fn is_below(&self, share: f64, id: ModelId) -> bool {
        self.till().trial(id) < share * self.means.answer(ModelId::REFERENCE)
    }

    /// The only candidate, if it has answered and nothing orders its answers.
    fn plain_candidate(&self) -> Option<ModelId> {
        let id = self.only_candidate()?;
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let answers = |item: &&ItemEvidence| {
            let agreement = item.candidate(id).map(|record| record.agreement);
            matches!(agreement, Some(Agreement::Agrees | Agreement::Differs))
        };
        let plain = !self.orders(id, &items) && items.iter().all(|item| item.router.is_none());
        (plain && items.iter().any(answers)).then_some(id)
    }

    /// The only candidate, if there is one whose mix is to be considered and which cannot rate its answers.
    fn only_candidate(&self) -> Option<ModelId> {
        let mut candidates = self.roster.candidates();
        let (only, None) = (candidates.next()?, candidates.next()) else { return None };
        let rated = self.reads_scores() && self.roster.rates(only);
        (self.tests_whole() && !rated).then_some(only)
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
    use crate::stats::BoundaryKind;
    use crate::target::Target;

    /// An item: what the reference and the candidate cost, and the candidate's answer.
    #[derive(Clone, Copy)]
    struct Seen {
        reference: u64,
        candidate: u64,
        score: Option<f64>,
        agreement: Agreement,
    }

    const PLAIN: Seen =
        Seen { reference: 1_000_000, candidate: 20_000, score: None, agreement: Agreement::Agrees };

    /// A brain for a population, within a budget, that has seen these items.
    fn brain(population: u64, candidates: usize, budget: Option<Cost>, items: &[Seen]) -> Brain {
        let model = |at: usize| {
            let backend = crate::from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
            Model::<u64, u8>::new(format!("m{at}"), backend).spec().clone()
        };
        let roster = RosterSpec::new((0..=candidates).map(model).collect()).unwrap();
        let (target, order) = (Target::new(0.8, 0.95).unwrap(), Order::new(population, 1));
        let settings = ProfileSettings::default();
        let brain = Brain::new(&roster, Pricing::default(), target, order, &settings).unwrap();
        let mut brain = brain.with_budget(budget);
        for (rank, seen) in (0..).zip(items) {
            let usage = |nanos| Some(Usage::billed(Cost::from_nanos(nanos)));
            let mut record = CandidateRecord::new(seen.agreement, usage(seen.candidate));
            record.score = seen.score.and_then(Confidence::new);
            let mut item = ItemEvidence::new(order.index(rank), true, usage(seen.reference));
            item.candidates = vec![Some(record); candidates];
            brain.fold(item);
        }
        brain
    }

    /// The rank at which tests begin after these items; `None` while the pilot goes on.
    fn begins(candidates: usize, items: &[Seen]) -> Option<u64> {
        brain(2_000, candidates, None, items).tests.first().map(|test| test.start)
    }

    #[test]
    fn an_only_candidate_without_scores_is_tested_from_the_second_item_on() {
        assert_eq!(begins(1, &[PLAIN]), Some(1));
        assert_eq!(begins(2, &[PLAIN]), None, "of two, one is to be chosen");
        let silent = Seen { agreement: Agreement::NoAnswer, ..PLAIN };
        assert_eq!(begins(1, &[silent; 3]), None, "nobody knows yet whether there are scores");
        assert_eq!(begins(1, &[silent, PLAIN, PLAIN, PLAIN]), Some(4));
    }

    #[test]
    fn one_dear_item_does_not_end_a_budget() {
        let money = Some(Cost::from_nanos(600 * PLAIN.reference));
        let dear = Seen { reference: 60_000_000, candidate: 1_200_000, ..PLAIN };
        assert_eq!(brain(2_000, 1, money, &[dear]).stop(), None);
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

    #[test]
    fn on_many_items_a_middling_candidate_is_watched_before_all_of_it_is_tested() {
        let middling = Seen { candidate: 150_000, ..PLAIN };
        let whole = |population: u64, items: &[Seen]| {
            let brain = brain(population, 1, None, items);
            let whole = |test: &&ChainTest| test.boundary.kind() == BoundaryKind::SinglePolicy;
            brain.tests.first().filter(whole).map(|test| test.start)
        };
        assert_eq!(whole(7_999, &[middling]), Some(1));
        assert_eq!(whole(20_000, &[PLAIN]), Some(1), "a cheap one is tested at once");
        assert_eq!(whole(20_000, &[middling; 26]), None);
        assert_eq!(whole(20_000, &[middling; 27]), Some(27));
        let failing = Seen { agreement: Agreement::Differs, ..middling };
        let third = [middling, middling, failing].repeat(20);
        assert_eq!(whole(20_000, &third), None, "one in three fails where one in five may");
    }
}

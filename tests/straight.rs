//! The executor's short way for plans that no answer can change comes to the same answers, at the
//! same cost, as the long way that every other plan takes. An observer sends items the long way.

use std::collections::BTreeMap;

use futures::executor::block_on;
use futures::{TryStreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::plan::{Mark, Policy};
use smart_core::{
    Answer, BackendError, Completion, Cost, Event, Families, Generated, LlmBackend, Model, Plan,
    Pricing, ProfileSettings, Reason, Roster, Smart, Target, Usage, async_trait,
};

const ITEMS: u64 = 6_000;

/// The item's last digit, or another one on every `wrong`-th item, or nothing on every `silent`-th.
struct Digits {
    wrong: u64,
    silent: u64,
}

#[async_trait]
impl LlmBackend<u64> for Digits {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        if item % self.silent == 5 {
            return Err(BackendError::refused("no digit").with_usage(Usage::tokens(7, 0)));
        }
        let answer = if item % self.wrong == 1 { 10 } else { item % 10 };
        Ok(Completion::new(answer).with_usage(Usage::tokens(100 + item % 50, 1)))
    }
}

fn smart(wrong: u64, families: Families, watched: bool) -> Smart<u64, u64> {
    let pricing = |input: f64| Pricing::per_million(input, 2.0 * input).unwrap();
    let large = Digits { wrong: u64::MAX, silent: 1_009 };
    let small = Digits { wrong, silent: 17 };
    let roster = Roster::new(
        Model::new("large", large).with_pricing(pricing(30.0)),
        [Model::new("small", small).with_pricing(pricing(0.5))],
    )
    .unwrap();
    let settings = ProfileSettings::default().with_families(families);
    let target = Target::new(0.95, 0.95).unwrap();
    let smart =
        Smart::new(roster, Exact, target).with_seed(3).with_concurrency(8).with_settings(settings);
    if watched { smart.with_observer(|_: &Event<'_>| {}) } else { smart }
}

fn answers(smart: &Smart<u64, u64>, plan: &Plan) -> (Vec<Answer<u64>>, Cost) {
    let executor = smart.executor(plan.clone(), BTreeMap::new()).unwrap();
    let stream = executor.execute(stream::iter(0..ITEMS));
    let mut answers: Vec<Answer<u64>> = block_on(stream.try_collect()).unwrap();
    answers.sort_by_key(|answer| answer.index);
    (answers, executor.spent())
}

#[test]
fn the_short_way_comes_to_the_same() {
    for (wrong, families, whole) in
        [(97, Families::Single, true), (97, Families::Mix, true), (5, Families::Mix, false)]
    {
        let profiled =
            block_on(smart(wrong, families, false).profile(&Generated::new(ITEMS, |index| index)));
        let plan = profiled.unwrap().profile.plan().unwrap();
        let Policy::Chain { threshold, .. } = &plan.policy else { panic!("{:?}", plan.policy) };
        // Far from the target a share of the items is given away, not all after a longer profile.
        assert_eq!(*threshold == Mark::LOWEST, whole, "{families:?}");
        let (short, spent) = answers(&smart(wrong, families, false), &plan);
        let (long, spent_long) = answers(&smart(wrong, families, true), &plan);
        assert_eq!(short, long);
        assert_eq!(spent, spent_long);
        let seen = |which: fn(&Reason) -> bool| short.iter().any(|answer| which(&answer.reason));
        assert!(seen(|r| *r == Reason::Accepted) && seen(|r| *r == Reason::Profiled));
        assert!(seen(|r| matches!(r, Reason::CandidateFailed(_))));
        assert!(seen(|r| matches!(r, Reason::ReferenceFailed(_))));
        assert_eq!(seen(|r| *r == Reason::Routed), !whole);
    }
}

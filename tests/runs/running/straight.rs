//! The executor's short way for plans that no answer can change comes to the same answers, at the
//! same cost, as the long way that every other plan takes: bills that cannot be believed, calls that
//! wait, panics and the accounts of failures included, as they come or in order. An observer sends
//! items the long way.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::execute::Answers;
use smart_core::plan::{Mark, Policy};
use smart_core::{
    Answer, BackendError, Completion, Cost, ErrorKind, Event, Families, LlmBackend, Model, Plan,
    Pricing, ProfileSettings, Reason, Report, Roster, Smart, Target, Usage,
};

use crate::items::counted;

const ITEMS: u64 = 6_000;

/// The item's last digit, or another one on every `wrong`-th item, or nothing on every `silent`-th;
/// where calls wait some give way first, and where `silent` is small a few panic.
struct Digits {
    wrong: u64,
    silent: u64,
    waits: bool,
}

impl Digits {
    async fn answer(&self, item: u64) -> Result<Completion<u64>, BackendError> {
        if self.waits && item % 13 == 6 {
            tokio::task::yield_now().await;
        }
        // After it gave way: 71 is 6 more than a multiple of 13, and so are all of these.
        assert!(item % (self.silent * 91) != 71, "no digit at all");
        if item % self.silent == 5 {
            return Err(match item % 3 {
                0 => BackendError::new(ErrorKind::Unavailable, "closed"),
                _ => BackendError::refused("no digit").with_usage(Usage::tokens(7, 0)),
            });
        }
        let answer = if item % self.wrong == 1 { 10 } else { item % 10 };
        if item % 211 == 4 {
            // Nobody's tokens.
            return Ok(Completion::new(answer).with_usage(Usage::tokens(u64::MAX, 1)));
        }
        Ok(Completion::new(answer).with_usage(Usage::tokens(100 + item % 50, 1)))
    }
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Completion<u64>, BackendError>> + Send + 'a>>;

/// By hand, so that it can panic before there is a future.
impl LlmBackend<u64> for Digits {
    type Output = u64;
    fn complete<'a, 'b, 'c>(&'a self, item: &'b u64) -> Call<'c>
    where
        'a: 'c,
        'b: 'c,
    {
        assert!(item % (self.silent * 100) != 70, "no digit at all");
        Box::pin(self.answer(*item))
    }
}

fn smart(wrong: u64, families: Families, watched: bool, waits: bool) -> Smart<u64, u64> {
    let pricing = |input: f64| Pricing::per_million(input, 2.0 * input).unwrap();
    let large = Digits { wrong: u64::MAX, silent: 1_009, waits };
    let small = Digits { wrong, silent: 17, waits };
    // Of a dear candidate far from the target a share is given away; a cheap one is tested to the end.
    let price = if wrong < 17 { 7.0 } else { 0.5 };
    let roster = Roster::new(
        Model::new("large", large).with_pricing(pricing(30.0)),
        [Model::new("small", small).with_pricing(pricing(price))],
    )
    .unwrap();
    let settings = ProfileSettings::default().with_families(families);
    let target = Target::new(0.95, 0.95).unwrap();
    let smart =
        Smart::new(roster, Exact, target).with_seed(4).with_concurrency(8).with_settings(settings);
    if watched { smart.with_observer(|_: &Event<'_>| {}) } else { smart }
}

fn answers(smart: &Smart<u64, u64>, plan: &Plan) -> (Vec<Answer<u64>>, Report) {
    let executor = smart.executor(plan.clone(), BTreeMap::new()).unwrap();
    let stream = executor.execute(stream::iter(0..ITEMS));
    let answers: Vec<Answer<u64>> = block_on(stream.try_collect()).unwrap();
    (answers, executor.finish().unwrap())
}

#[test]
fn the_short_way_comes_to_the_same() {
    for (wrong, families, whole) in
        [(97, Families::Single, true), (97, Families::Mix, true), (9, Families::Mix, false)]
    {
        let profiled = block_on(smart(wrong, families, false, true).profile(&counted(ITEMS)));
        let plan = profiled.unwrap().profile.plan().unwrap();
        let Policy::Chain { threshold, .. } = &plan.policy else { panic!("{:?}", plan.policy) };
        assert_eq!(*threshold == Mark::LOWEST, whole, "{families:?}");
        let (in_order, report) =
            answers(&smart(wrong, families, false, true).with_answers_in_order(32), &plan);
        assert!(in_order.iter().map(|answer| answer.index).eq(0..ITEMS));
        let (mut short, spent) = answers(&smart(wrong, families, false, true), &plan);
        let (mut long, spent_long) = answers(&smart(wrong, families, true, true), &plan);
        short.sort_by_key(|answer| answer.index);
        long.sort_by_key(|answer| answer.index);
        assert_eq!(short, long);
        assert_eq!(short, in_order);
        assert_eq!(spent, spent_long);
        assert_eq!(spent, report);
        let small = spent.execution[1];
        assert!(small.turned_away > 0 && small.turned_away < small.failures && small.unmetered > 0);
        assert!(spent.faults.iter().any(|fault| fault.message.contains("no digit at all")));
        assert_eq!(spent.faults.iter().map(|fault| fault.calls).sum::<u64>(), {
            spent.execution.iter().map(|spending| spending.failures).sum::<u64>()
        });
        let seen = |which: fn(&Reason) -> bool| short.iter().any(|answer| which(&answer.reason));
        assert!(seen(|r| *r == Reason::Accepted) && seen(|r| *r == Reason::Profiled));
        assert!(seen(|r| matches!(r, Reason::CandidateFailed(_))));
        assert!(seen(|r| matches!(r, Reason::ReferenceFailed(_))));
        assert_eq!(seen(|r| *r == Reason::Routed), !whole);
    }
}

/// Streams that count for themselves are in the books all along: while they run side by side, when
/// one is dropped half way, and when one has ended.
#[test]
fn what_is_under_way_is_in_the_books() {
    let smart = smart(97, Families::Single, false, false);
    let profiled = block_on(smart.profile(&counted(ITEMS))).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let executor = smart.executor(plan, BTreeMap::new()).unwrap();
    let (mut seen, mut paid) = (0_u64, Cost::ZERO);
    let mut streams: Vec<_> = (0..3).map(|_| executor.execute(stream::iter(0..ITEMS))).collect();
    let mut take = |stream: &mut Answers<u64>, count: usize| {
        let some: Vec<Answer<u64>> = block_on(stream.by_ref().take(count).try_collect()).unwrap();
        seen += some.len() as u64;
        paid += some.iter().map(|answer| answer.cost).sum::<Cost>();
        let report = executor.report();
        assert_eq!(report.delivered.items(), seen);
        assert_eq!(executor.spent(), paid);
        assert_eq!(report.execution.iter().map(|model| model.cost).sum::<Cost>(), paid);
        some.len()
    };
    for _ in 0..4 {
        for stream in &mut streams {
            assert_eq!(take(stream, 700), 700);
        }
    }
    streams.pop();
    for stream in &mut streams {
        assert_eq!(take(stream, usize::MAX), 6_000 - 4 * 700);
    }
    drop(streams);
    assert_eq!(executor.report().delivered.items(), 2 * ITEMS + 4 * 700);
}

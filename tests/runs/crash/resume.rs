//! A run that is taken up again after something went wrong: an outage, an answer that cannot be kept, an
//! item that should not be there, halves of a run on one journal.
#![cfg(feature = "json")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::executor::block_on;
use smart_core::backend::{BreakerPolicy, Wrap};
use smart_core::equivalence::{Exact, equivalent};
use smart_core::journal::{FileJournal, JournalError};
use smart_core::{
    BackendError, Completion, Cost, ErrorKind, Families, LlmBackend, Model, ModelId, Objective,
    Pricing, ProfileSettings, Reason, Report, Roster, RunError, Share, Smart, Target, Usage,
    async_trait,
};

const ITEMS: u64 = 2_000;

/// A model that answers with the item, wrongly for every twentieth, and is down from one call to another.
#[derive(Clone)]
struct Flaky {
    calls: Arc<AtomicU64>,
    down: (u64, u64),
    wrong: bool,
    kind: ErrorKind,
}

impl Flaky {
    fn sound(wrong: bool) -> Self {
        Self { calls: Arc::default(), down: (0, 0), wrong, kind: ErrorKind::Transient }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl LlmBackend<u64> for Flaky {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if (self.down.0..self.down.1).contains(&call) {
            let error = BackendError::new(self.kind, "503");
            return Err(error.with_usage(Usage::billed(Cost::from_nanos(7))));
        }
        let wrong = self.wrong && item.is_multiple_of(20);
        Ok(Completion::new(if wrong { item + 1 } else { *item }))
    }
}

fn price(usd: f64) -> Pricing {
    Pricing::per_request(usd).unwrap()
}

fn smart<B>(large: B, small: &Flaky) -> Smart<u64, u64>
where
    B: LlmBackend<u64, Output = u64> + 'static,
{
    let large = Model::new("large", large).with_pricing(price(1.0));
    let small = Model::new("small", small.clone()).with_pricing(price(0.05));
    Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.9, 0.95).unwrap())
        .with_settings(ProfileSettings::default().with_families(Families::Single))
        .with_seed(4)
        .with_concurrency(8)
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("resume-{}-{count}.jsonl", std::process::id())))
    }

    fn journal(&self) -> FileJournal {
        FileJournal::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn unanswered(report: &Report) -> u64 {
    report.delivered.items() - report.delivered.answered()
}

fn items() -> Vec<u64> {
    (0..ITEMS).collect()
}

#[test]
fn what_an_open_circuit_turned_away_is_asked_when_the_run_is_resumed() {
    let scratch = Scratch::new();
    let whole = block_on(smart(Flaky::sound(false), &Flaky::sound(true)).run(&items())).unwrap();
    let mut large = Flaky::sound(false);
    // Down after the first items: nearly all that follows is turned away.
    large.down = (10, u64::MAX);
    let down = large.with_breaker(BreakerPolicy::default());
    let run = |smart: Smart<u64, u64>, again| {
        let smart = smart.with_journal(scratch.journal()).with_failures_asked_again(again);
        block_on(smart.run(&items())).unwrap()
    };
    let night = run(smart(down, &Flaky::sound(true)), false).report;
    assert!(unanswered(&night) > ITEMS / 2, "{night}");
    assert!(night.spending(ModelId::REFERENCE).turned_away > ITEMS / 2);

    let (large, small) = (Flaky::sound(false), Flaky::sound(true));
    let morning = run(smart(large.clone(), &small), false);
    let failed = night.spending(ModelId::REFERENCE).failures
        - night.spending(ModelId::REFERENCE).turned_away;
    assert_eq!(unanswered(&morning.report), failed, "{}", morning.report);
    assert!(large.calls() > 0);

    // The calls that failed are made again if asked for, and then it is the run without the outage.
    let again = run(smart(large.clone(), &small), true);
    assert_eq!(unanswered(&again.report), 0, "{}", again.report);
    assert_eq!(again.report.plan.policy, whole.report.plan.policy);
    assert_eq!(again.report.profiled, whole.report.profiled);
    // Every call that was made is on the bill: ten before the outage, those that failed, and all since.
    let paid = Cost::from_usd((10 + large.calls()) as f64).unwrap();
    let paid = paid + Cost::from_nanos(7).times(failed);
    assert_eq!(again.report.spending(ModelId::REFERENCE).cost, paid);
}

#[test]
fn a_call_made_again_is_the_one_that_counts() {
    use ErrorKind::{Panicked, Permanent, Transient, Unauthorized};
    // The last two: a model that was not there, and a client's bug, both mended since.
    for kind in [Transient, Unauthorized, Permanent, Panicked] {
        made_again(kind);
    }
}

#[test]
fn what_the_item_is_to_blame_for_is_not_asked_again() {
    for kind in [ErrorKind::Refused, ErrorKind::InvalidRequest] {
        let scratch = Scratch::new();
        let large = Flaky { kind, down: (0, u64::MAX), ..Flaky::sound(false) };
        for calls in [ITEMS, 0] {
            large.calls.store(0, Ordering::Relaxed);
            let large = Model::new("large", large.clone()).with_pricing(price(1.0));
            let roster = Roster::new(large, []).unwrap();
            let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
            let smart = smart.with_journal(scratch.journal()).with_failures_asked_again(true);
            let report = block_on(smart.run(&items())).unwrap().report;
            assert_eq!((unanswered(&report), report.delivered.items()), (ITEMS, ITEMS), "{kind}");
            assert_eq!(report.spending(ModelId::REFERENCE).recalled, ITEMS - calls, "{kind}");
        }
    }
}

fn made_again(kind: ErrorKind) {
    let scratch = Scratch::new();
    let mut small = Flaky { kind, ..Flaky::sound(true) };
    small.down = (100, 400);
    let run = |small: &Flaky, again| {
        let smart = smart(Flaky::sound(false), small).with_journal(scratch.journal());
        block_on(smart.with_failures_asked_again(again).run(&items())).unwrap()
    };
    let first = run(&small, false);
    let failed = first.report.spending(ModelId::new(1)).failures;
    assert!((100..=300).contains(&failed), "{failed}");
    small.calls.store(1_000, Ordering::Relaxed);
    let second = run(&small, true);
    let made = small.calls() - 1_000;
    assert!(made > 0);
    // What was made again is found like any other call, whatever is asked for.
    for again in [false, true] {
        let third = run(&small, again);
        assert_eq!(small.calls() - 1_000, made);
        assert_eq!(third.answers, second.answers);
        assert_eq!(third.report.cost(), second.report.cost());
    }
    // Those that failed are made again, and what the first run had no reason to ask.
    let asked = second.report.spending(ModelId::new(1));
    assert_eq!(asked.calls(), made + first.report.spending(ModelId::new(1)).calls());
    assert_eq!(asked.failures, failed);
    assert!(second.report.delivered.by_model[1] > 1_000, "{}", second.report);
    assert!(second.answers.iter().all(|answer| { answer.reason != Reason::CandidateFailed(kind) }));
}

/// Profiling and execution apart, on one journal.
fn halves(smart: &Smart<u64, u64>, from: u64, to: u64) -> (Report, Report) {
    let profiled = block_on(smart.profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let report = profiled.report().unwrap();
    let executor = smart.executor(plan, profiled).unwrap();
    let part = futures::stream::iter((from..to).map(|index| (index, index)));
    let answered = block_on(executor.execute_indexed(part).count());
    assert_eq!(answered as u64, to - from);
    (report, executor.finish().unwrap())
}

#[test]
fn two_halves_on_one_journal_are_billed_once() {
    let scratch = Scratch::new();
    let (large, small) = (Flaky::sound(false), Flaky::sound(true));
    let smart = smart(large.clone(), &small).with_journal(scratch.journal());
    let truth = || Cost::from_usd(large.calls() as f64 + 0.05 * small.calls() as f64).unwrap();
    // Half the items, then all of them from the start: a worker that was killed.
    for to in [ITEMS / 2, ITEMS, ITEMS] {
        let (profiling, execution) = halves(&smart, 0, to);
        let whole = profiling.merge(&execution).unwrap();
        assert_eq!(whole.cost(), truth(), "{whole}");
        assert_eq!(whole.is_whole(), to == ITEMS);
    }
    let calls = large.calls() + small.calls();
    // Books that were closed early are no reason to pay again.
    let profiled = block_on(smart.profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let executor = smart.executor(plan, profiled).unwrap();
    let before = executor.finish().unwrap().cost();
    let all = futures::stream::iter(0..ITEMS);
    assert_eq!(block_on(executor.execute(all).count()) as u64, ITEMS);
    assert_eq!((executor.finish().unwrap().cost(), large.calls() + small.calls()), (before, calls));
}

#[test]
fn halves_that_aim_higher_than_was_asked_share_a_journal_too() {
    let scratch = Scratch::new();
    let within = Cost::from_usd(600.0).unwrap();
    let settings = ProfileSettings::default().with_objective(Objective::BestAgreement { within });
    let smart = smart(Flaky::sound(false), &Flaky::sound(true)).with_settings(settings);
    let (profiling, execution) = halves(&smart.with_journal(scratch.journal()), 0, ITEMS);
    let whole = profiling.merge(&execution).unwrap();
    assert!(
        whole.is_whole() && whole.plan.target.agreement() > Share::new(0.9).unwrap(),
        "{whole}"
    );
}

#[test]
fn what_came_too_late_for_profiling_is_handed_on() {
    let (large, small) = (Flaky::sound(false), Flaky::sound(true));
    let smart = smart(Slow(large), &small).with_concurrency(64);
    let profiled = block_on(smart.profile(&items())).unwrap();
    let (late, before) = (profiled.profile.late.len(), small.calls());
    assert!(late > 5, "{late}");
    let plan = profiled.profile.plan().unwrap();
    let executor = smart.executor(plan, profiled).unwrap();
    block_on(executor.execute(futures::stream::iter(0..ITEMS)).count());
    let (rest, asked) = (ITEMS - executor.plan().asked, small.calls() - before);
    assert_eq!(asked, rest - late as u64);
    assert_eq!(executor.report().spending(ModelId::new(1)).answers, asked);
}

#[test]
fn an_answer_that_cannot_be_kept_is_a_failure_and_no_end() {
    // JSON has no NaN: it is written as null, which is no number.
    let strange = |which: u64| {
        let calls = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&calls);
        let backend = smart_core::from_fn(move |item: &u64| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = if *item % 50 == which { f64::NAN } else { *item as f64 };
            async move { Ok(Completion::new(answer)) }
        });
        (backend, calls)
    };
    let scratch = Scratch::new();
    let mut cost = Cost::ZERO;
    for run in 0..2 {
        let ((large, asked), (small, tried)) = (strange(49), strange(3));
        let large = Model::new("large", large).with_pricing(price(1.0));
        let small = Model::new("small", small).with_pricing(price(0.05));
        let roster = Roster::new(large, [small]).unwrap();
        let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
        let report = block_on(smart.with_journal(scratch.journal()).run(&items())).unwrap().report;
        let failures = report.spending(ModelId::new(1)).failures;
        assert!(failures > 20 && unanswered(&report) < ITEMS / 40, "{report}");
        let made = asked.load(Ordering::Relaxed) + tried.load(Ordering::Relaxed);
        assert_eq!(made == 0, run == 1, "all is found again");
        let truth = Cost::from_usd(
            asked.load(Ordering::Relaxed) as f64 + 0.05 * tried.load(Ordering::Relaxed) as f64,
        );
        cost = cost.max(truth.unwrap());
        assert_eq!(report.cost(), cost, "what cannot be kept was answered, and is billed");
        if run == 0 {
            let said = report.faults.iter().find(|fault| fault.model == Some(ModelId::new(1)));
            assert!(said.unwrap().message.contains("read back"), "{report}");
        }
    }
}

#[test]
fn a_type_that_cannot_be_kept_ends_the_run_at_once() {
    let scratch = Scratch::new();
    let calls = Arc::new(AtomicU64::new(0));
    for run in 1..4 {
        let count = Arc::clone(&calls);
        // A map with such keys is no JSON.
        let backend = smart_core::from_fn(move |item: &u64| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = BTreeMap::from([((*item, 1_u64), 2_u64)]);
            async move { Ok(Completion::new(answer)) }
        });
        let roster =
            Roster::new(Model::new("large", backend).with_pricing(price(1.0)), []).unwrap();
        let same =
            equivalent(|_: &u64, a: &BTreeMap<(u64, u64), u64>, b: &BTreeMap<(u64, u64), u64>| {
                a == b
            });
        let smart = Smart::new(roster, same, Target::new(0.9, 0.95).unwrap());
        let smart = smart.with_concurrency(1).with_journal(scratch.journal());
        let error = block_on(smart.run(&items())).unwrap_err();
        let RunError::Journal(cause) = &error else { panic!("{error}") };
        assert!(matches!(**cause, JournalError::Unwritable { .. }));
        assert_eq!(calls.load(Ordering::Relaxed), run, "one call a try, and none of them twice");
    }
    let text = std::fs::read_to_string(&scratch.0).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("permanent")).count(), 3, "{text}");
}

/// Never ready at the first poll.
struct Slow(Flaky);

#[async_trait]
impl LlmBackend<u64> for Slow {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        let mut waits = item % 7 + 1;
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            waits -= 1;
            if waits == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        self.0.complete(item).await
    }
}

#[test]
fn an_item_too_many_loses_no_answer() {
    for in_order in [false, true] {
        let scratch = Scratch::new();
        let (large, small) = (Flaky::sound(false), Flaky::sound(true));
        let plan = {
            let smart = smart(large.clone(), &small);
            block_on(smart.profile(&items())).unwrap().profile.plan().unwrap()
        };
        let before = (large.calls() + small.calls(), plan.asked);
        let mut smart = smart(Slow(large.clone()), &small).with_journal(scratch.journal());
        if in_order {
            smart = smart.with_answers_in_order(20);
        }
        let executor = smart.executor(plan, BTreeMap::new()).unwrap();
        let stream = futures::stream::iter(0..=ITEMS);
        let answers: Vec<_> = block_on(executor.execute(stream).collect());
        let good = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(good as u64, ITEMS, "in order: {in_order}");
        let last = answers.last().unwrap();
        assert!(matches!(last, Err(RunError::OutsidePopulation { index: ITEMS, .. })));
        let made = large.calls() + small.calls() - before.0;
        let kept = std::fs::read_to_string(&scratch.0).unwrap().lines().count() as u64 - 1;
        assert_eq!(made, kept, "every call that was made is written down");
    }
}

/// An executor has recalled each record once; another one on the same journal finds them all.
#[test]
fn what_a_dropped_stream_held_is_found_by_the_next_executor() {
    let scratch = Scratch::new();
    let (large, small) = (Flaky::sound(false), Flaky::sound(true));
    let plan = {
        let smart = smart(large.clone(), &small);
        block_on(smart.profile(&items())).unwrap().profile.plan().unwrap()
    };
    let smart = smart(Slow(large.clone()), &small).with_journal(scratch.journal());
    let asked = || large.calls() + small.calls();
    for _ in 0..4 {
        let executor = smart.executor(plan.clone(), BTreeMap::new()).unwrap();
        let mut answers = executor.execute(futures::stream::iter(0..ITEMS));
        for _ in 0..ITEMS / 5 {
            assert!(block_on(answers.next()).unwrap().is_ok());
        }
    }
    let kept = std::fs::read_to_string(&scratch.0).unwrap().lines().count() as u64 - 1;
    let before = asked();
    let executor = smart.executor(plan, BTreeMap::new()).unwrap();
    block_on(executor.execute(futures::stream::iter(0..ITEMS)).count());
    assert!((ITEMS / 5..ITEMS).contains(&kept), "{kept}");
    assert_eq!(asked() - before, ITEMS - kept, "one call an item, and none of them twice");
}

#[test]
fn a_router_that_panics_scores_nothing() {
    let smart = smart(Flaky::sound(false), &Flaky::sound(true)).with_router(|item: &u64| {
        assert!(!item.is_multiple_of(3), "a bug");
        *item as f64
    });
    let outcome = block_on(smart.run(&items())).unwrap();
    assert_eq!(unanswered(&outcome.report), 0);
}

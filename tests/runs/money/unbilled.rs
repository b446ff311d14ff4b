//! Calls that end without a bill: the provider may charge for them, so a cap must not take them for free,
//! and the report says how many there were.
#![cfg(feature = "json")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use futures::executor::block_on;
use futures::{Stream, StreamExt, stream};
use smart_core::backend::{RetryPolicy, Wrap};
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::{
    BackendError, Budget, Completion, Cost, ErrorKind, LlmBackend, Model, ModelId, Outcome,
    Pricing, Roster, Smart, Target, Usage, async_trait,
};

const ITEMS: u64 = 300;
/// What the provider charges for a call, whatever became of it.
const CALL: Cost = Cost::from_nanos(20_000_000);

/// Fails in this way on the calls chosen, and counts them all: the provider bills every one.
#[derive(Clone)]
struct Silent {
    calls: Arc<AtomicU64>,
    kind: ErrorKind,
    fails: fn(u64) -> bool,
}

impl Silent {
    fn new(kind: ErrorKind, fails: fn(u64) -> bool) -> Self {
        Self { calls: Arc::default(), kind, fails }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    fn billed(&self) -> Cost {
        CALL.times(self.calls())
    }
}

#[async_trait]
impl LlmBackend<u64> for Silent {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        if (self.fails)(self.calls.fetch_add(1, Relaxed)) {
            assert!(self.kind != ErrorKind::Panicked, "a parser met its match");
            return Err(BackendError::new(self.kind, "no answer"));
        }
        Ok(Completion::new(*item).with_usage(Usage::tokens(20_000, 0)))
    }
}

/// A dollar for a million tokens: a call of 20,000 costs what the provider charges.
fn by_token() -> Pricing {
    Pricing::per_million(1.0, 1.0).unwrap()
}

fn reference<B>(backend: B, pricing: Pricing) -> Smart<u64, u64>
where
    B: LlmBackend<u64, Output = u64> + 'static,
{
    let large = Model::new("large", backend).with_pricing(pricing);
    Smart::new(Roster::new(large, []).unwrap(), Exact, Target::new(0.9, 0.9).unwrap())
}

fn run(smart: &Smart<u64, u64>) -> Outcome<u64> {
    block_on(smart.run(&(0..ITEMS).collect::<Vec<_>>())).unwrap()
}

fn dollar() -> Cost {
    Cost::from_usd(1.0).unwrap()
}

#[test]
fn a_cap_holds_where_every_call_times_out() {
    for kind in [ErrorKind::Timeout, ErrorKind::Panicked, ErrorKind::Refused, ErrorKind::Permanent]
    {
        let large = Silent::new(kind, |_| true);
        let bounded = Budget::new(dollar()).with_call_bound("large", CALL);
        let report = run(&reference(large.clone(), by_token()).with_budget(bounded)).report;
        assert_eq!(large.billed(), dollar(), "as many as the bound allows: {report}");
        let spent = report.spending(ModelId::REFERENCE);
        assert_eq!((spent.answers, spent.unmetered, spent.unbilled), (50, 50, 50));
        assert!(report.to_string().contains("50 attempts ended without a bill"), "{report}");
        // Without a bound nobody knows what is left.
        let large = Silent::new(kind, |_| true);
        let report = run(&reference(large.clone(), by_token()).with_budget(dollar())).report;
        assert_eq!((large.calls(), report.budget.unwrap().unbounded), (1, 1));
        // Where a request has one price, that is what it costs.
        let large = Silent::new(kind, |_| true);
        let fee = Pricing::per_request(0.02).unwrap();
        let report = run(&reference(large.clone(), fee).with_budget(dollar())).report;
        let nearly = dollar().saturating_sub(CALL); // the last is set aside twice over
        assert_eq!((report.cost(), large.billed()), (nearly, nearly));
        // And without a cap it is said all the same.
        let report = run(&reference(Silent::new(kind, |_| true), by_token())).report;
        let spent = report.spending(ModelId::REFERENCE);
        assert_eq!((spent.unmetered, spent.unbilled), (ITEMS, ITEMS));
    }
}

#[test]
fn what_no_model_read_is_free() {
    for kind in [
        ErrorKind::RateLimited,
        ErrorKind::Transient,
        ErrorKind::InvalidRequest,
        ErrorKind::Unauthorized,
        ErrorKind::Unavailable,
    ] {
        let large = Silent::new(kind, |call| call < 20);
        let report = run(&reference(large, by_token()).with_budget(dollar())).report;
        let spent = report.spending(ModelId::REFERENCE);
        assert_eq!((spent.failures, spent.unmetered, spent.unbilled), (20, 0, 0));
        assert_eq!(spent.cost, dollar().saturating_sub(CALL));
    }
    // A model that has no prices and sends no bill is free, however it fails.
    let local = Silent::new(ErrorKind::Timeout, |call| call < 20);
    let report = run(&reference(local, Pricing::default()).with_budget(dollar())).report;
    assert_eq!(report.delivered.answered(), ITEMS - 20);
    assert!(!report.to_string().contains("without a bill"), "{report}");
}

#[test]
fn an_attempt_that_timed_out_before_an_answer_is_not_forgotten() {
    let path = std::env::temp_dir().join(format!("unbilled-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let retry = RetryPolicy::default().with_base(Duration::ZERO);
    let retried = |large: &Silent| large.clone().with_retry(retry);
    // Every second call times out, and the next one answers.
    let silent = || Silent::new(ErrorKind::Timeout, |call| call.is_multiple_of(2));
    let large = silent();
    let report = run(&reference(retried(&large), by_token())).report;
    let spent = report.spending(ModelId::REFERENCE);
    assert_eq!((spent.unmetered, spent.unbilled, spent.failures), (ITEMS, ITEMS, 0));
    assert!(report.to_string().contains("300 attempts ended without a bill"), "{report}");
    assert!(report.to_html().contains("300 attempts ended without a bill"));

    // One bound is for the call, its retries included; a learnt one is for each attempt.
    let bounded = Budget::new(dollar()).with_call_bound("large", CALL.times(2));
    for (budget, resumed) in [(bounded.clone(), false), (bounded, true), (dollar().into(), false)] {
        let large = silent();
        let smart = reference(retried(&large), by_token()).with_concurrency(1).with_budget(budget);
        if !resumed {
            let _ = std::fs::remove_file(&path);
        }
        let outcome = run(&smart.with_journal(FileJournal::open(&path).unwrap()));
        assert!(large.billed() <= dollar(), "{}", outcome.report);
        let spent = outcome.report.spending(ModelId::REFERENCE);
        assert!(spent.unbilled > 10 && spent.unbilled == spent.unmetered);
        assert_eq!(large.calls(), if resumed { 0 } else { 2 * spent.unbilled });
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_model_that_sends_bills_has_one_for_every_attempt_or_is_bounded() {
    /// Sends its bill with an answer, and times out before each.
    struct Biller(Silent);
    #[async_trait]
    impl LlmBackend<u64> for Biller {
        type Output = u64;
        async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
            self.0.complete(item).await.map(|answer| answer.with_usage(Usage::billed(CALL)))
        }
    }
    let large = Silent::new(ErrorKind::Timeout, |call| call > 0 && !call.is_multiple_of(10));
    let smart = reference(Biller(large.clone()), Pricing::default());
    let report = run(&smart.with_concurrency(1).with_budget(dollar())).report;
    assert!(large.billed() <= dollar() && large.calls() > 20, "{report}");
    assert!(report.to_string().contains("ended without a bill"), "{report}");
}

/// Never answers.
#[derive(Clone, Default)]
struct Stuck(Arc<AtomicU64>);

#[async_trait]
impl LlmBackend<u64> for Stuck {
    type Output = u64;
    async fn complete(&self, _: &u64) -> Result<Completion<u64>, BackendError> {
        self.0.fetch_add(1, Relaxed);
        std::future::pending().await
    }
}

#[test]
fn money_for_calls_that_were_dropped_does_not_come_back() {
    let plan = {
        let smart = reference(Silent::new(ErrorKind::Timeout, |_| false), by_token());
        block_on(smart.profile(&(0..ITEMS).collect::<Vec<_>>())).unwrap().profile.plan().unwrap()
    };
    let stuck = Stuck::default();
    let bounded = Budget::new(dollar()).with_call_bound("large", CALL);
    let smart = reference(stuck.clone(), by_token()).with_concurrency(8).with_budget(bounded);
    let executor = smart.executor(plan, BTreeMap::new()).unwrap();
    for _ in 0..20 {
        let mut answers = executor.execute(stream::iter(0..ITEMS));
        let mut cx = Context::from_waker(Waker::noop());
        let _ = std::pin::Pin::new(&mut answers).poll_next(&mut cx);
        drop(answers);
    }
    assert_eq!(stuck.0.load(Relaxed), 50, "a dollar's worth");
    let answers = executor.execute(stream::iter(0..ITEMS));
    let answers: Vec<_> = block_on(answers.collect());
    assert!(answers.iter().all(|answer| !answer.as_ref().unwrap().is_answered()));
}

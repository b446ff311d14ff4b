//! Batch interfaces: calls that come together are one request, and a run needs few of them.
#![cfg(feature = "tokio")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join, join_all};
use futures::poll;
use smart_core::backend::{BatchBackend, BatchOutcome, Batched, RetryPolicy, Wrap};
use smart_core::equivalence::Exact;
use smart_core::sleep::TokioSleeper;
use smart_core::{
    BackendError, Completion, Cost, ErrorKind, LlmBackend, Model, Pricing, Roster, Smart, Target,
    Usage, async_trait,
};

/// Takes an hour for each batch, and remembers what was in it.
#[derive(Clone, Default)]
struct Overnight {
    batches: Arc<Mutex<Vec<Vec<u64>>>>,
    /// Every so manieth item is answered wrongly.
    wrong: Option<u64>,
}

#[async_trait]
impl BatchBackend<u64> for Overnight {
    type Output = u64;
    async fn complete_all(&self, items: &[u64]) -> BatchOutcome<u64> {
        self.batches.lock().unwrap().push(items.to_vec());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let wrong = |item: u64| self.wrong.is_some_and(|nth| item.is_multiple_of(nth));
        let usage = Usage::tokens(100, 1);
        let answer = |item: &u64| match item {
            13 => Err(BackendError::refused("not this one")),
            item => Ok(Completion::new(item * 2 + u64::from(wrong(*item))).with_usage(usage)),
        };
        Ok(items.iter().map(answer).collect())
    }
}

fn batched(inner: Overnight) -> Batched<Overnight, u64> {
    Batched::new(inner).with_sleeper(TokioSleeper::new())
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_is_one_request_and_each_has_its_outcome() {
    let service = Overnight::default();
    let model = batched(service.clone()).with_most(10);
    let items: Vec<u64> = (0..25).collect();
    let answers = join_all(items.iter().map(|item| model.complete(item))).await;
    for (item, answer) in items.iter().zip(answers) {
        match answer {
            Ok(answer) => assert_eq!(answer.output, item * 2),
            Err(error) => assert_eq!((*item, error.kind()), (13, ErrorKind::Refused)),
        }
    }
    let sizes: Vec<usize> = service.batches.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_no_other_along() {
    let service = Overnight::default();
    let model = batched(service.clone());
    let (mut first, mut second) = (Box::pin(model.complete(&1)), Box::pin(model.complete(&2)));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    drop(first); // it opened the batch, and drove it
    assert_eq!(second.await.unwrap().output, 4);
    // With the last call the batch is gone, and the next one opens another.
    let mut third = Box::pin(model.complete(&3));
    assert!(poll!(&mut third).is_pending());
    drop(third);
    assert_eq!(model.complete(&4).await.unwrap().output, 8);
    assert_eq!(*service.batches.lock().unwrap(), [vec![1, 2], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_billed_once_and_each_call_has_its_part() {
    struct Down;
    #[async_trait]
    impl BatchBackend<u64> for Down {
        type Output = u64;
        async fn complete_all(&self, items: &[u64]) -> BatchOutcome<u64> {
            if items.len() == 1 {
                return Ok(Vec::new());
            }
            let bill = Usage::billed(Cost::from_nanos(70));
            Err(BackendError::transient("the batch expired").with_usage(bill))
        }
    }
    let model = Batched::new(Down).with_sleeper(TokioSleeper::new());
    let (a, b) = join(model.complete(&1), model.complete(&2)).await;
    let errors = [a.unwrap_err(), b.unwrap_err()];
    assert!(errors.iter().all(|error| error.to_string().contains("the batch expired")));
    let bills = errors.iter().filter_map(|e| e.usage()?.cost).map(Cost::as_nanos);
    assert_eq!(bills.collect::<Vec<u64>>(), [35, 35]);
    // A service that forgets an item has failed on it.
    assert_eq!(model.complete(&3).await.unwrap_err().kind(), ErrorKind::Permanent);
}

/// Nobody knows whose the outcomes are, so nobody gets another item's answer; what they used was paid.
#[tokio::test(start_paused = true)]
async fn outcomes_of_another_number_than_the_items_go_to_nobody() {
    /// Leaves out item 1 (an expired line), or adds one.
    struct Miscounts(bool);
    #[async_trait]
    impl BatchBackend<u64> for Miscounts {
        type Output = u64;
        async fn complete_all(&self, items: &[u64]) -> BatchOutcome<u64> {
            let answer = |item: &u64| match item {
                3 => Err(BackendError::refused("not this one").with_usage(Usage::tokens(7, 0))),
                item => Ok(Completion::new(*item).with_usage(Usage::tokens(100, 1))),
            };
            let more = if self.0 { Some(99) } else { None };
            let items = items.iter().filter(|item| **item != 1 || self.0);
            Ok(items.chain(&more).map(answer).collect())
        }
    }
    for more in [false, true] {
        let model = Batched::new(Miscounts(more)).with_sleeper(TokioSleeper::new());
        let items: Vec<u64> = (0..5).collect();
        let answers = join_all(items.iter().map(|item| model.complete(item))).await;
        let errors: Vec<BackendError> = answers.into_iter().map(Result::unwrap_err).collect();
        let outcomes = if more { "6 outcomes for 5 items" } else { "4 outcomes for 5 items" };
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::Permanent);
            assert!(error.to_string().contains(outcomes), "{error}");
        }
        let bill = errors.iter().filter_map(BackendError::usage).reduce(Usage::plus).unwrap();
        let answered = if more { 5 } else { 3 };
        let whole = Usage::tokens(100 * answered + 7, answered).with_requests(answered + 1);
        assert_eq!(bill, whole.with_unbilled(u64::from(!more)));
    }
}

/// A budget learns what a call may cost from the parts of a batch's bill, and not from the whole.
#[tokio::test(start_paused = true)]
async fn a_failed_batch_of_many_items_does_not_end_a_budget() {
    /// The third batch breaks off, at the price of all its items.
    struct BreaksOff(AtomicUsize);
    #[async_trait]
    impl BatchBackend<u64> for BreaksOff {
        type Output = u64;
        async fn complete_all(&self, items: &[u64]) -> BatchOutcome<u64> {
            let cents = |items: usize| Usage::billed(Cost::from_nanos(10_000_000 * items as u64));
            if self.0.fetch_add(1, Ordering::Relaxed) == 2 {
                assert!(items.len() > 10);
                let error = BackendError::transient("the batch broke off");
                return Err(error.with_usage(cents(items.len())));
            }
            Ok(items.iter().map(|_| Ok(Completion::new(0).with_usage(cents(1)))).collect())
        }
    }
    let sleeper = TokioSleeper::new;
    let model = Batched::new(BreaksOff(AtomicUsize::new(0))).with_sleeper(sleeper());
    let model = model.with_retry(RetryPolicy::default()).with_sleeper(sleeper());
    let roster = Roster::new(Model::new("large", model), []).unwrap();
    let items: Vec<u64> = (0..500).collect();
    let report = Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_concurrency(100)
        .with_budget(Cost::from_usd(7.0).unwrap())
        .run(&items)
        .await
        .unwrap()
        .report;
    assert_eq!(report.delivered.answered(), 500, "{report}");
    assert!(report.cost() <= Cost::from_usd(7.0).unwrap());
}

/// Every one of those who wait hears of a panic, and of a bill one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_panics_or_ends_without_a_bill_leaves_nobody_waiting() {
    struct Broken(bool);
    #[async_trait]
    impl BatchBackend<u64> for Broken {
        type Output = u64;
        async fn complete_all(&self, _items: &[u64]) -> BatchOutcome<u64> {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!self.0, "a bug of the client's");
            Err(BackendError::timeout("no batch within a day"))
        }
    }
    for panics in [true, false] {
        let model = Batched::new(Broken(panics)).with_sleeper(TokioSleeper::new());
        let model = Arc::new(model.with_idle(Duration::from_millis(1)));
        let calls = (0..8_u64).map(|item| {
            let model = Arc::clone(&model);
            tokio::spawn(async move { model.complete(&item).await.unwrap_err() })
        });
        for error in join_all(calls).await {
            let error = error.unwrap();
            let kind = if panics { ErrorKind::Panicked } else { ErrorKind::Timeout };
            assert_eq!(error.kind(), kind);
            assert_eq!(error.usage(), None, "each may have been billed: nobody knows");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_few_batches_and_decides_as_without_them() {
    struct Plainly(Overnight, AtomicUsize);
    #[async_trait]
    impl LlmBackend<u64> for Plainly {
        type Output = u64;
        async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let mut outcomes = self.0.complete_all(&[*item]).await?;
            outcomes.remove(0)
        }
    }
    let items: Vec<u64> = (100..3_100).collect();
    let price = |usd| Pricing::per_million(usd, usd).unwrap();
    let small = Overnight { wrong: Some(50), ..Overnight::default() };
    let smart = |roster| Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let large = Overnight::default();
    let roster = Roster::new(
        Model::new("large", batched(large.clone())).with_pricing(price(10.0)),
        [Model::new("small", batched(small.clone())).with_pricing(price(0.1))],
    );
    let outcome = smart(roster.unwrap()).with_concurrency(3_000).run(&items).await.unwrap();
    let plainly = |service: &Overnight| Plainly(service.clone(), AtomicUsize::new(0));
    let roster = Roster::new(
        Model::new("large", plainly(&large)).with_pricing(price(10.0)),
        [Model::new("small", plainly(&small)).with_pricing(price(0.1))],
    );
    let batches = small.batches.lock().unwrap().len();
    let alone = smart(roster.unwrap()).with_concurrency(1).run(&items).await.unwrap();
    assert_eq!(outcome.report.plan.policy, alone.report.plan.policy);
    assert_ne!(outcome.report.plan.policy.family(), "reference");
    assert!(batches <= 15, "{batches} batches of 3,000 items");
}

//! Budgets without bounds, and who is answered when the money ends early.
#![cfg(feature = "json")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::executor::block_on;
use smart_core::backend::{Rating, Scoring};
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::profile::StopReason;
use smart_core::{
    BackendError, Budget, Completion, Cost, ErrorKind, Families, LlmBackend, Model, ModelId,
    Outcome, Pricing, ProfileSettings, Roster, Smart, Target, Usage, async_trait, from_fn,
};

const ITEMS: u64 = 2_000;

/// A model that takes a few polls to answer, fails for nothing at first, and says what it used or not.
#[derive(Clone, Default)]
struct Slow {
    calls: Arc<AtomicU64>,
    running: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    failing: u64,
    usage: Option<Usage>,
    /// Items below this are answered wrongly.
    wrong: u64,
}

#[async_trait]
impl LlmBackend<u64> for Slow {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        crate::turns::wait(item % 5 + 1).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        if call < self.failing {
            return Err(BackendError::new(ErrorKind::Transient, "not yet"));
        }
        let mut answer = Completion::new(if *item < self.wrong { item + 1 } else { *item });
        answer.usage = self.usage;
        Ok(answer)
    }
}

fn usd(amount: f64) -> Cost {
    Cost::from_usd(amount).unwrap()
}

fn items() -> Vec<u64> {
    (0..ITEMS).collect()
}

/// Only the reference, without a bound, with three dollars.
fn alone(large: &Slow, pricing: Pricing) -> Outcome<u64> {
    let roster = Roster::new(Model::new("large", large.clone()).with_pricing(pricing), []).unwrap();
    let smart = Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap());
    let smart = smart.with_concurrency(64).with_budget(Budget::new(usd(3.0)));
    block_on(smart.run(&items())).unwrap()
}

#[test]
fn a_failure_that_cost_nothing_teaches_no_bound() {
    let price = Pricing::per_request(1.0).unwrap();
    let outcome = alone(&Slow { failing: 1, ..Slow::default() }, price);
    assert!(outcome.report.cost() <= usd(3.0), "{}", outcome.report);
    assert!(outcome.report.cost() >= usd(2.0), "{}", outcome.report);
}

#[test]
fn a_model_that_bills_itself_is_not_taken_for_free() {
    let large = Slow { usage: Some(Usage::billed(usd(1.0))), ..Slow::default() };
    let outcome = alone(&large, Pricing::default());
    assert!(outcome.report.cost() <= usd(3.0), "{}", outcome.report);
    // One that bills nothing is free, and held up by no one.
    let free = Slow::default();
    let outcome = alone(&free, Pricing::default());
    assert_eq!(outcome.report.delivered.answered(), ITEMS);
    assert!(free.most.load(Ordering::Relaxed) > 32);
}

#[test]
fn a_call_that_does_not_say_what_it_cost_ends_the_spending() {
    let large = Slow::default();
    let outcome = alone(&large, Pricing::per_million(1.0, 1.0).unwrap());
    assert_eq!(large.calls.load(Ordering::Relaxed), 1);
    assert_eq!(outcome.report.budget.unwrap().unbounded, 1);
    assert!(outcome.report.to_string().contains("or name a bound"), "{}", outcome.report);
}

/// A candidate that is always right, within a budget and without bounds.
fn pair(large: &Slow, small: &Slow, cap: f64) -> Smart<u64, u64> {
    let price = |usd| Pricing::per_request(usd).unwrap();
    let large = Model::new("large", large.clone()).with_pricing(price(1.0));
    let small = Model::new("small", small.clone()).with_pricing(price(0.05));
    let roster = Roster::new(large, [small]).unwrap();
    Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_settings(ProfileSettings::default().with_families(Families::Single))
        .with_concurrency(32)
        .with_budget(Budget::new(usd(cap)))
}

#[test]
fn recorded_bills_and_a_plan_say_what_calls_cost() {
    let path = std::env::temp_dir().join(format!("purse-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let (large, small) = (Slow::default(), Slow::default());
    let smart = pair(&large, &small, 500.0).with_journal(FileJournal::open(&path).unwrap());
    let plan = {
        let profiled = block_on(smart.profile(&items())).unwrap();
        let plan = profiled.profile.plan().unwrap();
        let executor = smart.executor(plan.clone(), profiled).unwrap();
        let part = futures::stream::iter((0..ITEMS / 2).map(|index| (index, index)));
        block_on(executor.execute_indexed(part).count());
        plan
    };
    // Resumed, nothing goes alone: the journal knows what a call costs.
    small.most.store(0, Ordering::Relaxed);
    let outcome = block_on(smart.run(&items())).unwrap();
    assert_eq!(outcome.report.delivered.answered(), ITEMS);
    assert!(small.most.load(Ordering::Relaxed) > 16);
    drop(smart);
    std::fs::remove_file(&path).unwrap();
    // A worker that never asks the reference knows it from the plan.
    let small = Slow::default();
    let executor = pair(&large, &small, 500.0).executor(plan, BTreeMap::new()).unwrap();
    let left = (0..ITEMS).filter(|index| !executor.plan().is_profiled(*index));
    let left: Vec<_> = left.map(|index| (index, index)).collect();
    block_on(executor.execute_indexed(futures::stream::iter(left)).count());
    assert!(small.most.load(Ordering::Relaxed) > 16);
}

/// Answers at once, wrongly for every tenth item, and rates its answers by a second call, if it does.
#[derive(Clone, Default)]
struct Rater {
    stuck: bool,
}

#[async_trait]
impl LlmBackend<u64> for Rater {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        Ok(Completion::new(if item.is_multiple_of(10) { item + 1 } else { *item }))
    }
    fn scoring(&self) -> Scoring {
        Scoring::SecondCall
    }
    async fn rate(&self, item: &u64, _: &u64) -> Result<Rating, BackendError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        Ok(Rating::new(if item.is_multiple_of(10) { 0.2 } else { 0.9 }))
    }
}

#[test]
fn a_rating_that_the_money_does_not_reach_is_no_evidence() {
    let path = std::env::temp_dir().join(format!("purse-rate-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let smart = |small: Rater| {
        let price = |usd| Pricing::per_request(usd).unwrap();
        let large = Model::new(
            "large",
            from_fn(|item: &u64| {
                let item = *item;
                async move { Ok(Completion::new(item)) }
            }),
        );
        let small = Model::new("small", small).with_pricing(price(0.05));
        let roster = Roster::new(large.with_pricing(price(1.0)), [small]).unwrap();
        Smart::new(roster, Exact, Target::new(0.95, 0.95).unwrap())
            .with_settings(ProfileSettings::default().with_families(Families::Cascade))
            .with_concurrency(512)
            .with_journal(FileJournal::open(&path).unwrap())
    };
    // Dropped while the ratings are under way: answers are recorded, ratings are not.
    {
        let (smart, items) = (smart(Rater { stuck: true }), items());
        let mut run = std::pin::pin!(smart.run(&items));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..50 {
            assert!(run.as_mut().poll(&mut cx).is_pending());
        }
    }
    let poor = smart(Rater::default()).with_budget(usd(1.0));
    let report = block_on(poor.run(&items())).unwrap().report;
    assert_eq!(report.stopped, StopReason::Budget, "{report}");
    assert!(report.plan.certificate.is_none(), "{report}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn who_is_answered_is_drawn_at_random_where_the_money_ends_early() {
    // The first twentieth of the items is what the candidate fails on: answered from the front, they
    // would be nearly all that is delivered.
    let wrong = ITEMS / 20;
    let (large, small) = (Slow::default(), Slow { wrong, ..Slow::default() });
    let (mut answered, mut failed, mut runs) = (0, 0, 0);
    for seed in 0..40 {
        let smart = pair(&large, &small, 90.0).with_seed(seed);
        let outcome = block_on(smart.run(&items())).unwrap();
        if outcome.report.delivered.accepted == 0 {
            continue;
        }
        assert!(outcome.report.delivered.unaffordable > 0, "{}", outcome.report);
        runs += 1;
        let outputs = outcome.answers.iter().filter_map(|a| Some((a.index, a.output?)));
        for (index, output) in outputs {
            answered += 1;
            failed += u64::from(output != index);
        }
    }
    assert!(runs > 8, "{runs}");
    assert!(failed * 10 < answered, "{failed} of {answered} answers differ");
}

/// A model that is not there is turned away before it reads anything: that costs nothing, and ends nobody's
/// money.
#[test]
fn what_a_service_turns_away_is_not_on_the_bill() {
    let missing = from_fn(|_: &u64| async {
        Err::<Completion<u64>, _>(BackendError::from_status(404, None, "no such model"))
    });
    let large = from_fn(|item: &u64| {
        let item = *item;
        async move { Ok(Completion::new(item).with_usage(Usage::tokens(10, 1))) }
    });
    let price = |usd| Pricing::per_million(usd, usd).unwrap();
    let roster = Roster::new(
        Model::new("large", large).with_pricing(price(10.0)),
        [Model::new("misspelt", missing).with_pricing(price(1.0))],
    );
    let items: Vec<u64> = (0..500).collect();
    let smart = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    let run = smart.with_budget(Cost::from_usd(1.0).unwrap());
    let outcome = block_on(run.run(&items)).unwrap();
    assert!(outcome.answers.iter().all(smart_core::Answer::is_answered), "{}", outcome.report);
    assert_eq!(outcome.report.spending(ModelId::new(1)).unbilled, 0);
}

//! Contracts of the wrappers around backends, on tokio's paused clock: nothing here really waits.
#![cfg(all(feature = "conformance", feature = "tokio"))]
#![allow(clippy::result_large_err, reason = "closures that script a backend")]

#[cfg(feature = "governor")]
mod rates;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join_all, pending};
use smart_core::backend::{BreakerPolicy, Cooldown, Latency, Limits, RetryPolicy, Simulated, Wrap};
use smart_core::conformance::{
    Fault, FaultPlan, Faulty, Outcome, Suite, check_backend, check_equivalence,
};
use smart_core::equivalence::{Normalized, equivalent};
use smart_core::sleep::{Sleeper, TokioSleeper};
use smart_core::{
    BackendError, Completion, Equivalence, ErrorKind, LlmBackend, Pricing, Usage, Verdict,
    async_trait, from_fn,
};

const SECOND: Duration = Duration::from_secs(1);

type Script = Vec<fn() -> Result<Completion<u8>, BackendError>>;

/// A backend that gives these outcomes in turn, the last one for ever.
fn scripted(outcomes: Script) -> (impl LlmBackend<u64, Output = u8> + 'static, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let backend = from_fn(move |_: &u64| {
        let call = counter.fetch_add(1, Ordering::Relaxed);
        let outcome = outcomes[call.min(outcomes.len() - 1)];
        async move { outcome() }
    });
    (backend, calls)
}

fn plain() -> RetryPolicy {
    RetryPolicy::default().with_jitter(0.0).with_base(SECOND)
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_billed_and_told() {
    let (backend, calls) = scripted(vec![
        || Err(BackendError::transient("reset").with_usage(Usage::tokens(5, 0))),
        || Err(BackendError::timeout("slow")),
        || Ok(Completion::new(1).with_usage(Usage::tokens(7, 2))),
    ]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let clock = TokioSleeper::new();
    let retry = backend.with_retry(plain()).with_sleeper(clock).with_observer(move |notice| {
        notes.lock().unwrap().push((notice.attempt, notice.error.kind(), notice.wait));
    });
    let answer = retry.complete(&0).await.unwrap();
    // The attempt that timed out said nothing, and is not forgotten.
    let both = Usage::tokens(12, 2).with_requests(2).with_unbilled(1);
    assert_eq!(answer.usage, Some(both));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(clock.elapsed(), 3 * SECOND);
    let told = told.lock().unwrap().clone();
    assert_eq!(told, [(1, ErrorKind::Transient, SECOND), (2, ErrorKind::Timeout, 2 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_forgets_no_bill_and_an_observer_s_panic_is_its_own() {
    let (backend, calls) = scripted(vec![
        || Err(BackendError::transient("reset").with_usage(Usage::tokens(5, 0))),
        || panic!("a parser met its match"),
    ]);
    let retry = backend
        .with_retry(plain())
        .with_sleeper(TokioSleeper::new())
        .with_observer(|_| panic!("an observer's own"));
    let error = retry.complete(&0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(error.to_string(), "backend panicked: a parser met its match");
    let first = Usage::tokens(5, 0).with_unbilled(1);
    assert_eq!(error.usage(), Some(first), "the first attempt was billed, the second perhaps");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn attempts_and_time_are_bounded() {
    let failing =
        || scripted(vec![|| Err(BackendError::transient("down").with_usage(Usage::tokens(1, 0)))]);
    let clock = TokioSleeper::new();
    let (backend, calls) = failing();
    let error = backend.with_retry(plain()).with_sleeper(clock).complete(&0).await.unwrap_err();
    assert_eq!((error.kind(), calls.load(Ordering::Relaxed)), (ErrorKind::Transient, 5));
    let five = Usage::tokens(5, 0).with_requests(5);
    assert_eq!(error.usage(), Some(five), "every attempt is billed");

    let (backend, calls) = failing();
    let short = plain().with_max_attempts(1_000).with_total(10 * SECOND);
    let start = clock.elapsed();
    backend.with_retry(short).with_sleeper(clock).complete(&0).await.unwrap_err();
    // Waits of 1, 2 and 4 s fit; 8 more would not.
    assert_eq!(
        (calls.load(Ordering::Relaxed), clock.elapsed().saturating_sub(start)),
        (4, 7 * SECOND)
    );

    let (backend, calls) = failing();
    backend.with_retry(RetryPolicy::none()).complete(&0).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_server_says_when_to_come_back() {
    let (backend, _) = scripted(vec![
        || Err(BackendError::rate_limited("slow down").with_retry_after(9 * SECOND)),
        || Ok(Completion::new(1)),
    ]);
    let clock = TokioSleeper::new();
    backend.with_retry(plain()).with_sleeper(clock).complete(&0).await.unwrap();
    assert_eq!(clock.elapsed(), 9 * SECOND);

    // A wait that does not fit is not begun.
    let (backend, calls) = scripted(vec![|| {
        Err(BackendError::rate_limited("tomorrow").with_retry_after(86_400 * SECOND))
    }]);
    let start = clock.elapsed();
    backend.with_retry(plain()).with_sleeper(clock).complete(&0).await.unwrap_err();
    assert_eq!((calls.load(Ordering::Relaxed), clock.elapsed()), (1, start));
}

#[tokio::test(start_paused = true)]
async fn only_failures_that_may_pass_are_repeated() {
    let (backend, calls) = scripted(vec![|| Err(BackendError::invalid_request("too long"))]);
    backend.with_retry(plain()).complete(&0).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

/// A judge whose first call fails.
struct Judge(AtomicU32);

#[async_trait]
impl Equivalence<u64, u8> for Judge {
    async fn compare(&self, _: &u64, a: &u8, b: &u8) -> Result<Verdict, BackendError> {
        let usage = Usage::tokens(3, 1);
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(BackendError::transient("503").with_usage(usage));
        }
        Ok(Verdict::new(a == b).with_usage(usage))
    }
}

#[tokio::test(start_paused = true)]
async fn judges_are_wrapped_like_models() {
    let judge = Judge(AtomicU32::new(0))
        .with_timeout(SECOND)
        .with_concurrency(2)
        .with_retry(plain())
        .with_sleeper(TokioSleeper::new())
        .with_breaker(BreakerPolicy::default())
        .with_guard();
    let verdict = judge.compare(&0, &1, &1).await.unwrap();
    assert!(verdict.equivalent);
    assert_eq!(verdict.usage, Some(Usage::tokens(6, 2).with_requests(2)));
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_end_time_out_and_are_dropped() {
    struct Flag(Arc<AtomicU32>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let flag = Arc::clone(&dropped);
    let hanging = from_fn(move |_: &u64| {
        let flag = Flag(Arc::clone(&flag));
        async move {
            let _flag = flag;
            pending::<Result<Completion<u8>, BackendError>>().await
        }
    });
    let clock = TokioSleeper::new();
    let backend = hanging.with_timeout(30 * SECOND).with_sleeper(clock);
    let error = backend.complete(&0).await.unwrap_err();
    assert_eq!(error.to_string(), "timed out: no answer within 30s");
    assert_eq!((clock.elapsed(), dropped.load(Ordering::Relaxed)), (30 * SECOND, 1));
}

/// Counts how many calls are in flight, each of one second.
fn crowded() -> (impl LlmBackend<u64, Output = u8> + 'static, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, now) = (Arc::clone(&most), Arc::new(AtomicUsize::new(0)));
    let backend = from_fn(move |_: &u64| {
        let (seen, now) = (Arc::clone(&seen), Arc::clone(&now));
        async move {
            seen.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(SECOND).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(Completion::new(0))
        }
    });
    (backend, most)
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_bounded_and_shared() {
    let (backend, most) = crowded();
    let clock = TokioSleeper::new();
    let limited = backend.with_concurrency(3);
    join_all((0..10).map(|item| {
        let limited = &limited;
        async move { limited.complete(&item).await.unwrap() }
    }))
    .await;
    assert_eq!((most.load(Ordering::Relaxed), clock.elapsed()), (3, 4 * SECOND));

    // A second backend under the same limit, and calls dropped while they wait.
    let other = limited.share(from_fn(|_: &u64| async {
        tokio::time::sleep(SECOND).await;
        Ok(Completion::new(1_u8))
    }));
    let start = clock.elapsed();
    let dropped = join_all((0..9).map(|item| {
        let limited = &limited;
        async move { limited.complete(&item).await.unwrap() }
    }));
    assert!(tokio::time::timeout(SECOND / 2, dropped).await.is_err());
    let all = join_all((0..6).map(|item| {
        let other = &other;
        async move { other.complete(&item).await.unwrap() }
    }));
    all.await;
    assert_eq!(clock.elapsed().saturating_sub(start), SECOND / 2 + 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_dead_model_stops_being_asked_and_is_tried_again() {
    let plan = FaultPlan::new(1).with_calls(5..20, Fault::Error(ErrorKind::Permanent));
    let model = Faulty::new(Simulated::reference(1), plan);
    let clock = TokioSleeper::new();
    let policy = BreakerPolicy::default().with_failures(3);
    let breaker = model.clone().with_breaker(policy).with_sleeper(clock);
    let ask = async |item: u64| breaker.complete(&item).await.map_err(|error| error.kind());
    for item in 0..5 {
        ask(item).await.unwrap();
    }
    for item in 5..8 {
        assert_eq!(ask(item).await.unwrap_err(), ErrorKind::Permanent);
    }
    assert!(breaker.is_open());
    for item in 8..100 {
        assert_eq!(ask(item).await.unwrap_err(), ErrorKind::Unavailable);
    }
    assert_eq!((model.calls(), breaker.opened(), breaker.turned_away()), (8, 1, 92));

    clock.sleep(30 * SECOND).await;
    assert_eq!(ask(0).await.unwrap_err(), ErrorKind::Permanent, "the probe");
    assert_eq!(ask(0).await.unwrap_err(), ErrorKind::Unavailable);
    assert_eq!((model.calls(), breaker.opened()), (9, 2));

    // Eleven failing calls later the model is back; the next probe closes the breaker.
    for item in 0..11 {
        let _ = model.complete(&item).await;
    }
    clock.sleep(30 * SECOND).await;
    ask(0).await.unwrap();
    assert!(!breaker.is_open());
    ask(1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_may_count_calls_or_never_end() {
    let kinds = async |cooldown| {
        let dead = Faulty::new(Simulated::reference(1), FaultPlan::new(1).dead_from(0));
        let policy = BreakerPolicy::default().with_failures(1).with_cooldown(cooldown);
        let breaker = dead.clone().with_breaker(policy);
        for item in 0..9 {
            breaker.complete(&item).await.unwrap_err();
        }
        dead.calls()
    };
    assert_eq!(kinds(Cooldown::Calls(3)).await, 3); // calls 0, 4 and 8
    assert_eq!(kinds(Cooldown::Never).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_decides_nothing() {
    let plan = FaultPlan::new(1).with_calls(0..1, Fault::Panic).with_calls(1..2, Fault::Hang);
    let model = Faulty::new(Simulated::reference(1), plan);
    let policy = BreakerPolicy::default().with_failures(1).with_cooldown(Cooldown::Calls(0));
    let breaker = model.with_breaker(policy);
    let panicked = breaker.complete(&0).await.unwrap_err();
    assert_eq!(panicked.kind(), ErrorKind::Panicked, "panics count");
    assert!(tokio::time::timeout(SECOND, breaker.complete(&0)).await.is_err());
    assert!(breaker.is_open());
    breaker.complete(&0).await.unwrap();
    assert!(!breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn calls_begun_before_the_breaker_opened_do_not_count() {
    let plan = FaultPlan::new(1)
        .with_calls(0..1, Fault::Slow(40 * SECOND))
        .with_calls(1..2, Fault::Error(ErrorKind::Transient))
        .with_calls(2..3, Fault::Slow(30 * SECOND));
    let clock = TokioSleeper::new();
    let model = Faulty::new(Simulated::reference(1), plan).with_sleeper(clock);
    let breaker = model.with_breaker(BreakerPolicy::default().with_failures(1)).with_sleeper(clock);
    let late = async { breaker.complete(&0).await.unwrap() };
    let others = async {
        breaker.complete(&1).await.unwrap_err();
        clock.sleep(31 * SECOND).await;
        let probe = async { breaker.complete(&2).await.unwrap() };
        let between = async {
            clock.sleep(19 * SECOND).await;
            assert!(breaker.is_open(), "closed by a call from before, at {:?}", clock.elapsed());
        };
        futures::join!(probe, between);
    };
    futures::join!(late, others);
    assert!(!breaker.is_open(), "closed by the probe");
}

#[tokio::test(start_paused = true)]
async fn refusals_show_a_live_model() {
    let (backend, calls) = scripted(vec![|| Err(BackendError::refused("no"))]);
    let breaker = backend.with_breaker(BreakerPolicy::default().with_failures(2));
    for item in 0..10 {
        assert_eq!(breaker.complete(&item).await.unwrap_err().kind(), ErrorKind::Refused);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 10);
}

/// The whole stack in a storm: every item ends, only the hopeless fail, and answers are right.
#[tokio::test(start_paused = true)]
async fn a_storm_is_weathered_the_same_way_twice() {
    let model = || {
        Simulated::candidate("small", 0.9, 4)
            .with_usage(Usage::tokens(10, 1))
            .with_confidence(0.8)
            .with_latency(Latency::Pareto { least: SECOND / 10, shape: 1.2 })
            .with_slow_errors(4)
    };
    let run = async || {
        let clock = TokioSleeper::new();
        let plan =
            FaultPlan::storm(11).with_random(0.02, Fault::Hang).with_random(0.01, Fault::Panic);
        let plan = plan.with_failed_usage(Usage::tokens(10, 0));
        let model = model().with_sleeper(clock);
        let stack = Faulty::new(model.clone(), plan)
            .with_sleeper(clock)
            .with_timeout(60 * SECOND)
            .with_sleeper(clock)
            .with_concurrency(16)
            .with_retry(RetryPolicy::default().with_max_attempts(12).with_total(3_600 * SECOND))
            .with_sleeper(clock)
            .with_guard();
        join_all((0..2_000_u64).map(|item| {
            let (stack, model) = (&stack, &model);
            async move {
                match stack.complete(&item).await {
                    Ok(answer) => {
                        assert_eq!(answer.output, model.answer(item));
                        (None, answer.usage)
                    }
                    Err(error) => (Some(error.kind()), error.usage()),
                }
            }
        }))
        .await
    };
    let outcomes = run().await;
    let failed = outcomes.iter().filter(|(kind, _)| kind.is_some()).count();
    assert!((10..80).contains(&failed), "{failed}");
    // Besides the items that can never be answered: panics, and calls slower than the timeout.
    for (item, (kind, _)) in (0..).zip(&outcomes) {
        let slow = model().latency(item) > 49 * SECOND;
        let meant = match kind {
            None | Some(ErrorKind::InvalidRequest | ErrorKind::Panicked) => true,
            Some(ErrorKind::Timeout) => slow,
            Some(_) => false,
        };
        assert!(meant, "item {item}: {kind:?}");
    }
    let tokens: u64 = outcomes.iter().filter_map(|(_, usage)| usage.as_ref()?.input_tokens).sum();
    assert!(tokens > 2_000 * 13, "failed attempts are billed: {tokens}");
    assert_eq!(outcomes, run().await);
}

#[tokio::test(start_paused = true)]
async fn the_suite_passes_good_backends() {
    let suite = Suite::default().with_pricing(Pricing::per_million(1.0, 1.0).unwrap());
    let model = Simulated::candidate("m", 0.9, 1).with_usage(Usage::tokens(5, 1));
    for model in [
        model.clone().with_confidence(0.8),
        model.with_second_call(Usage::tokens(1, 1)).with_confidence(0.7),
    ] {
        let report = check_backend(&model, &[&1, &2, &3], &suite).await;
        assert!(report.is_conformant(), "{report}");
        assert!(report.checks().iter().all(|check| check.outcome == Outcome::Passed), "{report}");
    }
}

/// The statements a report failed.
fn failures(report: &smart_core::conformance::Conformance) -> Vec<&'static str> {
    let failed = report.checks().iter().filter(|c| matches!(c.outcome, Outcome::Failed(_)));
    failed.map(|check| check.statement).collect()
}

#[tokio::test(start_paused = true)]
async fn the_suite_finds_what_is_wrong() {
    let suite = Suite::default().with_sleeper(TokioSleeper::new());
    let with = async |plan: FaultPlan| {
        let model = Faulty::new(Simulated::reference(1), plan);
        check_backend(&model, &[&1, &2, &3], &suite).await
    };
    let hang = with(FaultPlan::new(1).with_calls(1..2, Fault::Hang)).await;
    assert_eq!(failures(&hang), ["every call ends"], "{hang}");
    let panic = with(FaultPlan::new(1).with_calls(0..1, Fault::Panic)).await;
    assert!(failures(&panic).contains(&"no call panics"), "{panic}");
    let absurd = Fault::Usage(Usage::tokens(5, 0).with_cached_input(6));
    let absurd = with(FaultPlan::new(1).with_random(1.0, absurd)).await;
    assert_eq!(failures(&absurd), ["reported usage is plausible"], "{absurd}");
    let refused = FaultPlan::new(1).with_calls(0..1, Fault::Error(ErrorKind::Refused));
    let advised = |report: &smart_core::conformance::Conformance| {
        let told = report.checks().iter().find(|c| c.statement == "failures say what they used");
        matches!(told.map(|check| &check.outcome), Some(Outcome::Advice(_)))
    };
    assert!(advised(&with(refused.clone()).await));
    assert!(!advised(&with(refused.with_failed_usage(Usage::tokens(5, 0))).await));
    let dead = with(FaultPlan::new(1).dead_from(0)).await;
    assert_eq!(failures(&dead), ["sample items are answered"], "{dead}");
    let passing = Fault::Error(ErrorKind::Permanent);
    let passing = with(FaultPlan::new(1).with_calls(0..1, passing)).await;
    let found = ["failures that are not worth repeating do not pass by themselves"];
    assert_eq!(failures(&passing), found, "{passing}");

    let calls = AtomicU32::new(0);
    let moody = from_fn(|_: &u64| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move { Ok(Completion::new(call)) }
    });
    let report = check_backend(&moody, &[&1], &suite).await;
    assert!(failures(&report).contains(&"the same item gets the same answer"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn the_suite_knows_equivalences() {
    let suite = Suite::default().with_sleeper(TokioSleeper::new());
    let samples: [(&str, &[&str]); 2] = [("a", &["Yes", "yes.", "no", ""]), ("b", &["", "x"])];
    let good = check_equivalence(&Normalized::default(), &samples, &suite).await;
    assert!(good.is_conformant(), "{good}");
    let never = equivalent(|_: &str, _: &str, _: &str| false).named("never");
    let report = check_equivalence(&never, &samples, &suite).await;
    assert_eq!(failures(&report), ["an answer is equivalent to itself"], "{report}");
    let lopsided = equivalent(|_: &str, a: &str, b: &str| a.len() <= b.len());
    let report = check_equivalence(&lopsided, &samples, &suite).await;
    assert!(report.is_conformant() && report.to_string().contains("advice"), "{report}");
    let erring =
        Faulty::new(Normalized::default(), FaultPlan::new(1).with_random(0.3, Fault::Panic));
    let report = check_equivalence(&erring, &samples, &suite).await;
    assert!(failures(&report).contains(&"every comparison ends in a verdict"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_nan_score_and_an_empty_answer_have_their_outcomes() {
    let model = Simulated::candidate("m", 0.9, 1).with_confidence(0.9);
    let faulty = Faulty::new(model, FaultPlan::new(1).with_random(1.0, Fault::NanConfidence));
    assert_eq!(faulty.complete(&0).await.unwrap().confidence, None);
    let samples: [(&str, &[&str]); 1] = [("a", &["", "yes"])];
    let suite = Suite::default();
    let report = check_equivalence(&Normalized::default(), &samples, &suite).await;
    assert!(report.is_conformant(), "an empty answer is equivalent to itself: {report}");
}

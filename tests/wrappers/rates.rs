//! Requests and tokens per minute.

use smart_core::backend::Limit;

use super::*;

/// When each of `calls` sequential or concurrent calls of no duration was let through.
async fn moments(limits: Limits, usage: Option<Usage>, calls: u64) -> Vec<Duration> {
    let clock = TokioSleeper::new();
    let mut model = Simulated::reference(1);
    if let Some(usage) = usage {
        model = model.with_usage(usage);
    }
    let limited = model.with_limits(limits).with_sleeper(clock);
    let mut moments = Vec::new();
    for item in 0..calls {
        limited.complete(&item).await.unwrap();
        moments.push(clock.elapsed());
    }
    moments
}

#[tokio::test(start_paused = true)]
async fn requests_flow_evenly_after_the_first_minute_s_worth() {
    let at = moments(Limits::default().with_requests_per_minute(60), None, 65).await;
    assert_eq!(at[59], Duration::ZERO);
    assert!(at[60] >= SECOND && at[60] < 2 * SECOND, "{:?}", at[60]);
    assert!(at[64] >= 5 * SECOND && at[64] < 6 * SECOND, "{:?}", at[64]);
}

#[tokio::test(start_paused = true)]
async fn fewer_may_go_at_once_than_in_a_minute() {
    let limits = Limits::default().with_requests_per_minute(60).with_burst(4);
    let at = moments(limits, None, 10).await;
    assert_eq!(at[3], Duration::ZERO);
    assert!(at[4] >= SECOND && at[9] >= 6 * SECOND && at[9] < 7 * SECOND, "{at:?}");
    let at = moments(limits.with_burst(1_000), None, 61).await;
    assert_eq!(at[59], Duration::ZERO);
    assert!(at[60] >= SECOND, "never more than a minute's worth: {:?}", at[60]);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reconciled_with_what_was_used() {
    let limits =
        |expected| Limits::default().with_tokens_per_minute(6_000).with_expected_tokens(expected);
    // 100 tokens a call, 60 calls in the first burst, then one a second: whatever was expected.
    for expected in [1, 100, 3_000] {
        let at = moments(limits(expected), Some(Usage::tokens(90, 10)), 180).await;
        let used = |by: Duration| at.iter().filter(|moment| **moment <= by).count();
        let end = at[179];
        assert!(end >= 115 * SECOND && end <= 125 * SECOND, "{expected}: {end:?}");
        assert!(used(60 * SECOND) <= 125, "{expected}: {}", used(60 * SECOND));
    }
    // Unknown usage is taken to be what was expected.
    let at = moments(limits(100), None, 180).await;
    assert!(at[179] >= 119 * SECOND && at[179] <= 121 * SECOND, "{:?}", at[179]);
}

/// A model whose calls take a second and `tokens` tokens, of which 6,000 a minute may be used.
fn metered(tokens: u64, expected: u32, clock: TokioSleeper, plan: FaultPlan) -> Metered {
    let limits = Limits::default().with_tokens_per_minute(6_000).with_expected_tokens(expected);
    let model = Simulated::reference(1).with_usage(Usage::tokens(tokens, 0));
    let model = model.with_latency(Latency::Constant(SECOND)).with_sleeper(clock);
    Faulty::new(model, plan).with_limits(limits).with_sleeper(clock)
}
type Metered = Limit<Faulty<Simulated>>;

/// When each of `calls` calls, all made now, ended; measured from now.
async fn at_once(limited: &Metered, clock: TokioSleeper, calls: u64) -> Vec<Duration> {
    let start = clock.elapsed();
    let call = async |item: u64| {
        limited.complete(&item).await.unwrap();
        clock.elapsed().saturating_sub(start)
    };
    join_all((0..calls).map(call)).await
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_does_not_buy_two_minutes() {
    let clock = TokioSleeper::new();
    let limited = metered(100, 1_000, clock, FaultPlan::new(1));
    // Six calls reserve the whole minute and use a tenth of it: the rest becomes credit.
    at_once(&limited, clock, 6).await;
    clock.sleep(3_600 * SECOND).await;
    let ends = at_once(&limited, clock, 200).await;
    let early = ends.iter().filter(|end| **end <= 11 * SECOND).count();
    // One burst of 6,000 tokens, ten seconds' flow, and one early reservation's slack.
    assert!(early <= 60 + 10 + 10, "{early}");
    assert!(*ends.last().unwrap() <= 160 * SECOND, "{:?}", ends.last());
}

#[tokio::test(start_paused = true)]
async fn what_was_used_unreserved_is_paid_later() {
    let clock = TokioSleeper::new();
    let limited = metered(1_000, 1, clock, FaultPlan::new(1));
    // Sixty calls that seemed to cost nothing use ten minutes' tokens: nobody could know.
    assert_eq!(*at_once(&limited, clock, 60).await.last().unwrap(), SECOND);
    // The next waits for a whole minute's worth, and no longer.
    let next = at_once(&limited, clock, 1).await[0];
    assert!(next >= 45 * SECOND && next <= 125 * SECOND, "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn an_absurd_count_delays_by_a_minute_at_most() {
    let clock = TokioSleeper::new();
    let absurd = Fault::Usage(Usage::tokens(u64::MAX, 9));
    let limited = metered(100, 100, clock, FaultPlan::new(1).with_calls(0..1, absurd));
    at_once(&limited, clock, 1).await;
    let ends = at_once(&limited, clock, 30).await;
    assert!(*ends.last().unwrap() <= 60 * SECOND, "{:?}", ends.last());
}

//! Limits on requests and tokens per minute.
//!
//! A call reserves its tokens before it is made, when nobody knows how many it will use. So [`Rates`]
//! reserves an estimate and corrects it once the call reports its usage.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::semaphore::Semaphore;
use crate::locks::lock;
use crate::pricing::Usage;
use crate::sleep::SharedSleeper;

/// A rate limiter that also says how full its bucket is.
type Bucket = RateLimiter<NotKeyed, InMemoryState, SleeperClock, StateInformationMiddleware>;

/// How long the first in line waits for tokens before it looks again: calls that end meanwhile may have
/// given back part of their reservation.
const RECHECK: Duration = Duration::from_millis(250);

/// Both limits of one account; callers are served in the order of arrival.
pub(super) struct Rates {
    /// One caller at a time decides and waits, so that small requests cannot starve a large one.
    turn: Semaphore,
    requests: Option<Bucket>,
    tokens: Option<Tokens>,
    sleeper: SharedSleeper,
}

impl Rates {
    /// Limits requests a minute and at once, and tokens a minute.
    pub(super) fn new(
        requests: Option<(NonZeroU32, NonZeroU32)>,
        tokens: Option<NonZeroU32>,
        expected: u32,
        sleeper: SharedSleeper,
    ) -> Self {
        Self {
            turn: Semaphore::new(1),
            requests: requests.map(|(limit, burst)| bucket(limit, burst, &sleeper)),
            tokens: tokens.map(|limit| Tokens {
                bucket: bucket(limit, limit, &sleeper),
                limit,
                ledger: Mutex::new(Ledger { expected: f64::from(expected), credit: 0, debt: 0 }),
            }),
            sleeper,
        }
    }

    /// Waits for one request and for the tokens it is expected to use; returns the tokens reserved.
    pub(super) async fn reserve(&self) -> u32 {
        let _turn = self.turn.acquire().await;
        if let Some(requests) = &self.requests {
            while let Some(wait) = take(requests, NonZeroU32::MIN, &self.sleeper).err() {
                self.sleeper.sleep(wait).await;
            }
        }
        let Some(tokens) = &self.tokens else { return 0 };
        loop {
            match tokens.reserve(&self.sleeper) {
                Ok(reserved) => return reserved,
                Err(wait) => self.sleeper.sleep(wait.min(RECHECK)).await,
            }
        }
    }

    /// Corrects a reservation by what the call really used, if that is known.
    pub(super) fn reconcile(&self, reserved: u32, usage: Option<&Usage>) {
        if let (Some(tokens), Some(actual)) = (&self.tokens, usage.and_then(count)) {
            tokens.reconcile(reserved, actual, &self.sleeper);
        }
    }
}

/// Input and output tokens together; `None` where neither is known.
fn count(usage: &Usage) -> Option<u64> {
    match (usage.input_tokens, usage.output_tokens) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

/// A limit on tokens: a bucket, from which tokens can only be drawn, and a ledger of how far its
/// reservations were off.
struct Tokens {
    bucket: Bucket,
    limit: NonZeroU32,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// What the next call is expected to use: a moving average over the recent ones.
    expected: f64,
    /// Tokens reserved but not used: the next reservations draw on them.
    credit: u32,
    /// Tokens used but not reserved: the next reservation pays them.
    debt: u32,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
    fn reserve(&self, sleeper: &SharedSleeper) -> Result<u32, Duration> {
        let limit = self.limit.get();
        let mut ledger = self.lock();
        let expected = (ledger.expected.round() as u32).clamp(1, limit);
        let owed = ledger.debt.saturating_add(expected);
        // At least one token is always drawn from the bucket, because only its reply says how full it is.
        let drawn = ledger.credit.min(owed - 1);
        let asked = NonZeroU32::new((owed - drawn).min(limit)).unwrap_or(NonZeroU32::MIN);
        let left = take(&self.bucket, asked, sleeper)?;
        ledger.debt = owed - drawn - asked.get();
        // Credit is capped at what the bucket lacks, so that an idle hour does not buy two minutes' worth.
        ledger.credit = (ledger.credit - drawn).min(limit.saturating_sub(left));
        Ok(expected)
    }

    fn reconcile(&self, reserved: u32, actual: u64, sleeper: &SharedSleeper) {
        let limit = self.limit.get();
        // A count beyond a whole minute's tokens is most likely the backend's mistake. It must not stall
        // the run for longer than that minute.
        let actual = u32::try_from(actual).unwrap_or(u32::MAX).min(limit);
        let mut ledger = self.lock();
        ledger.expected += (f64::from(actual) - ledger.expected) / 16.0;
        if actual <= reserved {
            ledger.credit = ledger.credit.saturating_add(reserved - actual).min(limit);
            return;
        }
        let short = actual - reserved;
        let drawn = ledger.credit.min(short);
        ledger.credit -= drawn;
        let Some(missing) = NonZeroU32::new(short - drawn) else { return };
        if take(&self.bucket, missing, sleeper).is_err() {
            ledger.debt = ledger.debt.saturating_add(missing.get()).min(limit);
        }
    }
}

fn bucket(limit: NonZeroU32, burst: NonZeroU32, sleeper: &SharedSleeper) -> Bucket {
    let quota = Quota::per_minute(limit).allow_burst(burst.min(limit));
    RateLimiter::direct_with_clock(quota, SleeperClock(sleeper.clone()))
        .with_middleware::<StateInformationMiddleware>()
}

/// Draws from a bucket: returns what is left in it, or how long to wait before asking again.
fn take(bucket: &Bucket, cells: NonZeroU32, sleeper: &SharedSleeper) -> Result<u32, Duration> {
    match bucket.check_n(cells) {
        Ok(Ok(state)) => Ok(state.remaining_burst_capacity()),
        // A zero wait would spin, so wait at least one millisecond, the clock's own resolution.
        Ok(Err(not_yet)) => {
            Err(not_yet.wait_time_from(sleeper.elapsed()).max(Duration::from_millis(1)))
        }
        // More than the bucket can ever hold: cannot happen, for callers ask for at most the limit.
        Err(_) => Ok(0),
    }
}

/// The sleeper's time as the limiter's clock, so that waiting and counting agree.
#[derive(Clone)]
struct SleeperClock(SharedSleeper);

impl Clock for SleeperClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

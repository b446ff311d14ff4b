//! Requests and tokens per minute.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::semaphore::Semaphore;
use crate::pricing::Usage;
use crate::sleep::SharedSleeper;

/// A bucket that tells how full it is.
type Bucket = RateLimiter<NotKeyed, InMemoryState, SleeperClock, StateInformationMiddleware>;

/// How long the first in line waits for tokens before it looks again: calls that end meanwhile may
/// have left some of what they reserved.
const RECHECK: Duration = Duration::from_millis(250);

/// Both limits of one account, in the order of arrival.
pub(super) struct Rates {
    /// One caller at a time decides and waits, so a large request is not starved by small ones.
    turn: Semaphore,
    requests: Option<Bucket>,
    tokens: Option<Tokens>,
    sleeper: SharedSleeper,
}

impl Rates {
    pub(super) fn new(
        requests: Option<NonZeroU32>,
        tokens: Option<NonZeroU32>,
        expected: u32,
        sleeper: SharedSleeper,
    ) -> Self {
        Self {
            turn: Semaphore::new(1),
            requests: requests.map(|limit| bucket(limit, &sleeper)),
            tokens: tokens.map(|limit| Tokens {
                bucket: bucket(limit, &sleeper),
                limit,
                ledger: Mutex::new(Ledger { expected: f64::from(expected), credit: 0, debt: 0 }),
            }),
            sleeper,
        }
    }

    /// Waits for one request and the tokens it is expected to use; returns the tokens reserved.
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

    /// Corrects a reservation by what the call really used, where that is known.
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

/// A limit on tokens: a bucket that can only be drawn from, and a ledger of what its reservations
/// got wrong.
struct Tokens {
    bucket: Bucket,
    limit: NonZeroU32,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// What the next call is expected to use: a moving average of what the last ones did.
    expected: f64,
    /// Tokens reserved but not used, for the next reservations to draw on.
    credit: u32,
    /// Tokens used but not reserved, for the next reservation to pay.
    debt: u32,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
    fn reserve(&self, sleeper: &SharedSleeper) -> Result<u32, Duration> {
        let limit = self.limit.get();
        let mut ledger = self.lock();
        let expected = (ledger.expected.round() as u32).clamp(1, limit);
        let owed = ledger.debt.saturating_add(expected);
        // The bucket is always asked for something, for only its answer tells how full it is.
        let drawn = ledger.credit.min(owed - 1);
        let asked = NonZeroU32::new((owed - drawn).min(limit)).unwrap_or(NonZeroU32::MIN);
        let left = take(&self.bucket, asked, sleeper)?;
        ledger.debt = owed - drawn - asked.get();
        // Credit is no more than what the bucket lacks: an idle hour does not buy two minutes.
        ledger.credit = (ledger.credit - drawn).min(limit.saturating_sub(left));
        Ok(expected)
    }

    fn reconcile(&self, reserved: u32, actual: u64, sleeper: &SharedSleeper) {
        let limit = self.limit.get();
        // A count beyond a whole minute's tokens is a slip of the backend's, or as good as one:
        // it may not stall the run for longer than that minute.
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

fn bucket(limit: NonZeroU32, sleeper: &SharedSleeper) -> Bucket {
    RateLimiter::direct_with_clock(Quota::per_minute(limit), SleeperClock(sleeper.clone()))
        .with_middleware::<StateInformationMiddleware>()
}

/// Draws from a bucket: what is left in it, or how long to wait before asking again.
fn take(bucket: &Bucket, cells: NonZeroU32, sleeper: &SharedSleeper) -> Result<u32, Duration> {
    match bucket.check_n(cells) {
        Ok(Ok(state)) => Ok(state.remaining_burst_capacity()),
        // A wait of nothing would spin; the clock's own resolution is a fair least wait.
        Ok(Err(not_yet)) => {
            Err(not_yet.wait_time_from(sleeper.elapsed()).max(Duration::from_millis(1)))
        }
        // More than the bucket ever holds: callers ask for at most the limit, so never.
        Err(_) => Ok(0),
    }
}

/// The sleeper's time as the limiter's, so that waiting and counting agree.
#[derive(Clone)]
struct SleeperClock(SharedSleeper);

impl Clock for SleeperClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

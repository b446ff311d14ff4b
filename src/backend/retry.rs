//! Asking again after failures that may pass: [`Retry`].
//!
//! Model APIs fail now and then. Without retries each such failure would escalate an item to the
//! reference, or leave it unanswered. The [`RetryPolicy`] bounds attempts, waits and total time; the
//! error's kind decides whether a failure is retried at all.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BackendError;
use super::guard::guarded;
use super::wrap::{Billed, wraps};
use crate::order::keyed;
use crate::pricing::Usage;
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// How often and how patiently a failed call is repeated.
///
/// The wait before attempt `k + 1` is `min(cap, base * factor^(k - 1))`, reduced by a random share of up
/// to `jitter`. If the server said how long to wait (`retry_after`), the wait is at least that, and the
/// jitter comes on top, so that many callers told the same do not all return at once.
///
/// By default: five attempts, all begun within two minutes; waits start at half a second and double up to 30 s,
/// half of each random.
///
/// ```
/// use std::time::Duration;
/// use smart_core::backend::RetryPolicy;
/// let patient = RetryPolicy::default()
///     .with_max_attempts(8)
///     .with_base(Duration::from_secs(1))
///     .with_total(Duration::from_secs(600));
/// let off = RetryPolicy::none();
/// assert_eq!(off.max_attempts, 1);
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The most attempts at one call, the first included; 0 counts as 1.
    pub max_attempts: u32,
    /// The wait after the first failure.
    pub base: Duration,
    /// What each further wait is multiplied by.
    pub factor: u32,
    /// The longest wait by this formula; `retry_after` may be longer.
    pub cap: Duration,
    /// The random share of a wait, in `[0, 1]`; values outside are clamped, and NaN counts as 0.
    pub jitter: f64,
    /// The time after which no further attempt begins. An attempt under way is not cut short; use a
    /// [`Timeout`](super::Timeout) for that.
    pub total: Duration,
    /// The seed of the jitter; it affects waits and nothing else.
    pub seed: u64,
}

impl Default for RetryPolicy {
    /// Five attempts, all begun within two minutes; waits start at half a second and double up to 30 s,
    /// half of each random.
    fn default() -> Self {
        Self {
            max_attempts: 5,
            base: Duration::from_millis(500),
            factor: 2,
            cap: Duration::from_secs(30),
            jitter: 0.5,
            total: Duration::from_secs(120),
            seed: 0,
        }
    }
}

impl RetryPolicy {
    /// No retries, for callers whose client does its own.
    pub fn none() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// Sets the most attempts at one call, the first included.
    #[must_use]
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the wait after the first failure.
    #[must_use]
    pub const fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets what each further wait is multiplied by.
    #[must_use]
    pub const fn with_factor(mut self, factor: u32) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest wait by the formula.
    #[must_use]
    pub const fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the random share of a wait.
    #[must_use]
    pub const fn with_jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Sets the time after which no further attempt begins.
    #[must_use]
    pub const fn with_total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Sets the seed of the jitter.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The wait after failed attempt `attempt` (from 1) of call number `call`.
    fn wait(&self, call: u64, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let growth = self.factor.saturating_pow(attempt.saturating_sub(1));
        let backoff = self.base.saturating_mul(growth).min(self.cap);
        let jitter = if self.jitter >= 0.0 { self.jitter.min(1.0) } else { 0.0 };
        let coin = keyed(self.seed, keyed(call, u64::from(attempt))) as f64 / u64::MAX as f64;
        let random = |wait: Duration| {
            Duration::try_from_secs_f64(wait.as_secs_f64() * jitter * coin).unwrap_or(wait)
        };
        let own = backoff.saturating_sub(random(backoff));
        retry_after
            .map_or(own, |asked| own.max(asked.saturating_add(random(self.base.min(self.cap)))))
    }
}

/// One failed attempt that will be repeated, as passed to the observer of [`Retry::with_observer`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RetryNotice<'a> {
    /// Which attempt failed, counted from 1.
    pub attempt: u32,
    /// How it failed.
    pub error: &'a BackendError,
    /// How long the retry waits before the next attempt.
    pub wait: Duration,
}

type Observer = Arc<dyn Fn(&RetryNotice<'_>) + Send + Sync>;

/// A backend or an equivalence that is asked again after a failure that may pass.
///
/// The error's kind decides what is retried
/// ([`ErrorKind::is_retryable`](super::ErrorKind::is_retryable)); attempts and time are bounded. If
/// `retry_after` does not fit in the time left, the call fails at once. An attempt that panics fails for
/// good, as [`ErrorKind::Panicked`](super::ErrorKind::Panicked).
///
/// What failed attempts were billed for is added to the call's usage, whether it succeeds in the end or
/// not. Attempts that may have been billed and report nothing are counted in it ([`Usage::unbilled`]).
/// Until the call ends, only the retry knows these bills: if the call is dropped while it waits, no
/// journal records them, and a budget takes the call to have cost its bound. To keep them even then,
/// write the attempts down yourself: [`with_observer`](Self::with_observer) is told of each attempt
/// before its wait, with the error and its usage.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use smart_core::backend::{RetryPolicy, Wrap};
/// use smart_core::{BackendError, Completion, LlmBackend, Usage, from_fn};
///
/// let attempts = AtomicU32::new(0);
/// let flaky = from_fn(|_: &str| {
///     let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
///     async move {
///         if first {
///             return Err(BackendError::transient("503").with_usage(Usage::tokens(10, 0)));
///         }
///         Ok(Completion::new("yes").with_usage(Usage::tokens(10, 1)))
///     }
/// });
/// let backend = flaky.with_retry(RetryPolicy::default().with_base(Duration::from_millis(1)));
/// let answer = futures::executor::block_on(backend.complete("item"))?;
/// // Both attempts, and what the prices ask for each request twice.
/// assert_eq!(answer.usage, Some(Usage::tokens(20, 1).with_requests(2)));
/// # Ok::<(), BackendError>(())
/// ```
pub struct Retry<B> {
    inner: B,
    policy: RetryPolicy,
    sleeper: SharedSleeper,
    observer: Option<Observer>,
    calls: AtomicU64,
}

impl<B> Retry<B> {
    /// Repeats failed calls according to the policy.
    pub fn new(inner: B, policy: RetryPolicy) -> Self {
        Self { inner, policy, sleeper: shared(), observer: None, calls: AtomicU64::new(0) }
    }

    /// Sets the sleeper to wait on.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// Sets an observer that is told of every failed attempt that will be repeated, before its wait. It
    /// must not block.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl Fn(&RetryNotice<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The backend or the equivalence inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    async fn around<T, F, Fut>(&self, mut call: F) -> Result<T, BackendError>
    where
        T: Billed,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let start = self.sleeper.elapsed();
        let mut billed: Option<Usage> = None;
        let mut attempt = 1_u32;
        loop {
            // Caught here and not further out, where the cost of earlier failed attempts would be lost.
            let error = match guarded(&mut call).await {
                Ok(mut answer) => {
                    if billed.is_some() {
                        let own = answer.usage().or(T::SILENT);
                        *answer.usage() = sum(billed, own);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            billed = sum(billed, error.kind().used(error.usage()));
            let wait = self.policy.wait(number, attempt, error.retry_after());
            let spent = self.sleeper.elapsed().saturating_sub(start);
            let again = error.kind().is_retryable()
                && attempt < self.policy.max_attempts
                && spent.saturating_add(wait) <= self.policy.total;
            if !again {
                return Err(match billed {
                    Some(usage) => error.with_usage(usage),
                    None => error,
                });
            }
            if let Some(observer) = &self.observer {
                let notice = RetryNotice { attempt, error: &error, wait };
                // The observer cannot affect the call: its own panic is not a failure of the call.
                let _ = catch_unwind(AssertUnwindSafe(|| observer(&notice)));
            }
            drop(error);
            self.sleeper.sleep(wait).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

/// The usage of two calls together; unknown only if both are.
fn sum(a: Option<Usage>, b: Option<Usage>) -> Option<Usage> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
        (a, b) => a.or(b),
    }
}

impl<B: Clone> Clone for Retry<B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            policy: self.policy,
            sleeper: Arc::clone(&self.sleeper),
            observer: self.observer.clone(),
            calls: AtomicU64::new(0),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Retry<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

wraps!(Retry);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_cap() {
        let plain = RetryPolicy::default().with_jitter(0.0).with_base(SECOND);
        let waits: Vec<_> = (1..8).map(|k| plain.wait(0, k, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(plain.wait(0, u32::MAX, None), plain.cap);
        assert_eq!(plain.wait(0, 1, Some(40 * SECOND)), 40 * SECOND);
        assert_eq!(plain.wait(0, 4, Some(SECOND)), 8 * SECOND);
    }

    #[test]
    fn jitter_comes_from_the_seed_and_stays_in_its_share() {
        let policy = RetryPolicy::default().with_base(SECOND).with_jitter(0.25).with_seed(3);
        let mut seen = Vec::new();
        for call in 0..200 {
            let wait = policy.wait(call, 1, None);
            assert_eq!(wait, policy.wait(call, 1, None));
            assert!(wait >= SECOND * 3 / 4 && wait <= SECOND, "{wait:?}");
            let asked = policy.wait(call, 1, Some(5 * SECOND));
            assert!(asked >= 5 * SECOND && asked <= 5 * SECOND + SECOND / 4, "{asked:?}");
            seen.push(wait);
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 190);
        assert_ne!(policy.wait(0, 1, None), policy.with_seed(4).wait(0, 1, None));
    }

    #[test]
    fn odd_policies_are_harmless() {
        let odd = RetryPolicy::default().with_jitter(f64::NAN);
        assert_eq!(odd.wait(0, 1, None), odd.base);
        let endless = RetryPolicy::default().with_base(Duration::MAX).with_cap(Duration::MAX);
        let _ = endless.with_jitter(9.0).wait(0, 9, Some(Duration::MAX));
    }
}

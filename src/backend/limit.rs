//! Bounds on calls in flight and on requests and tokens per minute: [`Limit`].
//!
//! A provider's limits hold for an account, so a [`Limit`] can be [shared](Limit::share) between backends. It
//! is a wrapper: calls beyond the limits wait in line instead of being rejected and repeated.

#[cfg(feature = "governor")]
mod rate;
mod semaphore;

use std::fmt;
use std::future::Future;
#[cfg(feature = "governor")]
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::BackendError;
use super::wrap::{Billed, wraps};
#[cfg(feature = "governor")]
use crate::sleep::{Sleeper, shared};

#[cfg(feature = "governor")]
use rate::Rates;
pub(crate) use semaphore::Semaphore;

/// What an account allows; by default nothing is limited.
///
/// Calls in flight can always be limited. Requests and tokens per minute, and everything that belongs to
/// them, need the feature `governor`.
///
/// ```
/// use smart_core::backend::Limits;
/// let limits = Limits::default().with_concurrency(16);
/// # #[cfg(feature = "governor")]
/// let limits = limits.with_requests_per_minute(500).with_tokens_per_minute(200_000);
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The most calls in flight.
    pub concurrency: Option<NonZeroUsize>,
    /// The most requests a minute.
    #[cfg(feature = "governor")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// The most requests begun in a row after a pause; a minute's worth if unset.
    #[cfg(feature = "governor")]
    pub burst: Option<NonZeroU32>,
    /// The most tokens a minute, input and output together.
    #[cfg(feature = "governor")]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// What a call is expected to use before any call has reported its usage; 1,000 if unset. From then
    /// on a moving average of the reported counts takes its place.
    #[cfg(feature = "governor")]
    pub expected_tokens: Option<NonZeroU32>,
}

impl Limits {
    /// Bounds the calls in flight; 0 counts as 1 (leave a model that may never be asked out of the roster).
    #[must_use]
    pub const fn with_concurrency(mut self, calls: usize) -> Self {
        self.concurrency = Some(match NonZeroUsize::new(calls) {
            Some(calls) => calls,
            None => NonZeroUsize::MIN,
        });
        self
    }
}

#[cfg(feature = "governor")]
impl Limits {
    /// Bounds the requests a minute; 0 counts as 1.
    #[must_use]
    pub fn with_requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// Bounds how many requests may be begun in a row after a pause, where there is a limit
    /// [a minute](Self::with_requests_per_minute); 0 counts as 1, and more than a minute's worth as that.
    ///
    /// A provider that allows 300 requests a minute may well count them by the second: without this, a run
    /// begins with 300 at once.
    #[must_use]
    pub fn with_burst(mut self, requests: u32) -> Self {
        self.burst = Some(NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// Bounds the tokens a minute, input and output together; 0 counts as 1.
    #[must_use]
    pub fn with_tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens_per_minute = Some(NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// Sets what a call is expected to use before any call has reported its usage; 0 counts as 1.
    #[must_use]
    pub fn with_expected_tokens(mut self, tokens: u32) -> Self {
        self.expected_tokens = Some(NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN));
        self
    }
}

/// A backend or an equivalence kept within an account's limits.
///
/// Going over a provider's limits earns rejections, and rejected calls are repeated: slower, and
/// sometimes dearer, than waiting in line. Calls wait in the order they came. A call dropped while it
/// waits gives up its place; one dropped in flight is taken to have used what it reserved.
///
/// * **Concurrency** is always available and needs no clock.
/// * **Requests and tokens per minute** (feature `governor`) allow a burst of up to one minute's worth
///   ([`Limits::with_burst`]: of fewer requests) and then an even flow. How many tokens a call will use is
///   not known before its answer, so a call reserves what recent ones used on average. Once it reports its
///   usage, tokens reserved in vain go to the next calls, and tokens short are paid by them. A call whose
///   usage stays unknown is taken to have used its reservation.
///
/// Limits belong to an account rather than to a model: [`share`](Self::share) puts a second backend
/// under the same ones.
///
/// ```
/// use smart_core::backend::Wrap;
/// use smart_core::{Completion, LlmBackend, from_fn};
///
/// let client = || from_fn(|_: &str| async { Ok(Completion::new("yes")) });
/// let small = client().with_concurrency(8);
/// let judge = small.share(client()); // both together: at most eight calls in flight
/// # futures::executor::block_on(judge.complete("item"))?;
/// # Ok::<(), smart_core::BackendError>(())
/// ```
#[derive(Clone)]
pub struct Limit<B> {
    inner: B,
    limits: Limits,
    flight: Option<Arc<Semaphore>>,
    #[cfg(feature = "governor")]
    rates: Option<Arc<Rates>>,
}

impl<B> Limit<B> {
    /// Keeps calls within the limits.
    pub fn new(inner: B, limits: Limits) -> Self {
        let flight = limits.concurrency.map(|calls| Arc::new(Semaphore::new(calls.get())));
        let limit = Self {
            inner,
            limits,
            flight,
            #[cfg(feature = "governor")]
            rates: None,
        };
        #[cfg(feature = "governor")]
        let limit = limit.on(shared());
        limit
    }

    /// Puts another backend under the same limits, counted together.
    pub fn share<C>(&self, other: C) -> Limit<C> {
        Limit {
            inner: other,
            limits: self.limits,
            flight: self.flight.clone(),
            #[cfg(feature = "governor")]
            rates: self.rates.clone(),
        }
    }

    /// The backend or the equivalence inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    async fn around<T, F, Fut>(&self, call: F) -> Result<T, BackendError>
    where
        T: Billed,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        let _permit = match &self.flight {
            Some(flight) => Some(flight.acquire().await),
            None => None,
        };
        #[cfg(feature = "governor")]
        if let Some(rates) = &self.rates {
            let reserved = rates.reserve().await;
            let mut outcome = call().await;
            let usage = match &mut outcome {
                Ok(answer) => *answer.usage(),
                Err(error) => error.usage(),
            };
            rates.reconcile(reserved, usage.as_ref());
            return outcome;
        }
        call().await
    }
}

#[cfg(feature = "governor")]
impl<B> Limit<B> {
    /// Sets the sleeper to wait on and to measure minutes by. This resets the counts, so call it before
    /// [`share`](Self::share).
    #[must_use]
    pub fn with_sleeper(self, sleeper: impl Sleeper + 'static) -> Self {
        self.on(Arc::new(sleeper))
    }

    fn on(mut self, sleeper: crate::sleep::SharedSleeper) -> Self {
        let Limits { requests_per_minute, burst, tokens_per_minute, expected_tokens, .. } =
            self.limits;
        self.rates = (requests_per_minute.is_some() || tokens_per_minute.is_some()).then(|| {
            let expected = expected_tokens.map_or(1_000, NonZeroU32::get);
            let requests = requests_per_minute.map(|limit| (limit, burst.unwrap_or(limit)));
            Arc::new(Rates::new(requests, tokens_per_minute, expected, sleeper))
        });
        self
    }
}

impl<B: fmt::Debug> fmt::Debug for Limit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("inner", &self.inner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

wraps!(Limit);

//! Stops asking a model that is dead: [`Breaker`].
//!
//! A *circuit breaker* counts consecutive failures. After enough of them it turns further calls away at
//! once, and now and then lets one through to see whether the model is back. A candidate behind it
//! escalates immediately instead of spending its retries on every remaining item.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guard::guarded;
use super::wrap::wraps;
use super::{BackendError, ErrorKind};
use crate::locks::lock;
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// When a breaker opens, and when it tries the model again; by default after ten failures for good in a row, and
/// every 30 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerPolicy {
    /// Failures for good in a row that open the breaker; 0 counts as 1.
    pub failures: u32,
    /// What must pass before the model is tried again.
    pub cooldown: Cooldown,
}

/// What must happen before an open breaker tries its model again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cooldown {
    /// This much time passes.
    Time(Duration),
    /// This many calls are turned away; this needs no clock.
    Calls(u64),
    /// Nothing does: once open, the breaker stays open for the run.
    Never,
}

impl Default for BreakerPolicy {
    /// Ten failures in a row; tried again every 30 seconds.
    fn default() -> Self {
        Self { failures: 10, cooldown: Cooldown::Time(Duration::from_secs(30)) }
    }
}

impl BreakerPolicy {
    /// Sets how many failures for good in a row open the breaker; 0 counts as 1.
    #[must_use]
    pub const fn with_failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Sets what must pass before the model is tried again.
    #[must_use]
    pub const fn with_cooldown(mut self, cooldown: Cooldown) -> Self {
        self.cooldown = cooldown;
        self
    }
}

/// A backend or an equivalence that is no longer asked once it keeps failing.
///
/// Without a breaker, a candidate whose provider is down would cost every remaining item all its retries
/// and their waits before the item escalates. Behind a breaker those items escalate at once, the run
/// goes on, and the report counts them.
///
/// * *Closed*: calls pass. Every failure counts, except [`ErrorKind::Refused`], which only a live model
///   can give; an answer or a refusal resets the count. After `failures` in a row the breaker opens.
/// * *Open*: calls fail as [`ErrorKind::Unavailable`] without being made.
/// * *Half open*: after the cool-down one call is let through as a probe. Its outcome closes the breaker
///   or opens it anew. A probe that is dropped decides nothing, and the next call becomes the probe.
///
/// Panics count too, and come out as [`ErrorKind::Panicked`].
///
/// Calls begun before the breaker opened no longer count when they end. Put the breaker outside the
/// retries, so that it counts calls that failed for good. On the *reference* an open breaker leaves
/// items unanswered; leave it off there unless that is what you want.
///
/// Clones share their state: keep one, to ask [`is_open`](Self::is_open) once the roster owns the other.
///
/// ```
/// use smart_core::backend::{BreakerPolicy, Wrap};
/// use smart_core::{BackendError, Completion, ErrorKind, LlmBackend, from_fn};
///
/// let dead = from_fn(|_: &str| async {
///     Err::<Completion<u8>, _>(BackendError::permanent("model retired"))
/// });
/// let backend = dead.with_breaker(BreakerPolicy::default().with_failures(2));
/// # futures::executor::block_on(async {
/// for _ in 0..2 {
///     assert_eq!(backend.complete("item").await.unwrap_err().kind(), ErrorKind::Permanent);
/// }
/// assert_eq!(backend.complete("item").await.unwrap_err().kind(), ErrorKind::Unavailable);
/// assert!(backend.is_open() && backend.turned_away() == 1);
/// # });
/// ```
#[derive(Clone)]
pub struct Breaker<B> {
    inner: B,
    policy: BreakerPolicy,
    circuit: Arc<Mutex<Circuit>>,
    sleeper: SharedSleeper,
}

#[derive(Debug, Default)]
struct Circuit {
    state: State,
    /// Counts changes of state, so that a call that began under an earlier state is recognised.
    generation: u64,
    opened: u64,
    turned_away: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { since: Duration, turned_away: u64 },
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Circuit {
    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

impl<B> Breaker<B> {
    /// Puts a closed breaker in front of a backend or an equivalence.
    pub fn new(inner: B, policy: BreakerPolicy) -> Self {
        Self { inner, policy, circuit: Arc::default(), sleeper: shared() }
    }

    /// Sets the sleeper whose time measures the cool-down.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// Whether the breaker is open, or half open and waiting for its probe.
    pub fn is_open(&self) -> bool {
        !matches!(self.lock().state, State::Closed { .. })
    }

    /// How often the breaker has opened, failed probes included.
    pub fn opened(&self) -> u64 {
        self.lock().opened
    }

    /// How many calls were turned away so far.
    pub fn turned_away(&self) -> u64 {
        self.lock().turned_away
    }

    /// What is behind the breaker.
    pub fn into_inner(self) -> B {
        self.inner
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        lock(&self.circuit)
    }

    /// Lets a call pass, or returns `None` to turn it away.
    fn admit(&self) -> Option<Pass<'_, B>> {
        let now = self.sleeper.elapsed();
        let mut circuit = self.lock();
        if let State::Open { since, turned_away } = circuit.state {
            let cooled = match self.policy.cooldown {
                Cooldown::Time(time) => now.saturating_sub(since) >= time,
                Cooldown::Calls(calls) => turned_away >= calls,
                Cooldown::Never => false,
            };
            if cooled {
                circuit.enter(State::Probing);
                let generation = circuit.generation;
                return Some(Pass {
                    breaker: self,
                    generation,
                    before: Some((since, turned_away)),
                });
            }
        }
        match &mut circuit.state {
            State::Closed { .. } => {
                Some(Pass { breaker: self, generation: circuit.generation, before: None })
            }
            State::Open { turned_away, .. } => {
                *turned_away += 1;
                circuit.turned_away += 1;
                None
            }
            State::Probing => {
                circuit.turned_away += 1;
                None
            }
        }
    }

    /// Records how a call of this generation ended.
    fn note(&self, generation: u64, failed: bool) {
        let now = self.sleeper.elapsed();
        let mut circuit = self.lock();
        if circuit.generation != generation {
            return;
        }
        let open = match &mut circuit.state {
            State::Closed { failures } if failed => {
                *failures = failures.saturating_add(1);
                *failures >= self.policy.failures
            }
            State::Closed { failures } => {
                *failures = 0;
                false
            }
            State::Probing if !failed => {
                circuit.enter(State::default());
                false
            }
            State::Probing => true,
            State::Open { .. } => false,
        };
        if open {
            circuit.enter(State::Open { since: now, turned_away: 0 });
            circuit.opened += 1;
        }
    }

    async fn around<T, F, Fut>(&self, call: F) -> Result<T, BackendError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        let Some(mut pass) = self.admit() else {
            return Err(BackendError::new(ErrorKind::Unavailable, ""));
        };
        // A panic counts as a failure, so it is caught before it can leave.
        let outcome = guarded(call).await;
        pass.before = None;
        let failed = outcome.as_ref().err().is_some_and(|e| e.kind() != ErrorKind::Refused);
        self.note(pass.generation, failed);
        outcome
    }
}

/// A call under way. If it is a probe that is dropped before it ends, the breaker is as open as before.
struct Pass<'a, B> {
    breaker: &'a Breaker<B>,
    generation: u64,
    before: Option<(Duration, u64)>,
}

impl<B> Drop for Pass<'_, B> {
    fn drop(&mut self) {
        if let Some((since, turned_away)) = self.before {
            let mut circuit = self.breaker.lock();
            if circuit.generation == self.generation {
                circuit.enter(State::Open { since, turned_away });
            }
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Breaker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .field("circuit", &self.circuit)
            .finish_non_exhaustive()
    }
}

wraps!(Breaker);

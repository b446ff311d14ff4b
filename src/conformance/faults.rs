//! Backends that misbehave on purpose: [`Faulty`] and its [`FaultPlan`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{BackendError, Completion, ErrorKind, LlmBackend, Rating, Scoring};
use crate::equivalence::{Equivalence, Verdict};
use crate::locks::lock;
use crate::order::{keyed, mix};
use crate::pricing::{Pricing, Usage};
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// One way in which a call misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Fails with an error of this kind, without asking the model.
    Error(ErrorKind),
    /// Fails as rate limited and asks to come back after this long.
    RateLimit(Duration),
    /// Panics when the call is polled.
    Panic,
    /// Never ends.
    Hang,
    /// Answers, but only after this long.
    Slow(Duration),
    /// Answers with a confidence of NaN, which counts as no score.
    NanConfidence,
    /// Answers and claims to have used this, whatever was used.
    Usage(Usage),
}

/// Which calls misbehave, and how: at random from a seed, always on some items, or by the number of the call.
///
/// Random faults depend on the item and the number of the attempt at it, never on the order of calls. So
/// a run that asks the same items sees the same faults, however its calls interleave. If several faults
/// apply, scripted calls come first, then faults by item, then random faults.
///
/// ```
/// use std::time::Duration;
/// use smart_core::ErrorKind;
/// use smart_core::conformance::{Fault, FaultPlan};
///
/// let plan = FaultPlan::new(7)
///     .with_random(0.3, Fault::Error(ErrorKind::Transient))
///     .with_random(0.05, Fault::RateLimit(Duration::from_secs(2)))
///     .with_items(0.01, Fault::Error(ErrorKind::InvalidRequest))
///     .dead_from(5_000);
/// # let _ = plan;
/// ```
#[derive(Debug, Clone)]
pub struct FaultPlan {
    seed: u64,
    script: Vec<(Range<u64>, Fault)>,
    items: Vec<(f64, Fault)>,
    random: Vec<(f64, Fault)>,
    failed_usage: Option<Usage>,
}

impl FaultPlan {
    /// Makes a plan without faults; add them with the methods below.
    pub const fn new(seed: u64) -> Self {
        Self { seed, script: Vec::new(), items: Vec::new(), random: Vec::new(), failed_usage: None }
    }

    /// A bad day: 30 % transient errors, 5 % rate limits that ask for two seconds, 2 % timeouts, 5 %
    /// calls slower by ten seconds, and 1 % of the items failing for good as invalid requests.
    pub fn storm(seed: u64) -> Self {
        Self::new(seed)
            .with_items(0.01, Fault::Error(ErrorKind::InvalidRequest))
            .with_random(0.30, Fault::Error(ErrorKind::Transient))
            .with_random(0.05, Fault::RateLimit(Duration::from_secs(2)))
            .with_random(0.02, Fault::Error(ErrorKind::Timeout))
            .with_random(0.05, Fault::Slow(Duration::from_secs(10)))
    }

    /// Strikes this share of all attempts. Shares of several faults add up; beyond 1, the last ones lose.
    #[must_use]
    pub fn with_random(mut self, share: f64, fault: Fault) -> Self {
        self.random.push((share, fault));
        self
    }

    /// Strikes every attempt at this share of the items. Shares add up as for random faults.
    #[must_use]
    pub fn with_items(mut self, share: f64, fault: Fault) -> Self {
        self.items.push((share, fault));
        self
    }

    /// Strikes these calls, counted from 0 in the order they are made.
    #[must_use]
    pub fn with_calls(mut self, calls: Range<u64>, fault: Fault) -> Self {
        self.script.push((calls, fault));
        self
    }

    /// Fails every call from this one on, like a model that was switched off.
    #[must_use]
    pub fn dead_from(self, call: u64) -> Self {
        self.with_calls(call..u64::MAX, Fault::Error(ErrorKind::Permanent))
    }

    /// Sets what every injected failure was billed for; unreported unless set.
    #[must_use]
    pub const fn with_failed_usage(mut self, usage: Usage) -> Self {
        self.failed_usage = Some(usage);
        self
    }

    /// The fault of this call, if any.
    fn fault(&self, call: u64, item: u64, attempt: u64) -> Option<Fault> {
        let scripted = self.script.iter().find(|(calls, _)| calls.contains(&call));
        let pick = |faults: &[(f64, Fault)], hash: u64| {
            let mut left = (hash >> 11) as f64 / (1_u64 << 53) as f64;
            let struck = faults.iter().find(|(share, _)| {
                left -= share.max(0.0);
                left < 0.0
            });
            struck.map(|(_, fault)| *fault)
        };
        scripted
            .map(|(_, fault)| *fault)
            .or_else(|| pick(&self.items, keyed(mix(self.seed), item)))
            .or_else(|| pick(&self.random, keyed(keyed(self.seed, attempt), item)))
    }
}

/// A backend or an equivalence that misbehaves according to plan.
///
/// It is for testing what is built *around* backends: a retry policy, a run of your own, an observer.
/// Items are told apart by their [`Hash`].
///
/// ```
/// use smart_core::backend::Simulated;
/// use smart_core::conformance::{Fault, FaultPlan, Faulty};
/// use smart_core::{ErrorKind, LlmBackend};
///
/// let dead = Faulty::new(Simulated::reference(1), FaultPlan::new(1).dead_from(1));
/// # futures::executor::block_on(async {
/// assert!(dead.complete(&0).await.is_ok());
/// assert_eq!(dead.complete(&0).await.unwrap_err().kind(), ErrorKind::Permanent);
/// assert_eq!(dead.calls(), 2);
/// # });
/// ```
#[derive(Clone)]
pub struct Faulty<B> {
    inner: B,
    plan: FaultPlan,
    sleeper: SharedSleeper,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    /// The number of attempts at each item.
    attempts: Mutex<BTreeMap<u64, u64>>,
}

impl<B> Faulty<B> {
    /// Makes a backend or an equivalence misbehave. Clones count their calls together.
    pub fn new(inner: B, plan: FaultPlan) -> Self {
        Self { inner, plan, sleeper: shared(), counts: Arc::default() }
    }

    /// Sets the sleeper on which slow calls wait.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// How many calls were made so far, faulty ones included.
    pub fn calls(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// Counts a call and returns its fault, if any.
    fn next<I: Hash + ?Sized>(&self, item: &I) -> Option<Fault> {
        let mut hasher = ItemHasher(self.plan.seed);
        item.hash(&mut hasher);
        let item = hasher.finish();
        let call = self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let mut attempts = lock(&self.counts.attempts);
        let attempt = attempts.entry(item).or_default();
        *attempt += 1;
        self.plan.fault(call, item, *attempt)
    }

    /// Applies the part of a fault that comes before the answer, or instead of it.
    #[allow(clippy::panic, reason = "panicking is what was asked for")]
    async fn suffer<T>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let error = match fault {
            Some(Fault::Error(kind)) => BackendError::new(kind, "injected"),
            Some(Fault::RateLimit(wait)) => {
                BackendError::rate_limited("injected").with_retry_after(wait)
            }
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Slow(time)) => {
                self.sleeper.sleep(time).await;
                return call.await;
            }
            Some(Fault::NanConfidence | Fault::Usage(_)) | None => return call.await,
        };
        Err(match self.plan.failed_usage {
            Some(usage) => error.with_usage(usage),
            None => error,
        })
    }
}

/// Replaces the usage by the one the fault claims.
fn misreport(fault: Option<Fault>, usage: &mut Option<Usage>) {
    if let Some(Fault::Usage(claimed)) = fault {
        *usage = Some(claimed);
    }
}

#[async_trait]
impl<I: ?Sized + Sync + Hash, B: LlmBackend<I>> LlmBackend<I> for Faulty<B> {
    type Output = B::Output;

    async fn complete(&self, item: &I) -> Result<Completion<B::Output>, BackendError> {
        let fault = self.next(item);
        let mut answer = self.suffer(fault, self.inner.complete(item)).await?;
        misreport(fault, &mut answer.usage);
        Ok(match fault {
            Some(Fault::NanConfidence) => answer.with_confidence(f64::NAN),
            _ => answer,
        })
    }

    fn scoring(&self) -> Scoring {
        self.inner.scoring()
    }

    async fn rate(&self, item: &I, output: &B::Output) -> Result<Rating, BackendError> {
        let fault = self.next(item);
        let mut rating = self.suffer(fault, self.inner.rate(item, output)).await?;
        misreport(fault, &mut rating.usage);
        if fault == Some(Fault::NanConfidence) {
            rating.confidence = None;
        }
        Ok(rating)
    }
}

#[async_trait]
impl<I, O, E> Equivalence<I, O> for Faulty<E>
where
    I: ?Sized + Sync + Hash,
    O: ?Sized + Sync,
    E: Equivalence<I, O>,
{
    async fn compare(&self, item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        let fault = self.next(item);
        let mut verdict = self.suffer(fault, self.inner.compare(item, a, b)).await?;
        misreport(fault, &mut verdict.usage);
        Ok(verdict)
    }

    fn pricing(&self) -> Pricing {
        self.inner.pricing()
    }

    fn name(&self) -> Cow<'static, str> {
        self.inner.name()
    }
}

impl<B: fmt::Debug> fmt::Debug for Faulty<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("plan", &self.plan)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

/// A hasher with the same values in every process, which the standard library's hashers do not promise.
struct ItemHasher(u64);

impl Hasher for ItemHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = keyed(self.0, u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = keyed(self.0, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_as_often_as_planned_and_do_not_follow_the_order() {
        let plan = FaultPlan::storm(3);
        let share = |fault: Fault| {
            let struck = |item: &u64| plan.fault(0, *item, 1) == Some(fault);
            (0..20_000).filter(struck).count() as f64 / 20_000.0
        };
        // The standard error is at most 0.0033; the seed is fixed.
        assert!((share(Fault::Error(ErrorKind::Transient)) - 0.297).abs() < 0.012);
        assert!((share(Fault::Error(ErrorKind::InvalidRequest)) - 0.01).abs() < 0.003);
        assert_eq!(plan.fault(0, 77, 2), plan.fault(999, 77, 2));
        let hard = (0..10_000)
            .find(|i| plan.fault(0, *i, 1) == Some(Fault::Error(ErrorKind::InvalidRequest)));
        let hard = hard.unwrap();
        assert!((1..50).all(|attempt| plan.fault(0, hard, attempt) == plan.fault(0, hard, 1)));
    }

    #[test]
    fn shares_that_make_no_sense_do_nothing() {
        let plan = FaultPlan::new(0)
            .with_random(f64::NAN, Fault::Panic)
            .with_random(-1.0, Fault::Panic)
            .with_random(2.0, Fault::Hang);
        assert!((0..100).all(|item| plan.fault(0, item, 1) == Some(Fault::Hang)));
    }
}

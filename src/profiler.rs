//! The profiling half of a run: [`Profiler`].
//!
//! It drives the profiler's state machine with real calls and returns a profile, from which a plan can
//! be made now or later.

use std::fmt;

use crate::equivalence::Equivalence;
use crate::error::RunError;
use crate::items::Items;
use crate::observe::Observer;
use crate::profile::ProfileSettings;
use crate::roster::Roster;
use crate::smart::{Profiled, Smart};
use crate::stop::Stop;
use crate::target::Target;

/// Finds out how far the candidates agree with the reference, for as long as that is expected to pay.
///
/// At every step it weighs what more profiling would cost against what it is expected to save. It only
/// makes the calls; [`ProfileMachine`](crate::profile::ProfileMachine) decides, and can be driven
/// without it. The result is a [`Profile`](crate::Profile), to plan from now or later; an
/// [`Executor`](crate::Executor) follows the plan. [`Smart`] does all three in one call.
///
/// ```
/// use smart_core::backend::Simulated;
/// use smart_core::equivalence::Exact;
/// use smart_core::{Generated, Model, Pricing, Profiler, Roster, Target};
///
/// # futures::executor::block_on(async {
/// let roster = Roster::new(
///     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
///     [Model::new("small", Simulated::candidate("small", 0.97, 7))
///         .with_pricing(Pricing::per_request(0.0005)?)],
/// )?;
/// let profiler = Profiler::new(roster, Exact, Target::new(0.9, 0.95)?).with_seed(1);
/// let profiled = profiler.profile(&Generated::new(20_000, |index| index)).await?;
/// let plan = profiled.profile.plan()?;
/// assert!(plan.forecast.saving() > 5.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Profiler<I: ?Sized + Sync, O>(Smart<I, O>);

impl<I: ?Sized + Sync, O> fmt::Debug for Profiler<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Profiler").field(&self.0).finish()
    }
}

impl<I: ?Sized + Sync, O> From<Smart<I, O>> for Profiler<I, O> {
    /// Takes the profiling half of a run that is already set up.
    fn from(run: Smart<I, O>) -> Self {
        Self(run)
    }
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Profiler<I, O> {
    /// Makes a profiler of these models under this equivalence, for this target.
    pub fn new(
        roster: Roster<I, O>,
        equivalence: impl Equivalence<I, O> + 'static,
        target: Target,
    ) -> Self {
        Self(Smart::new(roster, equivalence, target))
    }

    /// Sets the seed of the random order: see [`Smart::with_seed`].
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self(self.0.with_seed(seed))
    }

    /// Sets how many items are under way at once.
    #[must_use]
    pub fn with_concurrency(self, items: usize) -> Self {
        Self(self.0.with_concurrency(items))
    }

    /// Sets what profiling considers.
    #[must_use]
    pub fn with_settings(self, settings: ProfileSettings) -> Self {
        Self(self.0.with_settings(settings))
    }

    /// Adds an observer.
    #[must_use]
    pub fn with_observer(self, observer: impl Observer + 'static) -> Self {
        Self(self.0.with_observer(observer))
    }

    /// Ends profiling gracefully when `stop` says so: see [`Smart::with_stop`].
    #[must_use]
    pub fn with_stop(self, stop: Stop) -> Self {
        Self(self.0.with_stop(stop))
    }

    /// Profiles until the best plan in reach is certified, or more profiling is not expected to pay.
    ///
    /// # Errors
    /// As [`Smart::run`].
    pub async fn profile<S>(&self, items: &S) -> Result<Profiled<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        self.0.profile(items).await
    }
}

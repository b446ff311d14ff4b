//! For authors of backends, equivalences and journals: a suite to run against them (feature `conformance`).
//!
//! The contracts of [`LlmBackend`](crate::LlmBackend) and [`Equivalence`](crate::Equivalence) are
//! written in words. This module checks what can be checked from outside. [`check_backend`] and
//! [`check_equivalence`] run on any executor and return a [`Conformance`]: a list of statements and how
//! each came out, not a panic. They make real calls, about five for each sample item.
//!
//! ```
//! use smart_core::backend::Simulated;
//! use smart_core::conformance::{Suite, check_backend};
//!
//! # futures::executor::block_on(async {
//! let report = check_backend(&Simulated::reference(1), &[&1, &2, &3], &Suite::default()).await;
//! assert!(report.is_conformant(), "{report}");
//! # });
//! ```
//!
//! [`Faulty`] is the counterpart: a backend that misbehaves on purpose, for testing what is built around
//! backends.

mod backend;
mod equivalence;
mod faults;
mod journal;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

pub use backend::check_backend;
pub use equivalence::check_equivalence;
pub use faults::{Fault, FaultPlan, Faulty};
pub use journal::{check_failing_journal, check_journal};

use crate::backend::BackendError;
use crate::backend::guard::guarded;
use crate::pricing::{Pricing, Usage};
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// What the suite expects of a backend or an equivalence.
#[derive(Clone)]
#[non_exhaustive]
pub struct Suite {
    pricing: Pricing,
    patience: Duration,
    sleeper: SharedSleeper,
}

impl Default for Suite {
    /// Expects calls to be free of charge, and gives each two minutes.
    fn default() -> Self {
        Self { pricing: Pricing::default(), patience: Duration::from_secs(120), sleeper: shared() }
    }
}

impl Suite {
    /// Expects every answer to report the usage that these prices need.
    #[must_use]
    pub const fn with_pricing(mut self, pricing: Pricing) -> Self {
        self.pricing = pricing;
        self
    }

    /// Sets after how long a call is taken never to end.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the sleeper to wait on.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// Makes a call, catching its panics and bounding its time.
    async fn ask<T, F, Fut>(&self, call: F) -> Asked<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        let call = std::pin::pin!(guarded(call));
        match select(call, self.sleeper.sleep(self.patience)).await {
            Either::Left((outcome, _)) => Asked::Ended(outcome),
            Either::Right(_) => Asked::Lost(self.patience),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pricing, patience, sleeper: _ } = self;
        f.debug_struct("Suite")
            .field("pricing", pricing)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}

/// How a call of the suite ended, if it did.
enum Asked<T> {
    Ended(Result<T, BackendError>),
    Lost(Duration),
}

impl<T> Asked<T> {
    fn answer(&self) -> Option<&T> {
        match self {
            Self::Ended(Ok(answer)) => Some(answer),
            _ => None,
        }
    }

    fn error(&self) -> Option<&BackendError> {
        match self {
            Self::Ended(Err(error)) => Some(error),
            _ => None,
        }
    }

    /// What went wrong with the call, in words.
    fn complaint(&self) -> Option<String> {
        match self {
            Self::Ended(Ok(_)) => None,
            Self::Ended(Err(error)) => Some(error.to_string()),
            Self::Lost(patience) => Some(format!("no end after {patience:?}")),
        }
    }
}

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The contract was kept.
    Passed,
    /// Allowed, but worth a second look.
    Advice(String),
    /// The samples did not allow the check.
    Skipped(String),
    /// The contract was broken.
    Failed(String),
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What was checked, as a statement that should hold.
    pub statement: &'static str,
    /// How it came out.
    pub outcome: Outcome,
}

/// What a suite found: one line per check, for people ([`Display`](fmt::Display)) and for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Conformance {
    checks: Vec<Check>,
}

impl Conformance {
    const fn new() -> Self {
        Self { checks: Vec::new() }
    }

    /// The checks in the order they were made.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether nothing failed; advice and skipped checks do not count.
    pub fn is_conformant(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    fn note(&mut self, statement: &'static str, outcome: Outcome) {
        self.checks.push(Check { statement, outcome });
    }

    /// Adds a check that fails with the first of these complaints, and passes if there is none.
    fn judge(&mut self, statement: &'static str, mut complaints: impl Iterator<Item = String>) {
        self.note(statement, complaints.next().map_or(Outcome::Passed, Outcome::Failed));
    }
}

impl fmt::Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { statement, outcome } in &self.checks {
            match outcome {
                Outcome::Passed => writeln!(f, "pass    {statement}")?,
                Outcome::Advice(why) => writeln!(f, "advice  {statement}: {why}")?,
                Outcome::Skipped(why) => writeln!(f, "skip    {statement}: {why}")?,
                Outcome::Failed(why) => writeln!(f, "FAIL    {statement}: {why}")?,
            }
        }
        let verdict = if self.is_conformant() { "conformant" } else { "not conformant" };
        write!(f, "{verdict}")
    }
}

/// What is wrong with a usage, if anything.
fn implausible(usage: &Usage) -> Option<String> {
    let Usage { input_tokens, cached_input_tokens, output_tokens, .. } = *usage;
    if cached_input_tokens.unwrap_or(0) > input_tokens.unwrap_or(u64::MAX) {
        return Some("more cached input tokens than input tokens; input includes cached".into());
    }
    let most = input_tokens.max(output_tokens).unwrap_or(0);
    (most > Usage::MOST_TOKENS).then(|| format!("{most} tokens in one call"))
}

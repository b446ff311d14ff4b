//! What judging costs: [`Judge`].
//!
//! An equivalence without prices usually calls nobody, and then an empty purse or a stop is no reason not to
//! compare. But it may be a model that sends its own bills ([`Usage::billed`]). Only its verdicts tell: one
//! that used something came from a model.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{CallKey, Calls};
use crate::ledger::{Ledger, Purse};
use crate::observe::CallKind;
use crate::pricing::{Cost, Pricing, Usage};

/// The judge of a run.
pub(super) struct Judge {
    pub(super) pricing: Pricing,
    /// Whether a model is known to judge: it has a price or a bound, or a verdict used something.
    calls: AtomicBool,
}

impl Judge {
    pub(super) fn new(pricing: Pricing, ledger: &Ledger) -> Self {
        let bound = ledger.purse().and_then(Purse::judge_bound);
        let calls = pricing != Pricing::default() || bound.is_some_and(|bound| bound > Cost::ZERO);
        Self { pricing, calls: AtomicBool::new(calls) }
    }

    /// Learns from a call what judging takes.
    pub(super) fn learn(&self, key: &CallKey, usage: Option<&Usage>) {
        if is_judgement(key, usage) {
            self.calls.store(true, Ordering::Release);
        }
    }

    /// Whether judging calls nobody, as far as anyone knows.
    pub(super) fn is_free(&self) -> bool {
        !self.calls.load(Ordering::Acquire)
    }
}

/// Whether a call is a comparison that a model made. Code that panicked reported nothing.
pub(crate) fn is_judgement(key: &CallKey, usage: Option<&Usage>) -> bool {
    key.kind == CallKind::Comparison && usage.is_some_and(|usage| *usage != Usage::UNBILLED)
}

impl<I: ?Sized + Sync, O> Calls<I, O> {
    /// Says that an earlier run has verdicts of a model.
    pub(crate) fn with_judgements(self, any: bool) -> Self {
        self.judge.calls.fetch_or(any, Ordering::AcqRel);
        self
    }
}

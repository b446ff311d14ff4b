//! What is written down of a paid call, and how it is read back.
//!
//! [`Kept`] is a recorded call, [`Keepsake`] a call about to be recorded, and [`Keeper`] the memory that
//! holds them beyond the process. The journal implements it; nothing here knows its format.

use super::CallKey;
use crate::backend::{Completion, Confidence, ErrorKind, Rating};
use crate::equivalence::Verdict;
use crate::error::RunError;
use crate::pricing::{Cost, Usage};

/// The result of a paid call, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept<O> {
    Answer { output: O, usage: Option<Usage>, score: Option<Confidence> },
    Rating { usage: Option<Usage>, score: Option<Confidence> },
    Verdict { usage: Option<Usage>, equivalent: bool },
    Failure { kind: ErrorKind, usage: Option<Usage> },
}

impl<O> Kept<O> {
    /// What the call used.
    pub(crate) const fn usage(&self) -> Option<Usage> {
        match self {
            Self::Answer { usage, .. }
            | Self::Rating { usage, .. }
            | Self::Verdict { usage, .. }
            | Self::Failure { usage, .. } => *usage,
        }
    }

    /// How the call failed, if it did.
    pub(crate) const fn failed(&self) -> Option<ErrorKind> {
        match self {
            Self::Failure { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// The memory of a run that outlives its process: see [`crate::journal`].
pub(crate) trait Keeper<O>: Send + Sync {
    /// Takes what an earlier run paid for, and whether that is booked already. `item` is the item's
    /// fingerprint.
    fn recall(&self, key: &CallKey, item: Option<u64>)
    -> Result<Option<(Kept<O>, bool)>, RunError>;
    /// Writes down a call before its answer is used. An answer that cannot be kept is written down as a
    /// failure, and becomes one; the returned text says why.
    fn keep(
        &self,
        key: &CallKey,
        item: Option<u64>,
        what: Keepsake<'_, O>,
    ) -> Result<Option<String>, RunError>;
    /// Writes down that this cap ended profiling before the item of this rank.
    fn end(&self, rank: u64, cap: Cost) -> Result<(), RunError>;
    /// Fails if calls can no longer be written down: after a failed write none may be made.
    fn is_ready(&self) -> Result<(), RunError>;
    /// The calls about an item that an earlier run paid for and nobody has asked for yet.
    fn paid_for(&self, index: u64) -> Vec<CallKey>;
    /// What earlier runs paid for and nobody has asked for, each once: key, usage, how it failed. Only
    /// items that are `ours` are listed; a later request still finds the call.
    fn leftovers(
        &self,
        ours: &dyn Fn(u64) -> bool,
    ) -> Vec<(CallKey, Option<Usage>, Option<ErrorKind>)>;
    /// Flushes everything to disk.
    fn flush(&self) -> Result<(), RunError>;
}

/// A call to be written down; it borrows its answer.
#[derive(Debug)]
pub(crate) enum Keepsake<'a, O> {
    Answer(&'a Completion<O>),
    Rating(Rating),
    Verdict(Verdict),
    Failure { kind: ErrorKind, usage: Option<Usage> },
}

/// The result of a paid call, of any kind.
pub(super) trait Paid<O>: Sized {
    fn usage(&mut self) -> &mut Option<Usage>;
    /// Whether nothing was called after all, so that there is nothing to bill or to remember.
    fn is_free(&self) -> bool {
        false
    }
    fn keepsake(&self) -> Keepsake<'_, O>;
    fn recalled(kept: Kept<O>) -> Option<Self>;
}

impl<O> Paid<O> for Completion<O> {
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Answer(self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Answer { output, usage, score: confidence } = kept else { return None };
        Some(Self { output, usage, confidence })
    }
}

impl<O> Paid<O> for Rating {
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Rating(*self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Rating { usage, score: confidence } = kept else { return None };
        Some(Self { confidence, usage })
    }
}

impl<O> Paid<O> for Verdict {
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
    fn is_free(&self) -> bool {
        self.usage.is_none()
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Verdict(*self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Verdict { usage, equivalent } = kept else { return None };
        Some(Self { equivalent, usage })
    }
}

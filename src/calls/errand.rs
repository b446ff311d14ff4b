//! The calls of one item: which item it is, and what they may still spend.

use super::stopping::Begun;
use crate::answer::Reason;
use crate::ledger::Tab;

/// An item while its calls are made; the calls share one place in the queue for the budget.
pub(crate) struct Errand<'a, I: ?Sized> {
    pub(crate) index: u64,
    pub(crate) item: &'a I,
    /// What tells the item from others, in evidence and in plans.
    pub(super) fingerprint: Option<u64>,
    /// What tells it from others in the journal.
    pub(super) recorded: Option<u64>,
    pub(super) tab: Tab<'a>,
    pub(super) begun: Begun,
}

impl<I: ?Sized> Errand<'_, I> {
    /// What tells the item from others in evidence and in plans, if items have a key.
    pub(crate) const fn fingerprint(&self) -> Option<u64> {
        self.fingerprint
    }

    /// Whether the run was stopped before the item had begun.
    pub(crate) fn is_left(&self) -> bool {
        self.begun.is_left()
    }

    /// Why a call that was not made was not made.
    pub(crate) fn refusal(&self) -> Reason {
        if self.is_left() { Reason::Stopped } else { Reason::Unaffordable }
    }
}

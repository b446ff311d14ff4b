//! The calls of one item: which item it is, what tells it from others, and what they may still spend.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::line::Place;
use super::stopping::Begun;
use crate::answer::Reason;
use crate::backend::guard::panicked;
use crate::error::RunError;
use crate::ledger::Tab;

/// Hashes an item, so that the journal and plans can tell it from others.
pub(crate) type Fingerprint<I> = dyn Fn(&I) -> u64 + Send + Sync;

/// Fingerprints an item. It is the caller's code that hashes: like a collection that panics over an item, it
/// ends the run with an error, after the calls under way.
pub(crate) fn told_apart<I: ?Sized>(
    by: &Fingerprint<I>,
    index: u64,
    item: &I,
) -> Result<u64, RunError> {
    catch_unwind(AssertUnwindSafe(|| by(item))).map_err(|panic| {
        let why = format!("its key panicked: {}", panicked(&*panic).message());
        RunError::Item { index, why }
    })
}

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
    /// Its place among items that pay in turn, if they do.
    pub(super) place: Option<Place<'a>>,
}

impl<'a, I: ?Sized> Errand<'a, I> {
    /// Gives the item its place among items that pay in turn.
    pub(crate) fn at(self, place: Option<Place<'a>>) -> Self {
        Self { place, ..self }
    }

    /// Waits until the item may make a call; returns false if it may not at all. A judge with a price may
    /// compare some answers for nothing, so of a comparison it is not certain that it `pays`.
    pub(super) async fn turn(&self, pays: bool) -> bool {
        match self.place {
            Some(place) => place.turn(pays).await,
            None => true,
        }
    }

    /// Says that a call was paid for.
    pub(super) fn paid(&self) {
        if let Some(place) = self.place {
            place.paid();
        }
    }

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

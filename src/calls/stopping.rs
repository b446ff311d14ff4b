//! What a stop means for calls: the items that have begun are finished, and no other call is made.
//!
//! An item begins with its first call that is really made. What earlier runs paid for is recalled after a
//! stop as before it, because that begins nothing. So a stop is like the end of the money: which items
//! can still be answered depends on what is recorded, and for the others nothing is paid.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;

use super::{Calls, Errand};
use crate::stop::Stop;

/// What may end the calls of a run.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// The caller's stop.
    stop: Option<Stop>,
    /// Whether the caller's own code failed on an answer: the run is over, but not others with its stop.
    halted: AtomicBool,
    /// Whether the run found no plan that pays, and was not to go on without one.
    unpaying: AtomicBool,
}

/// Whether an item has begun; undecided until its first call.
#[derive(Debug, Default)]
pub(super) struct Begun(OnceLock<bool>);

impl Begun {
    /// Whether the item may make a call. The first question settles it.
    pub(super) fn may(&self, stopped: impl FnOnce() -> bool) -> bool {
        *self.0.get_or_init(|| !stopped())
    }

    /// Whether the stop came before the item had begun.
    pub(super) fn is_left(&self) -> bool {
        self.0.get() == Some(&false)
    }
}

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    /// Sets the caller's stop.
    pub(crate) fn with_stop(mut self, stop: Option<Stop>) -> Self {
        self.stopping.stop = stop;
        self
    }

    /// The caller's stop.
    pub(crate) fn stop(&self) -> Option<&Stop> {
        self.stopping.stop.as_ref()
    }

    /// Ends this run as a stop would.
    pub(crate) fn halt(&self) {
        self.stopping.halted.store(true, Ordering::Release);
    }

    /// Whether the run was [halted](Self::halt).
    pub(crate) fn is_halted(&self) -> bool {
        self.stopping.halted.load(Ordering::Acquire)
    }

    /// Ends this run as a stop would, because no plan that pays was found.
    pub(crate) fn give_up(&self) {
        self.stopping.unpaying.store(true, Ordering::Release);
    }

    /// Whether this run [gave up](Self::give_up).
    pub(crate) fn has_given_up(&self) -> bool {
        self.stopping.unpaying.load(Ordering::Acquire)
    }

    /// Whether no further item may begin.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        let stopped = self.stopping.stop.as_ref().is_some_and(Stop::is_stopped);
        stopped || self.is_halted() || self.has_given_up()
    }

    /// Waits until the money for all calls of an item is set aside, or refused: none of them waits for money
    /// after that. An item that a stop keeps from calls waits for nothing.
    pub(crate) async fn set_aside(&self, errand: &Errand<'_, I>) {
        if self.is_stopped() && !errand.begun.may(|| true) {
            return;
        }
        errand.tab.open().await;
    }

    /// Whether a call about this item is paid for and not used yet.
    pub(crate) fn is_recorded(&self, index: u64) -> bool {
        let recorded = self.keeper.iter().flat_map(|keeper| keeper.paid_for(index));
        recorded.chain(self.memory.paid_for(index)).next().is_some()
    }

    /// Does the work, and waits for the caller's stop beside it: what is handed to
    /// [`Stop::when`] is polled, and the work is polled again when the stop comes.
    pub(crate) async fn attend<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(stop) = self.stop() else { return work.await };
        let (mut work, mut over) = (pin!(work), stop.over().fuse());
        poll_fn(|cx| {
            let _ = over.poll_unpin(cx);
            work.as_mut().poll(cx)
        })
        .await
    }
}

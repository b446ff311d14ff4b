//! What one stream of answers has to itself: [`Lane`].

use std::sync::Arc;

use super::Shared;
use crate::ledger::Counter;

/// One stream's way to what the executor's streams share, and its own counts, which are entered in the
/// common books when it ends and are read with them until then.
pub(super) struct Lane<I: ?Sized + Sync, O> {
    pub(super) shared: Arc<Shared<I, O>>,
    pub(super) counter: Arc<Counter>,
}

impl<I: ?Sized + Sync, O> Lane<I, O> {
    pub(super) fn new(shared: Arc<Shared<I, O>>) -> Self {
        let counter = Arc::new(Counter::new(shared.plan.roster.models().len()));
        shared.calls.ledger.counters.join(&counter);
        shared.tally.counters.join(&counter);
        Self { shared, counter }
    }
}

impl<I: ?Sized + Sync, O> Drop for Lane<I, O> {
    fn drop(&mut self) {
        let Shared { calls, tally, .. } = &*self.shared;
        calls.ledger.absorb(&self.counter);
        tally.absorb(&self.counter);
    }
}

//! What belongs to one stream of answers alone: [`Lane`].

use std::sync::Arc;

use super::Shared;
use crate::ledger::Counter;

/// One stream's access to what the executor's streams share, with counts of its own. The counts are read
/// together with the common books, and enter them when the stream ends.
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

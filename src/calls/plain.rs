//! A faster way for calls that need only to be made and booked.
//!
//! Most calls of a large run are plain: no journal, no observer, no budget, nothing to recall. For
//! those, the steps of `Calls::pay` can be skipped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{CallKey, Calls, believed, disbelieve};
use crate::backend::guard::panicked;
use crate::backend::{BackendError, Completion, ErrorKind};
use crate::ledger::Counter;
use crate::pricing::Cost;
use crate::roster::ModelId;

/// A call as its backend hands it out: a boxed future.
type Boxed<'a, O> = Pin<Box<dyn Future<Output = Result<Completion<O>, BackendError>> + Send + 'a>>;

/// The place of a call; empty before it begins and after it ends.
pub(crate) struct Underway<'a, O>(Option<Boxed<'a, O>>);

impl<O> Underway<'_, O> {
    pub(crate) const NONE: Self = Self(None);
}

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    /// Whether calls need only to be made and booked: nothing is recalled or written down, nobody
    /// observes, and there is no budget.
    pub(crate) fn is_plain(&self) -> bool {
        self.keeper.is_none()
            && self.observers.is_empty()
            && self.ledger.purse().is_none()
            && self.memory.is_empty()
    }

    /// Does the work of [`ask`](Self::ask) for a model whose answer is delivered, where calls are
    /// [plain](Self::is_plain): the same call and the same bill, without the steps that would do nothing. The
    /// stream's own counter counts a candidate's answer; everything else goes to the ledger.
    ///
    /// Begins the call or continues it, and books it when it ends. This is one step of a future and not
    /// a future of its own, because another layer would move the answer once more.
    #[inline]
    pub(crate) fn poll_plainly<'a>(
        &'a self,
        index: u64,
        item: &'a I,
        model: ModelId,
        call: &mut Underway<'a, O>,
        counter: &Counter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(O, Cost), (ErrorKind, Cost)>> {
        let Some(backend) = self.roster.backend(model) else {
            return Poll::Ready(Err((ErrorKind::Permanent, Cost::ZERO)));
        };
        let key = CallKey::answer(index, model);
        // Book the call before its answer is moved, and inside the catch. The answer has just been written
        // field by field, and moving it as a whole right afterwards would wait for all those writes.
        let step = AssertUnwindSafe(|| {
            // A hand-written `complete` may panic before it returns its future.
            let call = call.0.get_or_insert_with(|| (**backend).complete(item));
            let mut poll = call.as_mut().poll(cx);
            let mut cost = Cost::ZERO;
            if let Poll::Ready(Ok(Completion { usage, .. })) = &mut poll {
                disbelieve(usage);
                let bill = self.bill(&key, usage.as_ref(), None);
                cost = if model.is_reference() {
                    self.ledger.bill(key, bill)
                } else {
                    counter.add(model, bill)
                };
            }
            poll.map(|result| match result {
                Ok(Completion { output, .. }) => Ok((output, cost)),
                Err(error) => Err(self.failed_plainly(key, &error)),
            })
        });
        let went = match catch_unwind(step) {
            Ok(went) => went,
            Err(panic) => Poll::Ready(Err(self.failed_plainly(key, &panicked(&*panic)))),
        };
        if went.is_ready() {
            call.0 = None;
        }
        went
    }

    /// Books a call that failed.
    #[cold]
    fn failed_plainly(&self, key: CallKey, error: &BackendError) -> (ErrorKind, Cost) {
        self.ledger.faults.note(&key, error);
        let kind = error.kind();
        let usage = believed(kind.used(error.usage()));
        let bill = self.bill(&key, usage.as_ref(), Some(kind));
        (kind, self.ledger.bill(key, bill))
    }
}

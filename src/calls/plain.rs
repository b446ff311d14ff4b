//! Calls that need only to be made and booked.

use super::{CallKey, Calls, believed, disbelieve};
use crate::backend::guard::guarded_then;
use crate::backend::{Completion, ErrorKind};
use crate::ledger::Counter;
use crate::pricing::Cost;
use crate::roster::ModelId;

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    /// Whether a call needs only to be made and booked: nothing is recalled or written down, nobody
    /// watches, and money is not capped.
    pub(crate) fn is_plain(&self) -> bool {
        self.keeper.is_none()
            && self.observers.is_empty()
            && self.ledger.purse().is_none()
            && self.memory.is_empty()
    }

    /// As [`ask`](Self::ask) of a model whose answer is delivered, where calls are
    /// [plain](Self::is_plain): the same call and the same bill, without the ways that are not taken,
    /// and with the answer moved half as often. A candidate's answer is counted by the stream's own
    /// counter, all else in the ledger.
    pub(crate) async fn ask_plainly(
        &self,
        index: u64,
        item: &I,
        model: ModelId,
        counter: &Counter,
    ) -> (Result<O, ErrorKind>, Cost) {
        let Some(backend) = self.roster.backend(model) else {
            return (Err(ErrorKind::Permanent), Cost::ZERO);
        };
        let key = CallKey::answer(index, model);
        guarded_then(
            || (**backend).complete(item),
            |result| match result {
                Ok(Completion { output, mut usage, .. }) => {
                    disbelieve(&mut usage);
                    let bill = self.bill(&key, usage.as_ref(), None);
                    let cost = if model.is_reference() {
                        self.ledger.bill(key, bill)
                    } else {
                        counter.add(model, bill)
                    };
                    (Ok(output), cost)
                }
                Err(error) => {
                    self.ledger.faults.note(&key, &error);
                    let (kind, usage) = (error.kind(), believed(error.usage()));
                    let bill = self.bill(&key, usage.as_ref(), Some(kind));
                    (Err(kind), self.ledger.bill(key, bill))
                }
            },
        )
        .await
    }
}

//! Calls that need only to be made and booked.

use super::{CallKey, Calls, Errand, Keepsake, believed};
use crate::backend::ErrorKind;
use crate::backend::guard::guarded;
use crate::error::RunError;
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

    /// As [`ask`](Self::ask), where calls are [plain](Self::is_plain): the same call, booked in the
    /// same place, without the ways that are not taken, and with the answer moved half as often.
    pub(crate) async fn ask_plainly(
        &self,
        errand: &Errand<'_, I>,
        model: ModelId,
    ) -> Result<(Result<O, ErrorKind>, Cost), RunError> {
        let Some(backend) = self.roster.backend(model) else {
            return Ok((Err(ErrorKind::Permanent), Cost::ZERO));
        };
        let result = guarded(|| (**backend).complete(errand.item)).await;
        let key = CallKey::answer(errand.index, model);
        Ok(match result {
            Ok(mut completion) => {
                let usage = believed(completion.usage);
                completion.usage = usage;
                let cost = self.book(errand, key, Keepsake::Answer(&completion), usage, None)?;
                (Ok(completion.output), cost)
            }
            Err(error) => {
                self.ledger.faults.note(&key, &error);
                let (kind, usage) = (error.kind(), believed(error.usage()));
                let keepsake = Keepsake::Failure { kind, usage };
                (Err(kind), self.book(errand, key, keepsake, usage, Some(kind))?)
            }
        })
    }
}

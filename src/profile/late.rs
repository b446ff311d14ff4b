//! Taking over what an earlier run paid for about items that came too late to be evidence.
//!
//! Calls run ahead of the evidence, so items may be under way when profiling ends. A run that is taken up
//! again over its journal recalls its evidence at once and ends before it comes to those items. What was paid
//! for them must be handed on all the same: otherwise it is in no report and no budget, and is paid again.

use super::driver::Router;
use super::item::{Profiled, one, remember};
use super::machine::ProfileMachine;
use crate::calls::Calls;
use crate::error::RunError;
use crate::items::Items;

/// Recalls the recorded calls about items that profiling may have asked about before it ended. It makes no
/// call: the run is over but for this.
pub(crate) async fn recall_late<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    machine: &mut ProfileMachine,
) -> Result<(), RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    calls.halt();
    while let Some(request) = machine.poll_granted() {
        if !calls.is_recorded(request.index) {
            continue;
        }
        let profiled = one(calls, items, router, request, None).await?;
        let Profiled { answer, evidence, paid, short, .. } = profiled;
        // The earlier run may have died before it had asked everything.
        if short.is_none() {
            machine.handle_outcome(evidence)?;
        }
        remember(calls, answer, paid);
    }
    Ok(())
}

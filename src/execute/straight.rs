//! The short way of an item whose answer is decided before any call.
//!
//! With a single candidate, or a share of the items by coin, what the candidate says changes
//! nothing: its answer is delivered, and a failure goes to the reference. Most runs end in such a
//! plan, and then it is the executor's own time that counts beside a call that is ready at once. So
//! this way asks the policy once instead of twice, draws a coin only where one matters, and holds
//! nothing between calls; [`route::follow`](super::route::follow) comes to the same answers at the
//! same cost, which a test compares.

use super::Shared;
use super::lane::Lane;
use crate::answer::{Answer, Reason};
use crate::evidence::ModelSet;
use crate::plan::{Key, Known, Mark, Move, Plan, Policy};
use crate::pricing::Cost;
use crate::roster::ModelId;

/// The plans that take this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Straight {
    /// Every item is given to this model.
    All(ModelId),
    /// Items are given to the chain's model or not, by their coin.
    Some,
}

impl Straight {
    /// How a plan's items go straight, if they do.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let Policy::Chain { chain, threshold } = &plan.policy else { return None };
        match (&chain.key, chain.second) {
            (Key::Coin, None) if *threshold == Mark::LOWEST => Some(Self::All(chain.first)),
            (Key::Coin, None) => Some(Self::Some),
            _ => None,
        }
    }

    /// The model the item is given to first.
    fn asks(self, plan: &Plan, index: u64) -> Option<ModelId> {
        match self {
            Self::All(model) => Some(model),
            Self::Some => {
                let known = Known { coin: plan.order.coin(index), ..Known::default() };
                match plan.policy.next(&known) {
                    Move::Ask(model) => Some(model),
                    _ => None,
                }
            }
        }
    }

    /// Answers an item and counts the answer, where calls are plain.
    pub(super) async fn answer<I: ?Sized + Sync, O: Send + Sync>(
        self,
        lane: &Lane<I, O>,
        index: u64,
        item: &I,
    ) -> Answer<O> {
        let Shared { calls, plan, tally, .. } = &*lane.shared;
        let (mut asked, mut reason) = (ModelSet::EMPTY, Reason::Routed);
        let mut next = self.asks(plan, index).unwrap_or(ModelId::REFERENCE);
        let mut cost = Cost::ZERO;
        loop {
            asked.insert(next);
            let (result, paid) = calls.ask_plainly(index, item, next, &lane.counter).await;
            cost += paid;
            match result {
                Ok(output) => {
                    if next.is_reference() {
                        tally.add(Some(next), reason);
                    } else {
                        // The call was counted, and with it the answer.
                        reason = Reason::Accepted;
                    }
                    let (output, by) = (Some(output), Some(next));
                    return Answer { index, output, by, reason, asked, cost };
                }
                Err(kind) if next.is_reference() => {
                    let reason = Reason::ReferenceFailed(kind);
                    tally.add(None, reason);
                    return Answer { index, output: None, by: None, reason, asked, cost };
                }
                Err(kind) => (next, reason) = (ModelId::REFERENCE, Reason::CandidateFailed(kind)),
            }
        }
    }
}

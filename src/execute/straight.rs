//! The short way of an item whose answer is decided before any call.
//!
//! With a single candidate, or a share of the items by coin, what the candidate says changes
//! nothing: its answer is delivered, and a failure goes to the reference. Most runs end in such a
//! plan, and then it is the executor's own time that counts beside a call that is ready at once. So
//! this way asks the policy once instead of twice, draws a coin only where one matters, and holds
//! nothing between calls; [`route::follow`](super::route::follow) comes to the same answers at the
//! same cost, which a test compares.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Shared;
use super::lane::Lane;
use crate::answer::{Answer, Reason};
use crate::backend::ErrorKind;
use crate::calls::Underway;
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
}

/// An item on its way, one call after another.
///
/// A future written by hand: all it holds is what the next poll needs, and an answer is put together
/// once, where it is given away.
pub(super) struct Way<'a, I: ?Sized + Sync, O> {
    lane: &'a Lane<I, O>,
    index: u64,
    item: &'a I,
    /// Who is asked first.
    first: ModelId,
    /// How that went, if it failed, and what it cost: then the reference is asked.
    failed: Option<(ErrorKind, Cost)>,
    call: Underway<'a, O>,
}

impl<'a, I: ?Sized + Sync, O> Way<'a, I, O> {
    #[inline]
    pub(super) fn new(straight: Straight, lane: &'a Lane<I, O>, index: u64, item: &'a I) -> Self {
        let first = straight.asks(&lane.shared.plan, index).unwrap_or(ModelId::REFERENCE);
        Self { lane, index, item, first, failed: None, call: Underway::NONE }
    }
}

/// Answers the item and counts the answer, where calls are plain.
impl<I: ?Sized + Sync, O: Send + Sync> Future for Way<'_, I, O> {
    type Output = Answer<O>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<O>> {
        let Self { lane, index, item, first, failed, call } = &mut *self;
        let (index, Shared { calls, tally, .. }) = (*index, &*lane.shared);
        loop {
            let next = if failed.is_some() { ModelId::REFERENCE } else { *first };
            let (before, mut reason) = match *failed {
                Some((kind, paid)) => (paid, Reason::CandidateFailed(kind)),
                None => (Cost::ZERO, Reason::Routed),
            };
            let went = ready!(calls.poll_plainly(index, item, next, call, &lane.counter, cx));
            let mut asked = ModelSet::EMPTY;
            asked.insert(*first);
            asked.insert(next);
            match went {
                Ok((output, paid)) => {
                    if next.is_reference() {
                        tally.add(Some(next), reason);
                    } else {
                        // The call was counted, and with it the answer.
                        reason = Reason::Accepted;
                    }
                    let (output, by, cost) = (Some(output), Some(next), before + paid);
                    return Poll::Ready(Answer { index, output, by, reason, asked, cost });
                }
                Err((kind, paid)) if next.is_reference() => {
                    let (reason, cost) = (Reason::ReferenceFailed(kind), before + paid);
                    tally.add(None, reason);
                    let (output, by) = (None, None);
                    return Poll::Ready(Answer { index, output, by, reason, asked, cost });
                }
                Err(went) => *failed = Some(went),
            }
        }
    }
}

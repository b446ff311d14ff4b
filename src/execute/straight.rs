//! The short way of an item whose answer is decided before any call.
//!
//! With a single candidate, or a share of the items by coin, nothing depends on what the candidate says:
//! its answer is delivered, and if its call fails the reference is asked. Most runs end in such a plan,
//! and then the executor's own time counts if calls are ready at once. So this way asks the policy once
//! instead of twice, draws a coin only where one matters, and holds nothing between calls.
//! [`route::follow`](super::route::follow) comes to the same answers at the same cost, and a test
//! compares the two.

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

/// The kinds of plan that allow the short way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Straight {
    /// Every item goes to this model.
    All(ModelId),
    /// An item goes to the chain's model or to the reference, by its coin.
    Some,
}

impl Straight {
    /// Which kind a plan is; `None` if its items need the long way.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let Policy::Chain { chain, threshold } = &plan.policy else { return None };
        match (&chain.key, chain.second) {
            (Key::Coin, None) if *threshold == Mark::LOWEST => Some(Self::All(chain.first)),
            (Key::Coin, None) => Some(Self::Some),
            _ => None,
        }
    }

    /// The model the item goes to first; `None` is the reference.
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

/// One item on the short way, with its calls one after another.
///
/// This future is written by hand: it holds only what the next poll needs, and the answer is built once,
/// where it is returned.
pub(super) struct Way<'a, I: ?Sized + Sync, O> {
    lane: &'a Lane<I, O>,
    index: u64,
    item: &'a I,
    /// The model that is asked first.
    first: ModelId,
    /// How the candidate's call failed and what it cost; then the reference is asked.
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

/// Answers the item and counts the answer, if calls are plain.
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
                        // The answer was counted together with the call.
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

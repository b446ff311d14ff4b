//! Gives answers in the order of their items, in bounded memory: [`InOrder`].
//!
//! Calls finish in any order. [`InOrder`] holds each answer until all earlier ones are delivered, and
//! [`Admitted`] stops letting items in while too many are waited for.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures::Stream;

use crate::answer::Answer;
use crate::error::RunError;
use crate::locks::lock;

/// The items let in whose answers are not delivered yet, in the order of the stream.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<VecDeque<u64>>>);

impl Turns {
    fn queue(&self) -> MutexGuard<'_, VecDeque<u64>> {
        lock(&self.0)
    }

    /// Lets items in while fewer than `most` are waited for; 0 counts as 1.
    pub(super) fn admit<S>(&self, items: S, most: usize) -> Admitted<S> {
        Admitted { items: Box::pin(items), turns: self.clone(), most: most.max(1) }
    }
}

/// A stream of items that pauses while too many are waited for.
///
/// While it pauses it is pending without a waker: only [`InOrder`] can end the pause, and it then polls
/// this stream again itself.
pub(super) struct Admitted<S> {
    items: Pin<Box<S>>,
    turns: Turns,
    most: usize,
}

impl<T, S: Stream<Item = (u64, T)>> Stream for Admitted<S> {
    type Item = (u64, T);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.turns.queue().len() >= self.most {
            return Poll::Pending;
        }
        let next = self.items.as_mut().poll_next(cx);
        if let Poll::Ready(Some((index, _))) = &next {
            self.turns.queue().push_back(*index);
        }
        next
    }
}

/// Holds answers until it is their turn. An error ends the stream, after the answers that are there.
///
/// It cannot wait for ever: the item whose turn it is was let in before all others that are waited for,
/// so it is under way.
pub(super) struct InOrder<F, O> {
    /// `None` once it has ended.
    flow: Option<F>,
    turns: Turns,
    /// By index; there are several if an item was asked for twice.
    held: BTreeMap<u64, Vec<Answer<O>>>,
    /// The error to end with once nothing is held any more.
    error: Option<RunError>,
}

/// Nothing in it is pinned in place.
impl<F, O> Unpin for InOrder<F, O> {}

impl<F, O> InOrder<F, O> {
    pub(super) const fn new(flow: F, turns: Turns) -> Self {
        Self { flow: Some(flow), turns, held: BTreeMap::new(), error: None }
    }

    /// Takes the answer whose turn it is, if it is there.
    fn due(&mut self) -> Option<Answer<O>> {
        let mut queue = self.turns.queue();
        let index = *queue.front()?;
        let answers = self.held.get_mut(&index)?;
        let answer = answers.pop()?;
        if answers.is_empty() {
            self.held.remove(&index);
        }
        queue.pop_front();
        Some(answer)
    }

    /// Takes the next answer that is there, even if it is not its turn.
    fn left(&mut self) -> Option<Answer<O>> {
        let mut queue = self.turns.queue();
        while let Some(index) = queue.pop_front() {
            if let Some(answer) = self.held.get_mut(&index).and_then(Vec::pop) {
                return Some(answer);
            }
        }
        None
    }
}

impl<F, O> Stream for InOrder<F, O>
where
    F: Stream<Item = Result<Answer<O>, RunError>> + Unpin,
{
    type Item = F::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(answer) = self.due() {
                return Poll::Ready(Some(Ok(answer)));
            }
            let Some(flow) = &mut self.flow else {
                let left = self.left().map(Ok);
                return Poll::Ready(left.or_else(|| self.error.take().map(Err)));
            };
            match Pin::new(flow).poll_next(cx) {
                Poll::Ready(Some(Ok(answer))) => {
                    self.held.entry(answer.index).or_default().push(answer);
                }
                Poll::Ready(Some(Err(error))) => (self.flow, self.error) = (None, Some(error)),
                Poll::Ready(None) => self.flow = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

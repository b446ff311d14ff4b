//! A bounded set of futures under way.
//!
//! A future is polled once where it stands before it is queued. One that is ready at once (a
//! recalled answer, an in-process model) is never queued at all, which saves the allocation and
//! the wake-ups that a queue costs; one that is not is queued as usual.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FuturesUnordered;

/// Futures under way and results not yet taken.
pub(crate) struct Pool<F: Future> {
    waiting: FuturesUnordered<F>,
    ready: VecDeque<F::Output>,
}

impl<F: Future> Pool<F> {
    pub(crate) fn new() -> Self {
        Self { waiting: FuturesUnordered::new(), ready: VecDeque::new() }
    }

    /// Futures under way and results not yet taken, together.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.ready.len()
    }

    /// Takes one more result, if one is ready; `Ready(None)` if nothing is under way.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if let Some(output) = self.ready.pop_front() {
            return Poll::Ready(Some(output));
        }
        Pin::new(&mut self.waiting).poll_next(cx)
    }
}

impl<F: Future + Unpin> Pool<F> {
    /// Starts a future.
    pub(crate) fn start(&mut self, mut future: F, cx: &mut Context<'_>) {
        match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => self.ready.push_back(output),
            Poll::Pending => self.waiting.push(future),
        }
    }
}

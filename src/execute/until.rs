//! Items until the run is stopped: [`UntilStopped`].

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{FutureExt, Stream};

use crate::stop::Over;

/// Ends a stream of items when the stop comes, and then says whether items may be left.
///
/// None are left if the stream says so ([`Stream::size_hint`]) and has ended. A stream that may hold more is
/// not polled to find out: an item taken from a queue that other workers share would be answered by nobody.
pub(super) struct UntilStopped<S, F> {
    items: Pin<Box<S>>,
    over: Option<Over>,
    /// Called once, if the stop comes while items may be left.
    left: F,
    ended: bool,
}

impl<S: Stream, F: Fn()> UntilStopped<S, F> {
    pub(super) fn new(items: S, over: Option<Over>, left: F) -> Self {
        Self { items: Box::pin(items), over, left, ended: false }
    }
}

/// Nothing in it is pinned in place: the items are boxed.
impl<S, F> Unpin for UntilStopped<S, F> {}

impl<S: Stream, F: Fn()> Stream for UntilStopped<S, F> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.over.as_mut().is_some_and(|over| over.poll_unpin(cx).is_ready()) {
            self.ended = true;
            self.over = None;
            let none_left = self.items.size_hint().1 == Some(0)
                && matches!(self.items.as_mut().poll_next(cx), Poll::Ready(None));
            if !none_left {
                (self.left)();
            }
            return Poll::Ready(None);
        }
        let next = self.items.as_mut().poll_next(cx);
        self.ended = matches!(next, Poll::Ready(None));
        next
    }
}

//! A bounded set of futures under way.
//!
//! A future is polled once where it stands before it is queued. One that is ready at once (a
//! recalled answer, an in-process model) is never queued at all, which saves the allocation and
//! the wake-ups that a queue costs; one that is not is queued as usual. The box that a future is
//! polled in is used again for the next one, so a call costs no allocation of ours beyond the
//! queue's own.
//!
//! Where all futures are ready at once nothing would ever wait, and a task that never waits starves
//! its neighbours: after [`STREAK`] results in a row the pool asks to be polled again instead of
//! giving one more.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FuturesUnordered;

/// Results in a row before others get their turn.
const STREAK: u32 = 128;

/// Futures under way and results not yet taken.
pub(crate) struct Pool<F: Future> {
    waiting: FuturesUnordered<Boxed<F>>,
    ready: VecDeque<F::Output>,
    /// Boxes of finished futures, to be used again.
    spare: Vec<Pin<Box<F>>>,
    /// Results given since the last wait.
    streak: u32,
}

impl<F: Future> Pool<F> {
    pub(crate) fn new() -> Self {
        let (waiting, ready) = (FuturesUnordered::new(), VecDeque::new());
        Self { waiting, ready, spare: Vec::new(), streak: 0 }
    }

    /// Futures under way and results not yet taken, together.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.ready.len()
    }

    /// Starts a future.
    pub(crate) fn start(&mut self, future: F, cx: &mut Context<'_>) {
        let mut boxed = match self.spare.pop() {
            Some(mut used) => {
                used.set(future);
                used
            }
            None => Box::pin(future),
        };
        match boxed.as_mut().poll(cx) {
            Poll::Ready(output) => {
                self.ready.push_back(output);
                self.spare.push(boxed);
            }
            Poll::Pending => self.waiting.push(Boxed(Some(boxed))),
        }
    }

    /// Takes one more result, if one is ready; `Ready(None)` if nothing is under way.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.streak == STREAK {
            self.streak = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(output) = self.ready.pop_front() {
            self.streak += 1;
            return Poll::Ready(Some(output));
        }
        match Pin::new(&mut self.waiting).poll_next(cx) {
            Poll::Ready(Some((output, boxed))) => {
                self.spare.push(boxed);
                self.streak += 1;
                Poll::Ready(Some(output))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.streak = 0;
                Poll::Pending
            }
        }
    }
}

/// A future in its box, which it gives back when it is done.
struct Boxed<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Boxed<F> {
    type Output = (F::Output, Pin<Box<F>>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A future is not polled after it is done, so the box is there.
        let Some(mut boxed) = self.0.take() else { return Poll::Pending };
        match boxed.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready((output, boxed)),
            Poll::Pending => {
                self.0 = Some(boxed);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use futures::future::Either;
    use futures::task::noop_waker;

    use super::*;

    #[test]
    fn a_box_serves_one_future_after_another() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut pool = Pool::new();
        for number in 0..10 {
            let mut polls = 0;
            let twice = poll_fn(move |cx: &mut Context<'_>| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls == 2 { Poll::Ready(number) } else { Poll::Pending }
            });
            let once = ready(number);
            let future = if number % 2 == 0 { Either::Left(once) } else { Either::Right(twice) };
            pool.start(future, &mut cx);
            assert_eq!(pool.len(), 1);
            assert_eq!(pool.poll_next(&mut cx), Poll::Ready(Some(number)));
            assert_eq!((pool.len(), pool.spare.len()), (0, 1));
        }
        assert_eq!(pool.poll_next(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn futures_that_are_always_ready_leave_others_their_turn() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut pool = Pool::new();
        let mut row = 0;
        for number in 0..1_000 {
            pool.start(ready(number), &mut cx);
            row = if pool.poll_next(&mut cx).is_ready() { row + 1 } else { 0 };
            assert!(row <= STREAK);
        }
        assert_eq!(pool.len(), 7, "one is left over from each turn given to others");
    }
}

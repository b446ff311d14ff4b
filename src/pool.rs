//! A bounded set of futures under way; profiling and execution make their calls in one.
//!
//! A new future is polled once before it is queued. If it is ready at once (a recalled answer, an
//! in-process model), it is never queued and its result goes straight out, which saves the allocation,
//! the wake-ups and the copies of a queue. Otherwise it is queued as usual. The box in which a future is
//! polled is reused for the next one, so a call costs no allocation beyond the queue's own.
//!
//! If all futures are ready at once, nothing ever waits, and a task that never waits starves its
//! neighbours. So after [`STREAK`] results in a row the pool asks to be polled again instead of
//! returning one more, and then looks at the queue first.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FuturesUnordered;

use crate::error::RunError;

/// How many results are returned in a row before others get their turn.
const STREAK: u32 = 128;

/// The error that a run will end with, held until the calls under way have ended: they are paid for, and
/// their answers are delivered.
#[derive(Debug, Default)]
pub(crate) struct Ending(Option<RunError>);

impl Ending {
    /// Notes an error; the first one counts.
    ///
    /// # Errors
    /// An error of the journal is returned at once, because the calls under way could not be written down.
    pub(crate) fn note(&mut self, error: RunError) -> Result<(), RunError> {
        if matches!(error, RunError::Journal(_)) {
            return Err(error);
        }
        self.0.get_or_insert(error);
        Ok(())
    }

    /// Whether nothing more is begun.
    pub(crate) const fn is_near(&self) -> bool {
        self.0.is_some()
    }

    /// Takes the error, if there is one.
    pub(crate) fn take(&mut self) -> Option<RunError> {
        self.0.take()
    }
}

/// Futures under way.
pub(crate) struct Pool<F: Future> {
    waiting: FuturesUnordered<Boxed<F>>,
    /// Boxes of finished futures, to be reused.
    spare: Vec<Pin<Box<F>>>,
    /// Results returned since the last wait.
    streak: u32,
    /// Whether the queue is looked at first.
    queue_first: bool,
}

impl<F: Future> Pool<F> {
    pub(crate) fn new() -> Self {
        let waiting = FuturesUnordered::new();
        Self { waiting, spare: Vec::new(), streak: 0, queue_first: false }
    }

    /// Starts futures until one is ready at once, `most` are under way, or there are no more for now.
    /// Then returns a result if there is one, and `Ready(None)` if nothing is under way.
    ///
    /// Inlining saves one move of each result on its way to the consumer of the stream.
    #[allow(clippy::inline_always, reason = "generic, and called from one place for each type")]
    #[inline(always)]
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        mut more: impl FnMut(&mut Context<'_>) -> Option<F>,
    ) -> Poll<Option<F::Output>> {
        if self.streak >= STREAK {
            (self.streak, self.queue_first) = (0, true);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if std::mem::take(&mut self.queue_first)
            && let Poll::Ready(Some(output)) = self.poll_queue(cx)
        {
            return Poll::Ready(Some(output));
        }
        while self.waiting.len() < most {
            let Some(future) = more(cx) else { break };
            let mut boxed = match self.spare.pop() {
                Some(mut used) => {
                    used.set(future);
                    used
                }
                None => Box::pin(future),
            };
            match boxed.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    self.spare.push(boxed);
                    self.streak += 1;
                    return Poll::Ready(Some(output));
                }
                Poll::Pending => self.waiting.push(Boxed(Some(boxed))),
            }
        }
        self.poll_queue(cx)
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let next = Pin::new(&mut self.waiting).poll_next(cx);
        self.streak = if next.is_ready() { self.streak + 1 } else { 0 };
        next.map(|done| {
            let (output, boxed) = done?;
            self.spare.push(boxed);
            Some(output)
        })
    }
}

/// A future in its box, which is returned with the result.
struct Boxed<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Boxed<F> {
    type Output = (F::Output, Pin<Box<F>>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A future is not polled again once it is done, so the box is there.
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
    use std::future::{pending, poll_fn, ready};
    use std::task::Waker;

    use futures::future::Either;

    use super::*;

    #[test]
    fn a_box_serves_one_future_after_another() {
        let mut cx = Context::from_waker(Waker::noop());
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
            let mut futures = Some(future);
            let next = pool.poll_next(&mut cx, 1, |_| futures.take());
            assert_eq!(next, Poll::Ready(Some(number)));
            assert_eq!(pool.spare.len(), 1);
        }
        assert_eq!(pool.poll_next(&mut cx, 1, |_| None), Poll::Ready(None));
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pool = Pool::new();
        let mut started = 0;
        let next = pool.poll_next(&mut cx, 3, |_| {
            started += 1;
            Some(pending::<()>())
        });
        assert_eq!((next, started), (Poll::Pending, 3));
    }

    #[test]
    fn futures_that_are_always_ready_leave_others_their_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pool = Pool::new();
        // One future waits from the start and is done once it has been polled again.
        let mut polls = 0;
        let slow = poll_fn(move |cx: &mut Context<'_>| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(0) } else { Poll::Pending }
        });
        let mut slow = Some(slow);
        let mut results = Vec::new();
        let (mut row, mut waits) = (0, 0);
        while results.len() < 1_000 {
            let next = pool.poll_next(&mut cx, 2, |_| {
                Some(slow.take().map_or(Either::Left(ready(1)), Either::Right))
            });
            if let Poll::Ready(Some(number)) = next {
                results.push(number);
                row += 1;
            } else {
                (row, waits) = (0, waits + 1);
            }
            assert!(row <= STREAK);
        }
        assert_eq!(waits, 7);
        assert_eq!(results.iter().position(|number| *number == 0), Some(128));
    }
}

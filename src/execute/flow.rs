//! Items in, answers out, so many under way at once: [`Flow`].

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::error::RunError;
use crate::pool::Pool;

/// Makes a future of each item of a stream, keeps a bounded number of them under way, and gives
/// their results as they come. An error ends it: what is under way is dropped.
///
/// It holds what is under way and nothing else, so its memory does not grow with the stream.
pub(super) struct Flow<S, M, F: Future> {
    /// `None` once it has ended.
    items: Option<Pin<Box<S>>>,
    population: u64,
    make: M,
    pool: Pool<F>,
    concurrency: usize,
}

/// Nothing in it is pinned in place: futures and the source are boxed.
impl<S, M, F: Future> Unpin for Flow<S, M, F> {}

impl<T, S, M, F, A> Flow<S, M, F>
where
    S: Stream<Item = (u64, T)>,
    M: FnMut(u64, T) -> F,
    F: Future<Output = Result<A, RunError>>,
{
    pub(super) fn new(items: S, population: u64, concurrency: usize, make: M) -> Self {
        Self { items: Some(Box::pin(items)), population, make, pool: Pool::new(), concurrency }
    }

    /// Starts futures until enough are under way or no item is ready.
    fn refill(&mut self, cx: &mut Context<'_>) -> Result<(), RunError> {
        let population = self.population;
        while self.pool.len() < self.concurrency {
            let Some(items) = &mut self.items else { break };
            match items.as_mut().poll_next(cx) {
                Poll::Ready(Some((index, _))) if index >= population => {
                    return Err(RunError::OutsidePopulation { index, population });
                }
                Poll::Ready(Some((index, item))) => {
                    self.pool.start((self.make)(index, item), cx);
                }
                Poll::Ready(None) => self.items = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.items = None;
        self.pool = Pool::new();
    }
}

impl<T, S, M, F, A> Stream for Flow<S, M, F>
where
    S: Stream<Item = (u64, T)>,
    M: FnMut(u64, T) -> F,
    F: Future<Output = Result<A, RunError>>,
{
    type Item = Result<A, RunError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.refill(cx) {
            self.end();
            return Poll::Ready(Some(Err(error)));
        }
        match self.pool.poll_next(cx) {
            Poll::Ready(Some(Err(error))) => {
                self.end();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) if self.items.is_some() => Poll::Pending,
            next => next,
        }
    }
}

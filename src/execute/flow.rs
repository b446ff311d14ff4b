//! Items in, answers out, so many under way at once: [`Flow`].

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::error::RunError;
use crate::pool::Pool;

/// Makes a future of each item of a stream, keeps a bounded number of them under way, and gives
/// their results as they come. An error ends it: what is under way is dropped.
///
/// It holds what is under way and nothing else, so its memory does not grow with the stream. What
/// the futures share, each takes along and gives back: a shared pointer cloned and dropped for
/// each item would cost two locked instructions.
pub(super) struct Flow<S, M, F: Future, C> {
    /// `None` once it has ended.
    items: Option<Pin<Box<S>>>,
    population: u64,
    make: M,
    pool: Pool<F>,
    concurrency: usize,
    shared: C,
    /// What finished futures gave back.
    returned: Vec<C>,
}

/// Nothing in it is pinned in place: futures and the source are boxed.
impl<S, M, F: Future, C> Unpin for Flow<S, M, F, C> {}

impl<T, S, M, F, A, C> Flow<S, M, F, C>
where
    S: Stream<Item = (u64, T)>,
    M: FnMut(C, u64, T) -> F,
    F: Future<Output = (C, Result<A, RunError>)>,
    C: Clone,
{
    pub(super) fn new(items: S, population: u64, concurrency: usize, shared: C, make: M) -> Self {
        let (items, pool, returned) = (Some(Box::pin(items)), Pool::new(), Vec::new());
        Self { items, population, make, pool, concurrency, shared, returned }
    }

    fn end(&mut self) {
        self.items = None;
        self.pool = Pool::new();
    }
}

impl<T, S, M, F, A, C> Stream for Flow<S, M, F, C>
where
    S: Stream<Item = (u64, T)>,
    M: FnMut(C, u64, T) -> F,
    F: Future<Output = (C, Result<A, RunError>)>,
    C: Clone,
{
    type Item = Result<A, RunError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { items, population, make, pool, concurrency, shared, returned } = &mut *self;
        let mut outside = None;
        let next =
            pool.poll_next(cx, *concurrency, |cx| match items.as_mut()?.as_mut().poll_next(cx) {
                Poll::Ready(Some((index, _))) if index >= *population => {
                    outside = Some(index);
                    None
                }
                Poll::Ready(Some((index, item))) => {
                    let shared = returned.pop().unwrap_or_else(|| shared.clone());
                    Some(make(shared, index, item))
                }
                Poll::Ready(None) => {
                    *items = None;
                    None
                }
                Poll::Pending => None,
            });
        if let Some(index) = outside {
            let population = *population;
            self.end();
            return Poll::Ready(Some(Err(RunError::OutsidePopulation { index, population })));
        }
        match next {
            Poll::Ready(Some((shared, result))) => {
                self.returned.push(shared);
                if result.is_err() {
                    self.end();
                }
                Poll::Ready(Some(result))
            }
            Poll::Ready(None) if self.items.is_none() => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

//! Items in, answers out, with a bounded number under way: [`Flow`].

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::error::RunError;
use crate::pool::{Ending, Pool};

/// Makes a future of each item of a stream, keeps a bounded number of them under way, and yields their
/// results as they come. An error ends the stream, after the results of what is under way.
///
/// It holds only what is under way, so its memory does not grow with the stream. What the futures share
/// is lent to each and given back: cloning and dropping a shared pointer for each item would cost two
/// locked instructions.
pub(super) struct Flow<S, M, F: Future, C> {
    /// `None` once the items have ended.
    items: Option<Pin<Box<S>>>,
    population: u64,
    make: M,
    pool: Pool<F>,
    concurrency: usize,
    shared: C,
    /// What finished futures gave back, to be lent again.
    returned: Vec<C>,
    ending: Ending,
}

/// Nothing in it is pinned in place: the futures and the source are boxed.
impl<S, M, F: Future, C> Unpin for Flow<S, M, F, C> {}

impl<T, S, M, F, A, C> Flow<S, M, F, C>
where
    S: Stream<Item = (u64, T)>,
    M: FnMut(C, u64, T) -> F,
    F: Future<Output = (C, Result<A, RunError>)>,
    C: Clone,
{
    pub(super) fn new(items: S, population: u64, concurrency: usize, shared: C, make: M) -> Self {
        let (items, pool, ending) = (Some(Box::pin(items)), Pool::new(), Ending::default());
        Self { items, population, make, pool, concurrency, shared, returned: Vec::new(), ending }
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
        loop {
            let Self { items, population, make, pool, concurrency, shared, returned, ending } =
                &mut *self;
            let next = pool.poll_next(cx, *concurrency, |cx| {
                match items.as_mut()?.as_mut().poll_next(cx) {
                    Poll::Ready(Some((index, _))) if index >= *population => {
                        *items = None;
                        let population = *population;
                        // Not an error of the journal's, so noting it is enough.
                        let _ = ending.note(RunError::OutsidePopulation { index, population });
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
                }
            });
            match next {
                Poll::Ready(Some((shared, result))) => {
                    returned.push(shared);
                    // Passed on whole: taking an answer apart and rebuilding it would move it twice.
                    if result.is_ok() {
                        return Poll::Ready(Some(result));
                    }
                    *items = None;
                    if let Some(Err(error)) = result.err().map(|error| ending.note(error)) {
                        self.end();
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Ready(None) if items.is_none() => {
                    return Poll::Ready(ending.take().map(Err));
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

//! Method syntax for the wrappers around a backend or an equivalence: [`Wrap`].

use std::time::Duration;

use super::{Breaker, BreakerPolicy, Completion, Guard, Limit, Limits, Rating};
use super::{Retry, RetryPolicy, Timeout};
use crate::equivalence::Verdict;
use crate::pricing::Usage;

/// Puts a backend (or a judging equivalence) into wrappers, innermost first.
///
/// A wrapper is a backend around a backend, so you choose the order, and it matters. The usual order:
/// the timeout innermost, so that waiting for a permit does not count against the call; the limit next,
/// so that every attempt keeps to it; the retries around both; the breaker outermost, so that it counts
/// calls that failed for good and not attempts.
///
/// A run books and writes down *calls*: what comes out of the outermost wrapper. If the run is dropped
/// while a call is inside a wrapper, what the call's earlier attempts reported is lost ([`Retry`]).
///
/// ```
/// use std::time::Duration;
/// use smart_core::backend::{BreakerPolicy, Limits, RetryPolicy, Wrap};
/// use smart_core::{Completion, from_fn};
///
/// let client = from_fn(|item: &str| {
///     let length = item.len();
///     async move { Ok(Completion::new(length)) }
/// });
/// let backend = client
///     .with_timeout(Duration::from_secs(60))
///     .with_limits(Limits::default().with_concurrency(8))
///     .with_retry(RetryPolicy::default().with_max_attempts(4))
///     .with_breaker(BreakerPolicy::default());
/// # let answer = futures::executor::block_on(smart_core::LlmBackend::complete(&backend, "four"))?;
/// # assert_eq!(answer.output, 4);
/// # Ok::<(), smart_core::BackendError>(())
/// ```
///
/// The wrappers wait on the process-wide [`ThreadSleeper`](crate::sleep::ThreadSleeper) unless you set
/// another by `with_sleeper`.
pub trait Wrap: Sized {
    /// Gives up on a call after a time limit: [`Timeout`].
    fn with_timeout(self, limit: Duration) -> Timeout<Self> {
        Timeout::new(self, limit)
    }

    /// Asks again after failures that may pass: [`Retry`].
    fn with_retry(self, policy: RetryPolicy) -> Retry<Self> {
        Retry::new(self, policy)
    }

    /// Bounds calls in flight, and requests and tokens per minute: [`Limit`].
    fn with_limits(self, limits: Limits) -> Limit<Self> {
        Limit::new(self, limits)
    }

    /// Bounds calls in flight alone: [`Limit`].
    fn with_concurrency(self, calls: usize) -> Limit<Self> {
        Limit::new(self, Limits::default().with_concurrency(calls))
    }

    /// Stops asking a model that keeps failing: [`Breaker`].
    fn with_breaker(self, policy: BreakerPolicy) -> Breaker<Self> {
        Breaker::new(self, policy)
    }

    /// Turns panics into errors: [`Guard`].
    fn with_guard(self) -> Guard<Self> {
        Guard::new(self)
    }
}

impl<B> Wrap for B {}

/// The result of a call that may have been billed.
pub(super) trait Billed {
    /// The usage of a call that reports none: asking a model may have been billed, comparing two answers
    /// may have called nobody.
    const SILENT: Option<Usage> = Some(Usage::UNBILLED);
    /// What the call used, readable and correctable.
    fn usage(&mut self) -> &mut Option<Usage>;
}

impl<O> Billed for Completion<O> {
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
}

impl Billed for Rating {
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
}

impl Billed for Verdict {
    const SILENT: Option<Usage> = None;
    fn usage(&mut self) -> &mut Option<Usage> {
        &mut self.usage
    }
}

/// Implements both traits for a wrapper with a field `inner` and a method `around`: around a backend it is a
/// backend, around an equivalence an equivalence. Answering, rating and judging all go through `around`.
macro_rules! wraps {
    ($wrapper:ident) => {
        #[async_trait::async_trait]
        impl<I, B> $crate::backend::LlmBackend<I> for $wrapper<B>
        where
            I: ?Sized + Sync,
            B: $crate::backend::LlmBackend<I>,
        {
            type Output = B::Output;

            async fn complete(
                &self,
                item: &I,
            ) -> Result<$crate::backend::Completion<B::Output>, $crate::backend::BackendError> {
                self.around(|| self.inner.complete(item)).await
            }

            fn scoring(&self) -> $crate::backend::Scoring {
                self.inner.scoring()
            }

            async fn rate(
                &self,
                item: &I,
                output: &B::Output,
            ) -> Result<$crate::backend::Rating, $crate::backend::BackendError> {
                self.around(|| self.inner.rate(item, output)).await
            }
        }

        #[async_trait::async_trait]
        impl<I, O, E> $crate::equivalence::Equivalence<I, O> for $wrapper<E>
        where
            I: ?Sized + Sync,
            O: ?Sized + Sync,
            E: $crate::equivalence::Equivalence<I, O>,
        {
            async fn compare(
                &self,
                item: &I,
                reference: &O,
                candidate: &O,
            ) -> Result<$crate::equivalence::Verdict, $crate::backend::BackendError> {
                self.around(|| self.inner.compare(item, reference, candidate)).await
            }

            fn pricing(&self) -> $crate::pricing::Pricing {
                self.inner.pricing()
            }

            fn name(&self) -> std::borrow::Cow<'static, str> {
                self.inner.name()
            }
        }
    };
}
pub(super) use wraps;

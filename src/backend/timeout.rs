//! A limit on the time of one call: [`Timeout`].

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use super::BackendError;
use super::wrap::wraps;
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// A backend or an equivalence whose calls end within a limit.
///
/// A connection that hangs holds its place in the run for ever, and the run waits for its last item.
/// After the limit the call is dropped, which cancels it, and fails as
/// [`ErrorKind::Timeout`](super::ErrorKind::Timeout); a [`Retry`](super::Retry) further out repeats it.
/// Nobody knows what the dropped call was billed for. The report counts it among the attempts that ended
/// without a bill, and a budget takes it to have cost its bound
/// ([`ErrorKind::may_have_been_billed`](super::ErrorKind::may_have_been_billed)).
///
/// Put the time-out inside a [`Limit`](super::Limit): a call that waits for its turn has not been sent
/// and should not be timed. A backend that blocks its thread cannot be timed out, because nothing else
/// runs on that thread meanwhile.
///
/// ```
/// use std::time::Duration;
/// use smart_core::backend::Wrap;
/// use smart_core::{BackendError, Completion, ErrorKind, LlmBackend, from_fn};
///
/// let stuck = from_fn(|_: &str| std::future::pending::<Result<Completion<u8>, BackendError>>());
/// let timed = stuck.with_timeout(Duration::from_millis(5));
/// let error = futures::executor::block_on(timed.complete("item")).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Timeout);
/// ```
#[derive(Clone)]
pub struct Timeout<B> {
    inner: B,
    limit: Duration,
    sleeper: SharedSleeper,
}

impl<B> Timeout<B> {
    /// Bounds every call by `limit`.
    pub fn new(inner: B, limit: Duration) -> Self {
        Self { inner, limit, sleeper: shared() }
    }

    /// Sets the sleeper to wait on.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// The backend or the equivalence inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    async fn around<T, F, Fut>(&self, call: F) -> Result<T, BackendError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        // The call is polled first: an answer that is ready at the limit is an answer.
        match select(pin!(call()), self.sleeper.sleep(self.limit)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => {
                Err(BackendError::timeout(format!("no answer within {:?}", self.limit)))
            }
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Timeout<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, limit, sleeper: _ } = self;
        f.debug_struct("Timeout")
            .field("inner", inner)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

wraps!(Timeout);

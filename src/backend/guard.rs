//! Turns panics into errors, so that one bug in a parser cannot end a run: [`Guard`].
//!
//! The crate guards every call it makes with `guarded`; [`Guard`] offers the same to callers as a wrapper.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::wrap::wraps;
use super::{BackendError, ErrorKind};

/// Runs a call and turns a panic, in building the future or in polling it, into [`ErrorKind::Panicked`]
/// with the panic's own message.
///
/// After a panic the call is not polled again and the next call starts afresh, so nothing here sees
/// state that was left half changed. A backend that shares mutable state between its calls must deal
/// with its own poisoned locks.
pub(crate) async fn guarded<T, F, Fut>(call: F) -> Result<T, BackendError>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, BackendError>>,
{
    // A hand-written `complete` may panic before it returns its future.
    let mut future = pin!(match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => future,
        Err(panic) => return Err(panicked(&*panic)),
    });
    // A single future around the call's own: every further layer would move the answer once more.
    let guarded = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    });
    guarded.await
}

/// The error that a panic becomes.
#[cold]
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> BackendError {
    BackendError::new(ErrorKind::Panicked, message(panic))
}

/// The panic's message, if it is text.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// A backend or an equivalence whose panics come out as errors.
///
/// One bug in a parser must not end a run of fifty thousand items. The crate guards every call it
/// makes, so this wrapper is for callers who drive backends themselves, or who want a panic to
/// meet their own wrappers further out. With `panic = "abort"` there is nothing to catch.
///
/// ```
/// use smart_core::backend::Wrap;
/// use smart_core::{ErrorKind, LlmBackend, from_fn};
///
/// let fragile = from_fn(|item: &str| {
///     let number: u32 = item.parse().expect("a number");
///     async move { Ok(smart_core::Completion::new(number)) }
/// });
/// let guarded = fragile.with_guard();
/// let error = futures::executor::block_on(guarded.complete("seven")).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Panicked);
/// ```
#[derive(Debug, Clone)]
pub struct Guard<B> {
    inner: B,
}

impl<B> Guard<B> {
    /// Guards a backend or an equivalence.
    pub const fn new(inner: B) -> Self {
        Self { inner }
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
        guarded(call).await
    }
}

wraps!(Guard);

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_panic_keeps_its_words() {
        let said = |error: BackendError| {
            assert_eq!(error.kind(), ErrorKind::Panicked);
            error.to_string()
        };
        let literal = block_on(guarded(|| async { panic!("no answer") }));
        assert_eq!(said(literal.map(|(): ()| ()).unwrap_err()), "backend panicked: no answer");
        let built = block_on(guarded(|| async { panic!("item {}", 7) }));
        assert_eq!(said(built.map(|(): ()| ()).unwrap_err()), "backend panicked: item 7");
        let early = block_on(guarded(|| {
            std::panic::panic_any(7_u8);
            #[allow(unreachable_code)]
            std::future::ready(Ok(()))
        }));
        assert_eq!(said(early.unwrap_err()), "backend panicked: without a message");
    }
}

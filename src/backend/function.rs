//! Closures as backends: [`from_fn`], for a client that a few lines can call.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;

use super::{BackendError, Completion, LlmBackend};

/// A backend made of a closure: see [`from_fn`].
pub struct FnBackend<I: ?Sized, F> {
    function: F,
    item: PhantomData<fn(&I)>,
}

impl<I: ?Sized, F> fmt::Debug for FnBackend<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnBackend").finish_non_exhaustive()
    }
}

/// Makes a backend of a closure that takes an item and returns a future.
///
/// The future may not borrow the item: take what it needs out first, as one would before
/// spawning. To borrow across an await, implement [`LlmBackend`] on a type.
///
/// ```
/// use smart_core::{Completion, from_fn};
/// let shout = from_fn(|item: &str| {
///     let prompt = item.to_uppercase();
///     async move { Ok(Completion::new(prompt)) }
/// });
/// # fn takes(_: impl smart_core::LlmBackend<str, Output = String>) {}
/// # takes(shout);
/// ```
pub fn from_fn<I, F, Fut, O>(function: F) -> FnBackend<I, F>
where
    I: ?Sized + Sync,
    F: Fn(&I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Completion<O>, BackendError>> + Send,
    O: Send + Sync,
{
    FnBackend { function, item: PhantomData }
}

#[async_trait]
impl<I, F, Fut, O> LlmBackend<I> for FnBackend<I, F>
where
    I: ?Sized + Sync,
    F: Fn(&I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Completion<O>, BackendError>> + Send,
    O: Send + Sync,
{
    type Output = O;

    async fn complete(&self, item: &I) -> Result<Completion<O>, BackendError> {
        (self.function)(item).await
    }
}

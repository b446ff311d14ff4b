//! Closures as equivalences.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;

use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// An equivalence made of a closure: see [`equivalent`].
#[derive(Clone)]
pub struct FnEquivalence<F> {
    name: Cow<'static, str>,
    function: F,
}

impl<F> fmt::Debug for FnEquivalence<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnEquivalence").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes an equivalence of a closure over the item and the two answers.
///
/// ```
/// use smart_core::equivalence::equivalent;
/// let same_label = equivalent(|_review: &str, reference: &String, candidate: &String| {
///     reference.trim().eq_ignore_ascii_case(candidate.trim())
/// });
/// # fn takes(_: impl smart_core::Equivalence<str, String>) {}
/// # takes(same_label);
/// ```
pub fn equivalent<I, O, F>(function: F) -> FnEquivalence<F>
where
    I: ?Sized,
    O: ?Sized,
    F: Fn(&I, &O, &O) -> bool + Send + Sync,
{
    FnEquivalence { name: Cow::Borrowed("closure"), function }
}

impl<F> FnEquivalence<F> {
    /// Names the relation; change the name whenever the closure changes its mind.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }
}

#[async_trait]
impl<I, O, F> Equivalence<I, O> for FnEquivalence<F>
where
    I: ?Sized + Sync,
    O: ?Sized + Sync,
    F: Fn(&I, &O, &O) -> bool + Send + Sync,
{
    async fn compare(&self, item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        Ok(Verdict::new((self.function)(item, a, b)))
    }

    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }
}

//! Closures as equivalences: [`equivalent`].

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

use async_trait::async_trait;

use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The beginning of the name of a closure that was given none.
pub(crate) const UNNAMED: &str = "closure at ";

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

/// Makes an equivalence from a closure over the item and the two answers.
///
/// ```
/// use smart_core::equivalence::equivalent;
/// let same_label = equivalent(|_review: &str, reference: &String, candidate: &String| {
///     reference.trim().eq_ignore_ascii_case(candidate.trim())
/// });
/// # fn takes(_: impl smart_core::Equivalence<str, String>) {}
/// # takes(same_label);
/// ```
///
/// Stored evidence, plans and journals are bound to the relation's name. A closure has none, so it is
/// named after the place of this call in the code, such as `closure at src/main.rs:12:20`. That tells
/// two closures apart, but a closure that has moved counts as another one. To keep a journal or a plan
/// while the code around the closure changes, give it a name ([`named`](FnEquivalence::named)).
#[track_caller]
pub fn equivalent<I, O, F>(function: F) -> FnEquivalence<F>
where
    I: ?Sized,
    O: ?Sized,
    F: Fn(&I, &O, &O) -> bool + Send + Sync,
{
    let name = Cow::Owned(format!("{UNNAMED}{}", Location::caller()));
    FnEquivalence { name, function }
}

impl<F> FnEquivalence<F> {
    /// Names the relation; change the name whenever the closure's verdicts may change.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_without_a_name_are_told_apart_by_their_place() {
        let same = || equivalent(|_: &str, a: &u8, b: &u8| a == b);
        let other = equivalent(|_: &str, a: &u8, b: &u8| a % 2 == b % 2);
        let name = |relation: &dyn Equivalence<str, u8>| relation.name();
        assert_eq!(name(&same()), name(&same()));
        assert_ne!(name(&same()), name(&other));
        assert!(name(&other).starts_with("closure at ") && name(&other).contains("function.rs:"));
        assert_eq!(name(&other.named("parity v1")), "parity v1");
    }
}

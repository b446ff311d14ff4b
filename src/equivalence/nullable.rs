//! Equivalence of answers that may be missing: [`Nullable`].

use std::borrow::Cow;

use async_trait::async_trait;

use super::{Equivalence, Verdict};
use crate::backend::BackendError;
use crate::pricing::Pricing;

/// Optional answers: two missing ones are equivalent, a missing one is equivalent to no other, and for
/// two present ones the inner relation decides.
///
/// It suits fields extracted from text, where *nothing there* (`NULL`) is a valid answer. A call that
/// failed is not such an answer: return an error for it.
///
/// ```
/// use smart_core::Equivalence;
/// use smart_core::equivalence::{Normalized, Nullable};
/// # futures::executor::block_on(async {
/// let same = Nullable(Normalized::default());
/// let page = "Berlin, 3 May";
/// let some = |text: &str| Some(text.to_owned());
/// assert!(same.compare(page, &some("Berlin"), &some("berlin.")).await?.equivalent);
/// assert!(same.compare(page, &None::<String>, &None).await?.equivalent);
/// assert!(!same.compare(page, &some("Berlin"), &None).await?.equivalent);
/// # Ok::<(), smart_core::BackendError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Nullable<E>(pub E);

#[async_trait]
impl<I, O, E> Equivalence<I, Option<O>> for Nullable<E>
where
    I: ?Sized + Sync,
    O: Sync,
    E: Equivalence<I, O>,
{
    async fn compare(
        &self,
        item: &I,
        reference: &Option<O>,
        candidate: &Option<O>,
    ) -> Result<Verdict, BackendError> {
        match (reference, candidate) {
            (Some(reference), Some(candidate)) => self.0.compare(item, reference, candidate).await,
            (reference, candidate) => Ok(Verdict::new(reference.is_none() == candidate.is_none())),
        }
    }

    fn pricing(&self) -> Pricing {
        self.0.pricing()
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Owned(format!("{}, or both missing", self.0.name()))
    }
}

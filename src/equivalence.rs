//! When two answers count as the same: [`Equivalence`], and ready-made relations.
//!
//! The promise of a run is about answers *equivalent* to the reference's, so everything profiling learns
//! rests on this relation. It is the caller's: a closure ([`equivalent`]), one of the ready-made
//! relations here, or a model that judges (its usage is billed like any other call's). Profiling and
//! execution compare answers in the same way.

mod decimal;
mod function;
mod label;
mod mark;
mod nullable;
mod number;
mod text;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::BackendError;
use crate::pricing::{Pricing, Usage};

#[cfg(feature = "conformance")]
pub(crate) use function::UNNAMED;
pub use function::{FnEquivalence, equivalent};
#[cfg(feature = "json")]
pub use json::JsonEqual;
pub use label::Label;
pub use nullable::Nullable;
pub use number::Numeric;
pub use text::{Exact, Normalized};

#[cfg(feature = "json")]
mod json;

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the two answers are equivalent.
    pub equivalent: bool,
    /// What a judging call used; `None` if nothing was called.
    pub usage: Option<Usage>,
}

impl Verdict {
    /// A verdict that cost nothing.
    pub const fn new(equivalent: bool) -> Self {
        Self { equivalent, usage: None }
    }

    /// Says what the judging call used.
    #[must_use]
    pub const fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// The caller's relation between two answers to the same item.
///
/// # Contract
/// * An answer should be equivalent to itself, and a verdict should not depend on when it is asked for.
/// * The relation need not be transitive. If a policy keeps a candidate's answer because a second
///   candidate agrees, that pair is compared in profiling exactly as in execution, with the candidate
///   listed first in the roster in the reference's place.
/// * A comparison that fails for good counts as *not equivalent*, in profiling and in execution.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell when two answers of the type `{O}` are equivalent",
    note = "`equivalence::Exact` compares with `==`; a closure is wrapped by `equivalence::equivalent`"
)]
#[async_trait]
pub trait Equivalence<I: ?Sized + Sync, O: ?Sized + Sync>: Send + Sync {
    /// Compares a candidate's answer with the reference's: item first, then the two answers.
    ///
    /// # Errors
    /// [`BackendError`] if a judging call failed.
    async fn compare(
        &self,
        item: &I,
        reference: &O,
        candidate: &O,
    ) -> Result<Verdict, BackendError>;

    /// What judging calls cost; free by default.
    ///
    /// A judge without prices may report its bills instead
    /// ([`Usage::billed`](crate::Usage::billed)). Until its first verdict it is taken for code that calls nobody,
    /// which neither a budget nor a stop holds back, unless the budget has a bound for it
    /// ([`Budget::with_judge_bound`](crate::Budget::with_judge_bound)).
    fn pricing(&self) -> Pricing {
        Pricing::default()
    }

    /// A name that changes whenever the relation does: stored evidence, plans and journals are bound to
    /// it, and are refused under another name.
    ///
    /// The default is the name of the type. It tells two relations apart, but not two versions of one.
    /// If what the type does may change, return a name of your own with a version in it.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self>())
    }
}

macro_rules! forward {
    ($pointer:ty) => {
        #[async_trait]
        impl<I, O, E> Equivalence<I, O> for $pointer
        where
            I: ?Sized + Sync,
            O: ?Sized + Sync,
            E: Equivalence<I, O> + ?Sized,
        {
            async fn compare(&self, item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
                (**self).compare(item, a, b).await
            }
            fn pricing(&self) -> Pricing {
                (**self).pricing()
            }
            fn name(&self) -> Cow<'static, str> {
                (**self).name()
            }
        }
    };
}
forward!(Arc<E>);
forward!(Box<E>);
forward!(&E);

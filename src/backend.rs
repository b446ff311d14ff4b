//! Language models as the crate sees them: [`LlmBackend`], what it answers and how it fails.
//!
//! The crate has no HTTP client and no opinion on prompts. A backend turns one of the caller's
//! items into one of the caller's outputs; everything else (prompt, transport, parsing) stays
//! behind it. Ten lines wrap a client:
//!
//! ```
//! use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};
//!
//! struct InHouse { model: &'static str }
//!
//! #[async_trait]
//! impl LlmBackend<str> for InHouse {
//!     type Output = String;
//!     async fn complete(&self, review: &str) -> Result<Completion<String>, BackendError> {
//!         let label = format!("{}: positive", self.model); // await your client here
//!         Ok(Completion::new(label).with_usage(Usage::tokens(review.len() as u64 / 4, 2)))
//!     }
//! }
//! ```
//!
//! A closure works too: [`from_fn`].
//!
//! A wrapper is a backend around a backend ([`Wrap`]): [`Timeout`], [`Limit`], [`Retry`], [`Breaker`],
//! [`Guard`]. The same wrappers fit around an equivalence that calls a model (a judge). Profiling and
//! execution call backends in the same way; the decision core never calls one.
//!
//! # When a backend misbehaves
//!
//! | A backend that … | and the item |
//! |---|---|
//! | panics, in building or polling its future | fails for good, as [`ErrorKind::Panicked`]; the crate guards every call |
//! | never ends | waits as long, unless a [`Timeout`] ends the call as [`ErrorKind::Timeout`] |
//! | fails without saying what it used | costs nothing, or is counted as a call without a bill if it [may have been billed](ErrorKind::may_have_been_billed) |
//! | fails now and then | is asked again by a [`Retry`]; what failed attempts used is billed, and attempts that do not say are counted |
//! | fails for good | escalates to the reference; behind a [`Breaker`] a dead model is no longer asked |
//! | reports no usage with its answer | costs what the prices alone can tell; the counts stay unknown ([`Pricing::is_metered`](crate::Pricing::is_metered)), and a candidate that never reports any is planned as if it used what the reference does |
//! | reports impossible usage ([`Usage::is_plausible`](crate::Usage::is_plausible)) | is booked as if its usage were unknown, and the report counts it |
//! | reports a bill a hundred times the usual | is billed as reported, but moves no decision; cached tokens beyond the tokens read are capped |
//! | gives a score that is NaN or infinite | has no score: in a cascade its answer comes last, and is escalated unless even that one can be certified |
//! | gives an empty answer | has an answer like any other; the equivalence decides what emptiness is worth |
//! | answers differently each time | is compared as answered; the promise covers only answers that stay the same (see the contract) |
//! | is compared by an equivalence that fails or panics | counts as *not equivalent*, in profiling as in execution |

mod batched;
mod blocking;
mod breaker;
mod error;
mod function;
pub(crate) mod guard;
pub(crate) mod limit;
mod retry;
mod simulated;
mod timeout;
mod wrap;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use batched::{BatchBackend, BatchOutcome, Batched};
pub use blocking::{Blocking, from_blocking};
pub use breaker::{Breaker, BreakerPolicy, Cooldown};
pub use error::{BackendError, ErrorKind};
pub use function::{FnBackend, from_fn};
pub use guard::Guard;
pub use limit::{Limit, Limits};
pub use retry::{Retry, RetryNotice, RetryPolicy};
pub use simulated::{Latency, Simulated};
pub use timeout::Timeout;
pub use wrap::Wrap;

use crate::exact::Number;
use crate::pricing::Usage;

/// A model's own confidence in an answer: any finite number; higher means surer.
///
/// What is certified depends only on the order of the scores, so log-probabilities, `P(True)` and votes
/// all serve as they are. Scores from 0 to 1 help a little more: they can be compared between
/// candidates, and the surer candidate is tried sooner.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Number", into = "Number")]
pub struct Confidence(f64);

/// A stored score follows the same rule as [`Confidence::new`].
impl TryFrom<Number> for Confidence {
    type Error = String;
    fn try_from(number: Number) -> Result<Self, String> {
        let score = f64::from(number);
        Self::new(score).ok_or_else(|| format!("a score must be a finite number, got {score}"))
    }
}

impl From<Confidence> for Number {
    fn from(score: Confidence) -> Self {
        score.0.into()
    }
}

impl Confidence {
    /// Makes a score of any finite number, and `None` of NaN or infinity.
    pub fn new(score: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, so that equal scores are equal bit for bit.
        score.is_finite().then_some(Self(score + 0.0))
    }

    /// The geometric mean probability of an answer's tokens, from their natural log-probabilities;
    /// `None` if there are no tokens or the mean is not finite.
    pub fn from_logprobs(logprobs: &[f64]) -> Option<Self> {
        let mean = logprobs.iter().sum::<f64>() / logprobs.len() as f64;
        Self::new(mean.exp())
    }

    /// The score.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

/// One answer, what it used, and how sure the model is of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Completion<O> {
    /// The answer, parsed as far as the caller wants it compared.
    pub output: O,
    /// What the call used; `None` is unknown, never zero.
    pub usage: Option<Usage>,
    /// The model's own confidence, if it comes with the answer.
    pub confidence: Option<Confidence>,
}

impl<O> Completion<O> {
    /// An answer whose usage and confidence are unknown.
    pub const fn new(output: O) -> Self {
        Self { output, usage: None, confidence: None }
    }

    /// Says what the call used.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Adds a confidence score, or the option of one; a score that is not finite counts as none.
    ///
    /// ```
    /// use smart_core::Completion;
    /// let reported: Option<f64> = None; // as the service's reply has it
    /// assert!(Completion::new("yes").with_confidence(0.8).confidence.is_some());
    /// assert!(Completion::new("yes").with_confidence(reported).confidence.is_none());
    /// ```
    #[must_use]
    pub fn with_confidence(mut self, score: impl Into<Option<f64>>) -> Self {
        self.confidence = score.into().and_then(Confidence::new);
        self
    }

    /// Takes the answer's confidence from the natural log-probabilities of its tokens
    /// ([`Confidence::from_logprobs`]); an empty slice gives no score.
    #[must_use]
    pub fn with_logprobs(mut self, logprobs: &[f64]) -> Self {
        self.confidence = Confidence::from_logprobs(logprobs);
        self
    }
}

/// What a second call said about an answer: see [`LlmBackend::rate`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Rating {
    /// The score; `None` where the model would not say.
    pub confidence: Option<Confidence>,
    /// What the call used.
    pub usage: Option<Usage>,
}

impl Rating {
    /// A rating, or the option of one; a score that is not finite counts as none.
    pub fn new(score: impl Into<Option<f64>>) -> Self {
        Self { confidence: score.into().and_then(Confidence::new), usage: None }
    }

    /// Says what the call used.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// Where a model's confidence scores come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// With the answer, at no further cost ([`Completion::confidence`]), if at all.
    #[default]
    WithAnswer,
    /// From a second, paid call ([`LlmBackend::rate`]), made only where a policy uses the score. A confidence
    /// that comes with the answer is then ignored.
    SecondCall,
}

/// One language model behind the caller's own transport, prompt and parsing.
///
/// # Contract
/// * `complete` is called from many tasks at once and must not block the thread; a client that does is
///   wrapped by [`backend::from_blocking`](crate::backend::from_blocking).
/// * The same item should get the same answer; the promise covers a model whose answers are fixed
///   before the random order is drawn, not one that changes between profiling and execution.
/// * An answer that cannot be parsed is never a made-up default. Return [`BackendError::refused`], so that the
///   item goes to the reference; or, where your output type can hold it, the raw text, which will disagree.
/// * Dropping the returned future cancels the call; it may have been billed all the same.
/// * Errors carry the usage that was billed ([`BackendError::with_usage`]). One that does not is taken to
///   have cost nothing, or something unknown, by its kind ([`ErrorKind::may_have_been_billed`]).
///
/// A backend that panics counts as failed for good on that item.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no backend for items of the type `{I}`",
    note = "implement `LlmBackend` for it under `#[async_trait]`; a closure is wrapped by `from_fn`, and one that \
            blocks by `backend::from_blocking`"
)]
#[async_trait]
pub trait LlmBackend<I: ?Sized + Sync>: Send + Sync {
    /// What the model answers, in the caller's type.
    type Output: Send + Sync;

    /// Answers one item.
    ///
    /// # Errors
    /// [`BackendError`] with a kind that says whether asking again may help.
    async fn complete(&self, item: &I) -> Result<Completion<Self::Output>, BackendError>;

    /// Where confidence scores come from; by default with the answer.
    fn scoring(&self) -> Scoring {
        Scoring::WithAnswer
    }

    /// Rates an answer this model gave, in a call of its own (for instance `P(True)`: "is this
    /// answer right?"). Asked only if [`scoring`](Self::scoring) is [`Scoring::SecondCall`].
    ///
    /// # Errors
    /// [`BackendError`]. An answer that could not be rated because of the item (refused, or an invalid request)
    /// counts as having no score; where a rating fails for any other reason, the item goes to the reference.
    async fn rate(&self, item: &I, output: &Self::Output) -> Result<Rating, BackendError> {
        let _ = (item, output);
        Ok(Rating::default())
    }
}

macro_rules! forward {
    ($pointer:ty) => {
        #[async_trait]
        impl<I: ?Sized + Sync, B: LlmBackend<I> + ?Sized> LlmBackend<I> for $pointer {
            type Output = B::Output;
            async fn complete(&self, item: &I) -> Result<Completion<B::Output>, BackendError> {
                (**self).complete(item).await
            }
            fn scoring(&self) -> Scoring {
                (**self).scoring()
            }
            async fn rate(&self, item: &I, output: &B::Output) -> Result<Rating, BackendError> {
                (**self).rate(item, output).await
            }
        }
    };
}
forward!(Arc<B>);
forward!(Box<B>);
forward!(&B);

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, F64Deserializer};

    use super::*;

    #[test]
    fn a_stored_score_is_a_finite_number() {
        let read = |score: f64| {
            let stored: F64Deserializer<Error> = score.into_deserializer();
            Confidence::deserialize(stored)
        };
        assert_eq!(read(0.5).unwrap(), Confidence::new(0.5).unwrap());
        assert!(read(-0.0).unwrap().as_f64().is_sign_positive());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let said = read(bad).unwrap_err().to_string();
            assert_eq!(said, format!("a score must be a finite number, got {bad}"));
        }
    }

    #[test]
    fn a_score_that_is_not_a_number_is_none() {
        assert_eq!(Confidence::new(f64::NAN), None);
        assert_eq!(Confidence::new(f64::INFINITY), None);
        assert_eq!(Confidence::from_logprobs(&[]), None);
        let mean = Confidence::from_logprobs(&[-1.0, -3.0]).unwrap().as_f64();
        assert!((mean - (-2.0_f64).exp()).abs() < 1e-15);
        assert_eq!(Confidence::new(-0.0).unwrap().as_f64().to_bits(), 0.0_f64.to_bits());
        assert_eq!(Completion::new(1).with_confidence(f64::NAN).confidence, None);
        assert_eq!(Completion::new(1).with_logprobs(&[]).confidence, None);
        assert_eq!(Completion::new(1).with_logprobs(&[0.0]).confidence, Confidence::new(1.0));
    }

    #[test]
    fn pointers_to_backends_are_backends() {
        fn is_backend<B: LlmBackend<str, Output = usize>>(backend: B) -> usize {
            futures::executor::block_on(backend.complete("four")).unwrap().output
        }
        let length = || {
            from_fn(|item: &str| {
                let n = item.len();
                async move { Ok(Completion::new(n)) }
            })
        };
        assert_eq!(is_backend(length()), 4);
        assert_eq!(is_backend(&length() as &dyn LlmBackend<str, Output = usize>), 4);
        assert_eq!(is_backend(Box::new(length())), 4);
        let shared: Arc<dyn LlmBackend<str, Output = usize>> = Arc::new(length());
        assert_eq!(is_backend(shared), 4);
    }
}

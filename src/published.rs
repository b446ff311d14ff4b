//! The published algorithm (SMART, Jo and Trummer 2024), decision for decision, as a baseline.

mod binomial;
pub mod demand;
pub mod expected;
pub mod interval;
pub mod matrix;
pub mod mix;
pub mod run;
pub mod simulate;

pub use demand::{Demand, Repairs};
pub use matrix::{Agreements, Column, ItemCosts, OutcomeMatrix};
pub use run::{Method, Options, Outcome, run};
pub use simulate::{Dependence, Setting};

/// Why outcomes or a demand were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// The tolerated share of differing answers is no share.
    #[error("delta must lie in [0, 1], got {0}")]
    Delta(f64),
    /// The confidence is not between 0 and 1.
    #[error("confidence must lie in (0, 1), got {0}")]
    Confidence(f64),
    /// No column has the reference's name.
    #[error("no column is named {0:?}, the reference")]
    NoReference(String),
    /// Two columns have the same name.
    #[error("more than one column is named {0:?}")]
    Repeated(String),
    /// A price is negative or not finite.
    #[error("the prompt price of {model:?} must be finite and not negative, got {price}")]
    Price {
        /// The model.
        model: String,
        /// Its price.
        price: f64,
    },
    /// A column has more or fewer items than the reference's.
    #[error(
        "{model:?} has outcomes or costs for {found} items, the reference has outcomes for {expected}"
    )]
    Length {
        /// The model.
        model: String,
        /// The reference's items.
        expected: usize,
        /// The model's items.
        found: usize,
    },
    /// The shares to split by are not shares.
    #[error("shares must be finite and not negative, and one of them positive")]
    Shares,
    /// A simulated model's agreement is no probability.
    #[error("a simulated agreement must lie in [0, 1], got {0}")]
    Agreement(f64),
    /// A dependence is no share.
    #[error("the dependence of disagreements must lie in [0, 1], got {0}")]
    Dependence(f64),
}

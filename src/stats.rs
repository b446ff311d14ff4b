//! The mathematics of the certificates: pure functions, no I/O, no clock, no entropy.
//!
//! Items are answered in a uniformly random order that was fixed in advance. A *policy* (a rule that says
//! which model answers an item) was tried on the first `k` items and failed on `f` of them. May the remaining
//! items be given to it? This module answers with one-sided tests that are exact for a finite population, and
//! with boundaries that keep their level over many looks at the growing evidence. The profiler uses it to
//! certify plans; [`profile`](crate::profile) decides when to look, [`plan`](crate::plan) what to deliver.
//!
//! | Question | Answer |
//! |---|---|
//! | Does the evidence at one look suffice? | [`p_value`], [`single_look_limit`] |
//! | How many failures certify a policy that is looked at repeatedly? | [`Boundary::single_policy`] |
//! | … a whole chain of policies at once? | [`Boundary::chain`] |
//! | … between looks, or on an endless stream? | [`EProcess`] |
//! | What if the order is not random, or the models drift? | [`max_caught`], [`max_delivered`], [`DriftDetector`] |
//! | What is a failure rate, with bounds? | [`upper_rate`], [`two_sided_rate`], [`RatePosterior`], [`upper_failures`] |
//! | How many of the remaining items may a policy answer, if not all? | [`max_share`] |
//!
//! # Example
//! ```
//! use smart_core::stats::{Boundary, Design, Probability};
//!
//! let design = Design::finite(5_574, 278)?; // at most 5 % of 5,574 items may fail
//! let boundary = Boundary::single_policy(design, Probability::new(0.05)?)?;
//! assert!(boundary.certifies(82, 0));
//! assert!(!boundary.certifies(82, 1));
//! # Ok::<(), smart_core::stats::StatsError>(())
//! ```

mod audit;
mod beta;
mod binomial;
mod boundary;
mod calibration;
mod chain;
mod drift;
mod eprocess;
mod hypergeometric;
mod intervals;
mod limits;
mod looks;
mod normal;
mod partial;
mod passage;
mod saddle;

pub use audit::{lasting_share, max_caught, max_delivered, uncaught_tail};
pub use beta::RatePosterior;
pub use boundary::{Boundary, BoundaryKind};
pub use drift::DriftDetector;
pub use eprocess::EProcess;
pub use hypergeometric::{hypergeometric_cdf, p_value, single_look_limit};
pub(crate) use intervals::agreement_interval;
pub use intervals::{rate_p_value, two_sided_rate, upper_failures, upper_rate};
pub(crate) use limits::least_draws;
pub use looks::Looks;
pub(crate) use normal::{gamma_by_mean, normal_cdf, normal_excess, normal_quantile};
pub use partial::max_share;

use serde::{Deserialize, Serialize};

use crate::exact::Number;

/// The largest population for which a certificate can be computed.
///
/// Up to here counts are exact in an `f64`, and a calibration takes seconds.
pub const MAX_POPULATION: u64 = 10_000_000_000;

/// Why a statistical question cannot be answered as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A probability, level, share or rate outside the open interval `(0, 1)`.
    #[error("a probability must lie strictly between 0 and 1, got {0}")]
    Probability(f64),
    /// No items, or more than [`MAX_POPULATION`].
    #[error("a population must have between 1 and {MAX_POPULATION} items, got {0}")]
    Population(u64),
    /// The allowance covers every item, so there is nothing to test.
    #[error("the allowance must be below the population of {population} items, got {allowance}")]
    Allowance {
        /// Items in the population.
        population: u64,
        /// Failures allowed.
        allowance: u64,
    },
    /// More failures than items, or more items than the population.
    #[error("{failures} failures among {draws} items is impossible")]
    Counts {
        /// Items seen.
        draws: u64,
        /// Failures among them.
        failures: u64,
    },
    /// A schedule of looks that is not strictly increasing, or not inside the population.
    #[error("looks must be positive, strictly increasing and below {limit}, but {look} is not")]
    Looks {
        /// The first offending look.
        look: u64,
        /// Looks must be below this.
        limit: u64,
    },
    /// A ratio between looks that does not exceed 1, or exceeds 100.
    #[error("the ratio between looks must lie in (1, 100], got {0}")]
    Ratio(f64),
    /// A mean run to a false alarm that is not finite or not above 1.
    #[error("the mean run to a false alarm must be finite and above 1, got {0}")]
    MeanRun(f64),
    /// Stored data that contradict themselves.
    #[error("the stored state is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// A probability strictly between 0 and 1: a level `alpha`, a tolerated rate `delta`, a coin `q`.
///
/// # Example
/// ```
/// use smart_core::stats::Probability;
/// assert_eq!(Probability::new(0.05)?.get(), 0.05);
/// assert!(Probability::new(f64::NAN).is_err());
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Number", into = "Number")]
pub struct Probability(f64);

impl Probability {
    /// The smallest positive normal number.
    pub const SMALLEST: Self = Self(f64::MIN_POSITIVE);

    /// Checks that the value lies strictly between 0 and 1.
    ///
    /// # Errors
    /// [`StatsError::Probability`] unless `0 < value < 1` (so also for NaN).
    pub fn new(value: f64) -> Result<Self, StatsError> {
        if value > 0.0 && value < 1.0 {
            Ok(Self(value))
        } else {
            Err(StatsError::Probability(value))
        }
    }

    /// The value, in `(0, 1)`.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The level shared by `parts` tests (Bonferroni): `self / parts`, where 0 parts count as one.
    ///
    /// ```
    /// # use smart_core::stats::Probability;
    /// assert_eq!(Probability::new(0.5)?.split(2).get(), 0.25);
    /// # Ok::<(), smart_core::stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn split(self, parts: u32) -> Self {
        Self((self.0 / f64::from(parts.max(1))).max(f64::MIN_POSITIVE))
    }
}

impl TryFrom<f64> for Probability {
    type Error = StatsError;
    fn try_from(value: f64) -> Result<Self, StatsError> {
        Self::new(value)
    }
}

impl TryFrom<Number> for Probability {
    type Error = StatsError;
    fn try_from(number: Number) -> Result<Self, StatsError> {
        Self::new(number.into())
    }
}

impl From<Probability> for Number {
    fn from(value: Probability) -> Self {
        value.0.into()
    }
}

impl From<Probability> for f64 {
    fn from(value: Probability) -> f64 {
        value.0
    }
}

/// How many items there are to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Exactly this many, drawn without replacement in uniformly random order.
    Finite(u64),
    /// A stream of independent items with a fixed failure rate.
    Unbounded,
}

/// What is promised for which population.
///
/// Either at most `F` failures among `N` items, or a failure rate of at most `delta` on a stream.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, Population, Probability};
/// let design = Design::finite(1_000, 50)?;
/// assert_eq!(design.population(), Population::Finite(1_000));
/// assert_eq!(design.allowance(), Some(50));
/// assert!(Design::finite(1_000, 1_000).is_err());
/// let stream = Design::unbounded(Probability::new(0.05)?);
/// assert_eq!(stream.allowance(), None);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "DesignWire", into = "DesignWire")]
pub struct Design(Promise);

/// The two cases of a [`Design`], for the formulas to match on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Promise {
    Finite { population: u64, allowance: u64 },
    Unbounded { rate: Probability },
}

impl Design {
    /// At most `allowance` of `population` items may fail.
    ///
    /// # Errors
    /// [`StatsError::Population`] for none or too many items, [`StatsError::Allowance`] unless
    /// `allowance < population`.
    pub fn finite(population: u64, allowance: u64) -> Result<Self, StatsError> {
        if population == 0 || population > MAX_POPULATION {
            return Err(StatsError::Population(population));
        }
        if allowance >= population {
            return Err(StatsError::Allowance { population, allowance });
        }
        Ok(Self(Promise::Finite { population, allowance }))
    }

    /// At most a share `rate` of an endless stream of independent items may fail.
    pub fn unbounded(rate: Probability) -> Self {
        Self(Promise::Unbounded { rate })
    }

    /// The number of items.
    pub fn population(self) -> Population {
        match self.0 {
            Promise::Finite { population, .. } => Population::Finite(population),
            Promise::Unbounded { .. } => Population::Unbounded,
        }
    }

    /// The number of failures allowed among all items; `None` for a stream.
    pub fn allowance(self) -> Option<u64> {
        match self.0 {
            Promise::Finite { allowance, .. } => Some(allowance),
            Promise::Unbounded { .. } => None,
        }
    }

    /// The tolerated failure rate: `F / N`, or `delta` of a stream.
    pub fn rate(self) -> f64 {
        match self.0 {
            Promise::Finite { population, allowance } => allowance as f64 / population as f64,
            Promise::Unbounded { rate } => rate.get(),
        }
    }

    /// The number of draws, `N - F`, from which everything certifies: at most `F` items are then left.
    fn exhausted_at(self) -> u64 {
        match self.0 {
            Promise::Finite { population, allowance } => population - allowance,
            Promise::Unbounded { .. } => u64::MAX,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DesignWire {
    Finite { population: u64, allowance: u64 },
    Unbounded { rate: Probability },
}

impl TryFrom<DesignWire> for Design {
    type Error = StatsError;
    fn try_from(wire: DesignWire) -> Result<Self, StatsError> {
        match wire {
            DesignWire::Finite { population, allowance } => Self::finite(population, allowance),
            DesignWire::Unbounded { rate } => Ok(Self::unbounded(rate)),
        }
    }
}

impl From<Design> for DesignWire {
    fn from(design: Design) -> Self {
        match design.0 {
            Promise::Finite { population, allowance } => Self::Finite { population, allowance },
            Promise::Unbounded { rate } => Self::Unbounded { rate },
        }
    }
}

/// The largest number in `[good, bad)` with a property that holds up to some point, and at `good`.
fn last_true(mut good: u64, mut bad: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_inputs_are_refused_with_a_sentence() {
        for bad in [0.0, 1.0, -0.1, 1.2, f64::NAN, f64::INFINITY] {
            assert!(Probability::new(bad).is_err());
        }
        let error = Design::finite(10, 10).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the allowance must be below the population of 10 items, got 10"
        );
        assert!(Design::finite(0, 0).is_err());
        assert!(Design::finite(u64::MAX, 0).is_err());
    }

    #[test]
    fn a_stored_design_is_checked_on_reading() {
        let design = Design::finite(100, 5).unwrap();
        let text = serde_json::to_string(&design).unwrap();
        assert_eq!(text, r#"{"finite":{"population":100,"allowance":5}}"#);
        assert_eq!(serde_json::from_str::<Design>(&text).unwrap(), design);
        assert!(serde_json::from_str::<Design>(&text.replace('5', "500")).is_err());
        assert!(serde_json::from_str::<Probability>("1.5").is_err());
    }
}

//! What the caller demands of the published algorithm, and which mistakes of its released code are repaired.

use super::PublishedError;

/// The demanded agreement `1 - delta` and confidence, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    delta: f64,
    confidence: f64,
}

impl Demand {
    /// A demand: `delta` is the share of answers that may differ from the reference's, `confidence` the
    /// paper's nominal level (0.95 in all of its experiments).
    ///
    /// # Errors
    ///
    /// Unless `delta` lies in `[0, 1]` and `confidence` in `(0, 1)`.
    pub fn new(delta: f64, confidence: f64) -> Result<Self, PublishedError> {
        if !(0.0..=1.0).contains(&delta) {
            return Err(PublishedError::Delta(delta));
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(PublishedError::Confidence(confidence));
        }
        Ok(Self { delta, confidence })
    }

    /// The share of answers that may differ from the reference's.
    #[must_use]
    pub const fn delta(self) -> f64 {
        self.delta
    }

    /// The nominal confidence.
    #[must_use]
    pub const fn confidence(self) -> f64 {
        self.confidence
    }

    /// The share of answers that must agree, `1 - delta`.
    #[must_use]
    pub fn agreement(self) -> f64 {
        1.0 - self.delta
    }

    /// What one tail of the two-sided interval may hold, `(1 - confidence) / 2`.
    #[must_use]
    pub fn tail(self) -> f64 {
        (1.0 - self.confidence) / 2.0
    }
}

/// Which mistakes of the released code are corrected; by default none, as its authors ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repairs {
    /// Divides a model's cost by the items *it* answered, not by all profiled items. Unrepaired, a
    /// candidate dropped after 10 of 1,000 items looks a hundred times cheaper than it is, and the mix
    /// sends it items for that reason.
    pub unit_cost: bool,
    /// Treats a candidate that agreed on every (or no) item so far as certain to go on like that. Unrepaired,
    /// its predictive distribution has no width and the integral is "not a number". Then no expected cost
    /// compares as lower, and the best possible candidate is dropped together with all others.
    pub certain_candidate: bool,
}

impl Repairs {
    /// The code as released.
    pub const NONE: Self = Self { unit_cost: false, certain_candidate: false };

    /// Every repair.
    pub const ALL: Self = Self { unit_cost: true, certain_candidate: true };

    /// Sets whether unit costs are divided by the right count.
    #[must_use]
    pub const fn with_unit_cost(mut self, repaired: bool) -> Self {
        self.unit_cost = repaired;
        self
    }

    /// Sets whether a candidate that never disagreed is kept.
    #[must_use]
    pub const fn with_certain_candidate(mut self, repaired: bool) -> Self {
        self.certain_candidate = repaired;
        self
    }
}

//! How long a stream of unknown length goes to the reference: [`Audit::warm_up`].

use super::Audit;
use crate::stats::{Probability, max_delivered};
use crate::target::Target;

impl Audit {
    /// How many items of a stream of unknown length go to the reference before the first answer of a candidate
    /// may be delivered, if nothing is caught.
    ///
    /// A candidate answers only while the bound on wrong answers is within the tolerated share of what was
    /// delivered. That bound is `U(0)` before anything is caught ([`max_delivered`]), so this many come first:
    ///
    /// ```text
    /// ceil( U(0) / delta ) - 1
    /// ```
    ///
    /// With 95 % confidence:
    ///
    /// | audited | agreement 90 % | 92 % | 95 % | 98 % |
    /// |---|---|---|---|---|
    /// | 2 % | 2,229 | 2,787 | 4,459 | 11,149 |
    /// | 5 % | 869 | 1,087 | 1,739 | 4,349 |
    /// | 10 % | 419 | 524 | 839 | 2,099 |
    /// | 20 % | 189 | 237 | 379 | 949 |
    ///
    /// With several items under way at once a few more go there, and a catch sends the next ones there again,
    /// until enough is delivered. A worker's [part](Self::with_part) of the error makes it longer. Where the number
    /// of items is known there is no such wait: see [`limit`](Self::limit). `None` if the part of the error is too
    /// small for any bound.
    ///
    /// ```
    /// use smart_core::{Audit, Target};
    /// let audit = Audit::new(0.05)?;
    /// assert_eq!(audit.warm_up(Target::new(0.95, 0.95)?), Some(1_739));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn warm_up(&self, target: Target) -> Option<u64> {
        let q = Probability::new(self.share.as_f64()).ok()?;
        let alpha = Probability::new(target.alpha() * self.part.fraction()).ok()?;
        let (bound, delta) = (max_delivered(0, q, alpha) as f64, target.delta());
        // The first number of delivered answers at which the executor's own rule holds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down")]
        let mut delivered = (bound / delta) as u64;
        while bound > delta * (delivered + 1) as f64 {
            delivered += 1;
        }
        while delivered > 0 && bound <= delta * delivered as f64 {
            delivered -= 1;
        }
        Some(delivered)
    }
}

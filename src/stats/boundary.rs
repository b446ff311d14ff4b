//! Boundaries: how many failures a policy may have shown at each look to be certified.
//!
//! A test that is repeated as evidence grows errs more often than a single one. A [`Boundary`] is declared
//! in advance and spends one level `alpha` over all its looks, exactly. The modules `calibration` (one
//! policy) and `chain` (a chain of policies) compute its limits; `looks` says when it looks.

use serde::Serialize;

use super::calibration::{self, Calibrated};
use super::{
    Design, Looks, Population, Probability, StatsError, chain, p_value, single_look_limit,
};

/// What a [`Boundary`] may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BoundaryKind {
    /// One policy, fixed before the order is drawn.
    SinglePolicy,
    /// A chain of policies whose sets of failing items grow, tested from the safest on; also any single
    /// policy.
    Chain,
    /// One policy or one chain at one look.
    SingleLook,
}

/// A predeclared rule for certifying: at look `k_j`, at most `b_j` failures.
///
/// ```text
/// b_j = max { f : p(k_j, f) <= c }
/// ```
///
/// Here `p` is [`p_value`], and one level `c < alpha` serves all looks. It is the largest level (on a
/// grid of `alpha / 8192`) for which the exact probability of ever certifying wrongly is at most
/// `alpha`, whatever the number of failing items. From `N - F` draws on, everything certifies.
///
/// # Assumptions
/// The items are drawn in uniformly random order without replacement (or are an independent stream).
/// Policy, design, level and looks were fixed beforehand. Stopping early for any reason is harmless.
///
/// # Storing
/// A boundary is written for people and other tools, and not read back: whether its error is what it says
/// takes the calibration to find out. Store design, level and looks, and make it from them; the same ones give
/// the same boundary, to the bit.
///
/// # Example
/// ```
/// use smart_core::stats::{Boundary, Design, Probability};
/// let boundary = Boundary::single_policy(Design::finite(1_000, 50)?, Probability::new(0.05)?)?;
/// assert!(boundary.error() <= 0.05);
/// assert!(boundary.is_look(106));
/// assert!(boundary.certifies(106, 1) && !boundary.certifies(106, 2));
/// assert!(!boundary.certifies(107, 0)); // not a look
/// assert!(boundary.certifies(950, 400)); // only 50 items are left
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boundary {
    kind: BoundaryKind,
    design: Design,
    alpha: Probability,
    #[serde(with = "crate::exact")]
    level: f64,
    #[serde(with = "crate::exact")]
    error: f64,
    looks: Looks,
    limits: Vec<Option<u64>>,
}

impl Boundary {
    /// The boundary of one policy over the dense schedule, [`Looks::schedule`].
    ///
    /// The error is proven for every possible number of failing items by a sweep, not only on a grid
    /// (see the module head of `calibration` in the source). It takes milliseconds at `N = 100,000` and
    /// a fraction of a second at `N = 10^9`.
    ///
    /// # Errors
    /// None at present beyond those of its parts; a `Result` is returned so that limits on size can be added.
    pub fn single_policy(design: Design, alpha: Probability) -> Result<Self, StatsError> {
        Self::single_policy_at(design, alpha, &Looks::schedule(design, alpha))
    }

    /// The boundary of one policy over looks of the caller's choice.
    ///
    /// # Errors
    /// [`StatsError::Looks`] if the looks do not fit the design.
    pub fn single_policy_at(
        design: Design,
        alpha: Probability,
        looks: &Looks,
    ) -> Result<Self, StatsError> {
        let looks = Looks::explicit(design, looks.as_slice().to_vec())?;
        let found = calibration::single_policy(design, alpha, looks.as_slice());
        Ok(Self::from_parts(BoundaryKind::SinglePolicy, design, alpha, looks, found))
    }

    /// The boundary of a chain of policies over looks of the caller's choice, which should be few:
    /// [`Looks::sparse`], or one.
    ///
    /// # Errors
    /// [`StatsError::Looks`] if the looks do not fit the design.
    ///
    /// # Example
    /// ```
    /// use smart_core::stats::{Boundary, Design, Looks, Probability};
    /// let (design, alpha) = (Design::finite(5_000, 250)?, Probability::new(0.05)?);
    /// let chain = Boundary::chain(design, alpha, &Looks::sparse(design, alpha, 1.25)?)?;
    /// assert!(chain.error() <= 0.05 && chain.level() < 0.05);
    /// # Ok::<(), smart_core::stats::StatsError>(())
    /// ```
    pub fn chain(design: Design, alpha: Probability, looks: &Looks) -> Result<Self, StatsError> {
        let looks = Looks::explicit(design, looks.as_slice().to_vec())?;
        let found = chain::chain(design, alpha, looks.as_slice());
        Ok(Self::from_parts(BoundaryKind::Chain, design, alpha, looks, found))
    }

    /// The boundary of one look at `draws` items.
    ///
    /// The whole level is spent there, and the supremum of the error is exactly `p(draws, b)`. It serves
    /// one policy and a chain alike.
    ///
    /// # Errors
    /// [`StatsError::Looks`] unless `0 < draws < N - F`.
    pub fn single_look(design: Design, alpha: Probability, draws: u64) -> Result<Self, StatsError> {
        let looks = Looks::explicit(design, vec![draws])?;
        let limit = single_look_limit(design, draws, alpha);
        let error = limit.map_or(0.0, |limit| p_value(design, draws, limit));
        let found = Calibrated { level: alpha.get(), error, limits: vec![limit] };
        Ok(Self::from_parts(BoundaryKind::SingleLook, design, alpha, looks, found))
    }

    fn from_parts(
        kind: BoundaryKind,
        design: Design,
        alpha: Probability,
        looks: Looks,
        found: Calibrated,
    ) -> Self {
        let Calibrated { level, error, limits } = found;
        Self { kind, design, alpha, level, error, looks, limits }
    }

    /// What the boundary may be used for.
    pub fn kind(&self) -> BoundaryKind {
        self.kind
    }

    /// What is promised for which population.
    pub fn design(&self) -> Design {
        self.design
    }

    /// How many items there are.
    pub fn population(&self) -> Population {
        self.design.population()
    }

    /// The failures allowed; `None` for a stream.
    pub fn allowance(&self) -> Option<u64> {
        self.design.allowance()
    }

    /// How many items there are, and how many of them may fail; `None` for a stream.
    pub(crate) fn finite(&self) -> Option<(u64, u64)> {
        match self.population() {
            Population::Finite(population) => self.allowance().map(|most| (population, most)),
            Population::Unbounded => None,
        }
    }

    /// The level promised.
    pub fn alpha(&self) -> Probability {
        self.alpha
    }

    /// The level `c` spent at each look, in `[0, alpha]`; 0 if nothing can be certified.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// A proven upper bound on the probability of certifying wrongly, at most `alpha`.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// The looks.
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// The limit at each look; `None` where nothing certifies.
    pub fn limits(&self) -> &[Option<u64>] {
        &self.limits
    }

    /// The limit at look number `index` (from 0).
    pub fn limit_at_look(&self, index: usize) -> Option<u64> {
        self.limits.get(index).copied().flatten()
    }

    /// Whether evidence is judged after `draws` items.
    pub fn is_look(&self, draws: u64) -> bool {
        self.index(draws).is_ok() || draws >= self.design.exhausted_at()
    }

    /// The first look after `draws` items.
    ///
    /// A finite schedule ends with `N - F`, where everything certifies.
    pub fn next_look(&self, draws: u64) -> Option<u64> {
        let after = self.looks.as_slice().partition_point(|&look| look <= draws);
        let end = || match self.population() {
            Population::Finite(_) => Some(self.design.exhausted_at()).filter(|&end| end > draws),
            Population::Unbounded => None,
        };
        self.looks.as_slice().get(after).copied().or_else(end)
    }

    /// Whether `failures` among the first `draws` items certify the policy.
    ///
    /// They do if `draws` is a look and `failures` is within its limit, or if at most `F` items are left.
    pub fn certifies(&self, draws: u64, failures: u64) -> bool {
        if failures > draws {
            return false;
        }
        draws >= self.design.exhausted_at()
            || self
                .index(draws)
                .is_ok_and(|index| self.limit_at_look(index).is_some_and(|limit| failures <= limit))
    }

    /// The limit of the last look at or before `draws`: the boundary carried forward between looks.
    ///
    /// At a look it is that look's limit, the same as [`certifies`](Self::certifies) goes by. Between looks
    /// it serves forecasts only, since nothing may be certified there.
    pub fn carried(&self, draws: u64) -> Option<u64> {
        if draws >= self.design.exhausted_at() {
            return Some(draws);
        }
        let seen = self.looks.as_slice().partition_point(|&look| look <= draws);
        self.limit_at_look(seen.checked_sub(1)?)
    }

    /// The exact probability of certifying wrongly if `failing` items of a finite population fail.
    ///
    /// It is 0 if `failing` is within the allowance, and otherwise too large by at most `1e-6 alpha`.
    /// `None` for a stream and for a chain, whose errors do not depend on such a number.
    ///
    /// # Example
    /// ```
    /// use smart_core::stats::{Boundary, Design, Probability};
    /// let boundary = Boundary::single_policy(Design::finite(1_000, 50)?, Probability::new(0.05)?)?;
    /// assert!(boundary.error_at(50) == Some(0.0));
    /// assert!(boundary.error_at(60).is_some_and(|error| error < 0.05));
    /// # Ok::<(), smart_core::stats::StatsError>(())
    /// ```
    pub fn error_at(&self, failing: u64) -> Option<f64> {
        let (population, allowance) = self.finite()?;
        if self.kind == BoundaryKind::Chain {
            return None;
        }
        Some(calibration::error_at(
            population,
            allowance,
            failing,
            self.looks.as_slice(),
            |index| self.limit_at_look(index),
            calibration::cut(self.alpha),
            1.0,
        ))
    }

    /// The same boundary, changed so that no failure rate of `share` or more among the draws certifies.
    ///
    /// It certifies less often, so its error is no larger.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the draws")]
    pub(crate) fn below(mut self, share: f64) -> Self {
        for (look, limit) in self.looks.as_slice().iter().zip(&mut self.limits) {
            let most = ((share * *look as f64).ceil() as u64).checked_sub(1);
            *limit = limit.zip(most).map(|(limit, most)| limit.min(most));
        }
        self
    }

    /// The same boundary, changed so that it certifies nothing that `other`, over the same looks, does not.
    ///
    /// It certifies less often, so its error is no larger.
    pub(crate) fn cut_to(mut self, other: &Self) -> Self {
        for (limit, most) in self.limits.iter_mut().zip(&other.limits) {
            *limit = limit.zip(*most).map(|(limit, most)| limit.min(most));
        }
        self
    }

    fn index(&self, draws: u64) -> Result<usize, usize> {
        self.looks.as_slice().binary_search(&draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_all_subsets_of_fourteen_items() {
        // Not calibrated: one level at every look, so that the errors are large. The limits are those of an
        // independent prototype (`all_subsets_of_fourteen_items` in `tests/promise`).
        let (design, level) = (Design::finite(14, 3).unwrap(), Probability::new(0.25).unwrap());
        let looks = Looks::explicit(design, (1..=10).collect()).unwrap();
        let limits =
            looks.as_slice().iter().map(|k| single_look_limit(design, *k, level)).collect();
        let found = Calibrated { level: 0.25, error: 1.0, limits };
        let boundary =
            Boundary::from_parts(BoundaryKind::SinglePolicy, design, level, looks, found);
        let (mut wrong, mut total) = ([0.0; 15], [0.0; 15]);
        for ranks in 0_u32..1 << 14 {
            let failing = ranks.count_ones();
            let seen = |k: u64| u64::from((ranks & ((1 << k) - 1)).count_ones());
            let fails = |k| boundary.certifies(k, seen(k)) && u64::from(failing) - seen(k) > 3;
            total[failing as usize] += 1.0;
            wrong[failing as usize] += f64::from(u8::from((1..=10).any(fails)));
        }
        for (failing, (wrong, total)) in (0..).zip(wrong.iter().zip(total)) {
            let (exact, got) = (wrong / total, boundary.error_at(failing).unwrap());
            assert!(got >= exact - 1e-12 && got <= exact + 1e-7, "W {failing}: {got} {exact}");
        }
        assert!(wrong.iter().zip(total).any(|(wrong, total)| wrong / total > 0.2));
    }
}

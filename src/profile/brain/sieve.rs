//! Adaptive Bonferroni for several single candidates.
//!
//! All candidates are tested from the first item on, each at a share of the level. After 30 items, those that
//! failed on nearly all of them are dropped. Their share goes to the others, who keep all their evidence.
//!
//! # Why the levels still sum to `alpha`
//! `M` candidates start at the level `(alpha - s) / M` each, with `s = M max(p, q)`. A candidate is
//! *sieved* if it fails on at least 28 of the first 30 items. Let `A` be the others, **whether they are
//! still tested or were given up for money**: giving one up because it looks bad is a choice by its
//! data, so its share must not be passed on. From item 30 on those in `A` are tested at
//! `(alpha - s) / |A|`. All boundaries, those before item 30 too, use the looks of the one at `alpha`, and
//! are *cut down*: they certify no candidate that fails on 40 % or more of the items seen, and at no look
//! tolerate more than the boundary at any larger share of the level does, that at `alpha` included.
//!
//! Call a candidate *near* if it fails on at most `W = 0.6 N` items, else *far*. The allowance is at
//! most `0.2 N`. (If it is larger, or if `s` is no less than `alpha`, each candidate is tested at
//! `alpha / M`, and no level moves.)
//!
//! * A near candidate is sieved with probability at most `p = P(Hyp(N, W, 30) >= 28)`.
//! * A far candidate is certified wrongly, at any level up to `alpha`, with probability at most `q`. More
//!   failures make no boundary easier to pass, and every boundary used lies within the one at `alpha` by
//!   the cut, so that passing it implies passing that one. Hence the chance is at most that of a
//!   candidate with `W` failing items to pass the boundary at `alpha`, cut down. With limits `b` at looks
//!   `k` this is at most `q = sum exp(-k (x ln(x / 0.6) + (1 - x) ln((1 - x) / 0.4)))`, `x = b / k`
//!   (Hoeffding 1963, who also covers draws without replacement). Without the cut this would not hold:
//!   late in the population a far candidate may pass rightly, and the error there is not small.
//! * Unless a near candidate is sieved, `|A|` is at least `near`, the number of near candidates. The
//!   level `(alpha - s) / |A|` depends on the data, but whatever it comes to, and if nobody is sieved, it is
//!   at most `(alpha - s) / near`, and by the cut its boundary lies within the one calibrated for that level.
//!   The boundary used before item 30, at `(alpha - s) / M`, lies within it for the same reason. So whoever
//!   passes any of them passes that one. Hence each near candidate is certified wrongly with probability at
//!   most `(alpha - s) / near`, and some near candidate with probability at most `alpha - s`.
//!
//! Together the error is at most `near p + far q + alpha - s <= alpha`, with `far` the number of far
//! candidates, and whatever the dependence between candidates.

use super::{Brain, ChainTest, boundaries};
use crate::error::SettingsError;
use crate::stats::{Boundary, Design, Population, Probability, hypergeometric_cdf};

/// Items after which hopeless candidates are dropped.
pub(super) const ITEMS: u64 = 30;
/// A candidate with this many failures among them is dropped.
const HOPELESS: u64 = 28;
/// A candidate whose failure rate is at most this is *near*.
const NEAR: f64 = 0.6;
/// No candidate that fails on this share of the items seen, or more, is certified.
const CUT: f64 = 0.4;

impl Brain {
    /// The boundary with which each of the candidates begins.
    pub(super) fn first_boundary(&self, candidates: usize) -> Result<Boundary, SettingsError> {
        if let Some(boundary) = self.shares(candidates).and_then(|shares| shares.cut(candidates)) {
            return Ok(boundary);
        }
        let level = self.level().split(u32::try_from(candidates).unwrap_or(u32::MAX));
        Ok(boundaries::single_policy(self.design(0)?, level)?)
    }

    /// The level to be shared between the candidates, if it may be.
    fn shares(&self, candidates: usize) -> Option<Shares> {
        let (design, alpha) = (self.design(0).ok()?, self.level());
        if candidates < 2 {
            return None;
        }
        let whole = boundaries::single_policy(design, alpha).ok()?.below(CUT);
        let level = alpha.get() - candidates as f64 * slip(design, &whole)?;
        (level > 0.0).then_some(Shares { level, whole })
    }

    /// Drops the hopeless, and gives their share of the level to the others.
    pub(super) fn sieve(&mut self) {
        let all = self.tests.len();
        if all < 2 || self.tests.iter().any(|test| test.start > 0) {
            return;
        }
        let hopeless = |test: &ChainTest| test.failures() >= HOPELESS;
        let sieved: Vec<usize> =
            (0..all).filter(|position| self.tests.get(*position).is_some_and(hopeless)).collect();
        for position in &sieved {
            self.drop_test(*position, "it failed on nearly all of the first items");
        }
        let left = all - sieved.len();
        // The level is shared only if it was from the start.
        if left < all
            && let Some(shares) = self.shares(all)
            && let (Some(_), Some(boundary)) = (shares.cut(all), shares.cut(left.max(1)))
        {
            for test in self.tests.iter_mut().filter(|test| test.live) {
                test.boundary = boundary.clone();
            }
        }
        self.review_demand();
    }
}

/// The level that the candidates share, and the boundary at the whole of `alpha`.
struct Shares {
    level: f64,
    whole: Boundary,
}

impl Shares {
    /// The boundary at one of `parts` equal shares, cut to the one at the whole.
    fn of(&self, parts: usize) -> Option<Boundary> {
        let level = Probability::new(self.level / parts as f64).ok()?;
        let looks = self.whole.looks().as_slice();
        let boundary = boundaries::single_policy_at(self.whole.design(), level, looks).ok()?;
        Some(boundary.below(CUT).cut_to(&self.whole))
    }

    /// The boundary at one of `parts` equal shares, cut to those at all larger shares.
    ///
    /// Each level is calibrated by itself, on a grid, so at some look a smaller share might tolerate a failure
    /// more than a larger one. The cut makes sure that it does not.
    fn cut(&self, parts: usize) -> Option<Boundary> {
        (1..parts).try_fold(self.of(parts)?, |own, larger| Some(own.cut_to(&self.of(larger)?)))
    }
}

/// The larger of the probabilities `p` and `q` of the module head; `None` if the argument does not apply.
fn slip(design: Design, whole: &Boundary) -> Option<f64> {
    let Population::Finite(population) = design.population() else { return None };
    // A far candidate that passes below `CUT` then always passes wrongly: 0.6 N - 0.4 N exceeds the
    // allowance.
    if population < ITEMS || design.allowance()?.saturating_mul(5) > population {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let failing = (population as f64 * NEAR).ceil() as u64;
    let succeed = population.saturating_sub(failing);
    let sieved = hypergeometric_cdf(population, succeed, ITEMS, ITEMS - HOPELESS).ok()?;
    let looks = whole.looks().as_slice().iter().zip(whole.limits());
    let passed = looks.filter_map(|(look, limit)| {
        let (k, x) = (*look as f64, (*limit)? as f64 / *look as f64);
        let part = |x: f64, p: f64| if x > 0.0 { x * (x / p).ln() } else { 0.0 };
        Some((-k * (part(x, NEAR) + part(1.0 - x, 1.0 - NEAR))).exp())
    });
    Some(sieved.max(passed.sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(design: Design, alpha: f64) -> Boundary {
        Boundary::single_policy(design, Probability::new(alpha).unwrap()).unwrap().below(CUT)
    }

    /// Whether every way to pass `inner` also passes `outer`, which has the same looks.
    fn within(inner: &Boundary, outer: &Boundary) -> bool {
        let mut limits = inner.limits().iter().zip(outer.limits());
        inner.looks() == outer.looks()
            && limits.all(|(inner, outer)| inner.is_none_or(|own| outer.is_some_and(|o| own <= o)))
    }

    #[test]
    fn a_smaller_share_lies_within_every_larger_one() {
        let designs = [(200, 40), (1000, 100), (1300, 260), (5574, 278), (20_000, 2000)];
        for (population, allowance) in designs {
            let design = Design::finite(population, allowance).unwrap();
            for alpha in [0.2, 0.05] {
                let shares = Shares { level: alpha * 0.99, whole: cut(design, alpha) };
                let each: Vec<Boundary> = (1..40).map(|parts| shares.of(parts).unwrap()).collect();
                for parts in 1..40 {
                    let cut = shares.cut(parts).unwrap();
                    let mut larger = each.iter().take(parts).chain([&shares.whole]);
                    let inside = larger.all(|larger| within(&cut, larger));
                    assert!(inside, "{population} {alpha} {parts}");
                }
            }
        }
    }

    #[test]
    fn what_the_sieve_costs_is_little_and_known() {
        let slip_at = |population, allowance, alpha| {
            let design = Design::finite(population, allowance).unwrap();
            slip(design, &cut(design, alpha))
        };
        let usual = slip_at(50_000, 2500, 0.05).unwrap();
        assert!((4e-5..6e-5).contains(&usual), "{usual}");
        // At a very low confidence a candidate that fails on most items may pass early.
        let lenient = slip_at(1000, 200, 0.9).unwrap();
        assert!((1e-3..0.5).contains(&lenient), "{lenient}");
        assert_eq!(slip_at(1000, 201, 0.05), None, "whoever is far must be out of reach");
        assert_eq!(slip_at(29, 2, 0.05), None, "there is no thirtieth item");
    }

    #[test]
    fn no_limit_reaches_the_cut() {
        let boundary = cut(Design::finite(1000, 200).unwrap(), 0.05);
        let looks = boundary.looks().as_slice().iter().zip(boundary.limits());
        assert!(
            looks
                .clone()
                .all(|(look, limit)| limit.is_none_or(|l| (l as f64) < 0.4 * *look as f64))
        );
        assert!(looks.flat_map(|(_, limit)| limit).max() > Some(&20));
    }
}

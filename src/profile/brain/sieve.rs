//! Adaptive Bonferroni for single candidates (DESIGN 5): after the first items the level of those that
//! fail on nearly all of them goes to the others, who keep all their evidence.
//!
//! # Why the levels still sum to `alpha`
//! `M` candidates are tested from the first item on, at `alpha / M` each. A candidate is *sieved* if it
//! fails on at least 28 of the first 30 items; `A` are the others, **whether they are still tested or
//! were given up for money**: who is given up because it looks bad is chosen by its data, and must keep
//! its share. If any are sieved, those of `A` are tested at `(alpha - s) / |A|` from item 30 on,
//! `s = M max(p, q)`, by a boundary *cut down* so that it certifies no candidate that fails on 40 % of the
//! items seen or more. Call a candidate *near* if it fails on at most `W = 0.6 N` items, else *far*; the
//! allowance is at most `0.2 N`.
//!
//! * A near one is sieved with probability at most `p = P(Hyp(N, W, 30) >= 28)`.
//! * A far one is certified wrongly, at whatever level up to `alpha`, with probability at most `q`, that
//!   of one with `W` failing items to pass the boundary at the level `alpha`, cut down: more failures make
//!   no boundary easier to pass, and each that is used lies [`within`] this one, so that whoever passes it
//!   has passed this one. (Without the cut the same would not hold: late in the population a far one may
//!   pass rightly, and the error there is not small.)
//! * Unless a near one is sieved, `|A|` is no less than the number of near ones. Then each of them is
//!   certified wrongly with probability at most `(alpha - s) / |A|`, for the boundary used before item 30
//!   lies within the later one; some near one with at most `alpha - s`.
//!
//! Together that is at most `near p + far q + alpha - s <= alpha`, whatever the dependence between
//! candidates. (A near one's level is not independent of its data, as `|A|` is not; but each level that
//! `|A|` can come to, where no near one is sieved, is at most `(alpha - s) / near`, and the boundary at it
//! lies within the one at that level.)

use super::{Brain, ChainTest, boundaries};
use crate::stats::{Boundary, Design, Population, Probability, hypergeometric_cdf};

/// Items after which hopeless candidates are dropped.
pub(super) const ITEMS: u64 = 30;
/// Failures among them that drop a candidate.
const HOPELESS: u64 = 28;
/// The failure rate up to which a candidate is near.
const NEAR: f64 = 0.6;
/// No candidate that fails on this share of the items seen is certified.
const CUT: f64 = 0.4;
impl Brain {
    /// Drops the hopeless, and gives their part of the level to the others.
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
        if !sieved.is_empty()
            && let Some(boundary) = self.shared(all, all - sieved.len())
        {
            for test in self.tests.iter_mut().filter(|test| test.live) {
                test.boundary = boundary.clone();
            }
        }
        self.review_demand();
    }

    /// The boundary for the candidates that are left, unless nothing would be gained.
    fn shared(&self, all: usize, left: usize) -> Option<Boundary> {
        let (design, alpha) = (self.design(0).ok()?, self.level());
        let at = |level| boundaries::single_policy(design, level).ok().map(|b| b.below(CUT));
        let whole = at(alpha)?;
        let level = (alpha.get() - all as f64 * slip(design, &whole)?) / left.max(1) as f64;
        if level <= alpha.get() / all as f64 {
            return None;
        }
        let boundary = at(Probability::new(level).ok()?)?;
        let mut before = self.tests.iter().map(|test| &test.boundary);
        let lies = before.all(|before| within(before, &boundary, ITEMS));
        (lies && within(&boundary, &whole, u64::MAX)).then_some(boundary)
    }
}

/// The larger of the chances that one candidate upsets the argument: `p` and `q` above.
fn slip(design: Design, whole: &Boundary) -> Option<f64> {
    let Population::Finite(population) = design.population() else { return None };
    // Who passes below `CUT` and is far then fails too often: 0.6 N - 0.4 N is not allowed.
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
    Some(sieved.max(whole.error_at(failing)?))
}

/// Whether every way to pass one boundary at its looks up to an item passes the other as well: at the
/// last look of the other at or before each of them no fewer failures are allowed.
fn within(inner: &Boundary, outer: &Boundary, until: u64) -> bool {
    let looks = inner.looks().as_slice().iter().zip(inner.limits());
    looks.take_while(|(look, _)| **look <= until).all(|(look, limit)| {
        limit.is_none_or(|limit| outer.carried(*look).is_some_and(|other| other >= limit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(design: Design, alpha: f64) -> Boundary {
        Boundary::single_policy(design, Probability::new(alpha).unwrap()).unwrap().below(CUT)
    }

    #[test]
    fn a_smaller_level_lies_within_a_larger_one() {
        for (population, allowance) in [(200, 40), (1300, 260), (5574, 278), (50_000, 1000)] {
            let design = Design::finite(population, allowance).unwrap();
            for alpha in [0.2, 0.05] {
                let whole = cut(design, alpha);
                assert!(within(&whole, &whole, u64::MAX));
                for parts in [2.0, 3.0, 8.0, 40.0] {
                    let part = cut(design, alpha / parts);
                    assert!(within(&part, &whole, u64::MAX), "{population} {alpha} {parts}");
                    assert!(!within(&whole, &part, u64::MAX), "{population} {alpha} {parts}");
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
        // With next to no confidence asked for, a candidate passes early that fails on most items.
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

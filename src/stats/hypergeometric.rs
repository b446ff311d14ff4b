//! The exact test at one look: lower tails of the hypergeometric distribution.
//!
//! ```text
//! p(k, f) = P( Hyp(population N, marked F + 1 + f, draws k) <= f )        finite
//! p(k, f) = P( Bin(k, delta) <= f )                                       unbounded
//! ```
//!
//! Suppose `W` items of the population fail, and `f` of them were seen among the first `k`. Then `W - f`
//! failures would be delivered. The null hypothesis is `W - f >= F + 1`; it is least favourable at
//! equality, and hence `F + 1 + f` items are marked. The `k` items are assumed to be a uniformly random
//! sample without replacement (Fisher's exact test, 1935, one side). Every certificate of a finite
//! population rests on this p-value.

use super::binomial::{self, NEGLIGIBLE};
use super::limits::{Level, Rungs};
use super::normal::normal_above;
use super::saddle::ln_hypergeometric;
use super::{Design, Probability, Promise, StatsError};

/// `P(Hyp(population, marked, draws) <= x)`, the lower tail of the hypergeometric distribution.
///
/// That is the chance of at most `x` marked items among `draws` taken without replacement from
/// `population`, of which `marked` are marked. The relative error is below `1e-10` in either tail, up to
/// populations of [`super::MAX_POPULATION`].
///
/// # Errors
/// [`StatsError::Population`] for an empty or too large population, [`StatsError::Counts`] if more
/// items are marked or drawn than there are.
///
/// # Example
/// ```
/// use smart_core::stats::hypergeometric_cdf;
/// let p = hypergeometric_cdf(100, 11, 30, 0)?;
/// assert!((p / 0.015_278_160_305_347_7 - 1.0).abs() < 1e-12);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn hypergeometric_cdf(
    population: u64,
    marked: u64,
    draws: u64,
    x: u64,
) -> Result<f64, StatsError> {
    if population == 0 || population > super::MAX_POPULATION {
        return Err(StatsError::Population(population));
    }
    let most = marked.max(draws);
    if most > population {
        return Err(StatsError::Counts { draws: population, failures: most });
    }
    Ok(ln_cdf(population, marked, draws, x).exp())
}

/// The exact p-value of the null hypothesis "more than the allowance would be delivered".
///
/// It is taken after `failures` among `draws` items, lies in `[0, 1]` and increases with `failures`.
///
/// ```text
/// p(k, f) = P( Hyp(N, F + 1 + f, k) <= f ),   0 if k >= N - F,   1 if f >= k (F + 1 + f) / N
/// ```
///
/// For a stream it is `P(Bin(k, delta) <= f)`, and 1 above the mean. More draws than items are not an
/// error: everything has been drawn. Nor are more failures than draws: they show nothing.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, p_value};
/// let p = p_value(Design::finite(50_000, 2_500)?, 800, 30);
/// assert!((p - 0.047_449_752).abs() < 1e-9);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn p_value(design: Design, draws: u64, failures: u64) -> f64 {
    test(design, draws, failures).0.exp()
}

/// The largest number of failures that certifies at one look decided on in advance.
///
/// That is `max { f : p(draws, f) <= alpha }`, or `None` if not even 0 failures certify. From `N - F`
/// draws on everything certifies, and the answer is `draws`.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, Probability, single_look_limit};
/// let alpha = Probability::new(0.05)?;
/// assert_eq!(single_look_limit(Design::finite(50_000, 2_500)?, 800, alpha), Some(30));
/// assert_eq!(single_look_limit(Design::finite(50_000, 2_500)?, 50, alpha), None);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn single_look_limit(design: Design, draws: u64, alpha: Probability) -> Option<u64> {
    if draws >= design.exhausted_at() {
        return Some(draws);
    }
    Rungs::default().limit(design, draws, Level::new(alpha.get()))
}

/// `f + step`, kept in range; NaN counts as no step.
#[allow(clippy::cast_possible_truncation, reason = "the step is clamped to +-1e12 before the cast")]
pub(super) fn offset(f: u64, step: f64) -> u64 {
    f.saturating_add_signed(step.clamp(-1e12, 1e12) as i64)
}

/// The smallest number of failures for which the p-value is defined to be 1.
pub(super) fn mean_crossing(design: Design, draws: u64) -> u64 {
    match design.0 {
        Promise::Finite { population, allowance } => {
            let (n, f, k) = (u128::from(population), u128::from(allowance), u128::from(draws));
            if k >= n {
                return u64::MAX;
            }
            u64::try_from((k * (f + 1)).div_ceil(n - k)).unwrap_or(u64::MAX)
        }
        Promise::Unbounded { rate } => offset(0, (draws as f64 * rate.get()).ceil()),
    }
}

/// A starting point from the normal approximation; it affects speed alone.
pub(super) fn normal_guess(design: Design, draws: u64, ln_level: f64) -> u64 {
    let k = draws as f64;
    // Levels above 1/2 start at 0.
    let z = normal_above(ln_level).max(0.0);
    let (mean, rest) = match design.0 {
        Promise::Finite { population, allowance } => {
            let n = population as f64;
            (k * (allowance as f64 + 1.0) / n, 1.0 - k / n)
        }
        Promise::Unbounded { rate } => (k * rate.get(), 1.0),
    };
    // Solve f rest = mean - z sd(f), with sd^2 = (mean + f k/N) (1 - rate) rest at the root; one step is
    // enough.
    let spread = z * (mean * (1.0 - mean / k).max(0.0)).sqrt();
    offset(0, ((mean - spread) / rest.max(1e-9) + 0.17 * z * z).floor())
}

/// `(ln p, p / P(X = f))`; the second is 1 where `p` is 0 or defined to be 1.
pub(super) fn test(design: Design, draws: u64, failures: u64) -> (f64, f64) {
    let (ln_p, terms) = match design.0 {
        Promise::Finite { population, allowance } => {
            let marked = allowance.saturating_add(1).saturating_add(failures);
            if draws >= population - allowance {
                return (f64::NEG_INFINITY, 1.0);
            }
            // There are fewer failures than draws here, and so fewer marked items than items.
            let above = failures >= draws
                || u128::from(failures) * u128::from(population)
                    >= u128::from(draws) * u128::from(marked);
            if above {
                return (0.0, 1.0);
            }
            ln_tail_down(population, marked, draws, failures)
        }
        Promise::Unbounded { rate } => {
            if failures as f64 >= draws as f64 * rate.get() {
                return (0.0, 1.0);
            }
            binomial::ln_tail_down(draws, rate.get(), failures)
        }
    };
    (ln_p.min(0.0), terms)
}

/// `ln P(Hyp <= x)`, exact on both sides of the mean; arguments in range.
pub(super) fn ln_cdf(population: u64, marked: u64, draws: u64, x: u64) -> f64 {
    if x >= marked.min(draws) {
        return 0.0;
    }
    if u128::from(x) * u128::from(population) > u128::from(draws) * u128::from(marked) {
        return binomial::ln_complement(ln_tail_up(population, marked, draws, x + 1));
    }
    ln_tail_down(population, marked, draws, x).0.min(0.0)
}

/// Sums downwards from `x`, at or below the mean; returns `(ln tail, tail / P(X = x))`.
///
/// Four ratios are computed at a time so that their divisions overlap. Products and sums still run one
/// by one, so the result does not depend on the grouping. The first zero term ends the support, and the
/// factors beyond it are finite.
fn ln_tail_down(population: u64, marked: u64, draws: u64, x: u64) -> (f64, f64) {
    let (n, w, k) = (population as f64, marked as f64, draws as f64);
    // At or below the low end of the support there is nothing to add.
    let mut term = if n - w - k + x as f64 > 0.0 { 1.0 } else { 0.0 };
    let mut sum = 1.0_f64;
    let mut at = [0.0, 1.0, 2.0, 3.0].map(|step| x as f64 - step);
    while term > NEGLIGIBLE * sum {
        // P(at - 1) / P(at)
        for ratio in at.map(|at| at * (n - w - k + at) / ((w - at + 1.0) * (k - at + 1.0))) {
            term *= ratio;
            sum += term;
        }
        at = at.map(|at| at - 4.0);
    }
    (ln_hypergeometric(n, w, k, x as f64) + sum.ln(), sum)
}

/// Sums upwards from `x`, above the mean.
fn ln_tail_up(population: u64, marked: u64, draws: u64, x: u64) -> f64 {
    let (n, w, k) = (population as f64, marked as f64, draws as f64);
    let (mut at, most) = (x as f64, w.min(k));
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    while at < most {
        // P(at + 1) / P(at)
        let ratio = (w - at) * (k - at) / ((at + 1.0) * (n - w - k + at + 1.0));
        term *= ratio;
        sum += term;
        if term <= NEGLIGIBLE * sum {
            break;
        }
        at += 1.0;
    }
    ln_hypergeometric(n, w, k, x as f64) + sum.ln()
}

/// An upper bound of `P(Hyp(population, marked, draws) <= x)` in constant time.
///
/// Below the mean the terms fall at least geometrically, so the tail is at most `P(X = x) / (1 - ratio)`.
pub(super) fn tail_bound(population: u64, marked: u64, draws: u64, x: u64) -> f64 {
    let (n, w, k, at) = (population as f64, marked as f64, draws as f64, x as f64);
    // Bernstein's inequality, for the sample or for what it leaves, whichever is smaller. Most calls end
    // here: where the bound is tiny, a looser one does no harm.
    let rate = w / n;
    let short = k * rate - at;
    let spread = k.min(n - k) * rate * (1.0 - rate);
    let depth = short * short / (2.0 * (spread + short / 3.0));
    if short > 0.0 && depth > 18.0 {
        return (-depth).exp();
    }
    let ratio = at * (n - w - k + at).max(0.0) / ((w - at + 1.0) * (k - at + 1.0));
    if ratio < 1.0 && at < w && at < k {
        (ln_hypergeometric(n, w, k, at).exp() / (1.0 - ratio)).min(1.0)
    } else {
        1.0
    }
}

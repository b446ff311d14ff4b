//! Exact confidence bounds of a failure rate and of a number of failures, at a fixed sample size.
//!
//! They judge the agreement floor and inform reports; certificates over several looks come from
//! [`Boundary`](super::Boundary).

use super::beta::{Tail, quantile};
use super::binomial::ln_lower_tail;
use super::hypergeometric::ln_cdf;
use super::{Probability, StatsError, last_true};

/// Refuses impossible counts.
fn counts(draws: u64, failures: u64, most: u64) -> Result<(), StatsError> {
    if failures > draws || draws > most {
        return Err(StatsError::Counts { draws, failures });
    }
    Ok(())
}

/// The one-sided Clopper–Pearson upper bound of a failure rate, at confidence `1 - alpha`.
///
/// ```text
/// sup { p : P( Bin(k, p) <= f ) > alpha } = quantile(1 - alpha) of Beta(f + 1, k - f)
/// ```
///
/// It assumes independent items with one failure rate (Clopper and Pearson 1934), and is 1 when `f = k`.
///
/// # Errors
/// [`StatsError::Counts`] for more failures than draws, or too many draws.
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, upper_rate};
/// let bound = upper_rate(59, 0, Probability::new(0.05)?)?;
/// assert!((bound - (1.0 - 0.05_f64.powf(1.0 / 59.0))).abs() < 1e-12);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn upper_rate(draws: u64, failures: u64, alpha: Probability) -> Result<f64, StatsError> {
    counts(draws, failures, super::MAX_POPULATION)?;
    if failures == draws {
        return Ok(1.0);
    }
    let (a, b) = (failures as f64 + 1.0, (draws - failures) as f64);
    Ok(quantile(a, b, Tail::Above(alpha.get())))
}

/// The two-sided Clopper–Pearson interval of a failure rate, as `(lower, upper)`, with `alpha / 2` on
/// either side.
///
/// # Errors
/// [`StatsError::Counts`] for more failures than draws, or too many draws.
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, two_sided_rate};
/// let (lower, upper) = two_sided_rate(10, 0, Probability::new(0.05)?)?;
/// assert!(lower == 0.0 && (upper - 0.308_497).abs() < 1e-6);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn two_sided_rate(
    draws: u64,
    failures: u64,
    alpha: Probability,
) -> Result<(f64, f64), StatsError> {
    let half = alpha.split(2);
    let upper = upper_rate(draws, failures, half)?;
    let lower = if failures == 0 {
        0.0
    } else {
        let (a, b) = (failures as f64, (draws - failures) as f64 + 1.0);
        quantile(a, b, Tail::Below(half.get()))
    };
    Ok((lower, upper))
}

/// The exact one-sided binomial p-value against "the rate is at least `rate`": `P(Bin(k, rate) <= f)`.
///
/// # Errors
/// [`StatsError::Counts`] for more failures than draws, or too many draws.
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, rate_p_value};
/// let p = rate_p_value(10, 0, Probability::new(0.5)?)?;
/// assert!((p - 0.5_f64.powi(10)).abs() < 1e-15);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn rate_p_value(draws: u64, failures: u64, rate: Probability) -> Result<f64, StatsError> {
    counts(draws, failures, super::MAX_POPULATION)?;
    Ok(ln_lower_tail(draws, rate.get(), failures).exp())
}

/// The exact two-sided 95 % interval of a share of agreement; everything if nothing was tried.
pub(crate) fn agreement_interval(tried: u64, failures: u64) -> (f64, f64) {
    Probability::new(0.05)
        .and_then(|alpha| two_sided_rate(tried, failures, alpha))
        .map_or((0.0, 1.0), |(low, high)| (1.0 - high, 1.0 - low))
}

/// An upper confidence bound of the failures among the items *not* drawn, at one fixed sample size.
///
/// ```text
/// max { r <= N - k : P( Hyp(N, f + r, k) <= f ) > alpha }
/// ```
///
/// It inverts the exact test of [`super::p_value`] (Buonaccorsi 1987), for a uniformly random sample
/// without replacement.
///
/// # Errors
/// [`StatsError::Population`] for an empty or too large population, [`StatsError::Counts`] for more
/// failures than draws or more draws than items.
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, upper_failures};
/// let alpha = Probability::new(0.05)?;
/// // 30 failures in 800 certify "at most 2,500 among the rest", and 31 do not.
/// assert!(upper_failures(50_000, 800, 30, alpha)? <= 2_500);
/// assert!(upper_failures(50_000, 800, 31, alpha)? > 2_500);
/// assert_eq!(upper_failures(100, 100, 7, alpha)?, 0);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn upper_failures(
    population: u64,
    draws: u64,
    failures: u64,
    alpha: Probability,
) -> Result<u64, StatsError> {
    if population == 0 || population > super::MAX_POPULATION {
        return Err(StatsError::Population(population));
    }
    counts(draws, failures, population)?;
    let plausible =
        |rest: u64| ln_cdf(population, failures + rest, draws, failures) > alpha.get().ln();
    Ok(last_true(0, population - draws + 1, plausible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_invert_the_tests() {
        let alpha = Probability::new(0.05).unwrap();
        for (k, f) in [(10, 0), (10, 9), (300, 12), (100_000, 4_800)] {
            let upper = upper_rate(k, f, alpha).unwrap();
            let p = rate_p_value(k, f, Probability::new(upper).unwrap()).unwrap();
            assert!((p / 0.05 - 1.0).abs() < 1e-9, "{k} {f}: {p}");
            let (low, high) = two_sided_rate(k, f, alpha).unwrap();
            assert!(low <= f as f64 / k as f64 && high > upper);
        }
        assert!(upper_rate(10, 10, alpha).unwrap() >= 1.0);
        assert!(upper_rate(10, 11, alpha).is_err());
        assert!(upper_rate(0, 0, alpha).unwrap() >= 1.0);
    }

    #[test]
    fn the_bound_on_remaining_failures_covers() {
        let alpha = Probability::new(0.1).unwrap();
        // P(bound < W - f) by enumeration over f, for every W.
        for failing in 0..=40_u64 {
            let mut missed = 0.0;
            let mut before = 0.0;
            for f in 0..=failing.min(15) {
                let upto = ln_cdf(40, failing, 15, f).exp();
                if upper_failures(40, 15, f, alpha).unwrap() < failing - f {
                    missed += upto - before;
                }
                before = upto;
            }
            assert!(missed <= 0.1, "{failing}: {missed}");
        }
    }
}

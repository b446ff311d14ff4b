//! How many of the remaining items a policy may have after one look, if not all.
//!
//! Where a candidate is not cheap beside the reference, it can pay to give it only a part of what is left.

use super::hypergeometric::ln_cdf;
use super::{Design, Probability, Promise, last_true};

/// The largest number of the remaining items that a policy may answer, decided at one predeclared look.
///
/// After `failures` among `draws` items, the policy answers the next `n` in the random order and the
/// reference the others. More failures than the allowance are delivered with probability at most `alpha`.
///
/// ```text
/// n(f) = max { n <= N - k : P( Hyp(k + n, F + f, k) <= f ) <= alpha }
/// ```
///
/// At a fixed `n` the test would have `F + 1 + f` marked items. Here `n` follows the data, and the proof
/// needs `F - 1` in place of `F`: one failure of the allowance pays for the choice. Hence the answer is
/// 0 if `F = 0`.
///
/// `None` for impossible counts (more failures than draws, more draws than items), and for a stream: its
/// items are independent, so it needs no such rule.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, Probability, max_share};
/// let (design, alpha) = (Design::finite(50_000, 2_500)?, Probability::new(0.05)?);
/// // 80 failures in 1,000 are too many for all 49,000, but a part can be had.
/// let share = max_share(design, 1_000, 80, alpha);
/// assert!(share.is_some_and(|n| n > 20_000 && n < 49_000));
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn max_share(design: Design, draws: u64, failures: u64, alpha: Probability) -> Option<u64> {
    let Promise::Finite { population, allowance } = design.0 else {
        return None;
    };
    if draws > population || failures > draws {
        return None;
    }
    let left = population - draws;
    if allowance == 0 {
        return Some(0);
    }
    let marked = allowance.saturating_add(failures);
    // With fewer items than marked ones nothing can go wrong; beyond that the chance grows with n.
    let allowed = |n: u64| {
        draws + n < marked || ln_cdf(draws + n, marked, draws, failures) <= alpha.get().ln()
    };
    Some(last_true(0, left + 1, allowed))
}

#[cfg(test)]
mod tests {
    use super::super::saddle::ln_hypergeometric;
    use super::*;

    /// P(more than F failures are delivered) with `failing` items in the population, exactly.
    fn error(population: u64, allowance: u64, draws: u64, failing: u64, alpha: Probability) -> f64 {
        let design = Design::finite(population, allowance).unwrap();
        let pmf = |n: u64, w: u64, k: u64, x: u64| {
            ln_hypergeometric(n as f64, w as f64, k as f64, x as f64).exp()
        };
        let mut error = 0.0;
        for failures in 0..=draws.min(failing) {
            let here = pmf(population, failing, draws, failures);
            let share = max_share(design, draws, failures, alpha).unwrap();
            let (left, bad) = (population - draws, failing - failures);
            if bad > left {
                continue;
            }
            for delivered in allowance + 1..=share.min(bad) {
                error += here * pmf(left, bad, share, delivered);
            }
        }
        error
    }

    #[test]
    fn the_error_is_within_alpha_for_every_number_of_failing_items() {
        for (population, allowance, draws) in
            [(20, 1, 8), (30, 3, 10), (60, 6, 20), (60, 20, 12), (120, 12, 30)]
        {
            for level in [0.05, 0.2, 0.5] {
                let alpha = Probability::new(level).unwrap();
                for failing in 0..=population {
                    let error = error(population, allowance, draws, failing, alpha);
                    assert!(error <= level, "{population} {allowance} {draws} {failing}: {error}");
                }
            }
        }
    }

    #[test]
    fn edges() {
        let alpha = Probability::new(0.05).unwrap();
        let design = Design::finite(100, 5).unwrap();
        assert_eq!(max_share(design, 101, 0, alpha), None);
        assert_eq!(max_share(design, 10, 11, alpha), None);
        assert_eq!(max_share(design, 100, 50, alpha), Some(0));
        assert_eq!(max_share(Design::unbounded(alpha), 10, 0, alpha), None);
        assert_eq!(max_share(design, 60, 0, alpha), Some(40));
        // Fewer than F items cannot fail more than F times.
        assert!(max_share(design, 10, 10, alpha).unwrap() >= 4);
    }
}

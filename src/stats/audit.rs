//! The audited mode: a guarantee that survives drift, bad orders and adversaries.
//!
//! Every item that a candidate would answer is, by an independent coin of probability `q`, answered by the
//! reference as well. An audited item delivers the reference's answer, so it cannot fail; a failure that
//! an audit sees is *caught*. Whoever chooses the items does not know the coins. Each failure is therefore
//! caught by an independent toss, whatever the order of the items, and the number of failures delivered
//! can be bounded by the number caught. Plans are audited during execution; profiling takes no part in it.

use super::binomial::{ln_lower_tail, ln_upper_tail};
use super::saddle::ln_binomial;
use super::{Probability, last_true};

/// The search for a largest number stops here.
const MOST: u64 = 1 << 52;
/// The shares that [`lasting_share`] tries: from the least to the most, each this many times the one before.
const LEAST_SHARE: f64 = 0.001;
const MOST_SHARE: f64 = 0.5;
const FINER: f64 = 1.03;
/// How often an execution with a lasting share may still switch.
const UNLIKELY: f64 = 0.05;

/// The chance that more than `allowance` failures are delivered before more than `caught` are caught.
///
/// ```text
/// P( Bin(F + 1 + f, q) <= f )
/// ```
///
/// ```
/// use smart_core::stats::{Probability, uncaught_tail};
/// let q = Probability::new(0.02)?;
/// assert!((uncaught_tail(2_500, q, 38) - 0.036_428_569).abs() < 1e-8);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn uncaught_tail(allowance: u64, q: Probability, caught: u64) -> f64 {
    let tosses = allowance.saturating_add(1).saturating_add(caught);
    ln_lower_tail(tosses, q.get(), caught).exp()
}

/// The largest number of caught failures after which cheap delivery may go on.
///
/// With one more, everything goes to the reference. `None` if no number is safe: then do not start.
///
/// ```text
/// f_max = max { f : P( Bin(F + 1 + f, q) <= f ) <= alpha }
/// ```
///
/// More than `F` failures are delivered with probability at most `alpha`, whatever the order, the drift
/// or an adversary does: it happens only if at most `f_max` of the first `F + 1 + f_max` failures are
/// caught (the number of uncaught failures before the `(f_max + 1)`-th caught one is negative binomial).
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, max_caught};
/// let (q, alpha) = (Probability::new(0.05)?, Probability::new(0.05)?);
/// assert_eq!(max_caught(2_500, q, alpha), Some(112));
/// assert_eq!(max_caught(3, q, alpha), None);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn max_caught(allowance: u64, q: Probability, alpha: Probability) -> Option<u64> {
    let safe = |caught: u64| uncaught_tail(allowance, q, caught) <= alpha.get();
    if !safe(0) {
        return None;
    }
    largest(safe)
}

/// The smallest share of audits at which an execution with this many failing answers is likely to last.
///
/// It *lasts* if cheap delivery goes on to the end, and is likely to if it does in 19 of 20 runs:
///
/// ```text
/// q = min { q : P( Bin(failures, q) > f_max(q) ) <= 0.05 }
/// ```
///
/// A smaller share costs fewer audits, but tolerates so few catches that the usual ones switch the run to the
/// reference. `None` if not even auditing half of the answers would do. (Audited answers are the reference's and
/// cannot fail, so even a few more failures than allowed may be borne.)
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, lasting_share};
/// let alpha = Probability::new(0.05)?;
/// // 4,000 items, of which 5 % may fail and 2 % do.
/// let share = lasting_share(200, 80, alpha).map(Probability::get);
/// assert!(share.is_some_and(|q| (0.07..0.09).contains(&q)), "{share:?}");
/// assert_eq!(lasting_share(200, 400, alpha), None);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn lasting_share(allowance: u64, failures: u64, alpha: Probability) -> Option<Probability> {
    let lasts = |q: &Probability| {
        let switch = max_caught(allowance, *q, alpha).map(|most| most + 1);
        switch.is_some_and(|switch| ln_upper_tail(failures, q.get(), switch) <= UNLIKELY.ln())
    };
    let shares = std::iter::successors(Some(LEAST_SHARE), |q| Some(q * FINER));
    let mut shares =
        shares.take_while(|q| *q <= MOST_SHARE).filter_map(|q| Probability::new(q).ok());
    shares.find(lasts)
}

/// The most failures that may have been delivered when `caught` were caught, at any time, with
/// confidence `1 - alpha`.
///
/// Deliver cheaply only while this is within the allowance `delta t` of `t` items.
///
/// ```text
/// U(f) = max { D : E(f, D) < 1 / alpha },
/// E(f, D) = (1/q) int_0^q theta^f (1 - theta)^D d theta / ( q^f (1 - q)^D )
///         = P( Bin(f + D + 1, q) >= f + 1 ) / ( (f + D + 1) q P( Bin(f + D, q) = f ) )
/// ```
///
/// Each failure in cheap mode is caught with probability `q`, independently. So `E` is a nonnegative
/// martingale (the uniform mixture over the catch rates below `q`; Robbins 1970), and it reaches
/// `1 / alpha` with probability at most `alpha` (Ville 1939). `E` grows with `D`, so `U(f)` is well
/// defined. Count only the catches made in cheap mode.
///
/// # Example
/// ```
/// use smart_core::stats::{Probability, max_delivered};
/// let (q, alpha) = (Probability::new(0.05)?, Probability::new(0.05)?);
/// let few = max_delivered(0, q, alpha);
/// assert!(few >= 59); // at least the 59 of one fixed time: 0.95^59 = 0.048
/// assert!(max_delivered(1, q, alpha) > few);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
pub fn max_delivered(caught: u64, q: Probability, alpha: Probability) -> u64 {
    let threshold = -alpha.get().ln();
    largest(|delivered| ln_catch_evidence(caught, delivered, q) < threshold).unwrap_or(0)
}

/// `ln E(f, D)` of [`max_delivered`].
fn ln_catch_evidence(caught: u64, delivered: u64, q: Probability) -> f64 {
    let failures = caught.saturating_add(delivered);
    let (n, f, q) = (failures as f64, caught as f64, q.get());
    ln_upper_tail(failures + 1, q, caught + 1)
        - ((n + 1.0) * q).ln()
        - ln_binomial(n, f, q, 1.0 - q)
}

/// The largest number with a property that holds up to some point; `None` if it does not hold at 0.
fn largest(holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(0) {
        return None;
    }
    let (mut good, mut bad) = (0, 1);
    while holds(bad) {
        good = bad;
        if bad >= MOST {
            return Some(MOST);
        }
        bad *= 2;
    }
    Some(last_true(good, bad, holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64) -> Probability {
        Probability::new(x).unwrap()
    }

    #[test]
    fn a_lasting_share_lasts_and_a_smaller_one_does_not() {
        let alpha = p(0.05);
        for (allowance, failures) in [(50, 10), (200, 80), (2_500, 1_900), (2_500, 2_700)] {
            let share = lasting_share(allowance, failures, alpha).unwrap();
            let switches = |q: Probability| {
                let most = max_caught(allowance, q, alpha).map_or(0, |most| most + 1);
                ln_upper_tail(failures, q.get(), most).exp()
            };
            assert!(switches(share) <= 0.05, "{allowance} {failures}");
            assert!(switches(p(share.get() / FINER)) > 0.05, "{allowance} {failures}");
        }
        // The more there is to spare, the smaller the share.
        let shares: Vec<f64> = [20, 80, 150]
            .into_iter()
            .filter_map(|failures| lasting_share(200, failures, alpha).map(Probability::get))
            .collect();
        assert!(shares.len() == 3 && shares.is_sorted(), "{shares:?}");
        assert_eq!(lasting_share(1, 1, alpha), None, "no share makes sure of the last failure");
    }

    #[test]
    fn golden_values() {
        // certificate.json, catch_*
        for (allowance, q, f_max, error) in [
            (2_500, 0.02, 38, 0.036_428_569_085_913_264),
            (2_500, 0.05, 112, 0.049_134_186_876_853),
            (278, 0.1, 21, 0.045_806_118_799_152_42),
        ] {
            assert_eq!(max_caught(allowance, p(q), p(0.05)), Some(f_max));
            assert!((uncaught_tail(allowance, p(q), f_max) / error - 1.0).abs() < 1e-9);
            assert!(uncaught_tail(allowance, p(q), f_max + 1) > 0.05);
        }
    }

    #[test]
    fn the_share_rule_holds_at_every_time_exactly() {
        // P(D > U(f) at any time) over all paths of up to 400 failures, by dynamic programming.
        let (q, alpha) = (0.1, 0.2);
        let limits: Vec<u64> = (0..=400).map(|f| max_delivered(f, p(q), p(alpha))).collect();
        let mut alive = vec![1.0_f64];
        let mut error = 0.0;
        for tosses in 1..=400_usize {
            let mut next = vec![0.0; tosses + 1];
            for (caught, mass) in alive.iter().enumerate() {
                next[caught] += mass * (1.0 - q);
                next[caught + 1] += mass * q;
            }
            for (caught, mass) in next.iter_mut().enumerate() {
                if (tosses - caught) as u64 > limits[caught] {
                    error += *mass;
                    *mass = 0.0;
                }
            }
            alive = next;
        }
        assert!(error <= alpha && error > 0.3 * alpha, "{error}");
    }
}

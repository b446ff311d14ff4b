//! A certificate that is valid after every item, without calibration: the prior-posterior ratio.
//!
//! A [`Boundary`](super::Boundary) certifies only at its looks and must be calibrated first. An [`EProcess`]
//! may be consulted at any time, also on an endless stream, and asks for somewhat more items in return.

use serde::{Deserialize, Serialize};

use super::binomial::{ln_lower_tail, ln_upper_tail};
use super::saddle::{ln_binomial, ln_hypergeometric};
use super::{Design, Probability, Promise, StatsError};

/// The weight of the second mixture, `Q2`.
const OMEGA: f64 = 0.1;

/// The e-process `E = Q / P` against the null hypothesis "more than the allowance would be delivered".
///
/// ```text
/// P  = probability of the sequence seen if w0 = F + 1 + f items fail (stream: at rate delta)
/// Q1 = its probability under rate ~ Beta(2, 1) restricted to (0, delta)
/// Q2 = its probability under rate ~ density 1 / (p ln(1 / delta)) on (delta, 1),   f >= 1
/// Q  = 0.9 Q1 + 0.1 Q2;    guard: f (N + 1) / k <= w0 (stream: f / k <= delta)
/// ```
///
/// By Ville's inequality (1939) the chance that `E` *ever* reaches `1 / alpha` while the null hypothesis
/// holds is at most `alpha`. So a policy may be certified after any item (Robbins 1970; Waudby-Smith and
/// Ramdas 2020, arXiv 2006.04347, theorem 1). The guard makes `w0` the least favourable number of
/// failing items. The process needs 5 to 30 % more items than [`super::Boundary`].
///
/// Factors common to `Q` and `P` are cancelled by hand. What is left are probabilities, computed afresh
/// from the two counts whenever the evidence is asked for, so no rounding accumulates.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, EProcess, Probability};
/// let mut process = EProcess::new(Design::finite(1_000, 50)?);
/// for _ in 0..150 {
///     process.push(false);
/// }
/// assert!(process.certifies(Probability::new(0.05)?));
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ProcessWire")]
pub struct EProcess {
    design: Design,
    draws: u64,
    failures: u64,
}

impl EProcess {
    /// Before the first item.
    pub fn new(design: Design) -> Self {
        Self { design, draws: 0, failures: 0 }
    }

    /// After `draws` items with `failures` among them.
    ///
    /// # Errors
    /// [`StatsError::Counts`] for more failures than draws, or more draws than items.
    pub fn at(design: Design, draws: u64, failures: u64) -> Result<Self, StatsError> {
        let most = match design.0 {
            Promise::Finite { population, .. } => population,
            Promise::Unbounded { .. } => super::MAX_POPULATION,
        };
        if failures > draws || draws > most {
            return Err(StatsError::Counts { draws, failures });
        }
        Ok(Self { design, draws, failures })
    }

    /// Takes in the next item of the random order.
    pub fn push(&mut self, failed: bool) {
        self.draws = self.draws.saturating_add(1);
        self.failures = self.failures.saturating_add(u64::from(failed));
    }

    /// Items seen.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// Failures among them.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// `ln E` now.
    ///
    /// It is infinite once at most `F` items are left, and minus infinity where the guard forbids a
    /// conclusion.
    pub fn log_evidence(&self) -> f64 {
        let (k, f) = (self.draws as f64, self.failures as f64);
        if self.draws >= self.design.exhausted_at() {
            return f64::INFINITY;
        }
        if self.draws == 0 {
            return 0.0;
        }
        // ln of (k choose f) P, and the rate up to which Q1 reaches.
        let (ln_p, rate) = match self.design.0 {
            Promise::Finite { population, allowance } => {
                let marked = allowance + 1 + self.failures;
                let guarded = u128::from(self.failures) * u128::from(population + 1)
                    <= u128::from(self.draws) * u128::from(marked);
                if !guarded {
                    return f64::NEG_INFINITY;
                }
                let n = population as f64;
                // Any rate fixed in advance is valid; without an allowance, half a failure is used.
                let rate = (allowance as f64).max(0.5) / n;
                (ln_hypergeometric(n, marked as f64, k, f), rate)
            }
            Promise::Unbounded { rate } => {
                let rate = rate.get();
                if f > k * rate {
                    return f64::NEG_INFINITY;
                }
                (ln_binomial(k, f, rate, 1.0 - rate), rate)
            }
        };
        // (k choose f) Q1 = 2 (f + 1) / ((k + 1) (k + 2)) I_delta(f + 2, k - f + 1) / delta^2
        let first = (2.0 * (f + 1.0) / ((k + 1.0) * (k + 2.0))).ln() - 2.0 * rate.ln()
            + ln_upper_tail(self.draws + 2, rate, self.failures + 2)
            - ln_p;
        if self.failures == 0 {
            // Q2 is defined from the first failure on; leaving it out before is conservative.
            return (1.0 - OMEGA).ln() + first;
        }
        // (k choose f) Q2 = (1 - I_delta(f, k - f + 1)) / (f ln(1 / delta))
        let second =
            ln_lower_tail(self.draws, rate, self.failures - 1) - f.ln() - (-rate.ln()).ln() - ln_p;
        let (first, second) = ((1.0 - OMEGA).ln() + first, OMEGA.ln() + second);
        let larger = first.max(second);
        larger + ((first - larger).exp() + (second - larger).exp()).ln()
    }

    /// Whether the evidence now certifies at level `alpha`; a certificate once given stays valid.
    pub fn certifies(&self, alpha: Probability) -> bool {
        self.log_evidence() >= -alpha.get().ln()
    }
}

#[derive(Deserialize)]
struct ProcessWire {
    design: Design,
    draws: u64,
    failures: u64,
}

impl TryFrom<ProcessWire> for EProcess {
    type Error = StatsError;
    fn try_from(wire: ProcessWire) -> Result<Self, StatsError> {
        Self::at(wire.design, wire.draws, wire.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        // certificate.json, logE2_a2_om0.1_*
        for (n, allowance, k, f, want) in [
            (50_000, 2_500, 300, 5, 3.405_086_767_064_279_5),
            (50_000, 2_500, 1_000, 30, 4.031_450_035_529_133),
            (1_000, 50, 100, 1, 1.736_348_572_073_869_6),
        ] {
            let design = Design::finite(n, allowance).unwrap();
            let got = EProcess::at(design, k, f).unwrap().log_evidence();
            assert!((got - want).abs() < 1e-9, "{n} {k} {f}: {got} {want}");
        }
    }

    /// `P(ever certified while W - f_k > F)`, by dynamic programming over every item.
    fn error(n: u64, allowance: u64, failing: u64, alpha: f64) -> f64 {
        let design = Design::finite(n, allowance).unwrap();
        let alpha = Probability::new(alpha).unwrap();
        let mut alive = vec![1.0_f64];
        let mut error = 0.0;
        for k in 1..=n {
            let mut next = vec![0.0; alive.len() + 1];
            for (f, mass) in (0..).zip(&alive) {
                let p = failing.saturating_sub(f) as f64 / (n - k + 1) as f64;
                let p = p.min(1.0);
                let at = usize::try_from(f).unwrap();
                next[at] += mass * (1.0 - p);
                next[at + 1] += mass * p;
            }
            for (f, mass) in (0..).zip(next.iter_mut()) {
                if *mass <= 0.0 || f > failing {
                    continue;
                }
                if failing - f <= allowance {
                    *mass = 0.0;
                } else if EProcess::at(design, k, f).unwrap().certifies(alpha) {
                    error += *mass;
                    *mass = 0.0;
                }
            }
            alive = next;
        }
        error
    }

    #[test]
    fn the_error_is_within_alpha_at_every_item_for_every_population() {
        for (n, allowance, alpha) in [(30, 3, 0.2), (60, 0, 0.3), (80, 8, 0.05), (120, 30, 0.2)] {
            let mut worst = 0.0_f64;
            for failing in allowance + 1..=n {
                worst = worst.max(error(n, allowance, failing, alpha));
            }
            assert!(worst <= alpha, "{n} {allowance}: {worst}");
        }
    }

    #[test]
    fn a_stream_certifies_low_rates_only() {
        let delta = Probability::new(0.05).unwrap();
        let alpha = Probability::new(0.05).unwrap();
        let stream = Design::unbounded(delta);
        assert!(EProcess::at(stream, 1_000, 10).unwrap().certifies(alpha));
        assert!(!EProcess::at(stream, 1_000, 48).unwrap().certifies(alpha));
        assert!(!EProcess::at(stream, 1_000, 1_000).unwrap().certifies(alpha));
        assert!(EProcess::at(stream, 5, 6).is_err());
    }
}

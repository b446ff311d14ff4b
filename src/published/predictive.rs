//! The probability that a candidate will satisfy the demand, as the paper predicts it: an integral over
//! its possible rates of agreement.

#![allow(
    clippy::indexing_slicing,
    reason = "short fixed arrays, indexed by loops over their own length"
)]

use std::f64::consts::{PI, SQRT_2};

use statrs::function::erf::erfc;

use super::binomial;

/// The number of nodes of the Gauss-Legendre rule on each panel.
const NODES: usize = 12;

/// Panels whose share of the integral is below this are left out.
const NEGLIGIBLE: f64 = 1e-14;

/// Panels end at the mean of the Beta distribution and this many standard deviations around it, ...
const BETA_CUTS: [f64; 9] = [-40.0, -12.0, -6.0, -3.0, 0.0, 3.0, 6.0, 12.0, 40.0];

/// ... and likewise for the normal distribution.
const NORMAL_CUTS: [f64; 7] = [-7.5, -5.0, -2.5, 0.0, 2.5, 5.0, 7.5];

/// Computes predictive probabilities to about eleven digits (those of statrs's `erfc`).
#[derive(Debug, Clone)]
pub(super) struct Predictive {
    rule: [(f64, f64); NODES],
}

impl Predictive {
    pub(super) fn new() -> Self {
        Self { rule: gauss_legendre() }
    }

    /// The probability of at least `needed` agreements among the `further` items, at a rate distributed
    /// normally around the one observed:
    ///
    /// ```text
    /// integral over p in [0, 1] of  P(Bin(further, p) >= needed)  dN(p; p_hat, p_hat (1 - p_hat) / n)
    /// ```
    ///
    /// `None` if the normal distribution has no width, at `p_hat` 0 and 1.
    pub(super) fn probability(
        &self,
        agreed: usize,
        profiled: usize,
        needed: usize,
        further: usize,
    ) -> Option<f64> {
        let mean = agreed as f64 / profiled as f64;
        let deviation = (mean * (1.0 - mean) / profiled as f64).sqrt();
        let normal = Normal { mean, deviation };
        if deviation.is_nan() || deviation <= 0.0 {
            None
        } else if needed > further {
            Some(0.0)
        } else if needed == 0 {
            Some(normal.above(0.0) - normal.above(1.0))
        } else {
            Some(self.integral(normal, Beta::new(needed, further)))
        }
    }

    /// The integral for `1 <= needed <= further`. The tail is then the distribution function of `Beta(needed,
    /// further - needed + 1)`. So, by parts, the integral is that of the Beta *density* times the normal
    /// probability of `[x, 1]`: an exponential and an `erfc` per node, and no tail to sum.
    fn integral(&self, normal: Normal, beta: Beta) -> f64 {
        let beyond = normal.above(1.0);
        let integrand = |x: f64| beta.density(x) * (normal.above(x) - beyond);

        let mut cuts = [0.0; BETA_CUTS.len() + NORMAL_CUTS.len() + 2];
        let around_beta = BETA_CUTS.iter().map(|steps| beta.mean + steps * beta.deviation);
        let around_normal = NORMAL_CUTS.iter().map(|steps| normal.mean + steps * normal.deviation);
        for (cut, at) in
            cuts.iter_mut().zip([0.0, 1.0].into_iter().chain(around_beta).chain(around_normal))
        {
            *cut = at.clamp(0.0, 1.0);
        }
        cuts.sort_unstable_by(f64::total_cmp);

        let mut sum = 0.0;
        for pair in cuts.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            let half = 0.5 * (high - low);
            let highest = beta.density(beta.mode().clamp(low, high)) * (normal.above(low) - beyond);
            if half > 0.0 && half * highest >= NEGLIGIBLE {
                let middle = 0.5 * (high + low);
                let nodes =
                    self.rule.iter().map(|&(x, weight)| weight * integrand(middle + half * x));
                sum += half * nodes.sum::<f64>();
            }
        }
        sum
    }
}

/// A normal distribution.
#[derive(Debug, Clone, Copy)]
struct Normal {
    mean: f64,
    deviation: f64,
}

impl Normal {
    /// The probability of a value above `x`.
    fn above(self, x: f64) -> f64 {
        0.5 * erfc((x - self.mean) / (self.deviation * SQRT_2))
    }
}

/// The Beta distribution of the `needed`-th smallest of `further` uniform variables.
#[derive(Debug, Clone, Copy)]
struct Beta {
    /// One less than the parameters.
    powers: (f64, f64),
    mean: f64,
    deviation: f64,
    at_mean: f64,
}

impl Beta {
    fn new(needed: usize, further: usize) -> Self {
        let (a, b) = (needed as f64, (further - needed) as f64 + 1.0);
        let mean = a / (a + b);
        let deviation = (mean * (1.0 - mean) / (a + b + 1.0)).sqrt();
        let at_mean = further as f64 * binomial::mass(needed - 1, further - 1, mean);
        Self { powers: (a - 1.0, b - 1.0), mean, deviation, at_mean }
    }

    /// The density at `x`, from that at the mean: two powers of ratios near 1, which lose no digits.
    fn density(&self, x: f64) -> f64 {
        let off = x - self.mean;
        let mut exponent = 0.0;
        if self.powers.0 > 0.0 {
            exponent += self.powers.0 * (off / self.mean).ln_1p();
        }
        if self.powers.1 > 0.0 {
            exponent += self.powers.1 * (-off / (1.0 - self.mean)).ln_1p();
        }
        self.at_mean * exponent.exp()
    }

    fn mode(&self) -> f64 {
        let sum = self.powers.0 + self.powers.1;
        if sum > 0.0 { self.powers.0 / sum } else { self.mean }
    }
}

/// Nodes and weights of the Gauss-Legendre rule on `[-1, 1]`, by Newton's method on the polynomial.
fn gauss_legendre() -> [(f64, f64); NODES] {
    let mut rule = [(0.0, 0.0); NODES];
    let n = NODES as f64;
    for (i, slot) in rule.iter_mut().enumerate() {
        let mut x = (PI * (i as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut before, mut value) = (1.0, x);
            for degree in 2..=NODES {
                let d = degree as f64;
                (before, value) = (value, ((2.0 * d - 1.0) * x * value - (d - 1.0) * before) / d);
            }
            slope = n * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        *slot = (x, 2.0 / ((1.0 - x * x) * slope * slope));
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The predictive integral as the paper writes it, by Simpson's rule over twelve deviations.
    fn by_simpson(agreed: usize, profiled: usize, needed: usize, further: usize) -> f64 {
        const STEPS: usize = 2000;
        let mean = agreed as f64 / profiled as f64;
        let deviation = (mean * (1.0 - mean) / profiled as f64).sqrt();
        let (low, high) = ((mean - 12.0 * deviation).max(0.0), (mean + 12.0 * deviation).min(1.0));
        let step = (high - low) / STEPS as f64;
        let sum: f64 = (0..=STEPS)
            .map(|at| {
                let p = low + step * at as f64;
                let z = (p - mean) / deviation;
                let weight = [2.0, 4.0][at % 2] / if at == 0 || at == STEPS { 2.0 } else { 1.0 };
                weight * binomial::upper_tail(needed, further, p) * (-0.5 * z * z).exp()
            })
            .sum();
        sum * step / 3.0 / (deviation * (2.0 * PI).sqrt())
    }

    #[test]
    fn the_integral_by_parts_is_the_papers_integral() {
        let predictive = Predictive::new();
        let profiles =
            [(20, 120), (50, 100), (95, 100), (119, 120), (960, 1000), (114_000, 127_000)];
        for (agreed, profiled) in profiles {
            for further in [1, 2, 8, 32, 256, 2048, 32_768] {
                let near = further * agreed / profiled;
                for needed in [further / 2, near, near + 1, near + further / 50] {
                    // Simpson's rule misses the steep edge at full agreement over thousands of items.
                    let needed = needed.clamp(1, further - further / 100);
                    let got = predictive.probability(agreed, profiled, needed, further).unwrap();
                    let want = by_simpson(agreed, profiled, needed, further);
                    let which = format!("{agreed} {profiled} {needed} {further}");
                    assert!((got - want).abs() < 1e-10, "{which}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn beyond_the_ends() {
        let predictive = Predictive::new();
        assert_eq!(predictive.probability(100, 100, 3, 4), None);
        assert_eq!(predictive.probability(0, 100, 3, 4), None);
        assert_eq!(predictive.probability(90, 100, 5, 4), Some(0.0));
        // The normal distribution is cut off at 1, so that a certainty of 1 is not reached.
        let certain = predictive.probability(99, 100, 0, 4).unwrap();
        assert!((certain - 0.842_357_2).abs() < 1e-3, "{certain}");
    }
}

//! A logistic fit that orders items by the probability that an answer is right: [`Fit`].
//!
//! It combines a score and the agreement of a second model into one mark
//! ([`Key::Fitted`](super::Key::Fitted)), where either alone orders items less well.

use serde::{Deserialize, Serialize};

/// The number of standard deviations to which a standardised score is clamped.
const CLAMP: f64 = 3.0;
/// The ridge penalty, in units of one observation.
const RIDGE: f64 = 1.0;
/// The most Newton steps; the penalised likelihood is strictly concave, so a few suffice.
const STEPS: usize = 25;
/// The number of features, and the place of the agreement among them.
const FEATURES: usize = 4;
const AGREEMENT: usize = 3;

/// A probability of being right, fitted to the first model's score and the second's agreement by logistic
/// regression.
///
/// ```text
/// logit P(right) = w0 + w z + m [no score] + v agree
/// ```
///
/// Here `z` is the score, standardised and clamped to three standard deviations. Everything but `w0`
/// carries a ridge penalty (Hoerl and Kennard 1970; le Cessie and van Houwelingen 1992). The fit uses
/// the pilot alone. The promise does not depend on its quality: it only orders items, and a bad order
/// costs money, not validity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    score: Scale,
    /// In order: intercept, score, missing score, agreement.
    #[serde(with = "crate::exact")]
    weights: [f64; FEATURES],
}

/// How a score is standardised; `None` if it is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    #[serde(default, with = "crate::exact")]
    mean_and_sd: Option<(f64, f64)>,
}

impl Scale {
    fn of(scores: impl Iterator<Item = Option<f64>> + Clone) -> Self {
        let known = scores.flatten();
        let count = known.clone().count() as f64;
        let mean = known.clone().sum::<f64>() / count;
        let sd = (known.map(|s| (s - mean).powi(2)).sum::<f64>() / count).sqrt();
        Self { mean_and_sd: (count >= 2.0 && sd > 0.0 && sd.is_finite()).then_some((mean, sd)) }
    }

    /// The standardised score, and the indicator of a missing one.
    fn apply(self, score: Option<f64>) -> (f64, f64) {
        match (self.mean_and_sd, score) {
            (None, _) => (0.0, 0.0),
            (Some(_), None) => (0.0, 1.0),
            (Some((mean, sd)), Some(score)) => (((score - mean) / sd).clamp(-CLAMP, CLAMP), 0.0),
        }
    }
}

/// One observation: the score, the agreement, and whether the answer was right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example {
    pub(crate) score: Option<f64>,
    pub(crate) agree: bool,
    pub(crate) right: bool,
}

impl Fit {
    /// Fits to examples; scores that do not vary are not used.
    pub(crate) fn new(examples: &[Example]) -> Self {
        let score = Scale::of(examples.iter().map(|e| e.score));
        let mut fit = Self { score, weights: [0.0; FEATURES] };
        for _ in 0..STEPS {
            let mut gradient = [0.0; FEATURES];
            let mut hessian = [[0.0; FEATURES]; FEATURES];
            for (i, row) in hessian.iter_mut().enumerate() {
                let penalty = if i == 0 { 1e-9 } else { RIDGE };
                if let (Some(g), Some(d)) = (gradient.get_mut(i), row.get_mut(i)) {
                    *g = -penalty * fit.weights.get(i).copied().unwrap_or(0.0);
                    *d = penalty;
                }
            }
            for example in examples {
                let x = fit.features(example.score, example.agree);
                let p = logistic(dot(&x, &fit.weights));
                let (residual, weight) = (f64::from(u8::from(example.right)) - p, p * (1.0 - p));
                for ((g, row), xi) in gradient.iter_mut().zip(&mut hessian).zip(&x) {
                    *g += residual * xi;
                    for (h, xj) in row.iter_mut().zip(&x) {
                        *h += weight * xi * xj;
                    }
                }
            }
            let Some(step) = solve(hessian, gradient) else { break };
            let mut largest = 0.0_f64;
            for (w, s) in fit.weights.iter_mut().zip(step) {
                let s = s.clamp(-4.0, 4.0);
                *w += s;
                largest = largest.max(s.abs());
            }
            if largest < 1e-9 {
                break;
            }
        }
        // In execution a second model that is not reached counts as disagreeing. That must not move an
        // item up.
        if let Some(agreement) = fit.weights.get_mut(AGREEMENT) {
            *agreement = agreement.max(0.0);
        }
        fit
    }

    fn features(&self, score: Option<f64>, agree: bool) -> [f64; FEATURES] {
        let (z, missing) = self.score.apply(score);
        [1.0, z, missing, f64::from(u8::from(agree))]
    }

    /// Whether the score matters.
    pub fn reads_score(&self) -> bool {
        self.score.mean_and_sd.is_some()
    }

    /// The lowest and highest fitted log-odds that are still possible.
    ///
    /// For each input `None` means *not known yet*, and `Some(None)` a score known to be missing. The result
    /// is log-odds and not probabilities because sums and products are the same to the bit on every machine.
    pub fn bounds(&self, score: Option<Option<f64>>, agree: Option<bool>) -> (f64, f64) {
        let [w0, w, m, v] = self.weights;
        let scored = match score {
            _ if !self.reads_score() => (0.0, 0.0),
            Some(score) => {
                let (z, missing) = self.score.apply(score);
                (w * z + m * missing, w * z + m * missing)
            }
            None => {
                let reach = (w * CLAMP).abs();
                ((-reach).min(m), reach.max(m))
            }
        };
        let agreed = match agree {
            Some(agree) => (v * f64::from(u8::from(agree)), v * f64::from(u8::from(agree))),
            None => (v.min(0.0), v.max(0.0)),
        };
        // Both ends add in the same order, so that both are equal once everything is known.
        (w0 + scored.0 + agreed.0, w0 + scored.1 + agreed.1)
    }
}

/// The logistic function.
pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn dot(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a small symmetric positive definite system by Gaussian elimination with pivoting.
#[allow(clippy::indexing_slicing, reason = "all indices are below the fixed size")]
#[allow(clippy::needless_range_loop, reason = "elimination reads better by index")]
fn solve(mut a: [[f64; FEATURES]; FEATURES], mut b: [f64; FEATURES]) -> Option<[f64; FEATURES]> {
    for col in 0..FEATURES {
        let pivot = (col..FEATURES).max_by(|i, j| a[*i][col].abs().total_cmp(&a[*j][col].abs()))?;
        if a[pivot][col].abs() <= 1e-12 || a[pivot][col].is_nan() {
            return None;
        }
        a.swap(col, pivot);
        b.swap(col, pivot);
        for row in col + 1..FEATURES {
            let factor = a[row][col] / a[col][col];
            for k in col..FEATURES {
                a[row][k] -= factor * a[col][k];
            }
            b[row] -= factor * b[col];
        }
    }
    for row in (0..FEATURES).rev() {
        let known: f64 = (row + 1..FEATURES).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Example> {
        #[allow(clippy::cast_possible_truncation, reason = "below a hundred")]
        let base = |score: f64| (20.0 + 50.0 * score) as i32;
        (0..200)
            .map(|i| {
                let score = f64::from(i % 20) / 20.0;
                let agree = i % 3 != 0;
                let right = (i * 7919) % 100 < base(score) + i32::from(agree) * 25;
                Example { score: Some(score), agree, right }
            })
            .collect()
    }

    #[test]
    fn the_fit_learns_the_direction() {
        let fit = Fit::new(&examples());
        let p = |score, agree| fit.bounds(Some(Some(score)), Some(agree));
        assert!(p(0.9, true).0 > p(0.9, false).0);
        assert!(p(0.9, false).0 > p(0.1, false).0);
        // At the optimum the mean prediction equals the mean outcome, because the intercept is free.
        let data = examples();
        let mean = data.iter().map(|e| logistic(fit.bounds(Some(e.score), Some(e.agree)).0));
        let right = data.iter().filter(|e| e.right).count() as f64;
        assert!((mean.sum::<f64>() - right).abs() < 1e-6);
    }

    #[test]
    fn bounds_hold_what_they_bound() {
        let fit = Fit::new(&examples());
        let (low, high) = fit.bounds(None, None);
        for score in [None, Some(-9.0), Some(0.3), Some(9.0)] {
            for agree in [false, true] {
                let (a, b) = fit.bounds(Some(score), Some(agree));
                assert!((a - b).abs() < 1e-15 && low <= a && a <= high, "{score:?} {agree}");
                let (la, ha) = fit.bounds(Some(score), None);
                assert!(la <= a && a <= ha);
            }
        }
    }

    #[test]
    fn degenerate_data_do_not_break_it() {
        for data in [vec![], vec![Example { score: Some(1.0), agree: false, right: true }; 5]] {
            let (low, high) = Fit::new(&data).bounds(Some(Some(0.5)), None);
            assert!(low.is_finite() && high.is_finite());
        }
    }
}

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
const FEATURES: usize = 6;
const AGREEMENT: usize = 3;

/// A probability of being right, fitted to scores and agreement by logistic regression.
///
/// ```text
/// logit P(right) = w0 + w1 z1 + m1 [no score 1] + v agree + w2 z2 + m2 [no score 2]
/// ```
///
/// Here `z` are the scores, standardised and clamped to three standard deviations. Everything but `w0`
/// carries a ridge penalty (Hoerl and Kennard 1970; le Cessie and van Houwelingen 1992). The fit uses
/// the pilot alone. The promise does not depend on its quality: it only orders items, and a bad order
/// costs money, not validity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    first: Scale,
    second: Scale,
    /// In order: intercept, score 1, missing 1, agreement, score 2, missing 2.
    #[serde(with = "crate::exact")]
    weights: [f64; FEATURES],
}

/// How a score is standardised; `None` if it is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
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

/// One observation: the two scores, the agreement, and whether the answer was right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example {
    pub(crate) first: Option<f64>,
    pub(crate) second: Option<f64>,
    pub(crate) agree: Option<bool>,
    pub(crate) right: bool,
}

impl Fit {
    /// Fits to examples; scores that do not vary are not used.
    pub(crate) fn new(examples: &[Example]) -> Self {
        let first = Scale::of(examples.iter().map(|e| e.first));
        let second = Scale::of(examples.iter().map(|e| e.second));
        let mut fit = Self { first, second, weights: [0.0; FEATURES] };
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
                let x = fit.features(example.first, example.second, example.agree);
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

    fn features(&self, first: Option<f64>, second: Option<f64>, agree: Option<bool>) -> [f64; 6] {
        let (z1, m1) = self.first.apply(first);
        let (z2, m2) = self.second.apply(second);
        [1.0, z1, m1, f64::from(u8::from(agree.unwrap_or(false))), z2, m2]
    }

    /// Whether the first model's score matters.
    pub fn reads_first(&self) -> bool {
        self.first.mean_and_sd.is_some()
    }

    /// Whether the second model's score matters.
    pub fn reads_second(&self) -> bool {
        self.second.mean_and_sd.is_some()
    }

    /// The lowest and highest fitted log-odds that are still possible.
    ///
    /// For each input `None` means *not known yet*, and `Some(None)` a score known to be missing. The result
    /// is log-odds and not probabilities because sums and products are the same to the bit on every machine.
    pub fn bounds(
        &self,
        first: Option<Option<f64>>,
        second: Option<Option<f64>>,
        agree: Option<bool>,
    ) -> (f64, f64) {
        let [w0, w1, m1, v, w2, m2] = self.weights;
        let part = |scale: Scale, score: Option<Option<f64>>, w: f64, m: f64| match score {
            _ if scale.mean_and_sd.is_none() => (0.0, 0.0),
            Some(score) => {
                let (z, missing) = scale.apply(score);
                (w * z + m * missing, w * z + m * missing)
            }
            None => {
                let reach = (w * CLAMP).abs();
                ((-reach).min(m), reach.max(m))
            }
        };
        let (low1, high1) = part(self.first, first, w1, m1);
        let (low2, high2) = part(self.second, second, w2, m2);
        let (low3, high3) = match agree {
            Some(agree) => (v * f64::from(u8::from(agree)), v * f64::from(u8::from(agree))),
            None => (v.min(0.0), v.max(0.0)),
        };
        // Both ends add in the same order, so that both are equal once everything is known.
        (w0 + low1 + low3 + low2, w0 + high1 + high3 + high2)
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
                Example { first: Some(score), second: None, agree: Some(agree), right }
            })
            .collect()
    }

    #[test]
    fn the_fit_learns_the_direction() {
        let fit = Fit::new(&examples());
        let p = |score, agree| fit.bounds(Some(Some(score)), Some(None), Some(agree));
        assert!(p(0.9, true).0 > p(0.9, false).0);
        assert!(p(0.9, false).0 > p(0.1, false).0);
        assert!(!fit.reads_second());
        // At the optimum the mean prediction equals the mean outcome, because the intercept is free.
        let data = examples();
        let mean = data.iter().map(|e| logistic(fit.bounds(Some(e.first), Some(None), e.agree).0));
        let right = data.iter().filter(|e| e.right).count() as f64;
        assert!((mean.sum::<f64>() - right).abs() < 1e-6);
    }

    #[test]
    fn bounds_hold_what_they_bound() {
        let fit = Fit::new(&examples());
        let (low, high) = fit.bounds(None, None, None);
        for score in [None, Some(-9.0), Some(0.3), Some(9.0)] {
            for agree in [false, true] {
                let (a, b) = fit.bounds(Some(score), Some(None), Some(agree));
                assert!((a - b).abs() < 1e-15 && low <= a && a <= high, "{score:?} {agree}");
                let (la, ha) = fit.bounds(Some(score), Some(None), None);
                assert!(la <= a && a <= ha);
            }
        }
    }

    #[test]
    fn degenerate_data_do_not_break_it() {
        for data in
            [vec![], vec![Example { first: Some(1.0), second: None, agree: None, right: true }; 5]]
        {
            let (low, high) = Fit::new(&data).bounds(Some(Some(0.5)), None, None);
            assert!(low.is_finite() && high.is_finite());
        }
    }
}

//! Binomial probabilities and tails, accurate to about fourteen digits at any number of trials.
//!
//! The published algorithm only ever needs tails of binomial distributions: the limits of Clopper and
//! Pearson are the success rates at which a tail equals a level, and a Beta quantile is the same thing
//! under another name.

use std::f64::consts::TAU;

/// A term this small, relative to the sum so far, no longer changes it.
const NEGLIGIBLE: f64 = 1e-18;

/// `P(X = successes)` for `X ~ Bin(trials, rate)`, by Loader's saddle-point expansion:
///
/// ```text
/// sqrt(n / (2 pi k (n-k))) exp(d(n) - d(k) - d(n-k) - D(k, np) - D(n-k, nq))
/// ```
///
/// with `d` the error of Stirling's formula and `D` the deviance part. (C. Loader, "Fast and accurate
/// computation of binomial probabilities", 2000.) No difference of large log-gammas enters, so nothing
/// cancels at 100,000 trials.
pub(super) fn mass(successes: usize, trials: usize, rate: f64) -> f64 {
    if successes > trials {
        return 0.0;
    }
    let failures = trials - successes;
    let (n, k, j) = (trials as f64, successes as f64, failures as f64);
    let miss = 1.0 - rate;
    if successes == 0 {
        return if failures == 0 { 1.0 } else { (n * (-rate).ln_1p()).exp() };
    }
    if failures == 0 {
        return (n * rate.ln()).exp();
    }
    if rate <= 0.0 || miss <= 0.0 {
        return 0.0;
    }
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(j)
        - deviance(k, n * rate)
        - deviance(j, n * miss);
    (n / (TAU * k * j)).sqrt() * exponent.exp()
}

/// `P(X >= successes)` for `X ~ Bin(trials, rate)`.
pub(super) fn upper_tail(successes: usize, trials: usize, rate: f64) -> f64 {
    if successes == 0 {
        1.0
    } else if successes > trials {
        0.0
    } else if successes as f64 > trials as f64 * rate {
        sum_upwards(successes, trials, rate)
    } else {
        1.0 - sum_upwards(trials - (successes - 1), trials, 1.0 - rate)
    }
}

/// The sum of the masses from `first` up: the first by `mass`, the others by their ratios. All terms are
/// positive, so nothing cancels. Above the mean they fall, so the sum is short.
fn sum_upwards(first: usize, trials: usize, rate: f64) -> f64 {
    let odds = rate / (1.0 - rate);
    let (mut term, mut sum) = (1.0, 1.0);
    for k in first..trials {
        term *= (trials - k) as f64 / (k + 1) as f64 * odds;
        sum += term;
        if term < NEGLIGIBLE * sum {
            break;
        }
    }
    mass(first, trials, rate) * sum
}

/// `ln n! - ln(sqrt(2 pi n) (n/e)^n)` for whole `n >= 1`.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        let (mut product, mut factor) = (1.0, 2.0);
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return f64::ln(product) - (n + 0.5) * n.ln() + n - 0.5 * TAU.ln();
    }
    let square = n * n;
    let series = 1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - series / square) / square) / n
}

/// `x ln(x/m) + m - x`, by its series in `(x-m)/(x+m)` if the closed form would cancel.
fn deviance(x: f64, m: f64) -> f64 {
    let difference = x - m;
    if difference.abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = difference / (x + m);
    let square = v * v;
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    let mut odd = 1.0;
    loop {
        power *= square;
        odd += 2.0;
        let next = sum + power / odd;
        if (next - sum).abs() <= f64::EPSILON * sum.abs() {
            return next;
        }
        sum = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_add_up_and_tails_meet() {
        for (n, p) in [(1, 0.3), (7, 0.95), (40, 0.5), (1000, 0.02), (127_600, 0.94)] {
            let total: f64 = (0..=n).map(|k| mass(k, n, p)).sum();
            assert!((total - 1.0).abs() < 1e-12, "{n} {p}: {total}");
            for k in (0..n).step_by(1 + n / 300) {
                let both = upper_tail(n - k, n, 1.0 - p) + upper_tail(k + 1, n, p);
                assert!((both - 1.0).abs() < 1e-13, "{n} {p} {k}: {both}");
            }
        }
    }

    #[test]
    fn small_cases_by_hand() {
        assert!((mass(2, 4, 0.5) - 0.375).abs() < 1e-15);
        assert!((upper_tail(3, 4, 0.5) - 0.3125).abs() < 1e-15);
        assert!((upper_tail(3, 3, 0.9) - 0.729).abs() < 1e-15);
        assert!((upper_tail(10, 10, 0.5) * 1024.0 - 1.0).abs() < 1e-14);
    }
}

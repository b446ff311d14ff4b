//! Exact tails of the binomial distribution, as logarithms.
//!
//! They serve endless streams, audits and the bounds of a rate; finite populations use `hypergeometric`.

use super::saddle::ln_binomial;

/// A falling term below this part of the sum, less than `2^-54`, changes no bit of it.
pub(super) const NEGLIGIBLE: f64 = 5e-17;

/// `ln P(Bin(n, p) <= x)`, exact on both sides of the mean.
pub(super) fn ln_lower_tail(n: u64, p: f64, x: u64) -> f64 {
    if x >= n {
        return 0.0;
    }
    if x as f64 > n as f64 * p {
        return ln_complement(ln_tail_up(n, p, x + 1));
    }
    ln_tail_down(n, p, x).0
}

/// `ln P(Bin(n, p) >= x)`, exact on both sides of the mean.
pub(super) fn ln_upper_tail(n: u64, p: f64, x: u64) -> f64 {
    if x == 0 {
        return 0.0;
    }
    if x > n {
        return f64::NEG_INFINITY;
    }
    if (x as f64) < n as f64 * p {
        return ln_complement(ln_tail_down(n, p, x - 1).0);
    }
    ln_tail_up(n, p, x)
}

/// `ln(1 - e^x)` for `x <= 0`.
pub(super) fn ln_complement(x: f64) -> f64 {
    if x > -core::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// Sums downwards from `x` (at or below the mean); returns `(ln tail, tail / P(X = x))`.
pub(super) fn ln_tail_down(n: u64, p: f64, x: u64) -> (f64, f64) {
    let (size, q) = (n as f64, 1.0 - p);
    let mut at = x as f64;
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    while at > 0.0 {
        // P(at - 1) / P(at)
        let ratio = at * q / ((size - at + 1.0) * p);
        term *= ratio;
        sum += term;
        if term <= NEGLIGIBLE * sum {
            break;
        }
        at -= 1.0;
    }
    (ln_binomial(size, x as f64, p, q) + sum.ln(), sum)
}

/// Sums upwards from `x` (at or above the mean).
fn ln_tail_up(n: u64, p: f64, x: u64) -> f64 {
    let (size, q) = (n as f64, 1.0 - p);
    let mut at = x as f64;
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    while at < size {
        // P(at + 1) / P(at)
        let ratio = (size - at) * p / ((at + 1.0) * q);
        term *= ratio;
        sum += term;
        if term <= NEGLIGIBLE * sum {
            break;
        }
        at += 1.0;
    }
    ln_binomial(size, x as f64, p, q) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_plain_sums() {
        for (n, p) in [(1_u64, 0.3), (10, 0.05), (37, 0.5), (60, 0.93)] {
            let pmf: Vec<f64> =
                (0..=n).map(|x| ln_binomial(n as f64, x as f64, p, 1.0 - p).exp()).collect();
            for x in 0..=n {
                let lower: f64 = pmf.iter().take(usize::try_from(x).unwrap() + 1).sum();
                assert!((ln_lower_tail(n, p, x).exp() - lower).abs() < 1e-13);
                let upper: f64 = pmf.iter().skip(usize::try_from(x).unwrap()).sum();
                assert!((ln_upper_tail(n, p, x).exp() - upper).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn deep_tails_do_not_underflow() {
        // P(Bin(100000, 0.05) = 0) = 0.95^100000
        let got = ln_lower_tail(100_000, 0.05, 0);
        assert!((got / (100_000.0 * 0.95_f64.ln()) - 1.0).abs() < 1e-13);
    }
}

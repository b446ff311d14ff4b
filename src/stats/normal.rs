//! The standard normal distribution, for predictions; it certifies nothing.

use statrs::function::erf::{erfc, erfc_inv};

/// `P(Z <= x)`.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `x` with `P(Z <= x) = share`; `share` is moved inside `(0, 1)`.
pub(crate) fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share.clamp(1e-12, 1.0 - 1e-12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_invert_the_distribution() {
        for (x, below) in [(0.0, 0.5), (1.959_963_985, 0.975), (-1.644_853_627, 0.05)] {
            assert!((normal_cdf(x) - below).abs() < 1e-9, "{x}");
            assert!((normal_quantile(below) - x).abs() < 1e-7, "{below}");
        }
        assert!(normal_quantile(0.0).is_finite() && normal_quantile(1.0).is_finite());
    }
}

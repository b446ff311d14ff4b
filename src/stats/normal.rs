//! The standard normal distribution, and what is read off it, for predictions; no certificate rests on it.

use statrs::function::erf::{erfc, erfc_inv};

/// `P(Z <= x)`.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `x` with `P(Z <= x) = share`, where `share` is clamped to the inside of `(0, 1)`.
pub(crate) fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share.clamp(1e-12, 1.0 - 1e-12))
}

/// `E max(0, X)` for a normal `X`: `s phi(m / s) + m Phi(m / s)`.
pub(crate) fn normal_excess(mean: f64, deviation: f64) -> f64 {
    if deviation <= 0.0 {
        return mean.max(0.0);
    }
    let z = mean / deviation;
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (deviation * density + mean * normal_cdf(z)).max(0.0)
}

/// The normal quantile above which a share of at most 1/2 lies, by the share's logarithm, to `5e-4`
/// (Abramowitz and Stegun 26.2.23): where a search starts, never what it finds.
pub(super) fn normal_above(ln_share: f64) -> f64 {
    let t = (-2.0 * ln_share).max(0.0).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

/// The quantile of a gamma distribution of this `shape`, as a multiple of its mean, at the standard normal
/// quantile `z` (Wilson and Hilferty 1931); within a percent for shapes of 1 and more.
pub(crate) fn gamma_by_mean(shape: f64, z: f64) -> f64 {
    let root = 1.0 - 1.0 / (9.0 * shape) + z / (3.0 * shape.sqrt());
    root.max(0.0).powi(3)
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

    #[test]
    fn the_excess_is_the_mean_of_what_lies_above_nought() {
        for (mean, deviation) in [(0.0, 1.0), (-3.0, 2.0), (1.5, 0.5), (-40.0, 7.0)] {
            let steps = 200_000;
            let at = |step: u32| normal_quantile((f64::from(step) + 0.5) / f64::from(steps));
            let mean_above =
                (0..steps).map(|step| (mean + deviation * at(step)).max(0.0)).sum::<f64>()
                    / f64::from(steps);
            let excess = normal_excess(mean, deviation);
            assert!((excess - mean_above).abs() < 1e-4 * deviation, "{excess} {mean_above}");
        }
        assert!((normal_excess(2.0, 0.0) - 2.0).abs() < 1e-12 && normal_excess(-2.0, 0.0) < 1e-12);
    }
}

//! Logarithms of binomial and hypergeometric probabilities that keep their digits at any size.
//!
//! A difference of `ln Γ` values loses as many digits as `ln Γ` has before the point. Loader's
//! saddle-point form ("Fast and accurate computation of binomial probabilities", 2000) never forms these
//! large numbers: it adds the deviance and the error of Stirling's formula, which are small by themselves.
#![allow(
    clippy::indexing_slicing,
    reason = "one table of 31 entries, its index checked against 15.0"
)]

use core::f64::consts::PI;

/// `ln n! - (n + 1/2) ln n + n - ln sqrt(2 pi)` at `n = 0, 1/2, 1, ..., 15` (entry 0 is a filler).
const STIRLING_ERROR: [f64; 31] = [
    0.0,
    0.153_426_409_720_027_35,
    0.081_061_466_795_327_26,
    0.054_814_121_051_917_65,
    0.041_340_695_955_409_29,
    0.033_162_873_519_936_29,
    0.027_677_925_684_998_34,
    0.023_746_163_656_297_496,
    0.020_790_672_103_765_093,
    0.018_488_450_532_673_187,
    0.016_644_691_189_821_193,
    0.015_134_973_221_917_38,
    0.013_876_128_823_070_748,
    0.012_810_465_242_920_227,
    0.011_896_709_945_891_77,
    0.011_104_559_758_206_917,
    0.010_411_265_261_972_096,
    0.009_799_416_126_158_804,
    0.009_255_462_182_712_733,
    0.008_768_700_134_139_386,
    0.008_330_563_433_362_87,
    0.007_934_114_564_314_02,
    0.007_573_675_487_951_841,
    0.007_244_554_301_320_383,
    0.006_942_840_107_209_53,
    0.006_665_247_032_707_682,
    0.006_408_994_188_004_207,
    0.006_171_712_263_039_458,
    0.005_951_370_112_758_848,
    0.005_746_216_513_010_116,
    0.005_554_733_551_962_801,
];

/// The error of Stirling's formula at `x`, for whole and half numbers `x >= 1/2`.
pub(super) fn stirling_error(x: f64) -> f64 {
    if x <= 15.0 {
        // Only whole and half numbers are asked for; the cast cannot leave the table.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= 2x <= 30")]
        let index = (2.0 * x.max(0.0) + 0.5) as usize;
        return STIRLING_ERROR[index];
    }
    let square = x * x;
    (1.0 / 12.0
        - (1.0 / 360.0
            - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square) / square)
            / square)
        / x
}

/// The deviance `x ln(x / mean) + mean - x`, without cancellation near the mean.
pub(super) fn deviance(x: f64, mean: f64) -> f64 {
    let gap = x - mean;
    if gap.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - gap;
    }
    let v = gap / (x + mean);
    let square = v * v;
    let mut sum = gap * v;
    let mut power = 2.0 * x * v;
    let mut odd = 3.0;
    // v^2 <= 1/100: each round gains two digits, so sixteen rounds are more than enough.
    for _ in 0..16 {
        power *= square;
        let term = power / odd;
        sum += term;
        if term.abs() <= 1e-18 * sum.abs() {
            break;
        }
        odd += 2.0;
    }
    sum
}

/// `ln P(Bin(n, p) = x)` for whole `0 <= x <= n`; `q = 1 - p` is passed too, so that neither loses digits.
pub(super) fn ln_binomial(n: f64, x: f64, p: f64, q: f64) -> f64 {
    if x < 0.0 || x > n {
        return f64::NEG_INFINITY;
    }
    if x <= 0.0 {
        let ln_q = if p < 0.5 { (-p).ln_1p() } else { q.ln() };
        return n * ln_q;
    }
    if x >= n {
        let ln_p = if q < 0.5 { (-q).ln_1p() } else { p.ln() };
        return n * ln_p;
    }
    let core = stirling_error(n)
        - stirling_error(x)
        - stirling_error(n - x)
        - deviance(x, n * p)
        - deviance(n - x, n * q);
    core - 0.5 * (2.0 * PI * x * ((n - x) / n)).ln()
}

/// `ln P(Hyp(population, marked, draws) = x)`; `-inf` outside the support.
pub(super) fn ln_hypergeometric(population: f64, marked: f64, draws: f64, x: f64) -> f64 {
    if x < 0.0 || x > marked || x > draws || draws - x > population - marked {
        return f64::NEG_INFINITY;
    }
    if draws <= 0.0 || draws >= population {
        return 0.0;
    }
    let p = draws / population;
    let q = (population - draws) / population;
    ln_binomial(marked, x, p, q) + ln_binomial(population - marked, draws - x, p, q)
        - ln_binomial(population, draws, p, q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_binomials_are_exact() {
        // 10 choose 3 * 0.3^3 * 0.7^7
        let exact = 120.0 * 0.3_f64.powi(3) * 0.7_f64.powi(7);
        let got = ln_binomial(10.0, 3.0, 0.3, 0.7).exp();
        assert!((got / exact - 1.0).abs() < 1e-14);
    }

    #[test]
    fn stirling_error_is_continuous_at_the_table_end() {
        // ln(16!) from the exact integer.
        let factorial = 20_922_789_888_000.0_f64;
        let direct = factorial.ln() - 16.5 * 16.0_f64.ln() + 16.0 - (2.0 * PI).sqrt().ln();
        assert!((stirling_error(16.0) - direct).abs() < 2e-14);
    }
}

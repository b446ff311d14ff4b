//! The exact error of one boundary used for a whole chain of policies.
//!
//! A *chain* is a family of policies whose sets of failing items grow, from the safest policy to the
//! most liberal. Testing goes along the chain and stops at the first policy that is not certified. No
//! price is paid for the number of policies, because a wrong certificate implies one event about the
//! order of the items:
//!
//! 1. Call a policy *wrong* at a look if it leaves more than `F` failing items unsampled. Along the chain
//!    that number grows one failing item at a time, so the first wrong policy leaves exactly `F + 1`.
//! 2. More than `F` failures are delivered only if the first wrong policy is certified, since testing
//!    stops at the first policy that is not. Then `c <= b_j` of its failing items were sampled. These
//!    and the `F + 1` unsampled ones are the first `F + 1 + c` failing items in the order of the chain.
//! 3. The next `b_j - c` failing items add at most `b_j - c` sampled ones. So of the first `F + 1 + b_j`
//!    failing items at most `b_j` were sampled.
//!
//! ```text
//! error <= P( exists j : c_j <= b_j ),   c_j = sampled at k_j among the first J_j = F + 1 + b_j
//! ```
//!
//! The count `c` is a Markov chain in `(k, J)`:
//!
//! ```text
//! k -> k + s:    c += Hyp(N - k, J - c, s)        newly drawn items that are among the first J
//! J -> J + r:    c += Hyp(N - J, k - c, r)        newly listed items that were drawn before
//! ```
//!
//! Both steps have the form `c += Hyp(n, T - c, s)`. With `b` for binomial probabilities, a
//! hypergeometric probability is `b(s, x) b(n - s, T - c - x) / b(n, T - c)`. So after scaling by
//! `b(n, T - c)` a step is a plain convolution.
#![allow(
    clippy::indexing_slicing,
    reason = "dense inner loops over windows whose lengths are computed beside them"
)]

use super::calibration::{Calibrated, cut, largest_level, level, never};
use super::limits::{Ladder, Level};
use super::passage::{Kernel, convolve, window};
use super::saddle::{ln_binomial, ln_hypergeometric};
use super::{Design, Probability, Promise};

/// Calibrates a boundary for a chain: the largest level whose exact error is within `alpha`.
pub(super) fn chain(design: Design, alpha: Probability, looks: &[u64]) -> Calibrated {
    let Promise::Finite { population, allowance } = design.0 else {
        // A stream has no credit for sampled items: the first wrong policy of the chain is one fixed policy.
        return super::calibration::single_policy(design, alpha, looks);
    };
    let mut ladder = Ladder::new(design, looks);
    // No grid of populations is involved here, so only rounding needs a margin.
    let target = (1.0 - 1e-6) * alpha.get();
    let guess = 8_192 / (1 + u32::try_from(looks.len()).unwrap_or(u32::MAX).min(8_000) / 3);
    let found = largest_level(alpha, target, guess, |level| {
        let level = Level::new(level);
        let limit = |index| ladder.limit(index, level);
        chain_error(population, allowance, looks, limit, cut(alpha), 1.2 * target)
    });
    let Some((step, error)) = found else {
        return never(looks);
    };
    let level = level(alpha, step);
    Calibrated { level, error, limits: ladder.all(level) }
}

/// `P(exists j : c_j <= b_j)` plus the mass that windows cut off; stops early once above `enough`.
pub(super) fn chain_error(
    population: u64,
    allowance: u64,
    looks: &[u64],
    mut limit: impl FnMut(usize) -> Option<u64>,
    cut: f64,
    enough: f64,
) -> f64 {
    let mut state: Option<State> = None;
    let mut error = 0.0;
    for (index, &look) in looks.iter().enumerate() {
        let Some(b) = limit(index) else { continue };
        // At most `N`, since `b <= k < N - F`.
        let listed = allowance + 1 + b;
        let mut now = match state.take() {
            None => State::start(population, look, listed, -cut.ln()),
            Some(mut before) => {
                before.draw(look);
                before.list(listed);
                before
            }
        };
        error += now.absorb(b);
        if error > enough {
            return error;
        }
        error += now.lost;
        now.lost = 0.0;
        state = Some(now);
    }
    error
}

/// The distribution of `c` over paths not yet absorbed.
struct State {
    population: u64,
    draws: u64,
    listed: u64,
    depth: f64,
    lowest: u64,
    mass: Vec<f64>,
    lost: f64,
    kernel: Kernel,
    spare: Vec<f64>,
}

impl State {
    fn start(population: u64, draws: u64, listed: u64, depth: f64) -> Self {
        let (low, high) = window(draws, listed as f64 / population as f64, depth);
        let (n, w, k) = (population as f64, listed as f64, draws as f64);
        let mass = (low..=high).map(|x| ln_hypergeometric(n, w, k, x as f64).exp()).collect();
        Self {
            population,
            draws,
            listed,
            depth,
            lowest: low,
            mass,
            lost: 2.0 * (-depth).exp(),
            kernel: Kernel::default(),
            spare: Vec::new(),
        }
    }

    fn draw(&mut self, look: u64) {
        let step = look - self.draws;
        let rate = self.listed as f64 / self.population as f64;
        self.step(self.population - self.draws, self.listed, step, rate);
        self.draws = look;
        self.trim();
    }

    fn list(&mut self, listed: u64) {
        let step = listed - self.listed;
        let rate = self.draws as f64 / self.population as f64;
        self.step(self.population - self.listed, self.draws, step, rate);
        self.listed = listed;
        self.trim();
    }

    /// `c += Hyp(total, target - c, step)`, where the increment has the marginal rate `rate`.
    fn step(&mut self, total: u64, target: u64, step: u64, rate: f64) {
        if step == 0 || self.mass.is_empty() {
            return;
        }
        scale(&mut self.mass, self.lowest, total, target, rate, |mass, weight| {
            if weight > 0.0 { mass / weight } else { 0.0 }
        });
        self.kernel.fill(step, rate, self.depth);
        convolve(&self.mass, &self.kernel.padded, &mut self.spare);
        core::mem::swap(&mut self.mass, &mut self.spare);
        self.lowest += self.kernel.lowest;
        scale(&mut self.mass, self.lowest, total - step, target, rate, |mass, weight| {
            mass * weight
        });
        self.lost += 2.0 * (-self.depth).exp();
    }

    /// Cuts off what lies above the window of `Hyp(N, J, k)`.
    fn trim(&mut self) {
        let (_, top) = window(self.draws, self.listed as f64 / self.population as f64, self.depth);
        let room = (top + 1).saturating_sub(self.lowest);
        self.mass.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        self.lost += (-self.depth).exp();
    }

    fn absorb(&mut self, limit: u64) -> f64 {
        if limit < self.lowest {
            return 0.0;
        }
        let count =
            usize::try_from(limit - self.lowest + 1).unwrap_or(usize::MAX).min(self.mass.len());
        let absorbed = self.mass.drain(..count).sum();
        self.lowest = limit + 1;
        absorbed
    }
}

/// Combines the mass at each `c` with the weight `b(total, target - c; rate)`.
///
/// The weights follow by recurrence from the largest one in the window, outwards.
fn scale(
    mass: &mut [f64],
    lowest: u64,
    total: u64,
    target: u64,
    rate: f64,
    combine: impl Fn(f64, f64) -> f64,
) {
    let (n, p, q) = (total as f64, rate, 1.0 - rate);
    // Outside of `0 <= target - c <= total` the weight is zero.
    let first = target.saturating_sub(total).max(lowest);
    let last = target.min(lowest + (mass.len() as u64).saturating_sub(1));
    if mass.is_empty() || first > last {
        mass.fill(0.0);
        return;
    }
    let [from, to] = [first, last].map(|c| usize::try_from(c - lowest).unwrap_or(usize::MAX));
    mass[..from].fill(0.0);
    mass[to + 1..].fill(0.0);
    let mode = super::passage::clamped(target as f64 - n * p, first, last);
    let centre = usize::try_from(mode - lowest).unwrap_or(0);
    let anchor = ln_binomial(n, (target - mode) as f64, p, q).exp();
    mass[centre] = combine(mass[centre], anchor);
    let (mut y, mut weight) = ((target - mode) as f64, anchor);
    for slot in &mut mass[centre + 1..=to] {
        weight *= y * q / ((n - y + 1.0) * p);
        y -= 1.0;
        *slot = combine(*slot, weight);
    }
    let (mut y, mut weight) = ((target - mode) as f64, anchor);
    for slot in mass[from..centre].iter_mut().rev() {
        weight *= (n - y) * p / ((y + 1.0) * q);
        y += 1.0;
        *slot = combine(*slot, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brute_force_over_all_orders_of_eight() {
        // certificate.json, chain_bruteforce_N8_F2_c0.35
        let looks = [1, 2, 3, 4, 5];
        let b = [None, None, Some(0), Some(1), Some(2)];
        let got = chain_error(8, 2, &looks, |index| b[index], 1e-300, 1.0);
        assert!((got - 0.363_392_857_142_857_13).abs() < 1e-13, "{got}");
    }

    #[test]
    fn one_look_is_the_p_value() {
        let design = Design::finite(50_000, 2_500).unwrap();
        let got = chain_error(50_000, 2_500, &[800], |_| Some(30), 1e-14, 1.0);
        assert!((got / super::super::p_value(design, 800, 30) - 1.0).abs() < 1e-9);
    }
}

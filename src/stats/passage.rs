//! First passage of the failure count through a boundary, by dynamic programming from look to look.
//!
//! This is the engine of `calibration`: it computes how likely a policy is to meet a boundary. Let `f_k`
//! be the number of failing items among the first `k` of a random order of `N` items, `W` of which fail.
//! Sampling without replacement is Bernoulli sampling conditioned on its total. So for any `p` the two
//! path measures differ by a function of the end point alone (Doob's transform):
//!
//! ```text
//! P_W(path up to k, f_k = f) = P_p(path up to k, f_k = f) * b(N - k, W - f; p) / b(N, W; p)
//! ```
//!
//! where `b(n, x; p) = P(Bin(n, p) = x)`. Under `P_p` the increments are independent binomials, so each
//! look takes one convolution with a kernel that does not depend on the state. The weight is needed only
//! where paths are absorbed. With `p = W / N` both measures are concentrated in the same place.
//!
//! The state is kept inside Bernstein bounds (Hoeffding 1963, section 6, carries them over to sampling
//! without replacement). The mass they cut off is added to the error, so results are never too small.
#![allow(
    clippy::indexing_slicing,
    reason = "dense inner loops over windows whose lengths are computed beside them"
)]

use super::saddle::ln_binomial;

/// The walk of the failure count, restricted to paths that are not absorbed yet.
#[derive(Debug)]
pub(super) struct Walk {
    world: World,
    rate: f64,
    /// `-ln` of the mass each cut may lose.
    depth: f64,
    /// Items drawn.
    draws: u64,
    /// Failures of the first entry of `mass`.
    lowest: u64,
    mass: Vec<f64>,
    kernel: Kernel,
    spare: Vec<f64>,
    lost: f64,
}

/// How the failures come about.
#[derive(Clone, Copy, Debug)]
enum World {
    Finite { population: u64, failing: u64, ln_total: f64 },
    Stream,
}

impl Walk {
    /// A population of which `failing` items fail, `0 < failing < population`; every cut may lose `cut`.
    pub(super) fn finite(population: u64, failing: u64, cut: f64) -> Self {
        let (n, w) = (population as f64, failing as f64);
        let rate = w / n;
        let ln_total = ln_binomial(n, w, rate, 1.0 - rate);
        Self::new(World::Finite { population, failing, ln_total }, rate, cut)
    }

    /// A stream of independent failures at `rate`.
    pub(super) fn stream(rate: f64, cut: f64) -> Self {
        Self::new(World::Stream, rate, cut)
    }

    fn new(world: World, rate: f64, cut: f64) -> Self {
        Self {
            world,
            rate,
            depth: -cut.ln(),
            draws: 0,
            lowest: 0,
            mass: vec![1.0],
            kernel: Kernel::default(),
            spare: Vec::new(),
            lost: 0.0,
        }
    }

    /// An upper bound on the mass cut off so far.
    pub(super) fn lost(&self) -> f64 {
        self.lost
    }

    /// Draws on, up to `look` items in all.
    pub(super) fn advance(&mut self, look: u64) {
        let step = look.saturating_sub(self.draws);
        self.kernel.fill(step, self.rate, self.depth);
        self.draws = look;
        // A path above the window for f_k is cut off; so is an increment outside its own window.
        let (_, top) = window(look, self.rate, self.depth);
        convolve(&self.mass, &self.kernel.padded, &mut self.spare);
        core::mem::swap(&mut self.mass, &mut self.spare);
        self.lowest += self.kernel.lowest;
        let room = (top + 1).saturating_sub(self.lowest);
        self.mass.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        self.lost += 3.0 * (-self.depth).exp();
    }

    /// Absorbs every path with at most `limit` failures.
    ///
    /// `visit` receives each number of failures in increasing order with its probability, and returns
    /// whether to go on.
    pub(super) fn absorb(&mut self, limit: u64, mut visit: impl FnMut(u64, f64) -> bool) {
        if limit < self.lowest {
            return;
        }
        let count =
            usize::try_from(limit - self.lowest + 1).unwrap_or(usize::MAX).min(self.mass.len());
        let mut weight = 1.0;
        for (offset, mass) in (self.lowest..).zip(&self.mass[..count]) {
            if let World::Finite { population, failing, ln_total } = self.world {
                weight = self.weight(population, failing, ln_total, offset, weight);
            }
            if !visit(offset, mass * weight) {
                break;
            }
        }
        self.mass.drain(..count);
        self.lowest = limit + 1;
    }

    /// Doob's weight at `failures`; `previous` is the one at `failures - 1`.
    fn weight(
        &self,
        population: u64,
        failing: u64,
        ln_total: f64,
        failures: u64,
        previous: f64,
    ) -> f64 {
        let left = (population - self.draws) as f64;
        if failures > failing {
            return 0.0;
        }
        let bad = (failing - failures) as f64;
        if bad > left {
            return 0.0;
        }
        let (n, w) = (population as f64, failing as f64);
        if failures > self.lowest && previous > f64::MIN_POSITIVE {
            // b(left, bad) / b(left, bad + 1)
            return previous * ((bad + 1.0) * (n - w)) / ((left - bad) * w);
        }
        (ln_binomial(left, bad, self.rate, 1.0 - self.rate) - ln_total).exp()
    }
}

/// The distribution of one increment, `Bin(step, rate)` inside its window, padded for [`convolve`].
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// The step and the bits of the rate that it was made for.
    made_for: Option<(u64, u64)>,
    pub(super) lowest: u64,
    pub(super) padded: Vec<f64>,
}

/// Zeros on either side of a kernel, so that four states can be convolved at once.
const PAD: usize = 3;

impl Kernel {
    /// Fills in `Bin(step, rate)`, unless it holds that already; the depth is always the same.
    pub(super) fn fill(&mut self, step: u64, rate: f64, depth: f64) {
        let made_for = Some((step, rate.to_bits()));
        if self.made_for == made_for {
            return;
        }
        self.made_for = made_for;
        let (low, high) = window(step, rate, depth);
        let (n, p, q) = (step as f64, rate, 1.0 - rate);
        self.lowest = low;
        let width = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
        self.padded.clear();
        self.padded.resize(width + 2 * PAD, 0.0);
        // From the mode outwards, so that nothing underflows before the terms that matter.
        let mode = clamped(n * p, low, high);
        let at_mode = ln_binomial(n, mode as f64, p, q).exp();
        let centre = PAD + usize::try_from(mode - low).unwrap_or(0);
        self.padded[centre] = at_mode;
        let (mut x, mut value) = (mode as f64, at_mode);
        for slot in &mut self.padded[centre + 1..PAD + width] {
            value *= (n - x) * p / ((x + 1.0) * q);
            x += 1.0;
            *slot = value;
        }
        let (mut x, mut value) = (mode as f64, at_mode);
        for slot in self.padded[PAD..centre].iter_mut().rev() {
            value *= x * q / ((n - x + 1.0) * p);
            x -= 1.0;
            *slot = value;
        }
    }
}

/// `out = state * kernel`, with the kernel padded by [`PAD`] zeros on either side.
///
/// Sums run in a fixed order, one product at a time, so the result is the same to the bit everywhere.
pub(super) fn convolve(state: &[f64], padded: &[f64], out: &mut Vec<f64>) {
    let width = padded.len() - 2 * PAD;
    let length = width + PAD;
    out.clear();
    if state.is_empty() {
        return;
    }
    out.resize((state.len() + PAD) / 4 * 4 + width + PAD, 0.0);
    // The kernel as each of a block's four states sees it: shifted by one place each.
    let seen_by = |state: usize| &padded[PAD - state..][..length];
    let kernels = [seen_by(0), seen_by(1), seen_by(2), seen_by(3)];
    let mut add = |block: usize, four| add_four(&mut out[4 * block..][..length], four, kernels);
    let (blocks, rest) = state.as_chunks::<4>();
    for (block, four) in blocks.iter().enumerate() {
        add(block, *four);
    }
    if let [one, more @ ..] = rest {
        let and = |place: usize| more.get(place).copied().unwrap_or(0.0);
        add(blocks.len(), [*one, and(0), and(1), 0.0]);
    }
    out.truncate((state.len() + width).saturating_sub(1));
}

/// Adds four kernels, each times its own state's mass.
fn add_four(target: &mut [f64], four: [f64; 4], [a, b, c, d]: [&[f64]; 4]) {
    for ((((out, a), b), c), d) in target.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *out += four[0] * a + four[1] * b + four[2] * c + four[3] * d;
    }
}

/// The range that holds `Bin(draws, rate)`, or a sample without replacement at this rate.
///
/// At most `e^-depth` of the probability lies outside on either side (Bernstein's inequality).
pub(super) fn window(draws: u64, rate: f64, depth: f64) -> (u64, u64) {
    let mean = draws as f64 * rate;
    let variance = mean * (1.0 - rate);
    // P(X >= mean + t) <= exp(-t^2 / (2 variance + 2 t b / 3)) with steps at most b above the mean.
    let reach = |bound: f64| {
        let third = depth * bound / 3.0;
        third + (third * third + 2.0 * variance * depth).sqrt()
    };
    let low = clamped((mean - reach(rate)).floor(), 0, draws);
    let high = clamped((mean + reach(1.0 - rate)).ceil(), low, draws);
    (low, high)
}

/// A float as a count, clamped to `[low, high]`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate, and the result is clamped"
)]
pub(super) fn clamped(x: f64, low: u64, high: u64) -> u64 {
    (x.max(0.0) as u64).clamp(low, high)
}

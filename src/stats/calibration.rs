//! The calibration of a boundary: one level for all looks whose exact error keeps the promise.
//!
//! Let `W` be the number of failing items in the population, `f_k` the number among the first `k`, and
//! `b_j` the limit at look `k_j`. Certifying at look `j` is an error if more than `F` failures are still
//! to be delivered, `W - f_{k_j} >= F + 1`. So with `d = W - F - 1`, the *excess*,
//!
//! ```text
//! error(W) = P_W( exists j : f_{k_j} <= min(b_j, W - F - 1) ),     W = F + 1 + d, d >= 0
//! ```
//!
//! The level must keep this small for every `W`. Two facts make the maximum over all `W` provable with
//! few evaluations.
//!
//! 1. Limits never fall, and `f_k` never falls. So the first look with `b_j >= d` is the last that
//!    matters for `W = F + 1 + d`: a path with more than `d` failures there is certified rightly ever
//!    after, and a path with at most `d` has been counted as an error.
//! 2. With more failing items in the population every `f_k` is larger or equal (by coupling). So the
//!    chance of having passed the boundary by a given look falls as `W` grows.
//!
//! One walk over the looks at `W = F + 1 + d` therefore bounds the error of *every* `d' >= d` whose last
//! look it reaches with an error below the target. A sweep from `d = 0` upwards proves the level for
//! every population in some dozens of walks. Far out, only the first looks and the last ones that matter
//! contribute, and union bounds take over.

use super::hypergeometric::tail_bound;
use super::limits::{Ladder, Level};
use super::passage::{Walk, clamped};
use super::{Design, Probability, Promise};

/// Levels are multiples of `alpha / STEPS`, so that rounding in the last bits does not change the result.
const STEPS: u32 = 8_192;
/// The level is chosen so that the error at the worst populations known is at most this share of `alpha` …
const AIMED: f64 = 0.98;
/// … and the sweep proves that the error of every population is at most this share.
const PROVEN: f64 = 0.995;
/// A sweep that advances by less than `d / PATIENCE` gives up, and the level is lowered.
const PATIENCE: u64 = 100_000;
/// Union bounds are tried for an excess above this many standard deviations of a population's failures.
const FAR: f64 = 3.0;
/// The union bound over the remaining looks is tried at every look whose index is a multiple of this.
const UNION_EVERY: usize = 4;

/// A level, the error it is proven to keep, and its limits.
#[derive(Debug)]
pub(super) struct Calibrated {
    pub(super) level: f64,
    pub(super) error: f64,
    pub(super) limits: Vec<Option<u64>>,
}

/// The largest level on the grid whose error is within `target`, with that error; `None` if there is none.
///
/// `error` must be monotone in the level, and may stop short once it exceeds the target by a fifth. It
/// grows nearly as a power of the level, in small jumps. So the bracket is narrowed by interpolating
/// that power as long as jumps are small beside the bracket, and then halved.
pub(super) fn largest_level(
    alpha: Probability,
    target: f64,
    guess: u32,
    mut error: impl FnMut(f64) -> f64,
) -> Option<(u32, f64)> {
    let (mut good, mut bad) = ((0, 0.0), (STEPS, f64::INFINITY));
    let mut try_at = guess.clamp(1, STEPS - 1);
    while bad.0 - good.0 > 1 {
        let found = error(level(alpha, try_at));
        if found <= target {
            good = (try_at, found);
        } else {
            bad = (try_at, found);
        }
        try_at = between(good, bad, target).clamp(good.0 + 1, (bad.0 - 1).max(good.0 + 1));
    }
    (good.0 > 0).then_some(good)
}

/// The next grid point to try between a good level and a bad one, given with their errors.
fn between(good: (u32, f64), bad: (u32, f64), target: f64) -> u32 {
    let (low, high) = (f64::from(good.0), f64::from(bad.0));
    let near = 0.003 * high;
    let known = |error: f64| error > 0.0 && error.is_finite();
    let guess = match (known(good.1), known(bad.1)) {
        // A little beyond the point that proportionality gives, so that the root is bracketed.
        (true, false) => low * (target / good.1) + near,
        (false, true) => high * (target / bad.1) - near,
        (true, true) if high - low > 8.0 * near => {
            let power = (bad.1 / good.1).ln() / (high / low).ln();
            let root = low * ((target / good.1).ln() / power).exp();
            // Beside the root, on the side of the bracket's further end.
            if root - low > high - root { root - near } else { root + near }
        }
        _ => f64::midpoint(low, high),
    };
    u32::try_from(clamped(guess, 1, u64::from(STEPS))).unwrap_or(STEPS)
}

/// The level at a grid point.
pub(super) fn level(alpha: Probability, step: u32) -> f64 {
    alpha.get() * f64::from(step) / f64::from(STEPS)
}

/// The probability mass that one cut of a window may lose.
pub(super) fn cut(alpha: Probability) -> f64 {
    1e-9 * alpha.get()
}

/// Calibrates the boundary of one policy.
pub(super) fn single_policy(design: Design, alpha: Probability, looks: &[u64]) -> Calibrated {
    match design.0 {
        Promise::Finite { population, allowance } => {
            Sweep { design, population, allowance, alpha, looks }.calibrate()
        }
        Promise::Unbounded { rate } => stream(design, rate, alpha, looks),
    }
}

/// The boundary that never certifies: there is no look, or no level of the grid keeps the error.
pub(super) fn never(looks: &[u64]) -> Calibrated {
    Calibrated { level: 0.0, error: 0.0, limits: vec![None; looks.len()] }
}

/// Calibrates the boundary of a stream.
///
/// Under the null hypothesis the failure rate is above `delta`. The lower the rate, the likelier it is
/// to pass the boundary, so the supremum of the error is its value at `delta` itself.
fn stream(design: Design, rate: Probability, alpha: Probability, looks: &[u64]) -> Calibrated {
    let mut ladder = Ladder::new(design, looks);
    let found = largest_level(alpha, 0.9999 * alpha.get(), STEPS / 8, |level| {
        let level = Level::new(level);
        let mut walk = Walk::stream(rate.get(), cut(alpha));
        let mut error = 0.0;
        for (index, &look) in looks.iter().enumerate() {
            if let Some(limit) = ladder.limit(index, level) {
                walk.advance(look);
                walk.absorb(limit, |_, mass| {
                    error += mass;
                    true
                });
                if error > 1.2 * alpha.get() {
                    break;
                }
            }
        }
        error + walk.lost()
    });
    let Some((step, error)) = found else {
        return never(looks);
    };
    let level = level(alpha, step);
    Calibrated { level, error, limits: ladder.all(level) }
}

/// The exact error of a finite design for one number of failing items, plus the mass that windows cut off.
///
/// It is the chance that the policy is certified although more than the allowance would be delivered.
/// The walk stops once the error exceeds `enough`.
pub(super) fn error_at(
    population: u64,
    allowance: u64,
    failing: u64,
    looks: &[u64],
    mut limit: impl FnMut(usize) -> Option<u64>,
    cut: f64,
    enough: f64,
) -> f64 {
    let Some(excess) = failing.checked_sub(allowance.saturating_add(1)) else {
        return 0.0;
    };
    if failing >= population {
        // Every item fails: f_k = k.
        let passes =
            |(index, &look): (usize, &u64)| limit(index).is_some_and(|b| look <= b.min(excess));
        return if looks.iter().enumerate().any(passes) { 1.0 } else { 0.0 };
    }
    let mut walk = Walk::finite(population, failing, cut);
    let mut error = 0.0;
    for (index, &look) in looks.iter().enumerate() {
        let Some(b) = limit(index) else { continue };
        walk.advance(look);
        walk.absorb(b.min(excess), |_, mass| {
            error += mass;
            true
        });
        if b >= excess || error > enough {
            break;
        }
    }
    error + walk.lost()
}

/// The outcome of a sweep over all populations.
enum Verdict {
    /// The error is below the target for every population.
    Proven,
    /// The error exceeds the target at this excess `d`.
    Exceeded(u64),
    /// The steps became too small.
    Stalled,
}

/// For which excesses a walk proves the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cover {
    /// Not even at its own excess.
    None,
    /// Up to and including this excess.
    To(u64),
    /// For all larger ones too.
    All,
}

/// A population whose error is watched while the level is searched for.
struct Witness {
    /// The excess asked for; the error is taken at the smallest limit at or above it.
    near: u64,
    /// The highest level known to keep its error within the aim.
    good_to: f64,
}

impl Witness {
    const fn new(near: u64) -> Self {
        Self { near, good_to: 0.0 }
    }
}

/// A finite design under calibration.
struct Sweep<'a> {
    design: Design,
    population: u64,
    allowance: u64,
    alpha: Probability,
    looks: &'a [u64],
}

impl Sweep<'_> {
    fn calibrate(&self) -> Calibrated {
        let alpha = self.alpha;
        let mut ladder = Ladder::new(self.design, self.looks);
        // Limits never fall, so the last look tells whether anything can be certified.
        let last = self.looks.len().checked_sub(1);
        if last.and_then(|last| ladder.limit(last, Level::new(alpha.get()))).is_none() {
            return never(self.looks);
        }
        // The worst excess is of the order of the standard deviation of a population's failures.
        let scale = self.spread();
        let most = self.population - self.allowance - 1;
        let mut nears: Vec<u64> =
            [1.2, 2.4, 4.8].iter().map(|part| clamped(part * scale, 0, most)).collect();
        nears.dedup();
        let mut witnesses: Vec<Witness> = nears.into_iter().map(Witness::new).collect();
        let mut aimed = AIMED * alpha.get();
        let proven = PROVEN * alpha.get();
        let mut guess = self.guess();
        for _ in 0..64 {
            for witness in &mut witnesses {
                witness.good_to = 0.0;
            }
            let found = largest_level(alpha, aimed, guess, |level| {
                self.worst(level, aimed, &mut ladder, &mut witnesses)
            });
            let Some((step, _)) = found else {
                return never(self.looks);
            };
            let level = level(alpha, step);
            let limits = ladder.all(level);
            match self.sweep(level, &limits, &mut ladder, proven) {
                Verdict::Proven => {
                    return Calibrated { level, error: proven, limits };
                }
                Verdict::Exceeded(excess) if witnesses.iter().all(|w| w.near != excess) => {
                    witnesses.insert(0, Witness::new(excess));
                }
                Verdict::Exceeded(_) | Verdict::Stalled => aimed *= 0.995,
            }
            guess = step;
        }
        never(self.looks)
    }

    /// The largest error among the witnesses at a level, leaving out those known to be good there.
    fn worst(
        &self,
        level: f64,
        aimed: f64,
        ladder: &mut Ladder<'_>,
        witnesses: &mut [Witness],
    ) -> f64 {
        let most = self.population - self.allowance - 1;
        let at = Level::new(level);
        let mut worst = 0.0_f64;
        let mut culprit = 0;
        for (index, witness) in witnesses.iter_mut().enumerate() {
            if level <= witness.good_to {
                continue;
            }
            // The error grows with the excess as long as the last look stays the same: go to the end of
            // that range.
            let excess = (0..self.looks.len())
                .find_map(|look| ladder.limit(look, at).filter(|&b| b >= witness.near))
                .unwrap_or(witness.near)
                .min(most);
            let error = error_at(
                self.population,
                self.allowance,
                self.allowance + 1 + excess,
                self.looks,
                |index| ladder.limit(index, at),
                cut(self.alpha),
                1.2 * aimed,
            );
            if error <= aimed {
                witness.good_to = level;
            }
            if error > worst {
                (worst, culprit) = (error, index);
            }
            // Far from the target one witness is enough; near it the search needs to know which of them
            // matter.
            if error > 1.1 * aimed {
                break;
            }
        }
        // Neighbouring levels fail at the same place: look there first.
        witnesses.swap(0, culprit);
        worst
    }

    /// The standard deviation of a population's failures, the unit of excesses.
    fn spread(&self) -> f64 {
        let rate = self.design.rate();
        (self.population as f64 * rate * (1.0 - rate)).sqrt()
    }

    /// A rough start for the search.
    ///
    /// The level is about inversely proportional to the logarithm of the number of independent looks.
    fn guess(&self) -> u32 {
        let first = self.looks.first().copied().unwrap_or(1) as f64;
        let end = (self.population as f64 / self.design.rate().max(1e-9)).sqrt().max(first);
        clamped(f64::from(STEPS) / (2.0 + 0.9 * (end / first).ln()), 1, u64::from(STEPS) - 1)
            .try_into()
            .unwrap_or(1)
    }

    /// Proves, or refutes, that the error is at most `target` for every `W >= F + 1`.
    fn sweep(
        &self,
        level: f64,
        limits: &[Option<u64>],
        ladder: &mut Ladder<'_>,
        target: f64,
    ) -> Verdict {
        let most = self.population - self.allowance - 1;
        let mut excess = 0;
        while excess <= most {
            let failing = self.allowance + 1 + excess;
            if failing == self.population {
                let limit = |index: usize| limits.get(index).copied().flatten();
                let error =
                    error_at(self.population, self.allowance, failing, self.looks, limit, 0.5, 1.0);
                return if error <= target { Verdict::Proven } else { Verdict::Exceeded(excess) };
            }
            match self.cover(excess, level, limits, ladder, target) {
                Cover::All => return Verdict::Proven,
                Cover::To(last) if last - excess < excess / PATIENCE => return Verdict::Stalled,
                Cover::To(last) => excess = last + 1,
                Cover::None => return Verdict::Exceeded(excess),
            }
        }
        Verdict::Proven
    }

    /// Walks at one excess, and says up to which excess the target holds.
    fn cover(
        &self,
        excess: u64,
        level: f64,
        limits: &[Option<u64>],
        ladder: &mut Ladder<'_>,
        target: f64,
    ) -> Cover {
        let failing = self.allowance + 1 + excess;
        let mut walk = Walk::finite(self.population, failing, cut(self.alpha));
        // Near the worst population the looks err together too often for union bounds to be sharp.
        let far = excess as f64 > FAR * self.spread();
        let mut error = 0.0;
        let (mut covered, mut least) = (Cover::None, Cover::None);
        for (index, (&look, limit)) in self.looks.iter().zip(limits).enumerate() {
            let &Some(limit) = limit else { continue };
            if far && index % UNION_EVERY == 0 && covered == Cover::None {
                let room = target - error - walk.lost();
                let found = self.later(index, excess, level, limits, room);
                // A bound that covers only a few excesses is not worth it: walking on reaches further.
                if found == Cover::All || found > Cover::To(excess + excess / 4) {
                    return found;
                }
                least = least.max(found);
            }
            walk.advance(look);
            let room = target - walk.lost();
            if limit >= excess {
                // The last look that matters adds at most p(k, d), which is at most c.
                let left = room - error;
                let last = if level <= left {
                    Some(limit)
                } else {
                    ladder.limit(index, Level::new(left)).map(|last| last.min(limit))
                };
                if let Some(last) = last.filter(|&last| last >= excess) {
                    covered = covered.max(Cover::To(last));
                }
            }
            let mut reached = None;
            let mut full = true;
            walk.absorb(limit, |failures, mass| {
                if error + mass > room {
                    full = false;
                    return false;
                }
                error += mass;
                reached = Some(failures);
                true
            });
            if !full {
                // Up to `reached` failures at this look fit into the target, so every d up to there is
                // covered.
                return match reached {
                    Some(last) if last >= excess => covered.max(least).max(Cover::To(last)),
                    _ => covered.max(least),
                };
            }
            if limit >= excess {
                covered = covered.max(Cover::To(limit));
            }
        }
        Cover::All
    }

    /// Covers excesses by union bounds, given that the looks before `from` are paid for and `room` is left.
    ///
    /// Far beyond the worst population the boundary is passed in the first looks, if at all, or in the last
    /// that matter. Look `j` is the last that matters for `b_{j-1} < d <= b_j`. It adds at most
    /// `p(k_j, d) <= c`, and each look between `from` and `j` adds at most its tail at the smallest such `d`.
    fn later(
        &self,
        from: usize,
        excess: u64,
        level: f64,
        limits: &[Option<u64>],
        room: f64,
    ) -> Cover {
        let mut covered = Cover::None;
        let mut least = excess;
        for (last, limit) in limits.iter().enumerate().skip(from) {
            let &Some(limit) = limit else { continue };
            if limit < least {
                continue;
            }
            if !self.union_within(from, last, least, limits, room - level) {
                return covered;
            }
            covered = Cover::To(limit);
            least = limit + 1;
        }
        if self.allowance + 1 + least > self.population
            || self.union_within(from, limits.len(), least, limits, room)
        {
            return Cover::All;
        }
        covered
    }

    /// Whether the looks `from..to` together certify with probability at most `room` at this excess.
    ///
    /// If so, they do at every larger excess too.
    fn union_within(
        &self,
        from: usize,
        to: usize,
        excess: u64,
        limits: &[Option<u64>],
        room: f64,
    ) -> bool {
        let failing = self.allowance + 1 + excess;
        if failing > self.population {
            return true;
        }
        let mut sum = 0.0;
        let between = self.looks.iter().zip(limits).take(to).skip(from);
        // Latest look first, because its terms are the largest.
        for (&look, limit) in between.rev() {
            if let &Some(limit) = limit {
                sum += tail_bound(self.population, failing, look, limit);
            }
            if sum > room {
                return false;
            }
        }
        sum <= room
    }
}

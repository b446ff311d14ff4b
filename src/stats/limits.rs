//! The limits `b_j = max { f : p(k_j, f) <= c }` at any level, found as needed: [`Ladder`].
//!
//! A calibration asks for the limits of many neighbouring levels. The costly part is a tail of the
//! hypergeometric distribution, and one sum per look suffices, because the p-values of neighbouring
//! numbers of failures follow by recurrence. With `g(f) = P(Hyp(N, F + 1 + f, k) = f)`,
//!
//! ```text
//! g(f + 1)    = g(f) (F + 2 + f) (k - f) / ((f + 1) (N - F - 1 - f))
//! p(k, f + 1) = p(k, f) + g(f + 1) (F + 1) / (F + 2 + f)
//! ```
//!
//! The second line compares `F + 1 + f` marked items with one more. At most `f + 1` of the larger set
//! are drawn exactly if at most `f` of the smaller one are, or if `f + 1` of it are and the new item is
//! not. For a stream both lines are the binomial's.
//!
//! So from one tail near the limit the p-values of its neighbours, called *rungs*, cost a few
//! multiplications each. They decide wherever they are clear of the level. A tie within rounding is left
//! to the tail itself, so the limits are exactly those that tails alone would give.

use std::collections::VecDeque;

use super::hypergeometric::{mean_crossing, normal_guess, offset, test};
use super::{Design, Probability, Promise};

/// Further than this many rungs from the level, a new tail is summed.
const REACH: f64 = 64.0;
/// Rungs below this part of their starting tail have lost too many digits to go on.
const SHALLOW: f64 = 1e-4;
/// A p-value within this part of the level counts as a tie; rungs are accurate to `1e-10`.
const TIE: f64 = 1e-8;

/// A level and its logarithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    value: f64,
    ln: f64,
}

impl Level {
    pub(super) fn new(level: f64) -> Self {
        Self { value: level, ln: level.ln() }
    }
}

/// Rungs at one look: the p-values of consecutive numbers of failures.
#[derive(Debug, Default)]
pub(super) struct Rungs {
    /// The number of failures of the first rung.
    lowest: u64,
    values: VecDeque<f64>,
    /// `g` of the first rung and of the last.
    ends: (f64, f64),
    /// The p-value of the starting tail.
    start: f64,
}

impl Rungs {
    /// The largest number of failures with a p-value of at most `level`; `None` if not even 0 has one.
    ///
    /// There must be fewer than `N - F` draws.
    pub(super) fn limit(&mut self, design: Design, draws: u64, level: Level) -> Option<u64> {
        // At and above the mean the p-value is defined to be 1.
        let most = draws.min(mean_crossing(design, draws)).checked_sub(1)?;
        if level.value.is_nan() || level.value <= 0.0 {
            return None;
        }
        if self.values.is_empty() {
            self.sum(design, draws, normal_guess(design, draws, level.ln).min(most));
        }
        // Each new tail is summed nearer to the level. Where p-values underflow, halve instead.
        let mut tails = 0;
        while let Some(next) = self.climb(design, draws, level, most) {
            tails += 1;
            if tails > 50 {
                self.values.clear();
                return halve(design, draws, level, most);
            }
            self.sum(design, draws, next);
        }
        let within = self.values.partition_point(|p| *p <= level.value);
        let tied = |place: usize| {
            self.values.get(place).is_some_and(|p| (p - level.value).abs() <= TIE * level.value)
        };
        let mut found = self.lowest.saturating_add(within as u64);
        if within > 0 && tied(within - 1) || tied(within) {
            // Count afresh around the tie.
            found = found.saturating_sub(1);
            while found <= most && test(design, draws, found).0 <= level.ln {
                found += 1;
            }
        }
        found.checked_sub(1)
    }

    /// Starts again from the tail at `failures`.
    fn sum(&mut self, design: Design, draws: u64, failures: u64) {
        let (ln_p, terms) = test(design, draws, failures);
        let p = ln_p.exp();
        self.lowest = failures;
        self.values.clear();
        self.values.push_back(p);
        self.ends = (p / terms, p / terms);
        self.start = p;
    }

    /// Adds rungs until the level lies between two of them, or beyond the last possible one.
    ///
    /// Where the level is too far away for that, returns where to sum the next tail.
    fn climb(&mut self, design: Design, draws: u64, level: Level, most: u64) -> Option<u64> {
        loop {
            let (first, last) = (*self.values.front()?, *self.values.back()?);
            let highest = self.lowest + (self.values.len() as u64 - 1);
            if last <= level.value && highest < most {
                // p / g approximates d f / d ln p.
                let far = (level.ln - last.ln()) * last / self.ends.1;
                if far > REACH || last.is_nan() || last <= 0.0 {
                    return Some(offset(highest, far).clamp(highest + 1, most));
                }
                let (ratio, part) = step(design, draws, highest);
                self.ends.1 *= ratio;
                self.values.push_back(last + self.ends.1 * part);
            } else if first > level.value && self.lowest > 0 {
                let far = (first.ln() - level.ln) * first / self.ends.0;
                if far > REACH || first < SHALLOW * self.start {
                    return Some(offset(self.lowest, -far).clamp(0, self.lowest - 1));
                }
                let (ratio, part) = step(design, draws, self.lowest - 1);
                self.values.push_front(first - self.ends.0 * part);
                self.ends.0 /= ratio;
                self.lowest -= 1;
            } else {
                return None;
            }
        }
    }
}

/// The smallest number of draws in `(below, above]` at which `failures` certify at level `alpha`.
///
/// They must certify at `above`. With every draw the p-value falls by `P(X = f) (F + 1) / (N - k)`, so
/// its logarithm is nearly a straight line: Newton's method is tried first, then halving.
pub(crate) fn least_draws(
    design: Design,
    failures: u64,
    alpha: Probability,
    below: u64,
    above: u64,
) -> u64 {
    let ln_level = alpha.get().ln();
    let (mut below, mut above) = (below, above);
    let mut guess = above;
    for round in 0.. {
        let (ln_p, terms) = test(design, guess, failures);
        if ln_p <= ln_level {
            above = above.min(guess);
        } else {
            below = below.max(guess);
        }
        if above <= below.saturating_add(1) {
            break;
        }
        let fall = match design.0 {
            Promise::Finite { population, allowance } => {
                (allowance as f64 + 1.0) / population.saturating_sub(guess).max(1) as f64
            }
            Promise::Unbounded { rate } => rate.get(),
        } / terms;
        let root = offset(guess, ((ln_p - ln_level) / fall).ceil());
        let newton = round < 6 && ln_p.is_finite() && ln_p < 0.0;
        let next = if newton { root } else { below.midpoint(above) };
        guess = next.clamp(below + 1, above - 1);
    }
    above
}

/// The limit by halving, with a tail at every step.
fn halve(design: Design, draws: u64, level: Level, most: u64) -> Option<u64> {
    let (mut below, mut above) = (0, most + 1);
    while below < above {
        let middle = below + (above - below) / 2;
        if test(design, draws, middle).0 <= level.ln {
            below = middle + 1;
        } else {
            above = middle;
        }
    }
    below.checked_sub(1)
}

/// From `failures` to one more: the factor of `g`, and the part of the new `g` that the p-value gains.
fn step(design: Design, draws: u64, failures: u64) -> (f64, f64) {
    let (k, f) = (draws as f64, failures as f64);
    match design.0 {
        Promise::Finite { population, allowance } => {
            let (n, one) = (population as f64, allowance as f64 + 1.0);
            let ratio = (one + f + 1.0) * (k - f) / ((f + 1.0) * (n - one - f));
            (ratio, one / (one + f + 1.0))
        }
        Promise::Unbounded { rate } => {
            ((k - f) * rate.get() / ((f + 1.0) * (1.0 - rate.get())), 1.0)
        }
    }
}

/// The limits at any level over all looks.
#[derive(Debug)]
pub(super) struct Ladder<'a> {
    design: Design,
    looks: &'a [u64],
    rungs: Vec<Rungs>,
}

impl<'a> Ladder<'a> {
    pub(super) fn new(design: Design, looks: &'a [u64]) -> Self {
        Self { design, looks, rungs: Vec::new() }
    }

    /// The limit at look `index`; `None` if nothing certifies there, or if there is no such look.
    pub(super) fn limit(&mut self, index: usize, level: Level) -> Option<u64> {
        let &look = self.looks.get(index)?;
        if self.rungs.len() <= index {
            self.rungs.resize_with(index + 1, Rungs::default);
        }
        self.rungs.get_mut(index)?.limit(self.design, look, level)
    }

    /// The limits at all looks.
    pub(super) fn all(&mut self, level: f64) -> Vec<Option<u64>> {
        let level = Level::new(level);
        (0..self.looks.len()).map(|index| self.limit(index, level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Looks, single_look_limit};
    use super::*;

    /// The limit by its definition, by halving over the tails.
    fn defined(design: Design, draws: u64, ln_level: f64) -> Option<u64> {
        let (mut below, mut above) = (0, draws);
        while below < above {
            let middle = below + (above - below) / 2;
            if test(design, draws, middle).0 <= ln_level {
                below = middle + 1;
            } else {
                above = middle;
            }
        }
        below.checked_sub(1)
    }

    fn designs() -> Vec<Design> {
        let finite = |n, f| Design::finite(n, f).unwrap();
        let rate = Probability::new(0.1).unwrap();
        vec![
            finite(3_000, 60),
            finite(300, 150),
            finite(40, 0),
            finite(7, 3),
            finite(2_000_000, 400_000),
            Design::unbounded(rate),
        ]
    }

    #[test]
    fn limits_are_those_of_the_tails() {
        for design in designs() {
            let looks = Looks::schedule(design, Probability::new(0.5).unwrap());
            let mut ladder = Ladder::new(design, looks.as_slice());
            // Up and down, near and far, because rungs are kept between levels.
            for level in [0.013, 0.05, 0.012, 1e-9, 0.9, 0.013, 1e-280] {
                for (&look, limit) in looks.as_slice().iter().zip(ladder.all(level)) {
                    let want = defined(design, look, level.ln());
                    assert_eq!(limit, want, "{design:?} at {look}, level {level}");
                }
            }
        }
    }

    #[test]
    fn the_least_draws_are_those_of_halving() {
        let alpha = Probability::new(0.05).unwrap();
        for design in designs() {
            for look in [5, 11, 38, 200, 1_000, 20_000] {
                if look >= design.exhausted_at() {
                    continue;
                }
                let Some(limit) = single_look_limit(design, look, alpha) else { continue };
                for start in [0, look / 2, look * 3 / 4, look - 1] {
                    let (mut below, mut above) = (start, look);
                    while above - below > 1 {
                        let middle = below + (above - below) / 2;
                        let certifies = single_look_limit(design, middle, alpha);
                        if certifies.is_some_and(|l| l >= limit) {
                            above = middle;
                        } else {
                            below = middle;
                        }
                    }
                    let found = least_draws(design, limit, alpha, start, look);
                    assert_eq!(found, above, "{design:?} {look} from {start}");
                }
            }
        }
    }

    #[test]
    fn a_level_that_is_a_p_value_is_reached() {
        for design in designs() {
            for draws in [6, 20, 39, 149] {
                for failures in 0..draws.min(5) {
                    let (ln_p, _) = test(design, draws, failures);
                    if ln_p == f64::NEG_INFINITY || ln_p >= 0.0 || draws >= design.exhausted_at() {
                        continue;
                    }
                    let level = ln_p.exp();
                    let mut rungs = Rungs::default();
                    let found = rungs.limit(design, draws, Level::new(level));
                    assert_eq!(found, defined(design, draws, level.ln()), "{design:?} {draws}");
                }
            }
        }
    }
}

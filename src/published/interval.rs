//! The paper's confidence interval, and the number of agreements that a later interval would need.

use super::binomial;
use super::demand::Demand;

/// A two-sided interval for a candidate's rate of agreement with the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower limit, in `[0, 1]`.
    pub low: f64,
    /// The upper limit, in `[0, 1]`.
    pub high: f64,
}

/// The two-sided interval of Clopper and Pearson (1934), each tail with half of `1 - confidence`:
///
/// ```text
/// low:  P(Bin(n, low)  >= k) = (1 - confidence) / 2        (0 if k = 0)
/// high: P(Bin(n, high) <= k) = (1 - confidence) / 2        (1 if k = n)
/// ```
/// It assumes a single look at `n` independent items. The algorithm looks again at every tenth item, which is
/// why its promise does not hold (see the [module's guide](super)). Without trials the interval is `[0, 1]`.
/// The released code gets "not a number" for `high` at `k = n` and for both limits without trials. It
/// compares them only by `high < target` and replaces `low` by 0, so these values lead to the same decisions.
#[must_use]
pub fn clopper_pearson(successes: usize, trials: usize, confidence: f64) -> Interval {
    let successes = successes.min(trials);
    let tail = (1.0 - confidence) / 2.0;
    Interval {
        low: rate_with_upper_tail(successes, trials, tail),
        high: 1.0 - rate_with_upper_tail(trials - successes, trials, tail),
    }
}

/// The rate `p` with `P(Bin(trials, p) >= successes) = tail`: Newton's method on the logarithm of the
/// tail, kept inside a bracket.
fn rate_with_upper_tail(successes: usize, trials: usize, tail: f64) -> f64 {
    if successes == 0 || tail <= 0.0 {
        return 0.0;
    }
    if tail >= 1.0 {
        return 1.0;
    }
    if successes == trials {
        return (tail.ln() / trials as f64).exp();
    }
    let (k, n) = (successes as f64, trials as f64);
    let (mut below, mut above) = (0.0, 1.0);
    let mut rate = (k / n - 2.0 * (k / n * (1.0 - k / n) / n).sqrt()).max(0.5 * k / n);
    for _ in 0..200 {
        let reached = binomial::upper_tail(successes, trials, rate);
        if reached < tail {
            below = rate;
        } else {
            above = rate;
        }
        // d/dp P(Bin(n, p) >= k) = k P(Bin(n, p) = k) / p
        let slope = k * binomial::mass(successes, trials, rate) / rate;
        let newton = rate - (reached / tail).ln() * reached / slope;
        let next =
            if newton > below && newton < above { newton } else { f64::midpoint(below, above) };
        let step = (next - rate).abs();
        rate = next;
        if step <= 2.0 * f64::EPSILON * rate || above - below <= f64::EPSILON * above {
            break;
        }
    }
    rate
}

/// The least number of agreements among `trials` items whose interval's lower limit reaches the demanded
/// agreement; `trials + 1` if even full agreement would not do.
///
/// No interval has to be inverted for this: the lower limit of `k` agreements reaches `t` exactly if
/// `P(Bin(n, t) >= k) <= (1 - confidence) / 2`.
#[must_use]
pub fn least_satisfying(trials: usize, demand: Demand) -> usize {
    let rate = demand.agreement();
    let n = trials as f64;
    least_satisfying_near(n * rate + 2.0 * (n * rate * demand.delta()).sqrt(), trials, demand)
}

/// As [`least_satisfying`], but searching from `guess`.
pub(super) fn least_satisfying_near(guess: f64, trials: usize, demand: Demand) -> usize {
    if demand.agreement() <= 0.0 {
        return 0;
    }
    first_rare(guess, trials, demand.agreement(), demand.tail())
}

/// The least `k` with `P(Bin(trials, rate) >= k) <= level`. One tail is summed at the guess; its
/// neighbours differ from it by one mass each.
fn first_rare(guess: f64, trials: usize, rate: f64, level: f64) -> usize {
    /// Tails are summed afresh after this many steps, so that differences cannot pile up.
    const FRESH: usize = 16;

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a starting point: the cast saturates and the search corrects it"
    )]
    let mut k = (guess.round().max(0.0) as usize).min(trials + 1);
    let mut tail = binomial::upper_tail(k, trials, rate);
    let mut steps = 0;
    while tail > level {
        steps += 1;
        tail = if steps % FRESH == 0 {
            binomial::upper_tail(k + 1, trials, rate)
        } else {
            tail - binomial::mass(k, trials, rate)
        };
        k += 1;
    }
    while k > 0 {
        steps += 1;
        tail = if steps % FRESH == 0 {
            binomial::upper_tail(k - 1, trials, rate)
        } else {
            tail + binomial::mass(k - 1, trials, rate)
        };
        if tail > level {
            break;
        }
        k -= 1;
    }
    k
}

/// How many of the next `further` items must agree, after `agreed` of `profiled`, for the lower limit over
/// all of them to reach the demanded agreement.
///
/// *Quirk:* the released bisection never looks beyond full agreement. So a candidate that has agreed on
/// every item so far is said to be satisfied by agreeing on all further ones, even if full agreement
/// over so few items is not enough. For every other candidate the answer exceeds `further` if the demand
/// is out of reach, as it should.
#[must_use]
pub fn further_agreements(agreed: usize, profiled: usize, further: usize, demand: Demand) -> usize {
    let trials = profiled + further;
    least_satisfying(trials, demand).min(trials).saturating_sub(agreed)
}

/// What the interval says about a candidate at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The whole interval lies below the demanded agreement.
    Excluded,
    /// The demanded agreement lies inside the interval.
    Open,
    /// The whole interval lies at or above the demanded agreement.
    Satisfied,
}

/// Compares intervals with the demand, look after look, without inverting any.
///
/// For each number of items there is a number of agreements that satisfies and a number of disagreements
/// that excludes, and neither falls as items are added. So the numbers of an earlier look still bound
/// those of a later one. They are recomputed only when a candidate has passed them: with 50,000 items
/// profiled, at every tenth or hundredth look.
#[derive(Debug, Clone)]
pub(super) struct Boundary {
    demand: Demand,
    /// At least this many agreements are needed to satisfy.
    satisfying: usize,
    /// At least this many disagreements are needed to exclude.
    excluding: usize,
}

impl Boundary {
    pub(super) const fn new(demand: Demand) -> Self {
        Self { demand, satisfying: 0, excluding: 0 }
    }

    /// Judges a candidate; `profiled` must not fall from call to call.
    pub(super) fn judge(&mut self, agreed: usize, profiled: usize) -> Judgement {
        let disagreed = profiled - agreed;
        if disagreed >= self.excluding {
            let (n, rate) = (profiled as f64, self.demand.delta());
            let guess = n * rate + 2.0 * (n * rate * (1.0 - rate)).sqrt();
            self.excluding = first_rare(guess, profiled, rate, self.demand.tail());
        }
        if agreed >= self.satisfying {
            self.satisfying = least_satisfying(profiled, self.demand);
        }
        if disagreed >= self.excluding {
            Judgement::Excluded
        } else if agreed >= self.satisfying {
            Judgement::Satisfied
        } else {
            Judgement::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_judges_like_the_interval() {
        for (delta, confidence) in
            [(0.0, 0.95), (0.05, 0.95), (0.2, 0.8), (0.5, 0.999), (0.98, 0.95)]
        {
            let demand = Demand::new(delta, confidence).unwrap();
            let mut boundary = Boundary::new(demand);
            for profiled in 1..90 {
                for agreed in 0..=profiled {
                    let interval = clopper_pearson(agreed, profiled, confidence);
                    let want = if interval.high < demand.agreement() {
                        Judgement::Excluded
                    } else if interval.low >= demand.agreement() {
                        Judgement::Satisfied
                    } else {
                        Judgement::Open
                    };
                    assert_eq!(
                        boundary.judge(agreed, profiled),
                        want,
                        "{agreed} {profiled} {delta}"
                    );
                }
            }
        }
    }

    #[test]
    fn intervals_nest_and_cover_the_rate() {
        for (agreed, profiled) in [(0, 10), (3, 10), (10, 10), (9_400, 10_000), (127_000, 127_600)]
        {
            let rate = agreed as f64 / profiled as f64;
            let mut before = Interval { low: rate, high: rate };
            for confidence in [0.5, 0.9, 0.99, 0.999_999] {
                let interval = clopper_pearson(agreed, profiled, confidence);
                assert!(interval.low <= before.low && before.high <= interval.high, "{interval:?}");
                before = interval;
            }
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
    }
}

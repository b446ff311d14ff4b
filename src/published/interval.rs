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
///
/// It assumes one look at `n` independent items; the algorithm looks again at every tenth item, which is
/// why its promise does not hold (see the [module's guide](super)). Without trials the interval is
/// `[0, 1]`. The released code gets "not a number" for `high` at `k = n` and for both limits without
/// trials; it compares them only by `high < target` and replaces `low` by 0, so these values decide alike.
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
        let next = if newton > below && newton < above {
            newton
        } else {
            f64::midpoint(below, above)
        };
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
/// No interval need be inverted for it: the lower limit of `k` agreements reaches `t` exactly if
/// `P(Bin(n, t) >= k) <= (1 - confidence) / 2`.
#[must_use]
pub fn least_satisfying(trials: usize, demand: Demand) -> usize {
    let rate = demand.agreement();
    let n = trials as f64;
    least_satisfying_near(
        n * rate + 2.0 * (n * rate * demand.delta()).sqrt(),
        trials,
        demand,
    )
}

/// As [`least_satisfying`], searching from `guess`: one tail is summed, its neighbours differ from it by
/// one mass each.
pub(super) fn least_satisfying_near(guess: f64, trials: usize, demand: Demand) -> usize {
    /// Tails are summed afresh after this many steps, so that differences cannot pile up.
    const FRESH: usize = 16;

    let (rate, level) = (demand.agreement(), demand.tail());
    if rate <= 0.0 {
        return 0;
    }
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
/// *Quirk:* the released bisection never looks beyond full agreement. A candidate that has agreed on every
/// item so far is therefore said to be satisfied by agreeing on all further ones, even where full agreement
/// over so few items is not enough. For every other candidate the answer exceeds `further` when the demand
/// is out of reach, as it should.
#[must_use]
pub fn further_agreements(agreed: usize, profiled: usize, further: usize, demand: Demand) -> usize {
    let trials = profiled + further;
    least_satisfying(trials, demand)
        .min(trials)
        .saturating_sub(agreed)
}

/// What the interval says of a candidate at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The whole interval lies below the demanded agreement.
    Excluded,
    /// The demanded agreement lies inside the interval.
    Open,
    /// The whole interval lies at or above the demanded agreement.
    Satisfied,
}

/// Compares the interval with the demand by two tails at the demanded rate, without inverting either.
pub(super) fn judge(agreed: usize, profiled: usize, demand: Demand) -> Judgement {
    let (rate, level) = (demand.agreement(), demand.tail());
    if binomial::lower_tail(agreed, profiled, rate) < level {
        Judgement::Excluded
    } else if rate <= 0.0 || binomial::upper_tail(agreed, profiled, rate) <= level {
        Judgement::Satisfied
    } else {
        Judgement::Open
    }
}

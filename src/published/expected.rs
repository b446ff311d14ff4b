//! What profiling further would cost on average: the paper's stopping rule.

#![allow(
    clippy::indexing_slicing,
    reason = "short fixed arrays, indexed by loops over their own length"
)]

use std::f64::consts::{PI, SQRT_2};

use statrs::function::erf::erfc;

use super::binomial;
use super::demand::{Demand, Repairs};
use super::interval;

/// A candidate that is neither excluded nor satisfied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender {
    /// On how many of the profiled items it agreed with the reference.
    pub agreed: usize,
    /// What one of its answers costs, in any unit the situation shares.
    pub unit_cost: f64,
}

/// Where the profile stands at a look.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The open candidates, cheapest prompt first.
    pub contenders: &'a [Contender],
    /// What one of the reference's answers costs.
    pub reference_cost: f64,
    /// What one answer of the cheapest satisfied model costs (the reference's, if there is no other).
    pub satisfied_cost: f64,
    /// Items profiled so far.
    pub profiled: usize,
    /// Items altogether.
    pub items: usize,
}

impl Situation<'_> {
    /// What it costs to stop profiling and give the rest to the cheapest satisfied model.
    #[must_use]
    pub fn stopping_cost(&self) -> f64 {
        self.satisfied_cost * self.remaining() as f64
    }

    fn remaining(&self) -> usize {
        self.items - self.profiled.min(self.items)
    }

    /// The horizons the paper tries: the powers of two below the number of items left.
    fn horizons(&self) -> impl Iterator<Item = (u32, usize)> {
        let remaining = self.remaining();
        (0..usize::BITS - 1)
            .map(|power| (power, 1_usize << power))
            .take_while(move |&(_, k)| k < remaining)
    }
}

/// The expected cost of profiling some items more and then using the cheapest satisfied model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedCost {
    /// For the items profiled: the reference and every contender answer each.
    pub profiling: f64,
    /// For the items after them.
    pub applying: f64,
}

impl ExpectedCost {
    /// Both parts together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.profiling + self.applying
    }
}

/// The best horizon at a look, against stopping there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Items profiled at this look.
    pub profiled: usize,
    /// The best horizon and the expected cost of profiling to it; `None` where no expected cost is a
    /// number (a contender without a disagreement, unrepaired) or no horizon is left.
    pub best: Option<(usize, f64)>,
    /// What stopping here costs.
    pub stopping: f64,
}

impl Forecast {
    /// Whether the open candidates are dropped: nothing is expected to be cheaper than stopping.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        self.best.is_none_or(|(_, cost)| cost >= self.stopping)
    }
}

/// Computes expected costs; keeps the last threshold of each horizon, near which the next one lies.
#[derive(Debug, Clone)]
pub struct Forecaster {
    demand: Demand,
    repairs: Repairs,
    rule: [(f64, f64); NODES],
    /// For each power of two: the number of trials last asked for, and the agreements they need.
    needed: Vec<Option<(usize, usize)>>,
    /// The horizon that last spoke for going on; it usually does so again.
    hint: u32,
}

/// Nodes of the Gauss-Legendre rule on each panel of the predictive integral.
const NODES: usize = 16;

/// Panels whose share of the integral is below this are left out.
const NEGLIGIBLE: f64 = 1e-17;

impl Forecaster {
    /// A forecaster for one demand.
    #[must_use]
    pub fn new(demand: Demand, repairs: Repairs) -> Self {
        Self {
            demand,
            repairs,
            rule: gauss_legendre(),
            needed: vec![None; 64],
            hint: 0,
        }
    }

    /// The predicted probability that a candidate is satisfied after `2^power` further items:
    ///
    /// ```text
    /// integral over p in [0, 1] of  P(Bin(2^power, p) >= b)  dN(p; p_hat, p_hat (1 - p_hat) / n)
    /// ```
    ///
    /// with `b` from [`further_agreements`](interval::further_agreements). (Jo and Trummer 2024, the
    /// section on expected cost.) *Quirk:* the normal distribution is cut off at 1 without being
    /// renormalised; at `p_hat` = 0.99 after 100 items 16 % of it are lost.
    ///
    /// `None` where the released code gets "not a number": at `p_hat` = 1 (and 0) the normal distribution
    /// has no width. With [`Repairs::certain_candidate`] the candidate is taken to go on as it was.
    pub fn success_probability(
        &mut self,
        agreed: usize,
        profiled: usize,
        power: u32,
    ) -> Option<f64> {
        let further = 1_usize << power;
        let needed = self.further_agreements(agreed, profiled, power);
        let rate = agreed as f64 / profiled as f64;
        let deviation = (rate * (1.0 - rate) / profiled as f64).sqrt();
        if !(deviation > 0.0) {
            let goes_on = if agreed == 0 {
                needed == 0
            } else {
                needed <= further
            };
            return self
                .repairs
                .certain_candidate
                .then_some(if goes_on { 1.0 } else { 0.0 });
        }
        let normal = Normal {
            mean: rate,
            deviation,
        };
        Some(if needed > further {
            0.0
        } else if needed == 0 {
            normal.above(0.0) - normal.above(1.0)
        } else {
            self.predictive_tail(normal, needed, further)
        })
    }

    /// The expected cost of profiling `2^power` items more:
    ///
    /// ```text
    /// k (c_R + sum of c_m)  +  (N - n - k) (sum over m of c_m P_m prod over m' before m of (1 - P_m')
    ///                                       + c_satisfied prod over all m of (1 - P_m))
    /// ```
    ///
    /// with `m` over the contenders in price order. `None` if a probability is not a number.
    pub fn expected_cost(&mut self, situation: &Situation<'_>, power: u32) -> Option<ExpectedCost> {
        let further = 1_usize << power;
        let rest = situation.remaining() as f64 - further as f64;
        let (mut profiled_item, mut applying, mut none_so_far) = (0.0, 0.0, 1.0);
        for contender in situation.contenders {
            let probability =
                self.success_probability(contender.agreed, situation.profiled, power)?;
            profiled_item += contender.unit_cost;
            applying += none_so_far * probability * rest * contender.unit_cost;
            none_so_far *= 1.0 - probability;
        }
        applying += none_so_far * rest * situation.satisfied_cost;
        Some(ExpectedCost {
            profiling: further as f64 * (situation.reference_cost + profiled_item),
            applying,
        })
    }

    /// The least expected cost over all horizons, the shortest of equally good ones.
    pub fn forecast(&mut self, situation: &Situation<'_>) -> Forecast {
        let mut best: Option<(usize, f64)> = None;
        for (power, horizon) in situation.horizons() {
            if let Some(cost) = self
                .expected_cost(situation, power)
                .map(|cost| cost.total())
                && best.is_none_or(|(_, least)| cost < least)
            {
                best = Some((horizon, cost));
            }
        }
        Forecast {
            profiled: situation.profiled,
            best,
            stopping: situation.stopping_cost(),
        }
    }

    /// Whether [`forecast`](Self::forecast) would prune. It stops at the first horizon that is cheaper than
    /// stopping, so one horizon mostly does instead of all.
    pub(super) fn prunes(&mut self, situation: &Situation<'_>) -> bool {
        let stopping = situation.stopping_cost();
        let hint = self.hint;
        let hinted = situation.horizons().filter(|&(power, _)| power == hint);
        let others = situation.horizons().filter(|&(power, _)| power != hint);
        for (power, _) in hinted.chain(others) {
            if self
                .expected_cost(situation, power)
                .is_some_and(|cost| cost.total() < stopping)
            {
                self.hint = power;
                return false;
            }
        }
        true
    }

    /// [`further_agreements`](interval::further_agreements), searched from the last threshold of the same
    /// horizon.
    fn further_agreements(&mut self, agreed: usize, profiled: usize, power: u32) -> usize {
        let trials = profiled + (1_usize << power);
        let slot = self.needed.get_mut(power as usize);
        let needed = match slot.as_deref() {
            Some(&Some((known, needed))) if known == trials => needed,
            Some(&Some((known, needed))) => {
                let guess =
                    needed as f64 + (trials as f64 - known as f64) * self.demand.agreement();
                interval::least_satisfying_near(guess, trials, self.demand)
            }
            _ => interval::least_satisfying(trials, self.demand),
        };
        if let Some(slot) = slot {
            *slot = Some((trials, needed));
        }
        needed.min(trials).saturating_sub(agreed)
    }

    /// `integral of P(Bin(k, p) >= b) dN(p)` over `[0, 1]`, for `1 <= b <= k`. The tail is the distribution
    /// function of `Beta(b, k - b + 1)`, so by parts the integral is that of the Beta density times the
    /// normal probability of `[x, 1]`: an exponential and an `erfc` a node, no tail to be summed.
    fn predictive_tail(&self, normal: Normal, needed: usize, further: usize) -> f64 {
        let beta = Beta::new(needed, further);
        let beyond = normal.above(1.0);
        let integrand = |x: f64| beta.density(x) * (normal.above(x) - beyond);

        let mut cuts = vec![0.0, 1.0];
        for steps in [0.0, 1.5, 3.0, 5.0, 8.0, 13.0, 24.0, 40.0] {
            cuts.extend([
                beta.mean - steps * beta.deviation,
                beta.mean + steps * beta.deviation,
            ]);
        }
        for steps in [0.0, 1.5, 3.0, 5.0, 8.5] {
            cuts.extend([
                normal.mean - steps * normal.deviation,
                normal.mean + steps * normal.deviation,
            ]);
        }
        cuts.retain(|cut| (0.0..=1.0).contains(cut));
        cuts.sort_by(f64::total_cmp);

        let mut sum = 0.0;
        for pair in cuts.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            let half = 0.5 * (high - low);
            let peak = beta.density(beta.mode().clamp(low, high)) * (normal.above(low) - beyond);
            if half <= 0.0 || peak * half < NEGLIGIBLE {
                continue;
            }
            let middle = 0.5 * (high + low);
            sum += half
                * self
                    .rule
                    .iter()
                    .map(|&(x, weight)| weight * integrand(middle + half * x))
                    .sum::<f64>();
        }
        sum
    }
}

/// A normal distribution.
#[derive(Debug, Clone, Copy)]
struct Normal {
    mean: f64,
    deviation: f64,
}

impl Normal {
    /// The probability of a value above `x`.
    fn above(self, x: f64) -> f64 {
        0.5 * erfc((x - self.mean) / (self.deviation * SQRT_2))
    }
}

/// The Beta distribution of the `needed`-th smallest of `further` uniform variables.
#[derive(Debug, Clone, Copy)]
struct Beta {
    /// One less than the parameters.
    powers: (f64, f64),
    mean: f64,
    deviation: f64,
    at_mean: f64,
}

impl Beta {
    fn new(needed: usize, further: usize) -> Self {
        let (a, b) = (needed as f64, (further - needed) as f64 + 1.0);
        let mean = a / (a + b);
        let deviation = (mean * (1.0 - mean) / (a + b + 1.0)).sqrt();
        let at_mean = further as f64 * binomial::mass(needed - 1, further - 1, mean);
        Self {
            powers: (a - 1.0, b - 1.0),
            mean,
            deviation,
            at_mean,
        }
    }

    /// The density at `x`, from that at the mean: the two powers of ratios near 1 lose no digits.
    fn density(&self, x: f64) -> f64 {
        let off = x - self.mean;
        let mut exponent = 0.0;
        if self.powers.0 > 0.0 {
            exponent += self.powers.0 * (off / self.mean).ln_1p();
        }
        if self.powers.1 > 0.0 {
            exponent += self.powers.1 * (-off / (1.0 - self.mean)).ln_1p();
        }
        self.at_mean * exponent.exp()
    }

    fn mode(&self) -> f64 {
        let sum = self.powers.0 + self.powers.1;
        if sum > 0.0 {
            self.powers.0 / sum
        } else {
            self.mean
        }
    }
}

/// Nodes and weights of the Gauss-Legendre rule on `[-1, 1]`, by Newton's method on the polynomial.
fn gauss_legendre() -> [(f64, f64); NODES] {
    let mut rule = [(0.0, 0.0); NODES];
    let n = NODES as f64;
    for (i, slot) in rule.iter_mut().enumerate() {
        let mut x = (PI * (i as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut before, mut value) = (1.0, x);
            for degree in 2..=NODES {
                let d = degree as f64;
                (before, value) = (
                    value,
                    ((2.0 * d - 1.0) * x * value - (d - 1.0) * before) / d,
                );
            }
            slope = n * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        *slot = (x, 2.0 / ((1.0 - x * x) * slope * slope));
    }
    rule
}

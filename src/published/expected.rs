//! What profiling further would cost on average: the paper's stopping rule.

use super::demand::{Demand, Repairs};
use super::interval;
use super::predictive::Predictive;

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
    /// The cost of the items profiled: the reference and every contender answer each.
    pub profiling: f64,
    /// The cost of the items after them.
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
    /// The best horizon and the expected cost of profiling to it; `None` if no expected cost is a number
    /// (a contender that never disagreed, unrepaired) or no horizon is left.
    pub best: Option<(usize, f64)>,
    /// What stopping here costs.
    pub stopping: f64,
}

impl Forecast {
    /// Whether the open candidates are dropped, because no horizon is expected to be cheaper than stopping.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        self.best.is_none_or(|(_, cost)| cost >= self.stopping)
    }
}

/// Computes expected costs; remembers the last threshold of each horizon, because the next is near it.
#[derive(Debug, Clone)]
pub struct Forecaster {
    demand: Demand,
    repairs: Repairs,
    predictive: Predictive,
    /// For each power of two: the number of trials last asked for, and the agreements they needed.
    needed: Vec<Option<(usize, usize)>>,
    /// The horizon that last was cheaper than stopping; it usually is again.
    hint: u32,
}

impl Forecaster {
    /// A forecaster for one demand.
    #[must_use]
    pub fn new(demand: Demand, repairs: Repairs) -> Self {
        Self { demand, repairs, predictive: Predictive::new(), needed: vec![None; 64], hint: 0 }
    }

    /// The predicted probability that a candidate is satisfied after `2^power` further items:
    ///
    /// ```text
    /// integral over p in [0, 1] of  P(Bin(2^power, p) >= b)  dN(p; p_hat, p_hat (1 - p_hat) / n)
    /// ```
    ///
    /// with `b` from [`further_agreements`](interval::further_agreements). (Jo and Trummer 2024, the
    /// section on expected cost.) *Quirk:* the normal distribution is cut off at 1 without being
    /// renormalised; at `p_hat` = 0.99 after 100 items, 16 % of it is lost.
    ///
    /// `None` if the released code gets "not a number": at `p_hat` = 1 (and 0) the normal distribution
    /// has no width. With [`Repairs::certain_candidate`] the candidate is assumed to go on as before.
    pub fn success_probability(
        &mut self,
        agreed: usize,
        profiled: usize,
        power: u32,
    ) -> Option<f64> {
        let further = 1_usize << power;
        let needed = self.further_agreements(agreed, profiled, power);
        let certain = self.repairs.certain_candidate;
        self.predictive.probability(agreed, profiled, needed, further).or_else(|| {
            let goes_on = if agreed == 0 { needed == 0 } else { needed <= further };
            certain.then_some(if goes_on { 1.0 } else { 0.0 })
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

    /// The least expected cost over all horizons; among equals, that of the shortest.
    pub fn forecast(&mut self, situation: &Situation<'_>) -> Forecast {
        let mut best: Option<(usize, f64)> = None;
        for (power, horizon) in situation.horizons() {
            if let Some(cost) = self.expected_cost(situation, power).map(|cost| cost.total())
                && best.is_none_or(|(_, least)| cost < least)
            {
                best = Some((horizon, cost));
            }
        }
        Forecast { profiled: situation.profiled, best, stopping: situation.stopping_cost() }
    }

    /// Whether [`forecast`](Self::forecast) would prune. It stops at the first horizon that is cheaper
    /// than stopping, so that one horizon is mostly enough.
    pub(super) fn prunes(&mut self, situation: &Situation<'_>) -> bool {
        let stopping = situation.stopping_cost();
        let hint = self.hint;
        let hinted = situation.horizons().filter(|&(power, _)| power == hint);
        let others = situation.horizons().filter(|&(power, _)| power != hint);
        for (power, _) in hinted.chain(others) {
            if self.expected_cost(situation, power).is_some_and(|cost| cost.total() < stopping) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_without_a_disagreement() {
        let demand = Demand::new(0.02, 0.95).unwrap();
        let contenders = [Contender { agreed: 150, unit_cost: 1.0 }];
        let situation = Situation {
            contenders: &contenders,
            reference_cost: 30.0,
            satisfied_cost: 30.0,
            profiled: 150,
            items: 50_000,
        };
        let released = Forecaster::new(demand, Repairs::NONE).forecast(&situation);
        assert!(released.best.is_none() && released.is_pruned());
        let repairs = Repairs::NONE.with_certain_candidate(true);
        let repaired = Forecaster::new(demand, repairs).forecast(&situation);
        // 183 agreements in a row satisfy the demand, so 64 further items are enough; by the quirk, so
        // are 32.
        assert_eq!(repaired.best.map(|(horizon, _)| horizon), Some(1));
        assert!(!repaired.is_pruned());
    }

    #[test]
    fn pruning_needs_no_full_forecast() {
        for (agreed, delta) in [(120, 0.04), (180, 0.04), (190, 0.08), (199, 0.02), (200, 0.02)] {
            let demand = Demand::new(delta, 0.95).unwrap();
            let contenders =
                [Contender { agreed, unit_cost: 1.0 }, Contender { agreed: 170, unit_cost: 1.4 }];
            for items in [201, 220, 1000, 20_000] {
                let situation = Situation {
                    contenders: &contenders,
                    reference_cost: 30.0,
                    satisfied_cost: 30.0,
                    profiled: 200,
                    items,
                };
                let mut forecaster = Forecaster::new(demand, Repairs::NONE);
                assert_eq!(
                    forecaster.forecast(&situation).is_pruned(),
                    forecaster.prunes(&situation)
                );
            }
        }
    }
}

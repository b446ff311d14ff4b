//! What agreement a sum of money buys: a policy, and a test that shows how well it does.
//!
//! For a fixed agreement the bill is uncertain, because it depends on where the failures lie, and a test
//! sees few of them. Here it is the other way round. A policy's bill depends on the share of the items
//! it gives away, which some dozen items show. So the money determines the policy, and the test shows
//! how many of its answers fail. For a look at `k` of the `M` items after the pilot
//!
//! ```text
//! c      = (money - k profiling) / (M - k)         what an item may cost under the policy
//! m      = c - z sqrt((c - low) (high - c) / n) - (high - c) / (n + 1)
//! r      the failure rate of the chain's policy that costs `m`, under each possible truth
//! F      = (M - k) r + M (U(k r) - k r) / k sqrt(1 - k / M)
//! ```
//!
//! Here `m` is what a policy may seem to cost on the `n` items of the pilot, if it is to cost `c` with
//! probability 90 %: an answer kept costs `low`, an item sent on `high`, and the threshold stands at a known
//! item. (By coin `m` is `c`: the share given away is known.) If no such policy is left, it is the one that
//! keeps every answer. `U(f)` is the upper confidence bound of a Poisson mean after `f` failures (Garwood 1936, by
//! Wilson and Hilferty's quantiles). The chain and the look with the smallest mean `F` over the truths
//! are taken. A short test leaves more money for the policy; a long one proves more about it.

use super::belief::Beliefs;
use super::brain::LIKELY;
use super::curve::CostCurve;
use super::scheme::caution;
use super::search::Pilot;
use crate::plan::{Chain, Key};
use crate::roster::ModelId;
use crate::stats::{gamma_by_mean, normal_quantile};

/// A chain and a look, and what they are expected to buy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Purchase {
    pub(super) chain: Chain,
    /// Items under test.
    pub(super) look: u64,
    /// What an item may cost under the policy, in nano-units.
    pub(super) each: f64,
    /// The number of failing answers that the test is expected to allow for.
    pub(super) failing: f64,
}

impl Pilot<'_> {
    /// What each chain buys for `money` nano-units, the best first.
    pub(super) fn purchases(&self, money: f64, alpha: f64) -> Vec<Purchase> {
        let till = &self.till;
        let mut beliefs = Beliefs::new(till.roster, self.settings, till.means, self.items);
        let mut curve = CostCurve::default();
        let surely = normal_quantile(1.0 - alpha);
        let chains = self.chains(&beliefs.seen).into_iter();
        let mut found: Vec<Purchase> = chains
            .filter_map(|chain| {
                curve.draw(&chain, self.items, till, &mut beliefs);
                self.best_look(chain, &curve, money, surely)
            })
            .collect();
        found.sort_by(|a, b| a.failing.total_cmp(&b.failing));
        found
    }

    fn best_look(
        &self,
        chain: Chain,
        curve: &CostCurve,
        money: f64,
        surely: f64,
    ) -> Option<Purchase> {
        let all = self.remaining as f64;
        let caution = caution(&chain);
        let by_coin = matches!(chain.key, Key::Coin | Key::Split { .. });
        let kept = curve.wholes().map(|(_, cost)| cost).fold(f64::INFINITY, f64::min);
        let ends = (kept, kept + self.till.means.answer(ModelId::REFERENCE));
        let priced = self.schedule.sizes().filter_map(|look| {
            let tested = look as f64;
            let rest = all - tested;
            let each = (money - tested * curve.profiling) / rest;
            (rest >= 1.0 && each > 0.0).then_some(())?;
            let mean = if by_coin { each } else { seeming(each, ends, self.items.len() as f64) };
            let room = |rate: f64| {
                let seen = tested * rate;
                let unsure = (upper(seen, surely) - seen) / tested * all;
                rest * rate + unsure * (1.0 - tested / all).sqrt()
            };
            let failing = curve.rates_at(mean).map(room).sum::<f64>() / curve.count();
            Some((look, each, caution * failing))
        });
        let best = priced.min_by(|a, b| a.2.total_cmp(&b.2));
        let (look, each, failing) = best.filter(|(_, _, failing)| failing.is_finite())?;
        Some(Purchase { chain, look, each, failing })
    }
}

/// What a policy that likely costs at most `each` may seem to cost on `known` items, if answers kept and items
/// sent on cost these.
fn seeming(each: f64, (kept, sent): (f64, f64), known: f64) -> f64 {
    if each <= kept {
        return each;
    }
    let sent_on = (sent - each).max(0.0);
    let unsure = ((each - kept) * sent_on / known.max(1.0)).sqrt();
    (each - LIKELY * unsure - sent_on / (known + 1.0)).max(kept)
}

/// The upper confidence bound of a Poisson mean after `seen` failures.
fn upper(seen: f64, surely: f64) -> f64 {
    let shape = seen + 1.0;
    shape * gamma_by_mean(shape, surely)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_poisson_distribution() {
        // Halves of the 95 % quantiles of chi-squared with 2 f + 2 degrees of freedom, from tables.
        for (seen, bound) in [(0.0, 2.995_7), (1.0, 4.743_9), (5.0, 10.513), (20.0, 29.062)] {
            let found = upper(seen, normal_quantile(0.95));
            assert!((found / bound - 1.0).abs() < 0.01, "{seen}: {found}");
        }
    }
}

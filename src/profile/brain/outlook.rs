//! What the whole run will cost, forecast while it is profiling.
//!
//! While a chain is under test, the bill depends on where the last look will put the threshold. A look
//! at `K` tested items that tolerates `b` failures puts it just above the `(b + 1)`-st failing item in
//! the chain's order. Items come in random order, so the number of these `b + 1` failing items among the
//! first `k` is hypergeometric:
//!
//! ```text
//! J      mean (b + 0.6) k / K,   variance (b + 1) k / K (1 - k / K)
//! bill = spent + (K - k) profiling + (N - K) min(c(J), c_R)
//! ```
//!
//! Here `c(J)` is the cost of an item at a threshold above the `(J + 1)`-st failing item known, so
//! nothing need be assumed about the chain. While fewer items are tested than the pilot had, its `m`
//! items count as well (a negative binomial number of failing ones, mean `(b + 0.6) m / K`, variance
//! `(b + 1) m / K (1 + m / K)`). They chose the chain, and make it look a little better than it is. At
//! some thresholds the reference is cheaper: the test did not pay, and the range includes these too.
//! Mean costs themselves are known to about their spread over `sqrt(n)`.
//!
//! A single candidate that is profiled until it certifies whole is forecast at the nodes of its failure
//! rate: at each it certifies after some number of items, or never.

use super::super::before::{SPENT, Z_95};
use super::super::chain_test::ChainTest;
use super::super::worth::NODES;
use super::Brain;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Forecast, Mark, Policy, Reach, failing, stand_for};
use crate::pricing::Cost;
use crate::roster::ModelId;
use crate::stats::{BoundaryKind, RatePosterior, gamma_by_mean};

/// How much wider a forecast under test is than luck alone would make it, so that nine runs in ten end
/// within it.
///
/// A chain is tested because it looked good, and the test ends at the look at which luck came. The value
/// is measured.
const WIDER: f64 = 1.25;
/// How many items too rare to be seen count as going to the reference.
const UNSEEN: f64 = 0.5;
/// A new forecast is due when a third more items are known, and at least this many.
const NEWS: u64 = 10;
/// A look expected to cost at most this many times the best one may turn out to be the last.
const NEAR: f64 = 1.2;

/// What is still to be spent, in nano-units.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    low: f64,
    middle: f64,
    high: f64,
}

/// The reference's bills so far: their number, mean, and sum of squared deviations (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bills {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Bills {
    pub(super) fn add(&mut self, bill: f64) {
        self.count += 1.0;
        let off = bill - self.mean;
        self.mean += off / self.count;
        self.squares += off * (bill - self.mean);
    }

    /// The variance of a bill; for a single bill, whose spread is unknown, its square.
    fn variance(&self) -> f64 {
        if self.count < 2.0 { self.mean * self.mean } else { self.squares / (self.count - 1.0) }
    }

    /// The variance of the bills in units of their squared mean: how much items differ in size.
    pub(super) fn spread(&self) -> f64 {
        if self.mean > 0.0 { self.squares / self.count / (self.mean * self.mean) } else { 0.0 }
    }

    /// The mean, plus `errors` standard errors.
    pub(super) fn likely_mean(&self, errors: f64) -> f64 {
        self.mean * (1.0 + errors * (self.spread() / f64::max(self.count - 1.0, 1.0)).sqrt())
    }

    /// The standard error in predicting the mean of `ahead` bills to come.
    fn error_of(&self, ahead: f64) -> f64 {
        (self.variance() * (1.0 / self.count.max(1.0) + 1.0 / ahead.max(1.0))).sqrt()
    }
}

impl Brain {
    /// Tells the forecast if there is news: after a look, or a third more items.
    pub(super) fn tell_forecast(&mut self, looked: bool) {
        let profiled = self.profiled();
        // Where looks are dense, a single look is no news.
        let dense = |test: &&ChainTest| test.boundary.kind() == BoundaryKind::SinglePolicy;
        let mut live = self.tests.iter().filter(|test| test.live).peekable();
        let news = live.peek().is_none() || looked && !live.all(|test| dense(&test));
        if !news && profiled < self.next_forecast {
            return;
        }
        self.next_forecast = profiled + NEWS.max(profiled / 3);
        let forecast = self.outlook();
        if self.told.replace(forecast) != Some(forecast) {
            let told = super::Decision::Forecast { profiled, forecast };
            self.decisions.push_back(told);
        }
    }

    /// The expected cost of the whole run, by the best certified policy, the test in progress, or the
    /// reference.
    fn outlook(&self) -> Forecast {
        let (best, now) = self.best();
        let under_test = self.tests.iter().filter(|test| test.live);
        let ahead = under_test.filter_map(|test| self.ahead(test, now));
        let ahead = ahead.min_by(|a, b| a.middle.total_cmp(&b.middle));
        let known = self.forecast(self.profiled(), now, best);
        let Some(ahead) = ahead.filter(|_| known.is_known()) else { return known };
        let Ahead { low, middle, high } = self.within_money(ahead, now);
        let cap = self.budget.unwrap_or(Cost::MAX);
        let reach = self.reach(self.profiled(), self.spent, middle);
        let [low, middle, high] =
            [low, middle, high].map(|ahead| Cost::estimated(self.spent + ahead).min(cap));
        if best.is_none() {
            return Forecast { cost: middle, low, high, reach, ..known };
        }
        // The certified policy stands, and a later look may improve on it.
        let (low, high) = (low.min(known.low), high.max(known.high));
        let reach = reach.and(known.reach);
        Forecast { cost: middle.min(known.cost), low, high, reach, ..known }
    }

    /// If a sum of money is to be spent, what a test leaves of it buys answers of the reference.
    fn within_money(&self, ahead: Ahead, now: f64) -> Ahead {
        let Some(money) = self.money() else { return ahead };
        let most = (self.order.population() - self.profiled()) as f64 * now;
        let [low, middle, high] = SPENT.map(|share| (share * money).clamp(0.0, most));
        Ahead {
            low: low.min(ahead.middle),
            middle: middle.max(ahead.middle),
            high: high.max(ahead.high),
        }
    }

    fn reference_alone(&self) -> Cost {
        Cost::estimated(self.means.answer(ModelId::REFERENCE) * self.order.population() as f64)
    }

    /// What is still to be spent under a test, if an item costs `now` should the test fail.
    fn ahead(&self, test: &ChainTest, now: f64) -> Option<Ahead> {
        match test.boundary.kind() {
            BoundaryKind::SinglePolicy => self.until_it_certifies(test, now),
            _ => self.at_a_look(test, now),
        }
    }

    fn at_a_look(&self, test: &ChainTest, now: f64) -> Option<Ahead> {
        let (chain, till) = (&test.chain, self.till());
        let known = self.sample(chain);
        let all = stand_for(&known).max(1.0);
        let (tested, pilot) = (test.tested as f64, test.start as f64);
        // The failing items that determine the threshold, and the number of items they come from.
        let both = tested < pilot;
        let marks = if both { failing(chain, &known) } else { test.failing().to_vec() };
        let before = if both { pilot } else { 0.0 };
        let remaining = (self.order.population() - self.profiled()) as f64;
        let profiling = self.profiling(test, marks.len() as f64 / (tested + before).max(1.0));
        // The cost per item with the threshold just above each failing item, and with none to limit it.
        let liberal = |mark: Option<&Mark>| {
            let threshold = mark.map_or(Mark::LOWEST, Mark::just_above);
            test.chosen().map_or(threshold, |chosen| threshold.max(chosen))
        };
        let mut thresholds: Vec<Mark> = marks.iter().map(|mark| liberal(Some(mark))).collect();
        thresholds.push(liberal(None));
        let mut means = till.means(chain, &thresholds, &known);
        for mean in &mut means {
            *mean = mean.min(now);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        let of = |place: f64| (place.max(0.0) as usize).min(means.len() - 1);
        let at = |place: f64| means.get(of(place)).copied().filter(|_| place >= 0.0);
        let at = |place: f64| at(place).unwrap_or(now);
        // The standard error of what the other items will cost under a policy.
        let error = |place: f64, rest: f64| {
            let threshold = thresholds.get(of(place)).copied().unwrap_or(Mark::LOWEST);
            let squares = known.iter().map(|one| {
                let each = till.walk(chain, &threshold, one.item, one.coin);
                one.weight * (each - at(place.max(0.0))).powi(2)
            });
            (squares.sum::<f64>() / all * (1.0 / all + 1.0 / rest.max(1.0))).sqrt()
        };
        let bills: Vec<Ahead> = test
            .later_looks()
            .map(|(look, limit)| {
                let (look, limit) = (look as f64, limit as f64);
                let (seen, more) = (tested / look, before / look);
                let mean = (limit + 0.6) * (seen + more);
                let variance = (limit + 1.0) * (seen * (1.0 - seen) + more * (1.0 + more));
                let few = at((gamma(mean, variance, -WIDER * Z_95) - 1.0).floor());
                let many = at(gamma(mean, variance, WIDER * Z_95).ceil());
                let (strict, loose) = ((mean - 0.5).floor(), (mean - 0.5).floor() + 1.0);
                let middle = at(strict) + (mean - 0.5 - strict) * (at(loose) - at(strict));
                let more = look - tested;
                let rest = (remaining - more).max(0.0);
                let unsure = WIDER * Z_95 * error(loose, rest);
                let high = (middle + (few - middle).hypot(unsure)).min(now.max(middle));
                let low = (middle - (middle - many).hypot(unsure)).max(0.0);
                let spent = more * profiling;
                let [low, middle, high] = [low, middle, high].map(|each| spent + rest * each);
                Ahead { low, middle, high }
            })
            .collect();
        let best = bills.iter().copied().min_by(|a, b| a.middle.total_cmp(&b.middle))?;
        // Luck may come at any look; without it, the last look is one of those expected to be about the best.
        let near = bills.iter().filter(|bill| bill.middle <= NEAR * best.middle);
        let high = near.fold(best.high, |high, bill| high.max(bill.high));
        let low = bills.iter().fold(best.low, |low, bill| low.min(bill.low));
        Some(Ahead { low, high, ..best })
    }

    fn until_it_certifies(&self, test: &ChainTest, now: f64) -> Option<Ahead> {
        let before = self.before(test);
        let (items, failures) = (test.tested + before.0, test.failures() + before.1);
        let mut rates = RatePosterior::new(items, failures).ok()?.nodes(NODES);
        // What is still to be seen has its own luck: over `t` items it has `n / t` times the variance of
        // the belief after `n` items.
        let middle = rates.get(rates.len() / 2).copied()?;
        let soon = test
            .times_to_certify(&[middle], self.settings.floor)
            .first()
            .copied()
            .flatten()
            .unwrap_or(items);
        let wider = WIDER * (1.0 + items as f64 / soon.max(1) as f64).sqrt();
        let believed = rates.clone();
        for rate in &mut rates {
            *rate = (middle + (*rate - middle) * wider).clamp(0.0, 1.0);
        }
        let reference = self.means.answer(ModelId::REFERENCE);
        let live = self.tests.iter().filter(|test| test.live);
        let till = self.till();
        let calls: f64 = live.map(|test| till.trial(test.chain.first)).sum();
        let remaining = (self.order.population() - self.profiled()) as f64;
        let then = self.mean(test, &Mark::LOWEST);
        let bill = |time: Option<u64>| match time {
            Some(time) => {
                let time = time as f64;
                time * (reference + calls) + (remaining - time).max(0.0) * then
            }
            None => remaining * now,
        };
        let bills: Vec<f64> =
            test.times_to_certify(&rates, self.settings.floor).into_iter().map(bill).collect();
        let ends = bills
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), bill| (low.min(*bill), high.max(*bill)));
        let middle = bills.iter().sum::<f64>() / f64::from(NODES);
        let lucky = bill(believed.get(1).and_then(|rate| Self::earliest(test, *rate)));
        Some(Ahead { low: ends.0.min(lucky), middle, high: ends.1 })
    }

    /// After how many more items luck may certify the whole chain.
    ///
    /// Luck means a failure rate of `rate` with as few failures as one time in twenty.
    fn earliest(test: &ChainTest, rate: f64) -> Option<u64> {
        test.later_looks().find_map(|(look, limit)| {
            let time = look - test.tested;
            let room = limit.checked_sub(test.failures())? as f64;
            let mean = rate * time as f64;
            let few = mean - Z_95 * (mean * (1.0 - rate)).sqrt();
            (room + 0.5 >= few).then_some(time)
        })
    }

    /// The standard error of what the other `left` items will cost each under a policy.
    ///
    /// It is the spread of what the policy costs on the items known. Half an item that goes to the reference is
    /// added to these, for what was too rare to be seen.
    fn error_of_policy(&self, chain: &Chain, threshold: &Mark, left: f64) -> f64 {
        let (till, known) = (self.till(), self.sample(chain));
        let mean = till.mean(chain, threshold, &known);
        let each = known.iter().map(|one| {
            let cost = till.walk(chain, threshold, one.item, one.coin);
            (one.weight * (cost - mean).powi(2), one.weight * one.weight)
        });
        let (spread, weights) = each.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        let unseen = UNSEEN * (self.means.answer(ModelId::REFERENCE) - mean).powi(2);
        let all = stand_for(&known).max(1.0);
        ((spread + unseen) / all * (weights / (all * all) + 1.0 / left.max(1.0))).sqrt()
    }

    /// Whether the reference has answered an item with known usage; without that there is no forecast.
    pub(super) fn knows_bills(&self) -> bool {
        let pricing = self.roster.models().first().map(|model| model.pricing).unwrap_or_default();
        let told = |item: &ItemEvidence| item.answered && pricing.is_metered(item.usage.as_ref());
        self.evidence.iter().any(told)
    }

    /// What the whole run will cost if the remaining items cost `per_item` nano-units each, under the policy
    /// that this test certified or, without one, mostly by the reference.
    pub(super) fn forecast(&self, asked: u64, per_item: f64, best: Option<&ChainTest>) -> Forecast {
        if !self.knows_bills() {
            return Forecast::UNKNOWN;
        }
        let certified = best.and_then(|test| Some((&test.chain, test.certified_threshold()?)));
        let policy = certified.as_ref().map(|(chain, threshold)| (*chain, threshold));
        self.total(asked, (per_item, self.spread(asked, policy)), best.is_none())
    }

    /// What the whole run will cost under a policy for which no test is recorded here.
    pub(in super::super) fn forecast_of(&self, asked: u64, policy: &Policy) -> Forecast {
        if !self.knows_bills() {
            return Forecast::UNKNOWN;
        }
        let (per_item, chain) = match policy {
            Policy::Reference => (self.means.answer(ModelId::REFERENCE), None),
            Policy::Last { model, items } => (self.mean_of_last(*model, *items, asked), None),
            Policy::Chain { chain, threshold } => {
                let per_item = self.till().mean(chain, threshold, &self.sample(chain));
                (per_item, Some((chain, threshold)))
            }
        };
        self.total(asked, (per_item, self.spread(asked, chain)), chain.is_none())
    }

    /// How far off the mean cost of an item may be, either side, under a chain's policy or, without one, mostly
    /// by the reference.
    fn spread(&self, asked: u64, policy: Option<(&Chain, &Mark)>) -> f64 {
        let left = |known: u64| self.order.population().saturating_sub(known) as f64;
        Z_95 * match policy {
            Some((chain, threshold)) => self.error_of_policy(chain, threshold, left(asked)),
            None => self.bills.error_of(left(self.profiled())),
        }
    }

    fn total(&self, asked: u64, (per_item, spread): (f64, f64), alone: bool) -> Forecast {
        let reference = self.means.answer(ModelId::REFERENCE);
        let late = asked.saturating_sub(self.profiled()) as f64;
        let left = self.order.population().saturating_sub(asked) as f64;
        let cap = self.budget.unwrap_or(Cost::MAX);
        let total = |spread: f64| {
            let late = late * (reference + if alone { spread } else { 0.0 }).max(0.0);
            Cost::estimated(self.spent + late + left * (per_item + spread).max(0.0)).min(cap)
        };
        Forecast {
            cost: total(0.0),
            low: total(-spread),
            high: total(spread),
            reference_cost: self.reference_alone(),
            reach: self.reach(asked, self.spent + late * reference, left * per_item),
        }
    }

    /// How far the budget reaches if `answered` items come to `spent`, and all others to `ahead`, in
    /// nano-units; `None` if it is enough for all.
    fn reach(&self, answered: u64, spent: f64, ahead: f64) -> Option<Reach> {
        let cap = self.budget?.as_nanos() as f64;
        let items = self.order.population();
        let left = items.saturating_sub(answered) as f64;
        let share = (cap - spent).max(0.0) / ahead;
        (spent + ahead > cap && share < 1.0)
            .then(|| Reach::new(answered as f64 + left * share, items))
    }
}

/// A quantile of the gamma distribution with this mean and variance.
fn gamma(mean: f64, variance: f64, z: f64) -> f64 {
    if variance <= 0.0 || mean <= 0.0 {
        return mean;
    }
    mean * gamma_by_mean(mean * mean / variance, z)
}

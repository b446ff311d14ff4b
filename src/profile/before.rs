//! A forecast before the first call, from the caller's guesses: [`ProfileSettings::forecast`].

use super::expected::ExpectedUsage;
use super::settings::{Families, Objective, ProfileSettings};
use super::{belief, search};
use crate::error::SettingsError;
use crate::plan::{Forecast, Reach};
use crate::pricing::Cost;
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{Design, Probability, StatsError, single_look_limit};
use crate::target::Target;

/// What a caller believes about one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Guess {
    /// Its agreement with the reference, in `[0, 1]`.
    pub(super) agreement: f64,
    /// Its mean cost per item.
    pub(super) cost: Cost,
}

/// What calls are expected to cost that are the same for every candidate, per item.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Costs {
    /// The reference's answer.
    pub(super) reference: Cost,
    /// One comparison with it.
    pub(super) comparison: Cost,
}

/// What a run is expected to cost, from guesses alone, as [`ProfileSettings::forecast`] describes it.
///
/// With a judge, each of the `k` items of the look costs one comparison more.
///
/// # Errors
/// [`StatsError`] for a population of none or too many items, or a guess that is not a probability.
pub(super) fn forecast_before(
    population: u64,
    target: Target,
    costs: Costs,
    guesses: &[Guess],
) -> Result<Forecast, StatsError> {
    let before = Before::new(population, target, costs)?;
    let alone = population as f64 * before.reference;
    // Where no answer may fail, no candidate is asked.
    let asks = target.allowance(population) > 0;
    let pilot = if asks { before.pilot(guesses) } else { 0.0 };
    let mut best: Option<(Guess, Look)> = None;
    let (mut cost, mut low) = (alone, alone);
    for guess in guesses {
        if !(0.0..=1.0).contains(&guess.agreement) {
            return Err(StatsError::Probability(guess.agreement));
        }
        let least = before.best(guess, 0.5);
        low = least.map_or(low, |(bill, _)| bill.min(low));
        if let Some((bill, look)) = before.best(guess, 1.0).filter(|(bill, _)| *bill < cost) {
            (cost, best) = (bill, Some((*guess, look)));
        }
    }
    let mut high = alone + pilot;
    if let Some((guess, look)) = best {
        let [few, many] = [(0.5, -Z_95), (1.5, Z_95)].map(|(factor, luck)| {
            let failures = factor * look.failures(&guess);
            let lucky = (failures + luck * failures.sqrt()).max(0.0);
            before.bill(look, guess.cost, if luck > 0.0 { lucky.ceil() } else { lucky })
        });
        (low, high) = (
            low.min(few),
            (many + pilot).min(alone + pilot + look.items * before.trial(guess.cost)),
        );
    }
    Ok(Forecast {
        cost: Cost::estimated(cost),
        low: Cost::estimated(low.min(cost)),
        high: Cost::estimated(high.max(cost)),
        reference_cost: Cost::estimated(alone),
        reach: None,
    })
}

/// The 95 % quantile of the standard normal distribution.
pub(super) const Z_95: f64 = 1.645;
/// Shares of the money that runs for the best agreement spend: one that 19 of 20 runs exceed, the mean,
/// and one that 19 of 20 stay below.
pub(super) const SPENT: [f64; 3] = [0.8, 0.96, 1.1];

fn nanos(cost: Cost) -> f64 {
    cost.as_nanos() as f64
}

/// A look, and the failures it tolerates.
#[derive(Debug, Clone, Copy)]
struct Look {
    items: f64,
    limit: f64,
}

impl Look {
    /// The failures that a candidate is guessed to show at this look.
    fn failures(&self, guess: &Guess) -> f64 {
        self.items * (1.0 - guess.agreement).clamp(1e-6, 1.0)
    }
}

/// What is known before the first call.
#[derive(Debug, Clone)]
struct Before {
    items: u64,
    population: f64,
    /// The reference's cost per item, in nano-units.
    reference: f64,
    /// What one comparison costs, in nano-units.
    comparison: f64,
    looks: Vec<Look>,
}

impl Before {
    fn new(population: u64, target: Target, costs: Costs) -> Result<Self, StatsError> {
        let allowance = target.allowance(population).min(population.saturating_sub(1));
        let design = Design::finite(population, allowance)?;
        let level = Probability::new(target.alpha())?;
        let (mut looks, mut look) = (Vec::new(), 12_u64);
        while look < population / 2 {
            if let Some(limit) = single_look_limit(design, look, level) {
                looks.push(Look { items: look as f64, limit: limit as f64 });
            }
            look += (look / 8).max(1);
        }
        let (reference, comparison) = (nanos(costs.reference), nanos(costs.comparison));
        let items = population;
        Ok(Self { items, population: population as f64, reference, comparison, looks })
    }

    /// What trying a candidate on a profiled item costs: its answer, and the comparison.
    fn trial(&self, candidate: Cost) -> f64 {
        nanos(candidate) + self.comparison
    }

    /// What a run comes to if the candidate shows this many failures at the look.
    fn bill(&self, look: Look, candidate: Cost, failures: f64) -> f64 {
        let (dear, cheap) = (self.reference, nanos(candidate));
        look.items * (dear + self.trial(candidate))
            + (self.population - look.items) * Self::then(look, (dear, cheap), failures)
    }

    /// What an item costs after the look if the candidate shows this many failures there.
    fn then(look: Look, (dear, cheap): (f64, f64), failures: f64) -> f64 {
        let share = if failures > 0.0 { ((look.limit + 0.7) / failures).min(1.0) } else { 1.0 };
        share * cheap + (1.0 - share) * dear
    }

    /// What the pilot's calls of all candidates cost.
    fn pilot(&self, guesses: &[Guess]) -> f64 {
        let calls = guesses.iter().map(|guess| self.trial(guess.cost)).sum::<f64>();
        search::pilot_size(self.items) as f64 * calls
    }

    /// How many items this sum answers: the reference's answers alone, or a test that takes at most half of
    /// the sum, and what it is expected to certify.
    fn reach(&self, cap: Cost, guesses: &[Guess]) -> Reach {
        let (cap, pilot) = (nanos(cap), self.pilot(guesses));
        let tested = guesses.iter().flat_map(|guess| {
            self.looks.iter().filter_map(move |look| {
                let left = cap - pilot - look.items * (self.reference + self.trial(guess.cost));
                let prices = (self.reference, nanos(guess.cost));
                let then = Self::then(*look, prices, look.failures(guess));
                (left >= cap / 2.0).then(|| look.items + left / then)
            })
        });
        let most = tested.fold(cap / self.reference, f64::max);
        Reach::new(most, self.items)
    }

    /// The best look for a candidate that fails `factor` times as often as guessed, and what it comes to.
    fn best(&self, guess: &Guess, factor: f64) -> Option<(f64, Look)> {
        let bill = |look: &Look| self.bill(*look, guess.cost, factor * look.failures(guess));
        let bills = self.looks.iter().map(|look| (bill(look), *look));
        bills.min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

impl ProfileSettings {
    /// What a run is expected to cost before any call.
    ///
    /// The candidates' agreement is as guessed in these settings ([`with_prior`](Self::with_prior)), or,
    /// without a guess, what their price suggests, as in a run (but one that is free is taken to be poor). Costs
    /// are the roster's prices for the `usage` expected of every model on an item, or of each
    /// ([`ExpectedUsage`]). Comparing answers is taken to cost nothing;
    /// [`Smart::forecast`](crate::Smart::forecast) knows the price of a judge.
    ///
    /// It prices the best single candidate, for all items or for a share of them, certified at one look:
    ///
    /// ```text
    /// cost = min over k of  k (c_R + c) + (N - k) (s c + (1 - s) c_R),   s = min(1, (b(k) + 0.7) / (k p))
    /// ```
    ///
    /// Here `p` is the guessed failure rate, and `b(k)` the failures that a look at `k` items tolerates.
    /// Cascades and consensus can only make the run cheaper; guesses say nothing about them.
    ///
    /// `low` and `high` are what that look comes to with half and with one and a half times the guessed
    /// failures, and with the luck of one run in twenty besides, since a look sees few failures. `high`
    /// also includes the pilot's calls of all candidates. If no candidate is expected to pay, `low` is what
    /// the best one would come to with half its failures, and `high` is the reference for every item plus
    /// the pilot. The range reflects your guesses; it does not say whether they, or the usage behind the
    /// costs, are any good.
    ///
    /// ```
    /// use smart_core::{ModelSpec, Pricing, ProfileSettings, RosterSpec, Target, Usage};
    ///
    /// let model = |name: &str, price: f64| {
    ///     Ok::<_, smart_core::PriceError>(
    ///         ModelSpec::new(name).with_pricing(Pricing::per_million(price, 3.0 * price)?),
    ///     )
    /// };
    /// let roster = RosterSpec::new(vec![model("large", 10.0)?, model("small", 0.3)?])?;
    /// let settings = ProfileSettings::default().with_prior("small", 0.98);
    /// let item = Usage::tokens(400, 20); // tokens read, tokens written
    /// let forecast = settings.forecast(&roster, Target::new(0.95, 0.95)?, 20_000, item)?;
    /// assert!(forecast.saving() > 5.0);
    /// println!("{forecast}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// If the objective is the best agreement within a sum of money, nearly all of the sum is expected
    /// to be spent (`tests/promise/forecasts.rs` tests how nearly), unless the target asked for takes more or
    /// the reference alone less. A cap on the money is not a setting of the profiler;
    /// [`Smart::forecast`](crate::Smart::forecast) takes it into account.
    ///
    /// # Errors
    /// [`SettingsError::UnknownUsage`] if the usage lacks what a model's prices need,
    /// [`SettingsError::UsageModel`] if it names a model that is not there, and otherwise as a run: for no items
    /// or too many, for a guess that is not a probability or names no candidate.
    pub fn forecast(
        &self,
        roster: &RosterSpec,
        target: Target,
        items: u64,
        usage: impl Into<ExpectedUsage>,
    ) -> Result<Forecast, SettingsError> {
        self.forecast_judged(roster, target, items, (&usage.into(), Cost::ZERO, None))
    }

    /// The same forecast for a judge whose comparisons cost `comparison` each, within a cap.
    pub(crate) fn forecast_judged(
        &self,
        roster: &RosterSpec,
        target: Target,
        items: u64,
        (usage, comparison, cap): (&ExpectedUsage, Cost, Option<Cost>),
    ) -> Result<Forecast, SettingsError> {
        usage.check(roster)?;
        self.check(roster, items)?;
        let cost = |id| {
            let model = roster.model(id);
            model.map_or(Cost::ZERO, |model| model.pricing.cost(Some(usage.of(&model.name))))
        };
        let reference = cost(ModelId::REFERENCE);
        let guess = |id| {
            let share = cost(id).as_nanos() as f64 / reference.as_nanos().max(1) as f64;
            let guessed = self.priors.get(roster.name(id)).copied();
            let agreement = guessed.unwrap_or_else(|| 1.0 - belief::expected(share));
            Guess { agreement, cost: cost(id) }
        };
        let asked = roster.candidates().filter(|_| self.families != Families::Reference);
        let guesses: Vec<Guess> = asked.map(guess).collect();
        let costs = Costs { reference, comparison };
        let least = forecast_before(items, target, costs, &guesses)?;
        let forecast = self.spending(least);
        let Some(cap) = cap.filter(|cap| *cap < forecast.high) else { return Ok(forecast) };
        let short = cap < forecast.cost;
        let before = short.then(|| Before::new(items, target, costs)).transpose()?;
        let reach = before.map(|before| before.reach(cap, &guesses));
        let [cost, low, high] =
            [forecast.cost, forecast.low, forecast.high].map(|cost| cost.min(cap));
        Ok(Forecast { cost, low, high, reach, ..forecast })
    }

    /// The forecast for the objective, if the least cost at the target is forecast like this.
    fn spending(&self, least: Forecast) -> Forecast {
        let Objective::BestAgreement { within } = self.objective else { return least };
        let alone = least.reference_cost;
        if within >= alone {
            let pilot = least.high.max(alone);
            return Forecast { cost: alone, low: alone, high: pilot, ..least };
        }
        let [low, middle, high] = SPENT.map(|share| Cost::estimated(share * nanos(within)));
        let cost = middle.max(least.cost).min(alone);
        Forecast {
            cost,
            low: low.max(least.low).min(cost),
            high: high.max(least.high.min(alone)).max(cost),
            ..least
        }
    }
}

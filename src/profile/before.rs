//! A forecast before the first call, from the caller's guesses.

use super::belief;
use super::settings::{Families, ProfileSettings};
use crate::plan::Forecast;
use crate::pricing::{Cost, Usage};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{Design, Probability, StatsError, single_look_limit};
use crate::target::Target;

/// What a caller believes of one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Its agreement with the reference, in `[0, 1]`.
    pub agreement: f64,
    /// Its mean cost per item.
    pub cost: Cost,
}

/// What a run is expected to cost, from guesses alone: the best single candidate, for all items or
/// for a share of them, certified at one look.
///
/// ```text
/// cost = min over k of  k (c_R + c) + (N - k) (s c + (1 - s) c_R),   s = min(1, (b(k) + 0.7) / (k p))
/// ```
/// with `p` the guessed failure rate and `b(k)` the failures a look at `k` items tolerates. Low and
/// high are the same with half and one and a half times the guessed failures. Cascades and
/// consensus, which guesses say nothing about, can only make it cheaper.
///
/// # Errors
/// [`StatsError`] for a population of none or too many items, or a guess that is no probability.
pub fn forecast_before(
    population: u64,
    target: Target,
    reference: Cost,
    guesses: &[Guess],
) -> Result<Forecast, StatsError> {
    let alone = population as f64 * reference.as_nanos() as f64;
    let bills = |factor: f64| -> Result<f64, StatsError> {
        let mut best = alone;
        for guess in guesses {
            if !(0.0..=1.0).contains(&guess.agreement) {
                return Err(StatsError::Probability(guess.agreement));
            }
            let rate = ((1.0 - guess.agreement) * factor).clamp(1e-6, 1.0);
            best = best.min(bill(population, target, reference, guess.cost, rate)?);
        }
        Ok(best)
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a forecast")]
    let cost = |nanos: f64| Cost::from_nanos(nanos as u64);
    Ok(Forecast {
        cost: cost(bills(1.0)?),
        low: cost(bills(0.5)?),
        high: cost(bills(1.5)?),
        reference_cost: cost(alone),
    })
}

impl ProfileSettings {
    /// What a run is expected to cost before any call, as [`forecast_before`] works it out: with the guesses of
    /// the candidates' agreement made here ([`with_prior`](Self::with_prior)), and the roster's prices for what
    /// every model is expected to use on an item. Of a candidate without a guess what its price says is
    /// believed, as in a run.
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
    /// let forecast = settings.forecast(&roster, Target::new(0.95, 0.95)?, 20_000, &item)?;
    /// assert!(forecast.saving() > 5.0);
    /// println!("{forecast}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError`] for a population of none or too many items, or a guess that is no probability.
    pub fn forecast(
        &self,
        roster: &RosterSpec,
        target: Target,
        items: u64,
        usage: &Usage,
    ) -> Result<Forecast, StatsError> {
        let cost =
            |id| roster.model(id).map_or(Cost::ZERO, |model| model.pricing.cost(Some(usage)));
        let reference = cost(ModelId::REFERENCE);
        let guess = |id| {
            let share = cost(id).as_nanos() as f64 / reference.as_nanos().max(1) as f64;
            let guessed = self.priors.get(roster.name(id)).copied();
            let agreement = guessed.unwrap_or_else(|| 1.0 - belief::expected(share));
            Guess { agreement, cost: cost(id) }
        };
        let asked = roster.candidates().filter(|_| self.families != Families::Reference);
        let guesses: Vec<Guess> = asked.map(guess).collect();
        forecast_before(items, target, reference, &guesses)
    }
}

fn bill(
    population: u64,
    target: Target,
    reference: Cost,
    candidate: Cost,
    rate: f64,
) -> Result<f64, StatsError> {
    let (dear, cheap) = (reference.as_nanos() as f64, candidate.as_nanos() as f64);
    let allowance = target.allowance(population).min(population.saturating_sub(1));
    let design = Design::finite(population, allowance)?;
    let level = Probability::new(target.alpha())?;
    let mut best = f64::INFINITY;
    let mut look = 12_u64;
    while look < population / 2 {
        if let Some(limit) = single_look_limit(design, look, level) {
            let share = ((limit as f64 + 0.7) / (look as f64 * rate)).min(1.0);
            let rest = (population - look) as f64;
            let then = share * cheap + (1.0 - share) * dear;
            best = best.min(look as f64 * (dear + cheap) + rest * then);
        }
        look += (look / 8).max(1);
    }
    Ok(best)
}

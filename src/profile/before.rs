//! A forecast before the first call, from the caller's guesses.

use crate::plan::Forecast;
use crate::pricing::Cost;
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

//! Lower bounds for any method: the least that a mix of one candidate and the reference costs.
//!
//! If the candidates' errors are nested and equal, a second candidate tells nothing about the first.
//! Without scores, all that is left is to give a share of the items to a candidate by coin, as large as
//! the agreement allows. Two figures, as shares of the total reference cost:
//!
//! * `clairvoyant`: the share is known, `min(1, delta / (1 - agreement))`, and nothing is profiled;
//! * `known`: the best candidate, its agreement and the best number of items to profile are known
//!   beforehand, and only the certificate is missing. It is obtained at one look, by the exact tests of
//!   `smart_core::stats`; the cost is the expectation over the failures that the look may find.

use std::error::Error;

use smart_core::published::Setting;
use smart_core::stats::{Design, Probability, max_share, single_look_limit};
use statrs::distribution::{Binomial, Discrete};

use super::grid::DELTAS;

/// The error that a confidence of 95 % allows.
const ALPHA: f64 = 0.05;
/// The ratio between one look size that is tried and the next.
const RATIO: f64 = 1.35;

/// Both figures of a setting, as means over the deltas.
pub(crate) fn of(setting: &Setting) -> Result<(f64, f64), Box<dyn Error>> {
    let reference = setting.models.iter().find(|m| m.name == setting.reference);
    let price = reference.ok_or("a setting without its reference")?.cost as f64;
    let candidates: Vec<_> = setting
        .models
        .iter()
        .filter(|model| model.name != setting.reference && model.agreement > 0.5)
        .collect();
    let (mut clairvoyant, mut known) = (0.0, 0.0);
    for delta in DELTAS.map(|percent| f64::from(percent) / 100.0) {
        let (mut least, mut certified) = (1.0_f64, 1.0_f64);
        for model in &candidates {
            let cost = model.cost as f64 / price;
            let share = (delta / (1.0 - model.agreement)).min(1.0);
            least = least.min(1.0 - share * (1.0 - cost));
            let mut draws = 20.0;
            while draws < setting.items as f64 / 3.0 {
                certified =
                    certified.min(one_look(setting.items, model.agreement, cost, delta, draws)?);
                draws *= RATIO;
            }
        }
        clairvoyant += least / DELTAS.len() as f64;
        known += certified / DELTAS.len() as f64;
    }
    Ok((clairvoyant, known))
}

/// The expected cost with a single look, after `draws` items.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of items")]
fn one_look(
    items: usize,
    agreement: f64,
    cost: f64,
    delta: f64,
    draws: f64,
) -> Result<f64, Box<dyn Error>> {
    let (items, draws) = (items as u64, draws as u64);
    let alpha = Probability::new(ALPHA)?;
    let design = Design::finite(items, (delta * items as f64 + 1e-9) as u64)?;
    let limit = single_look_limit(design, draws, alpha);
    let rest = items - draws;
    let found = Binomial::new(1.0 - agreement, draws)?;
    let mut total = draws as f64 * (1.0 + cost);
    for failures in 0..=draws {
        let chance = found.pmf(failures);
        if chance < 1e-5 {
            continue;
        }
        let whole = limit.is_some_and(|limit| failures <= limit);
        let part = || max_share(design, draws, failures, alpha).unwrap_or(0).min(rest);
        let given = if whole { rest } else { part() } as f64;
        total += chance * (given * cost + rest as f64 - given);
    }
    Ok(total / items as f64)
}

//! The shares of the mix: a confidence level for each model, and a linear programme.

#![allow(clippy::indexing_slicing, reason = "indices come from loops over the slices they index")]

use super::PublishedError;
use super::demand::Demand;
use super::interval::clopper_pearson;

/// How many levels are tried from the demanded confidence towards 1; one more stands for "no claim at all".
const LEVELS: usize = 5;

/// A demand out of reach by no more than this is taken as met: it is the rounding of its own formula.
const TOLERANCE: f64 = 1e-12;

/// What the mix knows about one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ingredient {
    /// How many items it answered in the profile.
    pub answered: usize,
    /// On how many of them it agreed with the reference.
    pub agreed: usize,
    /// What giving it all remaining items would cost, in any unit the ingredients share; `None` if that is
    /// unknown and it must not be used.
    pub cost: Option<f64>,
}

/// A confidence level and the lower limit for the agreement that it gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The level; 1 if nothing is claimed of a candidate, and for the reference.
    pub confidence: f64,
    /// The lower limit at that level; 0 if nothing is claimed, 1 for the reference.
    pub agreement: f64,
}

/// The best mix found.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Each model's share of the remaining items, in price order; they add up to 1.
    pub shares: Vec<f64>,
    /// What the remaining items cost at these shares.
    pub cost: f64,
    /// The levels chosen, in price order.
    pub levels: Vec<Level>,
    /// The agreement demanded of the remaining items.
    pub target: f64,
}

/// The agreement that the items after the profile need, given that the `profiled` ones agree by definition:
///
/// ```text
/// (1 - delta - n/N) N / (N - n)
/// ```
#[must_use]
pub fn remaining_target(profiled: usize, items: usize, demand: Demand) -> f64 {
    let (n, all) = (profiled as f64, items as f64);
    (demand.agreement() - n / all) * all / (all - n)
}

/// The cheapest mix: over every choice of a confidence level for each candidate whose levels multiply to at
/// least the demanded confidence, the cheapest shares `x` with
///
/// ```text
/// sum x_m = 1,   x >= 0,   sum low_m x_m >= target
/// ```
///
/// (Jo and Trummer 2024, the mixed-integer programme of "SMART with multiple models".) The levels are five
/// equidistant ones from the confidence upwards, and 1 with a lower limit of 0. `None` if even the reference
/// alone misses the target.
///
/// *Quirks:* nothing prevents a share for a model whose lower limit is 0. With the unrepaired unit costs
/// such a model often looks cheapest, and thousands of items go to a model that never agrees.
/// Multiplying the levels is right only for independent intervals.
///
/// The released code solves one programme for each of the `6^M` choices. A programme with two
/// constraints has an optimum with at most two positive shares. Setting every other model to level 1
/// leaves that optimum feasible and its choice admissible. So the best over all choices is the best over
/// all pairs of models and their 36 levels, each solved in closed form, and the work is quadratic in the
/// number of models. Among equal costs the choice that comes first in the released code's order wins:
/// cheapest model's level first, lowest level first.
#[must_use]
pub fn best_mix(
    ingredients: &[Ingredient],
    reference: usize,
    target: f64,
    confidence: f64,
) -> Option<Mix> {
    let table: Vec<Vec<Level>> = ingredients
        .iter()
        .enumerate()
        .map(
            |(at, ingredient)| {
                if at == reference { vec![REFERENCE] } else { levels(*ingredient, confidence) }
            },
        )
        .collect();
    let mut best: Option<Core> = None;
    for (first, ingredient) in ingredients.iter().enumerate() {
        let Some(first_cost) = ingredient.cost else {
            continue;
        };
        for (first_level, a) in table[first].iter().enumerate() {
            if a.agreement >= target - TOLERANCE {
                let single = [(first, first_level), (first, first_level)];
                Core { used: single, share: 1.0, cost: first_cost }
                    .challenge(&mut best, &table, confidence);
                continue;
            }
            for (second, other) in
                ingredients.iter().enumerate().filter(|&(second, _)| second != first)
            {
                let Some(second_cost) = other.cost else {
                    continue;
                };
                for (second_level, b) in table[second].iter().enumerate() {
                    if b.agreement <= target || a.confidence * b.confidence < confidence {
                        continue;
                    }
                    let share = (b.agreement - target) / (b.agreement - a.agreement);
                    let cost = share * first_cost + (1.0 - share) * second_cost;
                    let used = [(first, first_level), (second, second_level)];
                    Core { used, share, cost }.challenge(&mut best, &table, confidence);
                }
            }
        }
    }
    best.map(|core| core.into_mix(&table, target, confidence))
}

const REFERENCE: Level = Level { confidence: 1.0, agreement: 1.0 };
const NO_CLAIM: Level = Level { confidence: 1.0, agreement: 0.0 };

/// The levels a candidate can be used at.
fn levels(ingredient: Ingredient, confidence: f64) -> Vec<Level> {
    let step = (1.0 - confidence) / LEVELS as f64;
    (0..LEVELS)
        .map(|at| {
            let confidence = confidence + at as f64 * step;
            let interval = clopper_pearson(ingredient.agreed, ingredient.answered, confidence);
            Level { confidence, agreement: interval.low }
        })
        .chain([NO_CLAIM])
        .collect()
}

/// At most two models with their levels, the first one's share, and the cost.
#[derive(Debug, Clone, Copy)]
struct Core {
    used: [(usize, usize); 2],
    share: f64,
    cost: f64,
}

impl Core {
    /// Replaces the best core if this one is cheaper, or as cheap and earlier in order.
    fn challenge(self, best: &mut Option<Self>, table: &[Vec<Level>], confidence: f64) {
        let wins = match best {
            None => true,
            Some(other) if self.cost < other.cost => true,
            Some(other) if self.cost > other.cost => false,
            Some(other) => self.completed(table, confidence) < other.completed(table, confidence),
        };
        if wins {
            *best = Some(self);
        }
    }

    /// The first choice in order that contains this core: the other models take the lowest levels that
    /// leave the product above the confidence.
    fn completed(self, table: &[Vec<Level>], confidence: f64) -> Vec<usize> {
        let fixed = |model: usize| self.used.iter().find(|used| used.0 == model).map(|used| used.1);
        let mut choice: Vec<usize> =
            (0..table.len()).map(|model| fixed(model).unwrap_or(table[model].len() - 1)).collect();
        for model in (0..table.len()).filter(|&model| fixed(model).is_none()) {
            for level in 0..table[model].len() {
                choice[model] = level;
                let product: f64 = choice
                    .iter()
                    .zip(table)
                    .map(|(&level, levels)| levels[level].confidence)
                    .product();
                if product >= confidence {
                    break;
                }
            }
        }
        choice
    }

    fn into_mix(self, table: &[Vec<Level>], target: f64, confidence: f64) -> Mix {
        let mut shares = vec![0.0; table.len()];
        shares[self.used[0].0] += self.share;
        shares[self.used[1].0] += 1.0 - self.share;
        let choice = self.completed(table, confidence);
        let levels = choice.iter().zip(table).map(|(&level, levels)| levels[level]).collect();
        Mix { shares, cost: self.cost, levels, target }
    }
}

/// Splits `items` in proportion to `shares`. The largest share goes first; each takes its part of what
/// is left, rounded to the nearest whole (halves to even), so that the parts add up to `items` exactly.
///
/// # Errors
///
/// If a share is negative or not finite, or none is positive.
pub fn split(items: usize, shares: &[f64]) -> Result<Vec<usize>, PublishedError> {
    if !shares.iter().all(|share| *share >= 0.0 && share.is_finite())
        || !shares.iter().any(|s| *s > 0.0)
    {
        return Err(PublishedError::Shares);
    }
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    let mut of_rest = vec![0.0; shares.len()];
    let mut sum = 0.0;
    for (place, &model) in order.iter().enumerate().rev() {
        sum += shares[model];
        of_rest[place] = if sum > 0.0 { shares[model] / sum } else { 1.0 };
    }
    let mut parts = vec![0; shares.len()];
    let mut left = items;
    for (place, &model) in order.iter().enumerate() {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number between 0 and the items left"
        )]
        let part = ((left as f64 * of_rest[place]).round_ties_even() as usize).min(left);
        parts[model] = part;
        left -= part;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best cost over all choices of levels, each programme solved by going through its vertices: one
    /// model alone, or two at the target exactly.
    fn by_enumeration(ingredients: &[Ingredient], target: f64, confidence: f64) -> f64 {
        let reference = ingredients.len() - 1;
        let table: Vec<Vec<Level>> = (0..=reference)
            .map(|at| {
                if at == reference { vec![REFERENCE] } else { levels(ingredients[at], confidence) }
            })
            .collect();
        let mut best = f64::INFINITY;
        let choices: usize = table.iter().map(Vec::len).product();
        for choice in 0..choices {
            let mut digits = choice;
            let chosen: Vec<Level> = table
                .iter()
                .map(|levels| {
                    let level = levels[digits % levels.len()];
                    digits /= levels.len();
                    level
                })
                .collect();
            if chosen.iter().map(|level| level.confidence).product::<f64>() < confidence {
                continue;
            }
            let cost = |at: usize| ingredients[at].cost.unwrap();
            for (i, a) in chosen.iter().enumerate() {
                if a.agreement >= target {
                    best = best.min(cost(i));
                }
                for (j, b) in chosen.iter().enumerate() {
                    if a.agreement < target && target < b.agreement {
                        let share = (b.agreement - target) / (b.agreement - a.agreement);
                        best = best.min(share * cost(i) + (1.0 - share) * cost(j));
                    }
                }
            }
        }
        best
    }

    #[test]
    fn pairs_of_models_are_as_good_as_all_choices() {
        let mut state = 1_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % limit
        };
        for round in 0..300 {
            let answered = 10 + below(400);
            let mut ingredients: Vec<Ingredient> = (0..3)
                .map(|_| {
                    let answered = 1 + below(answered);
                    let agreed = answered - below(answered / 4 + 1);
                    Ingredient { answered, agreed, cost: Some(1.0 + below(1000) as f64) }
                })
                .collect();
            ingredients.push(Ingredient { answered, agreed: answered, cost: Some(2000.0) });
            let target = below(1000) as f64 / 1000.0;
            let confidence = [0.8, 0.9, 0.95, 0.99][round % 4];
            let mix = best_mix(&ingredients, 3, target, confidence).unwrap();
            let want = by_enumeration(&ingredients, target, confidence);
            assert!(
                (mix.cost - want).abs() < 1e-9,
                "{ingredients:?} {target} {confidence}: {mix:?} {want}"
            );
            // The reported values are consistent with each other.
            let sum = |f: &dyn Fn(usize) -> f64| (0..4).map(f).sum::<f64>();
            let product: f64 = mix.levels.iter().map(|level| level.confidence).product();
            assert!((sum(&|at| mix.shares[at]) - 1.0).abs() < 1e-12);
            assert!(
                (sum(&|at| mix.shares[at] * ingredients[at].cost.unwrap()) - mix.cost).abs() < 1e-9
            );
            assert!(sum(&|at| mix.shares[at] * mix.levels[at].agreement) >= target - 1e-9);
            assert!(product >= confidence, "{mix:?}");
        }
    }

    #[test]
    fn nothing_tolerated_leaves_the_reference() {
        let ingredients = [
            Ingredient { answered: 500, agreed: 500, cost: Some(1.0) },
            Ingredient { answered: 500, agreed: 500, cost: Some(30.0) },
        ];
        let target = remaining_target(500, 1000, Demand::new(0.0, 0.95).unwrap());
        assert_eq!(best_mix(&ingredients, 1, target, 0.95).unwrap().shares, [0.0, 1.0]);
    }
}

//! What a chain would cost at each tolerated failure rate, predicted from a few items.
//!
//! A pilot of some thirty items sees a handful of failures, so counting them would let luck choose.
//! Each family has its own smooth curve of cost against failure rate, with half a failure added
//! (Jeffreys), and a prediction averages over what the test may turn out to tolerate.

use crate::backend::Confidence;
use crate::evidence::{Agreement, ItemEvidence};
use crate::plan::{Chain, Key, Till};
use crate::roster::ModelId;

/// Points of a curve by coin.
const STEPS: u32 = 20;
/// Seven equally likely nodes of a standard normal variable: the means of its sevenths.
const NODES: [f64; 7] = [-1.47, -0.79, -0.37, 0.0, 0.37, 0.79, 1.47];
/// Prior mean and precision of the slope of failure against the standardised score: scores are
/// taken to be of some use until seen otherwise.
const SLOPE: (f64, f64) = (-1.0, 1.0);
/// The same of the intercept.
const INTERCEPT: (f64, f64) = (-1.0, 0.1);

/// Cost per item against failure rate, both increasing in how much is given away.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CostCurve {
    /// Failure rate and cost in nano-units, rates increasing.
    points: Vec<(f64, f64)>,
    /// What one more tested item costs, the reference's call included.
    pub(super) profiling: f64,
    /// How many items it was made from.
    seen: f64,
}

/// What the pilot counted of one chain.
struct Counts {
    items: f64,
    /// First model gave an answer that fails, while the second agrees with it (or there is none).
    agreeing_failures: f64,
    /// It failed, and the second disagrees.
    disagreeing_failures: f64,
    disagreements: f64,
    silent: f64,
}

impl CostCurve {
    pub(super) fn new(chain: &Chain, items: &[&ItemEvidence], till: &Till<'_>) -> Self {
        let counts = Counts::of(chain, items);
        let reference = till.means.answer(ModelId::REFERENCE);
        let first = till.means.answer(chain.first);
        let second = chain.second.map_or(0.0, |id| till.means.answer(id));
        let ratings: f64 = chain.scored_models().iter().map(|id| till.means.rating(id)).sum();
        let comparing = if chain.compares() { till.comparison } else { 0.0 };
        let n = counts.items;
        let share = |count: f64| (count + 0.5) / (n + 1.0);
        let silent = counts.silent / n.max(1.0) * reference;
        let mut points = Vec::new();
        match &chain.key {
            Key::Score => points = scored(chain, items, first + ratings, reference, silent),
            _ if chain.second.is_some() => {
                let apart = share(counts.disagreements);
                let together = share(counts.agreeing_failures);
                let rest =
                    apart * (counts.disagreeing_failures + 0.5) / (counts.disagreements + 1.0);
                let both = first + second + comparing;
                for step in 0..=STEPS {
                    let t = f64::from(step) / f64::from(STEPS);
                    let cost = (1.0 - t) * reference + t * (both + apart * reference + silent);
                    points.push((t * together, cost));
                }
                for step in 1..=STEPS {
                    let t = f64::from(step) / f64::from(STEPS);
                    let cost =
                        first + silent + (1.0 - t) * (second + comparing + apart * reference);
                    points.push((together + t * rest, cost));
                }
            }
            _ => {
                let rate = share(counts.agreeing_failures);
                for step in 0..=STEPS {
                    let t = f64::from(step) / f64::from(STEPS);
                    points.push((t * rate, (1.0 - t) * reference + t * (first + silent)));
                }
            }
        }
        // A stricter policy is certified along with a more liberal one: never pay for less.
        let mut cheapest = reference;
        for (_, cost) in &mut points {
            cheapest = cheapest.min(*cost);
            *cost = cheapest;
        }
        let profiling = reference + first + second + ratings + comparing;
        Self { points, profiling, seen: n }
    }

    /// The cost per item at a tolerated failure rate.
    pub(super) fn at(&self, rate: f64) -> f64 {
        let after = self.points.partition_point(|(r, _)| *r <= rate);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some((r0, c0)), Some((r1, c1))) => c0 + (c1 - c0) * (rate - r0) / (r1 - r0),
            (Some((_, cost)), None) | (None, Some((_, cost))) => *cost,
            (None, None) => 0.0,
        }
    }

    /// The expected cost per item under what a look at `draws` items with `limit` tolerated
    /// failures certifies.
    pub(super) fn expected(&self, limit: u64, draws: u64) -> f64 {
        let (rate, sd) = self.tolerated(limit, draws);
        NODES.iter().map(|z| self.at(rate * (z * sd).exp())).sum::<f64>() / NODES.len() as f64
    }

    /// The failure rate of the whole chain.
    pub(super) fn whole(&self) -> f64 {
        self.points.last().map_or(1.0, |(rate, _)| *rate)
    }

    /// The cost per item where the test turns out to tolerate much, and little.
    pub(super) fn range(&self, limit: u64, draws: u64) -> (f64, f64) {
        let (rate, sd) = self.tolerated(limit, draws);
        let at = |z: f64| self.at(rate * (z * sd).exp());
        (at(1.96), at(-1.96))
    }

    /// The tolerated rate is about `(limit + 0.7) / draws`, known to within the spread of the
    /// failures counted there and of those the curve was made from:
    /// `sd^2 = 1 / (limit + 1) + 1 / (rate * seen + 1/2)` on the log scale.
    fn tolerated(&self, limit: u64, draws: u64) -> (f64, f64) {
        let limit = limit as f64;
        let rate = (limit + 0.7) / draws.max(1) as f64;
        let counted = (rate * self.seen).max(0.3);
        (rate, (1.0 / (limit + 1.0) + 1.0 / (counted + 0.5)).sqrt().min(1.2))
    }
}

impl Counts {
    fn of(chain: &Chain, items: &[&ItemEvidence]) -> Self {
        let mut counts = Self {
            items: 0.0,
            agreeing_failures: 0.0,
            disagreeing_failures: 0.0,
            disagreements: 0.0,
            silent: 0.0,
        };
        for item in items {
            let Some(own) = item.candidate(chain.first) else { continue };
            counts.items += 1.0;
            let fails = match own.agreement {
                Agreement::Agrees => false,
                Agreement::NoAnswer => {
                    counts.silent += 1.0;
                    continue;
                }
                Agreement::Differs | Agreement::Unheard => true,
            };
            let together = chain.second.is_none_or(|second| {
                let answered = item.candidate(second).is_some_and(|r| r.agreement.is_answer());
                answered && item.consensus(chain.first, second)
            });
            counts.disagreements += f64::from(u8::from(!together));
            counts.agreeing_failures += f64::from(u8::from(fails && together));
            counts.disagreeing_failures += f64::from(u8::from(fails && !together));
        }
        counts
    }
}

/// A cascade's curve: failure fitted to the score's log-odds, items in falling order of score.
fn scored(
    chain: &Chain,
    items: &[&ItemEvidence],
    calls: f64,
    reference: f64,
    silent: f64,
) -> Vec<(f64, f64)> {
    let mut seen: Vec<(f64, bool)> = items
        .iter()
        .filter_map(|item| item.candidate(chain.first))
        .filter(|record| record.agreement != Agreement::NoAnswer)
        .map(|r| (log_odds(r.score.map(Confidence::as_f64)), r.agreement != Agreement::Agrees))
        .collect();
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n = seen.len().max(1) as f64;
    let mean = seen.iter().map(|(z, _)| z).sum::<f64>() / n;
    let sd = (seen.iter().map(|(z, _)| (z - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-6);
    let scaled: Vec<(f64, bool)> =
        seen.iter().map(|(z, fails)| ((z - mean) / sd, *fails)).collect();
    let (intercept, slope) = fitted(&scaled);
    let mut rate = 0.0;
    let mut cost = calls + reference;
    let mut points = vec![(0.0, cost)];
    for (z, _) in scaled {
        rate += 1.0 / (1.0 + (-(intercept + slope * z)).exp()) / n;
        cost -= reference / n;
        points.push((rate, cost + silent));
    }
    points
}

/// A score on the scale of log-odds where it can be one, last if there is none.
fn log_odds(score: Option<f64>) -> f64 {
    const EDGE: f64 = 1e-4;
    match score {
        None => -9.0,
        Some(s) if (0.0..=1.0).contains(&s) => ((s + EDGE) / (1.0 - s + EDGE)).ln(),
        Some(s) => s,
    }
}

/// Intercept and slope of failure against `z`, at the mode of the posterior.
fn fitted(examples: &[(f64, bool)]) -> (f64, f64) {
    let (mut a, mut b) = (INTERCEPT.0, SLOPE.0);
    for _ in 0..25 {
        let (mut ga, mut gb) = (-INTERCEPT.1 * (a - INTERCEPT.0), -SLOPE.1 * (b - SLOPE.0));
        let (mut haa, mut hab, mut hbb) = (INTERCEPT.1, 0.0, SLOPE.1);
        for (z, fails) in examples {
            let p = 1.0 / (1.0 + (-(a + b * z)).exp());
            let (residual, weight) = (f64::from(u8::from(*fails)) - p, p * (1.0 - p));
            ga += residual;
            gb += residual * z;
            haa += weight;
            hab += weight * z;
            hbb += weight * z * z;
        }
        let determinant = haa * hbb - hab * hab;
        let da = ((hbb * ga - hab * gb) / determinant).clamp(-2.0, 2.0);
        let db = ((haa * gb - hab * ga) / determinant).clamp(-2.0, 2.0);
        a += da;
        b += db;
        if da.abs() + db.abs() < 1e-9 {
            break;
        }
    }
    (a, b)
}

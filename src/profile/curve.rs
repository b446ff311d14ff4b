//! What a chain would cost at each tolerated failure rate, believed from a few items.
//!
//! A pilot of some twenty items sees a handful of failures, so counting them would let luck choose.
//! Each family has a curve of cost against failure rate with one or two unknowns, and the items leave
//! a posterior over them: [`Node`]s, each a possible truth with its probability.
//!
//! ```text
//! by coin       r = t p                       t the share given away, p the failure rate
//! by a score    r = p Phi(-s)                 right answers score N(d, 1), failing ones N(0, 1)
//!               t = (1 - p) Phi(d - s) + r    (the binormal model: Green and Swets 1966)
//! consensus     r rises to P(alike and failing), then on to p
//! ```
//! `p` is believed as in [`belief`](super::belief). `d`, how far a score separates right from failing, has a normal prior
//! around what models' scores are usually worth, and is measured by the area under the ROC curve.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::belief::{self, Beliefs};
use crate::backend::Confidence;
use crate::evidence::{Agreement, ItemEvidence};
use crate::plan::{Chain, Key, Till};
use crate::roster::ModelId;
use crate::stats::{normal_cdf, normal_quantile};

/// Standard normal variables at equally likely nodes of a separation.
const SEPARATIONS: [f64; 3] = [-1.09, 0.0, 1.09];
/// Prior mean and standard deviation of a separation: an area under the curve of .75, give or take.
const SEPARATION: (f64, f64) = (0.95, 0.45);
/// The same of a score that a second call yields (a model asked whether its answer is right).
const RATED: (f64, f64) = (0.7, 0.4);
/// Steps of a curve by score, in standard deviations of the score.
const STEP: f64 = 0.25;
/// Standard normal variables at equally likely nodes of what a look turns out to tolerate.
const TOLERATED: [f64; 5] = [-1.28, -0.52, 0.0, 0.52, 1.28];

/// One possible truth: cost per item against failure rate.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    /// Failure rate and cost in nano-units, rates increasing, costs falling.
    points: Vec<(f64, f64)>,
}

impl Node {
    fn new(mut points: Vec<(f64, f64)>, reference: f64) -> Self {
        // A stricter policy is certified along with a more liberal one, and the reference always:
        // never pay for less.
        let mut cheapest = reference;
        for (_, cost) in &mut points {
            cheapest = cheapest.min(*cost);
            *cost = cheapest;
        }
        Self { points }
    }

    fn at(&self, rate: f64) -> f64 {
        let after = self.points.partition_point(|(r, _)| *r <= rate);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some((r0, c0)), Some((r1, c1))) => c0 + (c1 - c0) * (rate - r0) / (r1 - r0),
            (Some((_, cost)), None) | (None, Some((_, cost))) => *cost,
            (None, None) => 0.0,
        }
    }
}

/// The equally likely truths about a chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CostCurve {
    nodes: Vec<Node>,
    /// What one more tested item costs, the reference's call included.
    pub(super) profiling: f64,
    /// What the reference costs an item.
    pub(super) reference: f64,
}

/// What was counted of single candidates, by model.
#[derive(Debug, Default)]
pub(super) struct Seen {
    counts: BTreeMap<ModelId, Counts>,
    separations: BTreeMap<(ModelId, bool), (f64, f64)>,
}

impl Seen {
    fn counts(&mut self, id: ModelId, items: &[&ItemEvidence]) -> Counts {
        *self.counts.entry(id).or_insert_with(|| Counts::of(&Chain::single(id), items))
    }

    fn separation(
        &mut self,
        chain: &Chain,
        items: &[&ItemEvidence],
        prior: (f64, f64),
    ) -> (f64, f64) {
        let key = (chain.first, chain.key == Key::Router);
        *self.separations.entry(key).or_insert_with(|| separation(chain, items, prior))
    }
}

/// What the pilot counted of one chain.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    items: u64,
    /// First model gave an answer that fails, while the second agrees with it (or there is none).
    agreeing_failures: u64,
    /// It failed, and the second disagrees.
    disagreeing_failures: u64,
    disagreements: u64,
    silent: u64,
}

impl CostCurve {
    pub(super) fn new(
        chain: &Chain,
        items: &[&ItemEvidence],
        till: &Till<'_>,
        beliefs: &mut Beliefs,
    ) -> Self {
        let counts = match chain.second {
            Some(_) if chain.compares() => Counts::of(chain, items),
            _ => beliefs.seen.counts(chain.first, items),
        };
        let reference = till.means.answer(ModelId::REFERENCE);
        let first = till.means.answer(chain.first);
        let second = chain.second.map_or(0.0, |id| till.means.answer(id));
        let ratings: f64 = chain.scored_models().iter().map(|id| till.rating_guess(id)).sum();
        let comparing = if chain.compares() { till.comparison } else { 0.0 };
        let share = |count: u64, of: u64| (count as f64 + 0.5) / (of as f64 + 1.0);
        let silent = counts.silent as f64 / counts.items.max(1) as f64 * reference;
        let failures = counts.agreeing_failures + counts.disagreeing_failures;
        let posterior = beliefs.nodes(chain.first, counts.items, failures);
        let node = |points| Node::new(points, reference);
        let pair = chain.second.filter(|_| !chain.compares());
        let nodes = if let Some(other) = pair {
            let whole = beliefs.seen.counts(other, items);
            let theirs = beliefs.nodes(other, whole.items, whole.agreeing_failures);
            let rates = || posterior.iter().zip(&theirs).map(|(p, q)| (*p, *q));
            match &chain.key {
                Key::Split { below } => {
                    let share = *below as f64 / u64::MAX as f64;
                    let of = |(p, q)| {
                        let all = (between(share, q, p), between(share, second, first) + silent);
                        node(vec![(0.0, reference), all])
                    };
                    rates().map(of).collect()
                }
                _ => relay(
                    chain,
                    items,
                    &mut beliefs.seen,
                    rates(),
                    (first, second, reference),
                    silent,
                )
                .map(node)
                .collect(),
            }
        } else if chain.second.is_some() {
            let apart = share(counts.disagreements, counts.items);
            let together = belief::alike(counts.agreeing_failures, failures);
            let both = first + second + comparing + apart * reference + silent;
            let of = |p: &f64| {
                let points = vec![(0.0, reference), (together * p, both), (*p, first + silent)];
                node(points)
            };
            posterior.iter().map(of).collect()
        } else {
            match &chain.key {
                Key::Coin => {
                    let of = |p: &f64| node(vec![(0.0, reference), (*p, first + silent)]);
                    posterior.iter().map(of).collect()
                }
                key => {
                    let calls = first + ratings + silent;
                    let (kept, sent) = match key {
                        Key::Router => (first + silent, reference),
                        _ => (calls, calls + reference),
                    };
                    let prior = if ratings > 0.0 { RATED } else { SEPARATION };
                    let (d, sd) = beliefs.seen.separation(chain, items, prior);
                    let apart = SEPARATIONS.map(|z| (d + z * sd).max(0.0));
                    let of = |p: &f64| apart.map(|d| node(by_score(*p, d, (kept, sent))));
                    posterior.iter().flat_map(of).collect()
                }
            }
        };
        let profiling = reference + first + second + ratings + comparing;
        Self { nodes, profiling, reference }
    }

    /// How many possible truths there are.
    pub(super) fn count(&self) -> f64 {
        self.nodes.len() as f64
    }

    /// Failure rate and cost per item if every item were given to the chain, for each truth.
    pub(super) fn wholes(&self) -> impl Iterator<Item = (f64, f64)> {
        self.nodes.iter().filter_map(|node| node.points.last().copied())
    }

    /// The failure rate if every item were given to the chain.
    pub(super) fn whole(&self) -> f64 {
        self.wholes().map(|(rate, _)| rate).sum::<f64>() / self.count().max(1.0)
    }

    /// The cost per item under what a look at `draws` items with `limit` tolerated failures
    /// certifies, for each possible truth.
    ///
    /// The threshold is set at the `limit + 1`-st failure, so the rate tolerated is about
    /// `Gamma(limit + 1) / draws` (Wilson and Hilferty's quantiles).
    pub(super) fn expected(&self, limit: u64, draws: u64) -> impl Iterator<Item = f64> + Clone {
        let shape = limit as f64 + 1.0;
        let rates = TOLERATED.map(|z| {
            let root = 1.0 - 1.0 / (9.0 * shape) + z / (3.0 * shape.sqrt());
            shape * root.max(0.0).powi(3) / draws.max(1) as f64
        });
        self.nodes.iter().map(move |node| {
            rates.iter().map(|rate| node.at(*rate)).sum::<f64>() / rates.len() as f64
        })
    }
}

impl Counts {
    fn of(chain: &Chain, items: &[&ItemEvidence]) -> Self {
        let mut counts = Self::default();
        for item in items {
            let Some(own) = item.candidate(chain.first) else { continue };
            counts.items += 1;
            let fails = match own.agreement {
                Agreement::Agrees => false,
                Agreement::NoAnswer => {
                    counts.silent += 1;
                    continue;
                }
                Agreement::Differs | Agreement::Unheard => true,
            };
            let together = chain.second.is_none_or(|second| {
                let answered = item.candidate(second).is_some_and(|r| r.agreement.is_answer());
                answered && item.consensus(chain.first, second)
            });
            counts.disagreements += u64::from(!together);
            counts.agreeing_failures += u64::from(fails && together);
            counts.disagreeing_failures += u64::from(fails && !together);
        }
        counts
    }
}

/// The curve of a chain by a score that separates by `d`; what an item costs if its answer is kept,
/// and if it is sent on.
fn by_score(p: f64, d: f64, (kept, sent): (f64, f64)) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, sent)];
    let mut s = d + 3.0;
    while s > -3.0 {
        let rate = p * normal_cdf(-s);
        let share = (1.0 - p) * normal_cdf(d - s) + rate;
        points.push((rate, share * kept + (1.0 - share) * sent));
        s -= STEP;
    }
    points.push((p, kept));
    points
}

/// `share` of the way from `a` to `b`.
fn between(share: f64, a: f64, b: f64) -> f64 {
    a + share * (b - a)
}

/// A relay's curves: the first model's answers down to the gate, surest first, then the second's.
fn relay(
    chain: &Chain,
    items: &[&ItemEvidence],
    seen: &mut Seen,
    rates: impl Iterator<Item = (f64, f64)>,
    (first, second, reference): (f64, f64, f64),
    silent: f64,
) -> impl Iterator<Item = Vec<(f64, f64)>> {
    let gate = if let Key::Relay { gate } = chain.key { gate } else { f64::INFINITY };
    let scores = items.iter().filter_map(|item| item.candidate(chain.first)?.score);
    let (above, all) = scores.fold((0.5, 1.0), |(above, all), score| {
        (above + f64::from(u8::from(score.as_f64() >= gate)), all + 1.0)
    });
    let kept: f64 = above / all;
    let mut own = |id| seen.separation(&Chain::cascade(id), items, SEPARATION).0.max(0.0);
    let (d, other) = (own(chain.first), own(chain.second.unwrap_or(chain.first)));
    rates.map(move |(p, q)| {
        // Below the gate the second model fails about as much more often as the first does.
        let upper: Vec<(f64, f64)> = by_score(p, d, (0.0, 1.0))
            .into_iter()
            .take_while(|(_, rest)| 1.0 - rest < kept)
            .collect();
        let at_gate = upper.last().map_or(0.0, |(rate, _)| *rate);
        let harder = ((p - at_gate) / (1.0 - kept).max(1e-6) / p.max(1e-9)).max(1.0);
        let low = (q * harder).min(1.0);
        let asked = first + (1.0 - kept) * second + silent;
        let mut points = vec![(0.0, asked + reference)];
        points.extend(upper.into_iter().map(|(rate, rest)| (rate, asked + rest * reference)));
        let tail = by_score(low, other, (0.0, 1.0)).into_iter();
        points.extend(tail.map(|(rate, rest)| {
            (at_gate + (1.0 - kept) * rate, asked + (1.0 - kept) * rest * reference)
        }));
        points
    })
}

/// Posterior mean and standard deviation of how far the chain's score separates right answers from
/// failing ones, in standard deviations of the score.
fn separation(chain: &Chain, items: &[&ItemEvidence], prior: (f64, f64)) -> (f64, f64) {
    let mut failing = Vec::new();
    let mut right = Vec::new();
    for item in items {
        let Some(own) = item.candidate(chain.first) else { continue };
        let score = if chain.key == Key::Router { item.router } else { own.score };
        let Some(score) = score.map(Confidence::as_f64) else { continue };
        match own.agreement {
            Agreement::Agrees => right.push(score),
            Agreement::Differs => failing.push(score),
            Agreement::NoAnswer | Agreement::Unheard => {}
        }
    }
    let (mean, sd) = prior;
    let pairs = failing.len() * right.len();
    if pairs == 0 {
        return prior;
    }
    // Mann and Whitney's count: pairs in which the failing answer scores lower, ties half.
    let pair = |f: f64, r: f64| match f.total_cmp(&r) {
        Ordering::Less => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Greater => 0.0,
    };
    let count: f64 = failing.iter().map(|f| right.iter().map(|r| pair(*f, *r)).sum::<f64>()).sum();
    let area = (count + 0.5) / (pairs as f64 + 1.0);
    let seen = std::f64::consts::SQRT_2 * normal_quantile(area);
    let (m, n) = (failing.len() as f64, right.len() as f64);
    let spread = 1.0 / m + 1.0 / n + seen * seen / (2.0 * (m + n));
    let precision = 1.0 / (sd * sd) + 1.0 / spread;
    ((mean / (sd * sd) + seen / spread) / precision, precision.sqrt().recip())
}

//! What a chain would cost at each tolerated failure rate, as believed from a few items: [`CostCurve`].
//!
//! A pilot of some twenty items sees a handful of failures, so bare counts would let luck choose the
//! chain. Instead each family has a curve of cost against failure rate with one or two unknowns, and the
//! items give a posterior over these, represented by equally likely *truths*:
//!
//! ```text
//! by coin       r = t p                       t the share given away, p the failure rate
//! by a score    r = p Phi(u)                  the binormal model (see the module `scores`)
//!               t = (1 - p) Phi(a + b u) + r
//! consensus     r rises to P(alike and failing), then on to p
//! ```
//!
//! `p` is believed as in [`belief`](super::belief), and `a` as in [`scores`](super::scores). Suppose a
//! model would be below the agreement floor if it answered everything it can be given, by coin, in a
//! split, or as the tail of a consensus. Then that truth does not give it everything. Chains by score do
//! not consider the floor here.

use super::belief::Beliefs;
use super::decision::looked_at;
use crate::backend::Confidence;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Key, Till};
use crate::roster::ModelId;
use crate::stats::gamma_by_mean;

/// Standard normal variables at equally likely nodes of the rate that a look turns out to tolerate.
const TOLERATED: [f64; 5] = [-1.28, -0.52, 0.0, 0.52, 1.28];

/// Equally likely failure rates that a look may turn out to tolerate, rising.
pub(super) type Tolerated = [f64; TOLERATED.len()];

/// The rates that a look at `draws` items with `limit` tolerated failures may turn out to tolerate.
///
/// The threshold is set at the `(limit + 1)`-st failure, so the rate is about `Gamma(limit + 1) / draws`.
pub(super) fn tolerated(limit: u64, draws: u64) -> Tolerated {
    let shape = limit as f64 + 1.0;
    TOLERATED.map(|z| shape * gamma_by_mean(shape, z) / draws.max(1) as f64)
}

/// The equally likely truths about a chain, each a curve of cost per item against failure rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CostCurve {
    /// The points of one truth after the other: failure rates, rising, with costs in nano-units, falling.
    points: Vec<(f64, f64)>,
    /// Where each truth's points end.
    ends: Vec<usize>,
    /// The cost of one more tested item, the reference's call included.
    pub(super) profiling: f64,
    /// The reference's cost per item.
    pub(super) reference: f64,
}

/// The costs of a chain's calls per item, in nano-units.
struct Calls {
    first: f64,
    second: f64,
    reference: f64,
    /// The cost per item of the first model's giving no answer at times.
    silent: f64,
}

impl CostCurve {
    /// Draws the curve of a chain, in place of the previous one.
    pub(super) fn draw(
        &mut self,
        chain: &Chain,
        items: &[&ItemEvidence],
        till: &Till<'_>,
        beliefs: &mut Beliefs,
    ) {
        let checked = chain.second.filter(|_| chain.compares());
        let counts = beliefs.seen.counts(chain.first, checked);
        let reference = till.means.answer(ModelId::REFERENCE);
        let first = till.means.answer(chain.first);
        let second = chain.second.map_or(0.0, |id| till.means.answer(id));
        let ratings: f64 = chain.scored_models().iter().map(|id| till.rating_guess(id)).sum();
        let comparing = if chain.compares() { till.comparison } else { 0.0 };
        let share = |count: u64, of: u64| (count as f64 + 0.5) / (of as f64 + 1.0);
        let silent = counts.silent as f64 / counts.items.max(1) as f64 * reference;
        let failures = counts.agreeing_failures + counts.disagreeing_failures;
        let posterior = beliefs.nodes(chain.first, counts.items, failures);
        self.points.clear();
        self.ends.clear();
        // Most agreeing items are not rated. Nor are they checked by a second model, but a pair is not
        // credited with that saving: pairs are many, and the luckiest looks better than it is.
        let rated = if chain.second.is_none() {
            let failing = posterior.iter().sum::<f64>() / posterior.len().max(1) as f64;
            looked_at(failing)
        } else {
            1.0
        };
        let judged = till.comparison * if chain.second.is_some() { 2.0 } else { 1.0 };
        self.profiling = reference + first + second + rated * ratings + comparing + judged;
        self.reference = reference;
        // What the floor forbids is never priced, so the stricter policy is kept.
        let most = beliefs.most;
        let above_floor = |p: f64, cost: f64| if p > most { f64::INFINITY } else { cost };
        let pair = chain.second.filter(|_| !chain.compares());
        if let Some(other) = pair {
            let whole = beliefs.seen.counts(other, None);
            let theirs = beliefs.nodes(other, whole.items, whole.agreeing_failures);
            let rates = posterior.iter().zip(theirs.iter()).map(|(p, q)| (*p, *q));
            if let Key::Split { below } = &chain.key {
                let share = *below as f64 / u64::MAX as f64;
                for (p, q) in rates {
                    let whole = above_floor(p.max(q), between(share, second, first) + silent);
                    self.truth([(0.0, reference), (between(share, q, p), whole)]);
                }
            } else {
                let calls = Calls { first, second, reference, silent };
                self.relay(chain, items, beliefs, rates, &calls);
            }
        } else if chain.second.is_some() {
            let apart = share(counts.disagreements, counts.items);
            let together = beliefs.alike(counts.agreeing_failures, failures);
            let both = first + second + comparing + apart * reference + silent;
            for p in &*posterior {
                let whole = above_floor(*p, first + silent);
                self.truth([(0.0, reference), (together * p, both), (*p, whole)]);
            }
        } else if chain.key == Key::Coin {
            for p in &*posterior {
                let whole = above_floor(*p, first + silent);
                self.truth([(0.0, reference), (*p, whole)]);
            }
        } else {
            let calls = first + ratings + silent;
            let (kept, sent) = match &chain.key {
                Key::Router => (first + silent, reference),
                _ => (calls, calls + reference),
            };
            let scores = beliefs.scores.nodes(chain, ratings > 0.0, items);
            for p in &*posterior {
                for shares in &scores {
                    let points = by_score(*p, shares, (kept, sent));
                    self.truth(points);
                }
            }
        }
    }

    /// Adds a truth.
    fn truth(&mut self, points: impl IntoIterator<Item = (f64, f64)>) {
        // Stricter policies are certified along with a more liberal one, and the reference always is, so
        // a higher rate never costs more.
        let mut cheapest = self.reference;
        self.points.extend(points.into_iter().map(|(rate, cost)| {
            cheapest = cheapest.min(cost);
            (rate, cheapest)
        }));
        self.ends.push(self.points.len());
    }

    /// Adds a relay's truths: the first model's answers down to the gate, surest first, then the second's.
    fn relay(
        &mut self,
        chain: &Chain,
        items: &[&ItemEvidence],
        beliefs: &mut Beliefs,
        rates: impl Iterator<Item = (f64, f64)>,
        calls: &Calls,
    ) {
        let gate = if let Key::Relay { gate } = chain.key { gate } else { f64::INFINITY };
        let scores = items.iter().filter_map(|item| item.candidate(chain.first)?.score);
        let (above, all) = scores.fold((0.5, 1.0), |(above, all), score: Confidence| {
            (above + f64::from(u8::from(score.as_f64() >= gate)), all + 1.0)
        });
        let kept: f64 = above / all;
        let own = beliefs.scores.expected(chain.first, items);
        let other = beliefs.scores.expected(chain.second.unwrap_or(chain.first), items);
        let Calls { first, second, reference, silent } = *calls;
        for (p, q) in rates {
            // Below the gate items are harder: the second model's failure rate rises by the same factor
            // as the first's.
            let upper: Vec<(f64, f64)> =
                by_score(p, &own, (0.0, 1.0)).take_while(|(_, rest)| 1.0 - rest < kept).collect();
            let at_gate = upper.last().map_or(0.0, |(rate, _)| *rate);
            let harder = ((p - at_gate) / (1.0 - kept).max(1e-6) / p.max(1e-9)).max(1.0);
            let low = (q * harder).min(1.0);
            let asked = first + (1.0 - kept) * second + silent;
            let begin = std::iter::once((0.0, asked + reference));
            let upper = upper.into_iter().map(|(rate, rest)| (rate, asked + rest * reference));
            let tail = by_score(low, &other, (0.0, 1.0)).map(|(rate, rest)| {
                (at_gate + (1.0 - kept) * rate, asked + (1.0 - kept) * rest * reference)
            });
            self.truth(begin.chain(upper).chain(tail));
        }
    }

    fn truths(&self) -> impl Iterator<Item = &[(f64, f64)]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.points.get(begin..*end))
    }

    /// How many truths there are.
    pub(super) fn count(&self) -> f64 {
        self.ends.len() as f64
    }

    /// For each truth, failure rate and cost per item if every item were given to the chain.
    pub(super) fn wholes(&self) -> impl Iterator<Item = (f64, f64)> {
        self.truths().filter_map(|points| points.last().copied())
    }

    /// The failure rate if every item were given to the chain.
    pub(super) fn whole(&self) -> f64 {
        self.wholes().map(|(rate, _)| rate).sum::<f64>() / self.count().max(1.0)
    }

    /// For each truth, the failure rate of the policy that costs `cost` per item.
    ///
    /// That is the whole chain's rate if all its policies cost less, and 1 if none costs so little.
    pub(super) fn rates_at(&self, cost: f64) -> impl Iterator<Item = f64> {
        self.truths().map(move |points| rate_at(points, cost))
    }

    /// For each truth, the expected cost per item of what a look certifies.
    pub(super) fn expected(&self, rates: &Tolerated) -> impl Iterator<Item = f64> {
        self.truths().map(|points| mean_at(points, rates))
    }
}

/// The mean of a curve at some rising rates; it starts at no failures and is straight between its points.
fn mean_at(points: &[(f64, f64)], rates: &Tolerated) -> f64 {
    let mut points = points.iter().copied();
    let (mut r0, mut c0) = points.next().unwrap_or_default();
    let mut next = points.next();
    let mut total = 0.0;
    for rate in rates {
        while let Some((r, c)) = next.filter(|(r, _)| r <= rate) {
            (r0, c0) = (r, c);
            next = points.next();
        }
        total += next.map_or(c0, |(r1, c1)| c0 + (c1 - c0) * (rate - r0) / (r1 - r0));
    }
    total / rates.len() as f64
}

/// The smallest rate at which a curve of falling costs comes down to `cost`.
fn rate_at(points: &[(f64, f64)], cost: f64) -> f64 {
    let mut before = (0.0, f64::INFINITY);
    for (rate, each) in points.iter().copied() {
        if each <= cost {
            let (r, c) = before;
            let step = if c.is_finite() { (c - cost) / (c - each) } else { 0.0 };
            return if c.is_finite() { r + (rate - r) * step } else { rate };
        }
        before = (rate, each);
    }
    1.0
}

/// The curve of a chain by score, given the cost of an item whose answer is kept and of one sent on.
fn by_score(
    p: f64,
    shares: &[(f64, f64)],
    (kept, sent): (f64, f64),
) -> impl Iterator<Item = (f64, f64)> {
    let points = shares.iter().map(move |(failing, right)| {
        let rate = p * failing;
        let share = (1.0 - p) * right + rate;
        (rate, share * kept + (1.0 - share) * sent)
    });
    std::iter::once((0.0, sent)).chain(points).chain(std::iter::once((p, kept)))
}

/// `share` of the way from `a` to `b`.
fn between(share: f64, a: f64, b: f64) -> f64 {
    a + share * (b - a)
}

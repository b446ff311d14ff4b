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
//! split, or as the tail of a consensus. Then that truth does not give it everything. By a score, a look
//! that finds too few agreeing answers among the surest to show them above the floor certifies nothing.
//! Relays do not consider the floor here.

use super::belief::Beliefs;
use super::counts::Counts;
use super::decision::looked_at;
use crate::backend::Confidence;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Key, Till};
use crate::roster::ModelId;
use crate::stats::{Probability, gamma_by_mean, normal_quantile};

/// Standard normal variables at equally likely nodes of the rate that a look turns out to tolerate.
const TOLERATED: [f64; 5] = [-1.28, -0.52, 0.0, 0.52, 1.28];

/// What a look of a given size is expected to find.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// How many items are tested.
    pub(super) size: u64,
    /// Equally likely failure rates that it may turn out to tolerate, rising.
    rates: [f64; TOLERATED.len()],
    /// The least share of the items that must agree, and be given away, for the floor to be shown.
    agreeing: f64,
}

impl Look {
    /// A look at `size` items that tolerates `limit` failures.
    ///
    /// The threshold is set at the `(limit + 1)`-st failure, so the rate is about `Gamma(limit + 1) / size`.
    /// Above it are `limit` failures. They show an agreement above the floor if `n` items are above, with
    /// `P(Bin(n, 1 - floor) <= limit)` at most `level`, in normal approximation.
    pub(super) fn new(size: u64, limit: u64, level: Probability, floor: f64) -> Self {
        let (draws, shape) = (size.max(1) as f64, limit as f64 + 1.0);
        let (failing, z) = (1.0 - floor, -normal_quantile(level.get()));
        let spread = z * (failing * floor).sqrt();
        let root =
            (spread + (spread * spread + 4.0 * failing * (shape - 0.5)).sqrt()) / (2.0 * failing);
        Self {
            size,
            rates: TOLERATED.map(|z| shape * gamma_by_mean(shape, z) / draws),
            agreeing: ((root * root - limit as f64) / draws).min(1.0),
        }
    }
}

/// A policy of a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Its failures, as a share of all items.
    rate: f64,
    /// Its cost per item, in nano-units.
    cost: f64,
    /// The agreeing answers that it gives away, as a share of all items; 1 if the floor does not hang on them.
    agreeing: f64,
}

impl Point {
    /// A policy whose floor hangs on nothing that a look finds.
    const fn new((rate, cost): (f64, f64)) -> Self {
        Self { rate, cost, agreeing: 1.0 }
    }

    /// The policy at a rate between this one's and a higher one's.
    fn towards(&self, other: &Self, rate: f64) -> Self {
        let share = (rate - self.rate) / (other.rate - self.rate);
        let cost = between(share, self.cost, other.cost);
        Self { rate, cost, agreeing: between(share, self.agreeing, other.agreeing) }
    }
}

/// The equally likely truths about a chain, each a curve of cost per item against failure rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CostCurve {
    /// The points of one truth after the other: their rates rise, and their costs fall.
    points: Vec<Point>,
    /// Where each truth's points end.
    ends: Vec<usize>,
    /// The cost of one more tested item, the reference's call included.
    pub(super) profiling: f64,
    /// The reference's cost per item.
    pub(super) reference: f64,
    /// The highest failure rate of a model that may answer everything.
    most: f64,
    /// The items on which the first candidate was seen, if it failed on none of them; else 0.
    pub(super) flawless: u64,
}

/// The costs of a chain's calls per item, in nano-units.
struct Calls {
    first: f64,
    second: f64,
    reference: f64,
    /// The second calls by which models rate their answers.
    ratings: f64,
    /// Comparing the two candidates' answers with each other.
    comparing: f64,
    /// The cost per item of the first model's giving no answer at times.
    silent: f64,
}

impl Calls {
    fn new(chain: &Chain, till: &Till<'_>, counts: &Counts) -> Self {
        let reference = till.means.answer(ModelId::REFERENCE);
        Self {
            first: till.means.answer(chain.first),
            second: chain.second.map_or(0.0, |id| till.means.answer(id)),
            reference,
            ratings: chain.scored_models().iter().map(|id| till.rating_guess(id)).sum(),
            comparing: if chain.compares() { till.comparison } else { 0.0 },
            silent: counts.silent as f64 / counts.items.max(1) as f64 * reference,
        }
    }

    /// The cost of one more tested item, whose answers are each compared with the reference's for `judged`.
    fn tested(&self, pair: bool, judged: f64, failing: &[f64]) -> f64 {
        // Most agreeing items are not rated. Nor are they checked by a second model, but a pair is not
        // credited with that saving: pairs are many, and the luckiest looks better than it is.
        let rated = if pair {
            1.0
        } else {
            looked_at(failing.iter().sum::<f64>() / failing.len().max(1) as f64)
        };
        let judged = judged * if pair { 2.0 } else { 1.0 };
        let answers = self.reference + self.first + self.second;
        answers + rated * self.ratings + self.comparing + judged
    }
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
        let failures = counts.agreeing_failures + counts.disagreeing_failures;
        let failing = beliefs.nodes(chain.first, counts.items, failures);
        let calls = Calls::new(chain, till, &counts);
        self.points.clear();
        self.ends.clear();
        self.profiling = calls.tested(chain.second.is_some(), till.comparison, &failing);
        self.reference = calls.reference;
        self.most = beliefs.most;
        self.flawless = if failures == 0 { counts.items } else { 0 };
        let Some(other) = chain.second else {
            return if chain.key == Key::Coin {
                self.coin(&failing, &calls);
            } else {
                self.scored(chain, &failing, &calls, items, beliefs);
            };
        };
        let whole = beliefs.seen.counts(other, None);
        let theirs = beliefs.nodes(other, whole.items, whole.agreeing_failures);
        let rates = failing.iter().copied().zip(theirs.iter().copied());
        match chain.key {
            Key::Split { below } => self.split(below, rates, &calls),
            Key::Relay { gate } => self.relay(chain, gate, rates, &calls, items, beliefs),
            _ => {
                let together = beliefs.alike(counts.agreeing_failures, failures);
                self.consensus(&failing, together, &counts, &calls);
            }
        }
    }

    /// Adds the truths of one candidate's answers to a share of the items.
    fn coin(&mut self, failing: &[f64], calls: &Calls) {
        for p in failing {
            let whole = self.above_floor(*p, calls.first + calls.silent);
            self.truth([(0.0, calls.reference), (*p, whole)].map(Point::new));
        }
    }

    /// Adds the truths of one candidate's answers, surest first.
    fn scored(
        &mut self,
        chain: &Chain,
        failing: &[f64],
        calls: &Calls,
        items: &[&ItemEvidence],
        beliefs: &mut Beliefs,
    ) {
        let Calls { first, reference, ratings, silent, .. } = *calls;
        let asked = first + ratings + silent;
        let (kept, sent) = match &chain.key {
            Key::Router => (first + silent, reference),
            _ => (asked, asked + reference),
        };
        let scores = beliefs.scores.nodes(chain, ratings > 0.0, items);
        for p in failing {
            for shares in &scores {
                self.truth(by_score(*p, shares, (kept, sent)));
            }
        }
    }

    /// Adds the truths of a pair that shares the items out by coin.
    fn split(&mut self, below: u64, rates: impl Iterator<Item = (f64, f64)>, calls: &Calls) {
        let share = below as f64 / u64::MAX as f64;
        for (p, q) in rates {
            let answer = between(share, calls.second, calls.first) + calls.silent;
            let whole = self.above_floor(p.max(q), answer);
            self.truth([(0.0, calls.reference), (between(share, q, p), whole)].map(Point::new));
        }
    }

    /// Adds the truths of a pair that check each other, of whose failures a share is `together`.
    fn consensus(&mut self, failing: &[f64], together: f64, counts: &Counts, calls: &Calls) {
        let Calls { first, second, reference, comparing, silent, .. } = *calls;
        let apart = (counts.disagreements as f64 + 0.5) / (counts.items as f64 + 1.0);
        let both = first + second + comparing + apart * reference + silent;
        for p in failing {
            let whole = self.above_floor(*p, first + silent);
            self.truth([(0.0, reference), (together * p, both), (*p, whole)].map(Point::new));
        }
    }

    /// The cost of giving a model that fails at the rate `p` everything; what the floor forbids is never
    /// priced, so the stricter policy is kept.
    fn above_floor(&self, p: f64, cost: f64) -> f64 {
        if p > self.most { f64::INFINITY } else { cost }
    }

    /// Adds a truth.
    fn truth(&mut self, points: impl IntoIterator<Item = Point>) {
        // Stricter policies are certified along with a more liberal one, and the reference always is, so
        // a higher rate never costs more.
        let mut cheapest = self.reference;
        self.points.extend(points.into_iter().map(|point| {
            cheapest = cheapest.min(point.cost);
            Point { cost: cheapest, ..point }
        }));
        self.ends.push(self.points.len());
    }

    /// Adds a relay's truths: the first model's answers down to the gate, surest first, then the second's.
    fn relay(
        &mut self,
        chain: &Chain,
        gate: f64,
        rates: impl Iterator<Item = (f64, f64)>,
        calls: &Calls,
        items: &[&ItemEvidence],
        beliefs: &mut Beliefs,
    ) {
        let scores = items.iter().filter_map(|item| item.candidate(chain.first)?.score);
        let (above, all) = scores.fold((0.5, 1.0), |(above, all), score: Confidence| {
            (above + f64::from(u8::from(score.as_f64() >= gate)), all + 1.0)
        });
        let kept: f64 = above / all;
        let own = beliefs.scores.expected(chain.first, items);
        let other = beliefs.scores.expected(chain.second.unwrap_or(chain.first), items);
        let Calls { first, second, reference, silent, .. } = *calls;
        for (p, q) in rates {
            // Below the gate items are harder: the second model's failure rate rises by the same factor
            // as the first's.
            let upper: Vec<Point> =
                by_score(p, &own, (0.0, 1.0)).take_while(|point| 1.0 - point.cost < kept).collect();
            let at_gate = upper.last().map_or(0.0, |point| point.rate);
            let harder = ((p - at_gate) / (1.0 - kept).max(1e-6) / p.max(1e-9)).max(1.0);
            let low = (q * harder).min(1.0);
            let asked = first + (1.0 - kept) * second + silent;
            let begin = std::iter::once((0.0, asked + reference));
            let upper = upper.into_iter().map(|at| (at.rate, asked + at.cost * reference));
            let tail = by_score(low, &other, (0.0, 1.0)).map(|at| {
                (at_gate + (1.0 - kept) * at.rate, asked + (1.0 - kept) * at.cost * reference)
            });
            self.truth(begin.chain(upper).chain(tail).map(Point::new));
        }
    }

    fn truths(&self) -> impl Iterator<Item = &[Point]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.points.get(begin..*end))
    }

    /// How many truths there are.
    pub(super) fn count(&self) -> f64 {
        self.ends.len() as f64
    }

    /// For each truth, failure rate and cost per item if every item were given to the chain.
    pub(super) fn wholes(&self) -> impl Iterator<Item = (f64, f64)> {
        self.truths().filter_map(|points| points.last()).map(|point| (point.rate, point.cost))
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
    pub(super) fn expected(&self, look: &Look) -> impl Iterator<Item = f64> {
        self.truths().map(|points| mean_at(points, look, self.reference))
    }
}

/// The mean cost at the rates that a look may turn out to tolerate; without a certificate it is `reference`.
///
/// The curve starts at no failures and is straight between its points.
fn mean_at(points: &[Point], look: &Look, reference: f64) -> f64 {
    let mut points = points.iter();
    let Some(mut before) = points.next() else { return reference };
    let mut next = points.next();
    let mut total = 0.0;
    for rate in look.rates {
        while let Some(point) = next.filter(|point| point.rate <= rate) {
            before = point;
            next = points.next();
        }
        // Beyond the last point the whole chain is certified, with fewer failures than the look tolerates.
        total += match next.map(|after| before.towards(after, rate)) {
            Some(point) if point.agreeing < look.agreeing => reference,
            Some(point) => point.cost,
            None => before.cost,
        };
    }
    total / look.rates.len() as f64
}

/// The smallest rate at which a curve of falling costs comes down to `cost`.
fn rate_at(points: &[Point], cost: f64) -> f64 {
    let mut before: Option<&Point> = None;
    for point in points {
        if point.cost <= cost {
            return before.map_or(point.rate, |dearer| {
                let step = (dearer.cost - cost) / (dearer.cost - point.cost);
                between(step, dearer.rate, point.rate)
            });
        }
        before = Some(point);
    }
    1.0
}

/// The curve of a chain by score, given the cost of an item whose answer is kept and of one sent on.
fn by_score(
    p: f64,
    shares: &[(f64, f64)],
    (kept, sent): (f64, f64),
) -> impl Iterator<Item = Point> {
    let point = move |failing: f64, right: f64| {
        let (rate, agreeing) = (p * failing, (1.0 - p) * right);
        Point { rate, cost: between(rate + agreeing, sent, kept), agreeing }
    };
    let points = shares.iter().map(move |(failing, right)| point(*failing, *right));
    std::iter::once(point(0.0, 0.0)).chain(points).chain(std::iter::once(point(1.0, 1.0)))
}

/// `share` of the way from `a` to `b`.
fn between(share: f64, a: f64, b: f64) -> f64 {
    a + share * (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::upper_rate;

    fn look(size: u64, limit: u64, floor: f64) -> Look {
        Look::new(size, limit, Probability::new(0.05).unwrap(), floor)
    }

    #[test]
    fn a_look_needs_the_agreeing_answers_that_show_the_floor() {
        let alpha = Probability::new(0.05).unwrap();
        for floor in [0.3, 0.5, 0.8] {
            for limit in [0, 1, 5, 23, 200] {
                let shown = |agreeing: &u64| {
                    upper_rate(agreeing + limit, limit, alpha).unwrap() < 1.0 - floor
                };
                let exact = (0..10_000).find(shown).unwrap() as f64;
                let about = look(1_000, limit, floor).agreeing * 1_000.0;
                assert!(
                    (about - exact).abs() < 1.5 + 0.02 * exact,
                    "{floor} {limit}: {about} {exact}"
                );
            }
        }
    }

    #[test]
    fn a_look_that_cannot_show_the_floor_leaves_the_items_to_the_reference() {
        // A score that says nothing: at each rate as large a share agrees as of all answers.
        let blind: Vec<(f64, f64)> = (1..10).map(|i| f64::from(i) / 10.0).map(|s| (s, s)).collect();
        let cost = |p: f64, size, limit| {
            let points: Vec<Point> = by_score(p, &blind, (1.0, 10.0)).collect();
            mean_at(&points, &look(size, limit, 0.5), 10.0)
        };
        // A tenth of all items may fail, which is a quarter of what fails: a quarter is given away.
        assert!((cost(0.4, 1_000, 100) - 7.75).abs() < 0.1);
        // Ten failures beside eleven agreeing answers do not show that most agree, and beside fifty they do.
        assert!((cost(0.48, 100, 10) - 10.0).abs() < 1e-9);
        assert!(cost(0.17, 100, 10) < 6.0);
        // Where fewer fail than may, all is given away.
        assert!((cost(0.05, 1_000, 100) - 1.0).abs() < 1e-9);
    }
}

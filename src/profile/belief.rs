//! What failure rates to expect: a prior for every candidate, and posteriors on nodes.
//!
//! Of eight candidates seen on ten items the luckiest looks best, and is not. So a candidate is
//! believed to be much like the others at its price until its own items say otherwise:
//!
//! ```text
//! logit P(fails) = a - b log10(cost / reference's cost) + something of its own
//! ```
//! with `a` fitted to all candidates together and `b` fixed at what published price lists and scores
//! show, roughly a factor of two in odds for ten times the price. The caller's own guess takes the
//! line's place. The prior weighs as much as [`WEIGHT`] items. It steers what is tried, and certifies
//! nothing.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::counts::Seen;
use super::scores::Scores;
use super::settings::ProfileSettings;
use crate::evidence::{ItemEvidence, MeanCosts};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::RatePosterior;

/// Nodes of a failure rate.
const RATES: u16 = 5;
/// What the prior weighs, in items.
const WEIGHT: f64 = 8.0;
/// `b`: how much the logarithm of the odds to fail falls with ten times the price.
const SLOPE: f64 = 0.8;
/// Prior mean and precision of `a`: a candidate at the reference's price fails on some 15 %.
const LEVEL: (f64, f64) = (-1.7, 1.0);
/// How often a second candidate gives the same wrong answer as the first: prior mean and weight, in
/// failures, of what holds of all pairs, and the weight of that for one pair. With two labels every error
/// is shared, with free text few are, so that pairs of one task are alike.
const ALIKE: (f64, f64) = (0.45, 20.0);
const OF_ONE_PAIR: f64 = 2.0;

/// Beliefs about the candidates of a roster.
#[derive(Debug)]
pub(super) struct Beliefs {
    /// Expected failure rates by candidate, in the roster's order.
    expected: Vec<f64>,
    /// The share of failures that two candidates are expected to have alike.
    alike: f64,
    nodes: BTreeMap<(u64, u64), Rc<[f64]>>,
    pub(super) seen: Seen,
    pub(super) scores: Scores,
}

impl Beliefs {
    pub(super) fn new(
        roster: &RosterSpec,
        settings: &ProfileSettings,
        means: &MeanCosts,
        items: &[&ItemEvidence],
    ) -> Self {
        let reference = means.answer(ModelId::REFERENCE);
        let price = |id: ModelId| {
            let ratio = means.answer(id) / reference;
            if ratio > 0.0 && ratio.is_finite() { ratio.log10().clamp(-3.0, 0.5) } else { 0.0 }
        };
        let counted = Seen::new(roster.candidate_count(), items);
        let seen: Vec<(f64, f64, f64)> = roster
            .candidates()
            .map(|id| {
                let counts = counted.counts(id, None);
                (price(id), counts.items as f64, counts.agreeing_failures as f64)
            })
            .collect();
        let level = level(&seen);
        let guess = |id| settings.priors.get(roster.name(id)).map(|agreement| 1.0 - agreement);
        let line = |x: f64| logistic(level - SLOPE * x);
        let expected = roster.candidates().zip(&seen);
        let expected = expected.map(|(id, (x, ..))| guess(id).unwrap_or_else(|| line(*x)));
        Self {
            expected: expected.collect(),
            alike: alike(roster, &counted),
            nodes: BTreeMap::new(),
            seen: counted,
            scores: Scores::default(),
        }
    }

    fn expected(&self, id: ModelId) -> f64 {
        id.position().checked_sub(1).and_then(|at| self.expected.get(at)).copied().unwrap_or(0.5)
    }

    /// The share of a candidate's failures in which a second one gives the same answer, after `alike` of
    /// `failures` did.
    pub(super) fn alike(&self, alike: u64, failures: u64) -> f64 {
        (alike as f64 + self.alike * OF_ONE_PAIR) / (failures as f64 + OF_ONE_PAIR)
    }

    /// Equally likely failure rates of a candidate after `failures` among `draws`.
    pub(super) fn nodes(&mut self, id: ModelId, draws: u64, failures: u64) -> Rc<[f64]> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 8")]
        let before = (WEIGHT * self.expected(id)).round() as u64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 8")]
        let key = (draws + WEIGHT as u64, failures + before);
        let make = || RatePosterior::new(key.0, key.1).map(|p| p.nodes(RATES)).unwrap_or_default();
        self.nodes.entry(key).or_insert_with(|| make().into()).clone()
    }
}

/// How often two candidates fail alike, over all pairs.
fn alike(roster: &RosterSpec, seen: &Seen) -> f64 {
    let (mean, weight) = ALIKE;
    let (mut alike, mut failures) = (mean * weight, weight);
    for first in roster.candidates() {
        for second in roster.candidates().filter(|id| *id != first) {
            let counts = seen.counts(first, Some(second));
            alike += counts.agreeing_failures as f64;
            failures += (counts.agreeing_failures + counts.disagreeing_failures) as f64;
        }
    }
    alike / failures
}

/// The level `a` that fits all candidates' counts: price, items and failures of each.
fn level(seen: &[(f64, f64, f64)]) -> f64 {
    let (mean, precision) = LEVEL;
    let mut a = mean;
    for _ in 0..20 {
        let (mut gradient, mut curvature) = (-precision * (a - mean), precision);
        for (x, n, f) in seen {
            // A candidate's own deviation makes many items of one candidate worth few.
            let weight = WEIGHT / (WEIGHT + n);
            let p = logistic(a - SLOPE * x);
            gradient += weight * (f - n * p);
            curvature += weight * n * p * (1.0 - p);
        }
        let step = (gradient / curvature).clamp(-1.0, 1.0);
        a += step;
        if step.abs() < 1e-9 {
            break;
        }
    }
    a
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

//! How well scores separate right answers from failing ones.
//!
//! A share `Phi(u)` of the failing answers and a share `Phi(a + b u)` of the right ones score above a
//! threshold: the binormal model (Green and Swets 1966; Dorfman and Alf 1969). Equal spreads (`b = 1`)
//! would predict too few failures among the surest answers; on recorded answers with token probabilities
//! `b` is about two thirds. The unknown is the area under the ROC curve, `Phi(a / sqrt(1 + b^2))`. It is
//! believed as a *separation* `d`, with `Phi(d / sqrt 2)` as the area. Its normal prior is centred on
//! what models' scores are usually worth. Better models also know better when they are wrong, so the
//! prior is higher for a candidate that is surer of its answers than the others.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use crate::backend::Confidence;
use crate::evidence::{Agreement, ItemEvidence};
use crate::plan::{Chain, Key};
use crate::roster::ModelId;
use crate::stats::{normal_cdf, normal_quantile};

/// Standard normal variables at equally likely nodes of a separation.
const SEPARATIONS: [f64; 3] = [-1.09, 0.0, 1.09];
/// What is believed about a kind of score.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Prior mean and standard deviation of its separation.
    separation: (f64, f64),
    /// `b`.
    slope: f64,
}

/// A score that comes with the answer, or a router's: an area of about .78.
const WITH_ANSWER: Kind = Kind { separation: (1.25, 0.35), slope: 0.65 };
/// A score from a second call, in which a model is asked whether its answer is right.
const RATED: Kind = Kind { separation: (0.8, 0.4), slope: 0.9 };
/// What a unit of sureness adds to the separation.
const BY_SURENESS: f64 = 0.3;
/// Steps of a threshold, in standard deviations of the failing answers' scores, and where they begin.
const STEP: f64 = 0.25;
const HIGHEST: f64 = 4.0;
const STEPS: usize = 33;

/// For falling thresholds, the shares of failing and of right answers above.
pub(super) type Shares = Rc<[(f64, f64)]>;

/// The separations of all scores, each worked out once.
#[derive(Debug)]
pub(super) struct Scores {
    /// By candidate, in the roster's order.
    sureness: Vec<f64>,
    separations: BTreeMap<(ModelId, bool), (f64, f64)>,
    shares: BTreeMap<(u64, u64), Shares>,
}

impl Scores {
    /// Nothing worked out yet, for candidates with this sureness.
    pub(super) const fn new(sureness: Vec<f64>) -> Self {
        Self { sureness, separations: BTreeMap::new(), shares: BTreeMap::new() }
    }

    /// Equally likely truths about a chain's score; `rated` if it takes a second call.
    pub(super) fn nodes(
        &mut self,
        chain: &Chain,
        rated: bool,
        items: &[&ItemEvidence],
    ) -> [Shares; SEPARATIONS.len()] {
        let kind = if rated { RATED } else { WITH_ANSWER };
        let (d, sd) = self.separation(chain, kind.separation, items);
        SEPARATIONS.map(|z| self.shares((d + z * sd).max(0.0), kind.slope))
    }

    /// The expected truth about a model's confidence.
    pub(super) fn expected(&mut self, id: ModelId, items: &[&ItemEvidence]) -> Shares {
        let (d, _) = self.separation(&Chain::cascade(id), WITH_ANSWER.separation, items);
        self.shares(d.max(0.0), WITH_ANSWER.slope)
    }

    fn separation(
        &mut self,
        chain: &Chain,
        (mean, sd): (f64, f64),
        items: &[&ItemEvidence],
    ) -> (f64, f64) {
        let key = (chain.first, chain.key == Key::Router);
        let place = chain.first.position().checked_sub(1).filter(|_| !key.1);
        let sure = place.and_then(|at| self.sureness.get(at)).copied().unwrap_or(0.0);
        let prior = (mean + BY_SURENESS * sure, sd);
        *self.separations.entry(key).or_insert_with(|| separation(chain, items, prior))
    }

    fn shares(&mut self, d: f64, slope: f64) -> Shares {
        let make = || shares(d, slope);
        self.shares.entry((d.to_bits(), slope.to_bits())).or_insert_with(make).clone()
    }
}

/// `u` at each step.
const fn across(step: usize) -> f64 {
    STEP * step as f64 - HIGHEST
}

/// The shares of failing answers above falling thresholds.
static FAILING: LazyLock<[f64; STEPS]> =
    LazyLock::new(|| std::array::from_fn(|step| normal_cdf(across(step))));

fn shares(d: f64, slope: f64) -> Shares {
    let a = d * f64::midpoint(1.0, slope * slope).sqrt();
    let right = |step| normal_cdf(a + slope * across(step));
    FAILING.iter().enumerate().map(|(step, failing)| (*failing, right(step))).collect()
}

/// Posterior mean and standard deviation of how far a chain's score separates right answers from failing
/// ones.
///
/// The unit is a standard deviation of the score.
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
    // The Mann–Whitney count: pairs in which the failing answer scores lower, with ties as halves.
    right.sort_by(f64::total_cmp);
    let halves = |f: &f64| {
        let up_to = |equal: bool| {
            right.partition_point(|r| r.total_cmp(f).is_lt() || equal && r.total_cmp(f).is_eq())
        };
        2 * right.len() - up_to(false) - up_to(true)
    };
    let count = failing.iter().map(halves).sum::<usize>() as f64 / 2.0;
    let area = (count + 0.5) / (pairs as f64 + 1.0);
    let seen = std::f64::consts::SQRT_2 * normal_quantile(area);
    let (m, n) = (failing.len() as f64, right.len() as f64);
    let spread = 1.0 / m + 1.0 / n + seen * seen / (2.0 * (m + n));
    let precision = 1.0 / (sd * sd) + 1.0 / spread;
    ((mean / (sd * sd) + seen / spread) / precision, precision.sqrt().recip())
}

/// Whether a candidate's answers have been seen with scores.
pub(super) fn has_scores(id: ModelId, items: &[&ItemEvidence]) -> bool {
    items.iter().any(|item| item.candidate(id).is_some_and(|record| record.score.is_some()))
}

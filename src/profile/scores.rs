//! How well scores tell right answers from failing ones.
//!
//! Right answers score `N(d, 1)` and failing ones `N(0, 1)` (the binormal model: Green and Swets 1966).
//! `d`, the separation, has a normal prior around what models' scores are usually worth, and is measured
//! by the area under the ROC curve, `Phi(d / sqrt 2)`.

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
/// Prior mean and standard deviation of a separation: an area under the curve of .75, give or take.
const SEPARATION: (f64, f64) = (0.95, 0.45);
/// The same of a score that a second call yields (a model asked whether its answer is right).
const RATED: (f64, f64) = (0.7, 0.4);
/// Steps of a threshold, in standard deviations of the score.
const STEP: f64 = 0.25;

/// For falling thresholds, the shares of failing and of right answers above.
pub(super) type Shares = Rc<[(f64, f64)]>;

/// The separations of all scores, each worked out once.
#[derive(Debug, Default)]
pub(super) struct Scores {
    separations: BTreeMap<(ModelId, bool), (f64, f64)>,
    shares: BTreeMap<u64, Shares>,
}

impl Scores {
    /// Equally likely truths about the score of a chain; whether it takes a second call.
    pub(super) fn nodes(
        &mut self,
        chain: &Chain,
        rated: bool,
        items: &[&ItemEvidence],
    ) -> [Shares; SEPARATIONS.len()] {
        let (d, sd) = self.separation(chain, if rated { RATED } else { SEPARATION }, items);
        SEPARATIONS.map(|z| self.shares((d + z * sd).max(0.0)))
    }

    /// The expected truth about a model's confidence.
    pub(super) fn expected(&mut self, id: ModelId, items: &[&ItemEvidence]) -> Shares {
        let (d, _) = self.separation(&Chain::cascade(id), SEPARATION, items);
        self.shares(d.max(0.0))
    }

    fn separation(
        &mut self,
        chain: &Chain,
        prior: (f64, f64),
        items: &[&ItemEvidence],
    ) -> (f64, f64) {
        let key = (chain.first, chain.key == Key::Router);
        *self.separations.entry(key).or_insert_with(|| separation(chain, items, prior))
    }

    fn shares(&mut self, d: f64) -> Shares {
        self.shares.entry(d.to_bits()).or_insert_with(|| shares(d)).clone()
    }
}

/// The shares of right answers above falling thresholds, which lie the same for every separation.
static RIGHT: LazyLock<[f64; 64]> =
    LazyLock::new(|| std::array::from_fn(|step| normal_cdf(STEP * step as f64 - 3.0)));

fn shares(d: f64) -> Shares {
    let above = RIGHT.iter().enumerate().map(|(step, right)| {
        let threshold = d + 3.0 - STEP * step as f64;
        (threshold, (normal_cdf(-threshold), *right))
    });
    above.take_while(|(threshold, _)| *threshold > -3.0).map(|(_, shares)| shares).collect()
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

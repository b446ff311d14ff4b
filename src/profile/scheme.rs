//! At which looks a chain is tested: one, several, or the dense schedule.
//!
//! Every look costs level. A chain by score is tested at one look, whose size is chosen after the pilot:
//! what is found there moves its threshold, so no later look is needed. With dense looks a single
//! candidate can be profiled until it certifies whole, which mixes it with the reference; they are
//! chosen if they are expected to cost less than one look. If the candidate never failed in the pilot, all of
//! its answers are tested at dense looks beside the one look (see the brain's module `insured`). On a large
//! population the other chains, which certify whole or hardly at all, have several looks around the best size.
//! These are priced as one look at that size, over the possible truths ([`CostCurve`]).

use std::sync::OnceLock;

use super::curve::{CostCurve, Look};
use super::priced::{Priced, Scheme};
use super::thrift::Thrift;
use crate::plan::{Chain, Key};
use crate::stats::{Design, Probability, least_draws, single_look_limit};

/// The ratio between the look sizes tried, on small populations and on large ones.
const LOOK_RATIO: (f64, f64) = (1.12, 1.25);
/// On large populations every `STRIDE`-th size is priced first.
const STRIDE: usize = 4;
/// From this many items on, a test may have several looks.
pub(super) const LARGE: u64 = 4_000;
/// Dense looks are considered if the tolerated failure rate is at least this share of the candidate's own.
///
/// Profiling until a single candidate certifies is its mix with the reference, if at most about half of
/// the items need it. Below this share, the mix is a chain by coin.
const MIXED: f64 = 0.45;
/// Several looks lie between these multiples of the best size, each `APART` times the one before.
///
/// Every look costs level, and fewer looks adapt too little; the cost is flat between ratios of 1.4
/// and 2. A single candidate may be good for every item long before the best size, so its looks start
/// from the first that can certify.
const AROUND: (f64, f64) = (0.3, 3.0);
const APART: f64 = 1.5;
/// A candidate without a failure may be far better than believed if this many failures were to be expected of one
/// that fails as often as may be.
const FLAWLESS: f64 = 0.2;
/// What a second candidate must promise to save before the first alone is passed over: of many pairs the
/// luckiest looks better than it is.
const CHECKING: f64 = 1.1;
/// What a coin must promise to save if the candidate could rate its answers instead.
///
/// Some twenty items seldom show whether ratings say anything, and good ones save many times their price.
const UNRATED: f64 = 1.05;
/// What a relay's second candidate must promise to save, since its curve rests on two fitted ones.
const RELAYING: f64 = 1.4;

/// The looks to choose from, each with the failures it tolerates.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The tolerated failure rate.
    rate: f64,
    /// Whether tests may have several looks.
    large: bool,
    /// What dense looks tolerate, approximately: each has less of the level than a single look, but
    /// among so many, luck comes early at one or another.
    dense: Vec<(u64, u64)>,
    one: Vec<Look>,
    /// What makes the looks of a chain beside which another is tested, at the level left to the chain.
    beside: Option<Sizes>,
    less: OnceLock<Vec<Look>>,
}

/// What the looks to choose from are made of.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    design: Design,
    level: Probability,
    most: f64,
    ratio: f64,
    floor: f64,
}

impl Sizes {
    /// Looks up to the largest size.
    fn looks(self, found: impl Iterator<Item = (u64, u64)>) -> Vec<Look> {
        found.map(|(look, limit)| Look::new(look, limit, self.level, self.floor)).collect()
    }
}

impl Schedule {
    /// The looks for a design over the remaining items.
    ///
    /// Dense looks are left out if profiling must not take an open, luck-dependent number of items. `beside` is
    /// the level of a chain beside which another may be tested, if one may be.
    pub(super) fn new(
        (design, level): (Design, Probability),
        remaining: u64,
        (large, dense): (bool, bool),
        floor: f64,
        beside: Option<Probability>,
    ) -> Self {
        let ratio = if large { LOOK_RATIO.1 } else { LOOK_RATIO.0 };
        let most = (remaining as f64 * 0.5).min(60_000.0);
        let far = if dense { remaining as f64 } else { most };
        let (looks, alone) = sizes(design, level, (most, far), ratio);
        let own = Sizes { design, level, most, ratio, floor };
        let one = own.looks(looks.iter().take(alone).copied());
        let dense = if dense { looks } else { Vec::new() };
        let beside = beside.map(|level| Sizes { level, ..own });
        Self { dense, rate: design.rate(), large, one, beside, less: OnceLock::new() }
    }

    /// The looks of a chain beside which another is tested; none if none is to be.
    ///
    /// They are other looks than those of the whole level: each is the smallest that tolerates its failures.
    fn less(&self) -> &[Look] {
        let make = |of: Sizes| {
            let (looks, _) = sizes(of.design, of.level, (of.most, of.most), of.ratio);
            of.looks(looks.into_iter())
        };
        self.less.get_or_init(|| self.beside.map(make).unwrap_or_default())
    }

    /// One look at the best of these sizes.
    fn one_look(
        &self,
        looks: &[Look],
        curve: &CostCurve,
        remaining: u64,
        thrift: &Thrift,
    ) -> Priced {
        // At most half of the money goes into finding out what to do with the rest.
        let bears = |look: &Look| thrift.bears(2.0 * look.size as f64 * curve.profiling);
        let borne = looks.partition_point(bears);
        let looks = looks.get(..borne).unwrap_or_default();
        let sizing = Sizing::new(curve, remaining);
        if self.large { sizing.around(looks) } else { sizing.all(looks) }
    }

    /// Prices dense looks for the whole chain, and takes them if they are cheaper than the best so far.
    fn dense(&self, curve: &CostCurve, remaining: u64, best: &mut Priced) {
        let in_vain = remaining as f64 * curve.reference;
        let certified = |(rate, then): (f64, f64)| {
            let look = self.dense.iter().find(|(k, b)| *b as f64 >= rate * *k as f64);
            let total = look.map(|(k, _)| {
                *k as f64 * curve.profiling + remaining.saturating_sub(*k) as f64 * then
            });
            total.map_or(in_vain, |total| total.min(in_vain))
        };
        let truths: Vec<f64> = curve.wholes().map(certified).collect();
        let total = truths.iter().sum::<f64>() / curve.count();
        if total < best.total {
            (best.scheme, best.total, best.truths) = (Scheme::Dense, total, truths);
        }
    }

    /// The cheapest way to test a chain on the remaining items.
    ///
    /// Items that stay without a certificate cost as much as the reference. `unrated` says whether the
    /// chain leaves answers unrated that could be rated.
    pub(super) fn price(
        &self,
        chain: &Chain,
        curve: &CostCurve,
        remaining: u64,
        thrift: &Thrift,
        unrated: bool,
    ) -> Priced {
        let mut best = self.one_look(&self.one, curve, remaining, thrift);
        if unrated {
            best.total *= UNRATED;
        }
        if best.scheme != Scheme::Never {
            if is_single(chain) && self.rate >= MIXED * curve.whole() {
                self.dense(curve, remaining, &mut best);
            }
            if let Scheme::One(look) = best.scheme
                && self.large
                && matches!(chain.key, Key::Coin | Key::Agreement | Key::Split { .. })
            {
                best.scheme = Scheme::Several(look);
            }
            if let Scheme::One(_) = best.scheme
                && self.rate * curve.flawless as f64 >= FLAWLESS
                && let Scheme::One(look) =
                    self.one_look(self.less(), curve, remaining, thrift).scheme
            {
                // What luck gains and the smaller level loses is not priced.
                best.scheme = Scheme::Beside(look);
            }
        }
        best.total *= caution(chain);
        best
    }

    /// The look sizes to choose from.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u64> {
        self.one.iter().map(|look| look.size)
    }
}

/// The search for the best size of a chain's only look.
struct Sizing<'a> {
    curve: &'a CostCurve,
    remaining: u64,
    best: Priced,
    /// For each truth, what the look just priced costs.
    truths: Vec<f64>,
    /// For each truth, the cost of the look that would be best if it were known.
    hindsight: Vec<f64>,
    /// For each truth, the cost per item of the whole chain, the cheapest policy.
    wholes: Vec<f64>,
}

impl<'a> Sizing<'a> {
    fn new(curve: &'a CostCurve, remaining: u64) -> Self {
        let wholes: Vec<f64> = curve.wholes().map(|(_, cost)| cost).collect();
        let truths = Vec::with_capacity(wholes.len());
        let hindsight = vec![f64::INFINITY; wholes.len()];
        Self { curve, remaining, best: Priced::never(), truths, hindsight, wholes }
    }

    /// What a test of `size` items costs, and how many items then remain.
    fn spent(&self, size: u64) -> (f64, f64) {
        (size as f64 * self.curve.profiling, self.remaining.saturating_sub(size) as f64)
    }

    fn mean(&self, costs: &[f64]) -> f64 {
        costs.iter().sum::<f64>() / self.curve.count()
    }

    /// Prices a look, and takes it if it is the best so far.
    fn price(&mut self, look: &Look) {
        let (spent, rest) = self.spent(look.size);
        self.truths.clear();
        self.truths.extend(self.curve.expected(look));
        let per_item = self.mean(&self.truths);
        for (known, each) in self.hindsight.iter_mut().zip(&mut self.truths) {
            *each = spent + rest * *each;
            *known = known.min(*each);
        }
        let total = spent + rest * per_item;
        let best = &mut self.best;
        if total < best.total {
            (best.scheme, best.total, best.per_item) = (Scheme::One(look.size), total, per_item);
            best.truths.clone_from(&self.truths);
        }
    }

    /// Whether from this look on even the whole chain costs more than the best look known; longer looks cost
    /// more still.
    fn is_late(&self, look: &Look) -> bool {
        let (spent, rest) = self.spent(look.size);
        spent + rest * self.mean(&self.wholes) >= self.best.total
    }

    /// Whether that holds for each truth and the look that would be best for it.
    fn is_late_for_all(&self, look: &Look) -> bool {
        let (spent, rest) = self.spent(look.size);
        let mut known = self.hindsight.iter().zip(&self.wholes);
        known.all(|(known, least)| spent + rest * *least >= *known)
    }

    /// The best of all looks, and the regret of fixing one: on a small population that decides whether the
    /// pilot goes on.
    fn all(mut self, looks: &[Look]) -> Priced {
        for look in looks {
            self.price(look);
            if self.is_late(look) && self.is_late_for_all(look) {
                break;
            }
        }
        if self.best.scheme != Scheme::Never {
            self.best.regret = self.best.total - self.mean(&self.hindsight);
        }
        self.best
    }

    /// The best of every [`STRIDE`]th look, and then of ever closer ones around it: on a large population the
    /// price is nearly flat there.
    fn around(mut self, looks: &[Look]) -> Priced {
        let mut middle = 0;
        for (at, look) in looks.iter().enumerate().step_by(STRIDE) {
            if self.is_late(look) {
                break;
            }
            self.closer(looks, at, &mut middle);
        }
        for near in [STRIDE / 2, STRIDE / 4] {
            for at in [middle.wrapping_sub(near), middle + near] {
                self.closer(looks, at, &mut middle);
            }
        }
        self.best
    }

    /// Prices a look by its place, and makes that the middle if it is the best so far.
    fn closer(&mut self, looks: &[Look], at: usize, middle: &mut usize) {
        let before = self.best.total;
        if let Some(look) = looks.get(at) {
            self.price(look);
        }
        if self.best.total < before {
            *middle = at;
        }
    }
}

/// The factor by which a chain of this kind tends to look better than it is.
pub(super) fn caution(chain: &Chain) -> f64 {
    match chain.key {
        Key::Relay { .. } => RELAYING,
        _ if chain.second.is_some() => CHECKING,
        _ => 1.0,
    }
}

/// Look sizes up to `far`, with the failures they tolerate, and how many of them lie up to `near`.
///
/// For a small number of failures it is the smallest look that tolerates it.
fn sizes(
    design: Design,
    level: Probability,
    (near, far): (f64, f64),
    ratio: f64,
) -> (Vec<(u64, u64)>, usize) {
    let mut looks: Vec<(u64, u64)> = Vec::new();
    let mut nearer = 0;
    let mut at = 12.0_f64;
    let limit_at = |look| single_look_limit(design, look, level);
    while at <= far {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
        let look = at as u64;
        if let Some(limit) = limit_at(look) {
            let mut above = look;
            if limit < 100 {
                above = least_draws(design, limit, level, look * 3 / 4, look);
            }
            if looks.last().is_none_or(|last| last.0 < above) {
                looks.push((above, limit));
            }
        }
        if at <= near {
            nearer = looks.len();
        }
        at = (at * ratio).max(at + 1.0);
    }
    (looks, nearer)
}

/// Whether a chain gives a share of the items, by coin, to one candidate.
fn is_single(chain: &Chain) -> bool {
    *chain == Chain::single(chain.first)
}

/// Looks at a chain on a large population: a geometric sequence around the size expected to be best.
pub(super) fn chain_looks(
    chain: &Chain,
    design: Design,
    level: Probability,
    remaining: u64,
    best: u64,
) -> Vec<u64> {
    let from = if is_single(chain) { 0.0 } else { AROUND.0 * best as f64 };
    let to = AROUND.1 * best as f64;
    // From about the first that can certify, to a third of the population.
    let mut at = from.max(2.4 / design.rate().max(1e-9)).max(15.0);
    let to = to.min(remaining as f64 / 3.0).max(best as f64);
    let mut looks = Vec::new();
    while at <= to {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        looks.push(at as u64);
        at *= APART;
    }
    looks.retain(|look| single_look_limit(design, *look, level).is_some());
    if looks.is_empty() { vec![best] } else { looks }
}

//! The pilot: which candidates to go on asking, when to end it, and which chain to test.
//!
//! # Why the choice is free
//!
//! Ranks are folded one after another. Let `n` be the rank at which the pilot ends. It is a stopping
//! time: whether the pilot ends at a gate depends on the ranks below alone. Calls run no further than the
//! gate, save those of a [stretch](super::stretch), which asks its ranks before others are folded. That is
//! harmless: answers are fixed before the order is drawn, and nothing is decided by a rank that is not folded
//! yet. Let `P` be everything seen on the ranks below `n`.
//!
//! 1. The order is uniformly random, so conditional on `P` the other `N - n` items are still in
//!    uniformly random order.
//! 2. Given `P` these are constants: the chain `C`, what was fitted inside it (a relay's gate, a split's
//!    share), the look or looks, and the boundary `b`. (If the best agreement for a sum of money is
//!    asked for, one policy is chosen as well, and the allowance is read off its test: see the brain's
//!    module `aim`.)
//! 3. Let `W_t` be the number of items after the pilot on which policy `t` of `C` fails. It is a
//!    constant too, by the assumption that answers do not depend on the order.
//! 4. The boundary is calibrated for population `N - n` and the allowance `F = floor(delta N)`. All of
//!    `F` is available, since the pilot's items deliver the reference's answer and cannot fail.
//!
//! By the bound of [`Boundary::chain`](crate::stats::Boundary::chain) (or, for a chain reduced to one
//! policy, of `Boundary::single_policy`)
//!
//! ```text
//! P( more than F failures are delivered | P ) <= alpha     for every P,
//! ```
//!
//! and so also without the condition. Four more things are used:
//!
//! * *Of several certified thresholds the cheapest is delivered.* The bound is on the event that *any*
//!   policy that would deliver more than `F` failures is certified at any look, so a choice among
//!   certified policies costs nothing. A policy stricter than a certified one delivers a subset of its
//!   failures and needs no test of its own.
//! * *Models are dropped, and looks skipped, for any reason.* Skipping a look shrinks the event.
//! * *Most items whose answer agrees are not ranked.* A look sets its threshold by the marks of failing
//!   items alone, so ratings and second opinions are paid for where the first answer fails. Of the other
//!   items, the first 16 under test and every eighth rank are looked at as closely, to know what plans
//!   cost and to judge the agreement floor. They are chosen by rank, which says nothing about the items
//!   ([`Request::unless`](super::machine::Request::unless)).
//! * *Calls run past a look.* Items asked about beyond the last folded rank are no evidence and follow
//!   the plan like all the others: they are among the `W_t - f_k` that the test bounds.
//!
//! Only one chain is opened after a pilot, so there is nothing to correct for. (At times a second is, and they share
//! the level: see the brain's module `insured`. At a lax target there is no pilot but an item or so, and every cheap
//! candidate is tested at a share of the level: see `lax`.)

use super::belief::Beliefs;
use super::curve::CostCurve;
use super::decision::Demand;
use super::priced::Priced;
use super::scheme::{LARGE, Schedule};
use super::settings::{Families, ProfileSettings};
use super::thrift::Thrift;
use crate::evidence::{ItemEvidence, ModelSet};
use crate::plan::{Chain, Key, Till};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::normal_excess;

/// Factors on the expected gain that is set against the price of a candidate's calls, and of whole items.
///
/// The first is below one, since many a candidate may be kept for the same gain. The second is above one,
/// since other rivals may gain too. Both are measured on recorded traces, and the result is flat around them.
const ONE_CALL: f64 = 0.5;
const ONE_ITEM: f64 = 1.4;

/// How many items the pilot takes at most.
///
/// It ends as soon as more is not worth its price. On many items that price is small beside the cost of
/// a wrong choice, and the pilot may take long to separate two candidates on either side of the target.
pub(super) fn pilot_size(population: u64) -> u64 {
    let size = if population < LARGE {
        (population / 10).min(60)
    } else {
        (population * 3 / 100).min(480)
    };
    size.max(10).min(population)
}

/// The ranks at which candidates may be dropped, or the pilot may end.
pub(super) fn gates(pilot: u64) -> Vec<u64> {
    [4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 84, 110, 145, 190, 250, 330, 430]
        .into_iter()
        .filter(|gate| *gate < pilot)
        .chain([pilot])
        .collect()
}

/// What to find out about the pilot's first items.
pub(super) fn pilot_demand(roster: &RosterSpec, families: Families) -> Demand {
    let ask: ModelSet = roster.candidates().collect();
    // Scores that cost money are bought once it is known what an answer costs.
    let rate = if families == Families::Cascade { paid(roster, ask) } else { ModelSet::EMPTY };
    Demand { ask, rate, compare: compares(families, ask), unless: None }
}

/// The candidates whose scores take a second call.
pub(super) fn paid(roster: &RosterSpec, ask: ModelSet) -> ModelSet {
    ask.iter().filter(|id| roster.rates(*id)).collect()
}

fn compares(families: Families, ask: ModelSet) -> bool {
    matches!(families, Families::Auto | Families::Consensus) && ask.len() > 1
}

/// A chain, and what testing it is expected to lead to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prospect {
    pub(super) chain: Chain,
    pub(super) priced: Priced,
}

impl Prospect {
    /// The expected gain of being able to switch to `other`, should it turn out cheaper.
    ///
    /// It is given for each share of the variance of their difference that is `learned`.
    fn gains(&self, other: &Self, learned: [f64; 2]) -> [f64; 2] {
        // The failure rate of a candidate that both chains rely on moves both totals.
        let alike = self.chain.first == other.chain.first;
        let common = if alike { self.priced.common(&other.priced) } else { 0.0 };
        let variance = self.priced.variance() + other.priced.variance() - 2.0 * common;
        let ahead = self.priced.total - other.priced.total;
        learned.map(|share| normal_excess(ahead, (share * variance.max(0.0)).sqrt()))
    }
}

/// All that the search for a chain works from.
pub(super) struct Pilot<'a> {
    pub(super) items: &'a [&'a ItemEvidence],
    pub(super) till: Till<'a>,
    pub(super) schedule: &'a Schedule,
    /// How many items there are, and how many are not folded yet.
    pub(super) population: u64,
    pub(super) remaining: u64,
    pub(super) settings: &'a ProfileSettings,
    pub(super) asked: ModelSet,
    /// The money left.
    pub(super) thrift: Thrift,
}

/// What a gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Go on with the pilot.
    GoOn(Demand),
    /// Enough is known to choose what to test.
    Open,
}

impl Pilot<'_> {
    /// All prospects, the cheapest first.
    pub(super) fn prospects(&self) -> Vec<Prospect> {
        let till = &self.till;
        let mut beliefs = Beliefs::new(till.roster, self.settings, till.means, self.items);
        let mut curve = CostCurve::default();
        let rateable = if self.wants(Families::Cascade) && self.population < LARGE {
            paid(till.roster, self.asked)
        } else {
            ModelSet::EMPTY
        };
        let mut found: Vec<Prospect> = self
            .chains(&beliefs.seen)
            .into_iter()
            .map(|chain| {
                curve.draw(&chain, self.items, till, &mut beliefs);
                let unrated = chain.key == Key::Coin && rateable.contains(chain.first);
                let (rest, thrift) = (self.remaining, &self.thrift);
                let priced = self.schedule.price(&chain, &curve, rest, thrift, unrated);
                Prospect { chain, priced }
            })
            .collect();
        // Sorting is stable, so of equals the simpler chain, listed first, wins.
        found.sort_by(|a, b| a.priced.total.total_cmp(&b.priced.total));
        found
    }

    /// What judging costs per candidate's answer, as seen so far: comparisons with the reference's answer,
    /// and with those of other candidates.
    fn judging(&self) -> f64 {
        let made: u64 = self.items.iter().map(|item| item.comparisons()).sum();
        let answers: usize =
            self.items.iter().map(|item| item.candidates.iter().flatten().count()).sum();
        self.till.comparison * made as f64 / answers.max(1) as f64
    }

    /// Whether two of these may check each other for less than the reference costs.
    ///
    /// Where comparing costs nothing, no pair is excluded here: its price is in its chain's curve.
    fn may_check(&self, keep: ModelSet) -> bool {
        let Till { means, comparison, .. } = self.till;
        let left = means.answer(ModelId::REFERENCE) - comparison;
        let pairs = keep.iter().flat_map(|a| keep.iter().map(move |b| (a, b)));
        let mut bills =
            pairs.filter(|(a, b)| a < b).map(|(a, b)| means.answer(a) + means.answer(b));
        comparison <= 0.0 || bills.any(|bill| bill < left)
    }

    /// What the remaining items cost with the reference alone.
    pub(super) fn reference_total(&self) -> f64 {
        self.remaining as f64 * self.till.means.answer(ModelId::REFERENCE)
    }

    /// Whether to go on with the pilot until `next`, and what to ask there.
    ///
    /// A candidate is asked on while it may save more than its calls cost, and the pilot goes on while
    /// that holds of the choice as a whole (the knowledge gradient: Frazier, Powell and Dayanik 2008).
    /// Both are judged at two horizons: up to the next gate, and until twice as much is known.
    pub(super) fn gate(&self, next: u64) -> Gate {
        let seen = self.items.len() as u64;
        let reference = self.till.means.answer(ModelId::REFERENCE);
        let prospects = self.prospects();
        let total = self.reference_total();
        let alone = Prospect {
            chain: Chain::single(ModelId::REFERENCE),
            priced: Priced::reference(total, reference),
        };
        let best = prospects.first().filter(|p| p.priced.total < total).unwrap_or(&alone);
        let horizons = [next.saturating_sub(seen).max(1), seen.max(1)];
        let learned = |more: u64| more as f64 / (seen + more) as f64;
        // What knowing more may gain through each other prospect, at either horizon.
        let gains = |other: &Prospect| best.gains(other, horizons.map(learned));
        let hopes = |p: &&Prospect| !std::ptr::eq(*p, best) && !p.priced.truths.is_empty();
        let others: Vec<(&Prospect, [f64; 2])> =
            prospects.iter().filter(hopes).map(|p| (p, gains(p))).collect();
        // Whether that exceeds its price at the better horizon.
        let pays = |gains: &[f64; 2], price: f64, share: f64| {
            horizons.iter().zip(gains).any(|(more, gain)| share * gain > *more as f64 * price)
        };
        let worth = |gains: &[f64; 2], price: f64| pays(gains, price, ONE_CALL);
        let judging = self.judging();
        let tried = |id: ModelId| self.till.means.answer(id) + judging;
        let mut keep: ModelSet =
            best.chain.models().iter().filter(|id| !id.is_reference()).collect();
        for id in self.asked.iter().filter(|id| !keep.contains(*id)).collect::<Vec<_>>() {
            let price = tried(id);
            if others.iter().any(|(p, gains)| p.chain.models().contains(id) && worth(gains, price))
            {
                keep.insert(id);
            }
        }
        let mut rate = ModelSet::EMPTY;
        for id in paid(self.till.roster, keep).iter() {
            let price = self.till.rating_guess(id);
            let reads = |p: &Prospect| p.chain.scored_models().contains(id);
            if reads(best) || others.iter().any(|(p, gains)| reads(p) && worth(gains, price)) {
                rate.insert(id);
            }
        }
        let calls: f64 = keep.iter().map(tried).sum::<f64>()
            + rate.iter().map(|id| self.till.rating_guess(id)).sum::<f64>();
        let price = reference + calls - best.priced.per_item;
        let known = |p: &Prospect| p.chain.models().iter().all(|id| keep.contains(id));
        // Knowing more also improves the choice of the look.
        let tuned = |more: &u64| learned(*more) * best.priced.regret > *more as f64 * price;
        let go_on = |gains: &[f64; 2]| pays(gains, price, ONE_ITEM);
        let chosen = others.iter().any(|(p, gains)| known(p) && go_on(gains));
        if chosen || go_on(&gains(&alone)) || horizons.iter().any(tuned) {
            let compare = compares(self.settings.families, keep) && self.may_check(keep);
            return Gate::GoOn(Demand { ask: keep, rate, compare, unless: None });
        }
        Gate::Open
    }
}

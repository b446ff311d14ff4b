//! The reverse objective: the best agreement that a sum of money pays for.
//!
//! The pilot chooses a chain, a look at `k` items, and a policy of the chain: the strictest that is
//! likely to stay within the money, test included ([`purchase`](super::super::purchase)). The test then
//! shows how many of its answers may fail, and that becomes the target. If money is left after the test,
//! a stricter policy is delivered, as strict as the money allows.
//!
//! # Why the target may be read off the test
//!
//! Given the pilot, the chain, the policy `s`, the look and the caller's allowance `G` are constants, and
//! the `M` items after the pilot are in uniformly random order (see [`search`](super::super::search)).
//! Let `K` be the number of these items on which `s` fails, and `f` how many of the `K` are among the `k`
//! under test. With `b(F) = max { b : P(Hyp(M, F + 1 + b, k) <= b) <= alpha }`,
//!
//! ```text
//! if f <= b(G)   s is delivered, or a stricter policy, for F = min { F : f <= b(F) }
//! else           the most liberal policy with at most b(G) failures, of those stricter than s, for G
//! ```
//!
//! `F` is searched for from 1 on, and not from 0. A test that would pass at 0 too is told at 1: the larger `F`
//! promises less than was shown, which is the safe side.
//!
//! A *miss* is the delivery of more than `F` failures in the first case, of more than `G` in the second.
//!
//! 1. *The first case alone* is a confidence bound (the inversion of a family of tests: Neyman 1937; for this
//!    distribution Konijn 1973). The policy `s` leaves `K - f` failures, so it misses if `K - f > F`, that is
//!    `K >= F + 1 + f`. Then `P(Hyp(M, K, k) <= f) <= P(Hyp(M, F + 1 + f, k) <= f) <= alpha`, by `f <= b(F)`.
//!    So `f` is one of the numbers that a sample falls to or below with probability at most `alpha`, and
//!    together these numbers have probability at most `alpha`. That `F` depends on the evidence is what such
//!    a bound is for. A stricter policy fails on a subset of the items, so it may be chosen by anything.
//! 2. *Both cases together*, by the value of `K`:
//!    * `K <= G`: the second case cannot miss, since its policies fail on a subset of the `K` items. The
//!      first misses with probability at most `alpha`.
//!    * `K >= G + 1 + b(G)`: in either case a miss requires that at most `b(G)` of the first `G + 1 + b(G)`
//!      failing items of the chain are among the `k`. In the first case `s` fails on all of these, and
//!      `f <= b(G)`; for the second it is the bound of [`Boundary::chain`](crate::stats::Boundary::chain).
//!      This one event has probability at most `alpha`.
//!    * Otherwise `K - G <= b(G)`. A miss in the second case needs more than `G` failures outside the
//!      test, so `K - f > G` and `f < K - G <= b(G)`; but then the first case applies. So only the first
//!      case can miss, with probability at most `alpha`.
//!
//! So `P(more answers fail than the plan's target allows) <= alpha` given any pilot, and hence without
//! the condition. The money is not part of the promise: what a policy costs is estimated.

use super::super::chain_test::ChainTest;
use super::super::purchase::Purchase;
use super::super::settings::Objective;
use super::Brain;
use super::choose::MOST_CONSIDERED;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Considered, Key, Mark, Sampled, stand_for};
use crate::pricing::Cost;
use crate::stats::Boundary;

/// Standard errors of its cost by which a policy is planned below the money, to stay within it with
/// probability 90 %: once after the pilot, and once more after the test, where it is made stricter.
pub(in super::super) const LIKELY: f64 = 1.28;
/// A pilot that would otherwise end goes on until it has spent this share of the money.
const PILOT: f64 = 0.1;
/// How many stricter policies are priced when money is left after the test.
const STRICTER: usize = 64;

impl Brain {
    /// The sum of money to get the best agreement for, if that is the objective.
    pub(super) const fn asked_within(&self) -> Option<Cost> {
        match self.settings.objective {
            Objective::BestAgreement { within } => Some(within),
            Objective::LeastCost => None,
        }
    }

    /// What is left of the sum to be spent, in nano-units, if there is one.
    pub(super) fn money(&self) -> Option<f64> {
        let within = self.asked_within()?;
        let cap = self.budget.map_or(within, |cap| cap.min(within));
        Some(cap.as_nanos() as f64 - self.spent)
    }

    /// Whether the reference alone is likely to stay within the money, so that nothing needs testing.
    pub(super) fn affords_reference(&self) -> bool {
        let Some(money) = self.money() else { return false };
        let likely = self.bills.likely_mean(LIKELY);
        (self.order.population() - self.profiled()) as f64 * likely <= money
    }

    /// Whether a pilot that would otherwise end goes on, because what is known of costs decides what the
    /// money buys.
    pub(super) fn pilots_on(&self) -> bool {
        self.money().is_some_and(|money| self.spent < PILOT * (money + self.spent))
    }

    /// The allowance at which the pilot weighs candidates: what the money is expected to buy.
    pub(super) fn supposed(&mut self) -> u64 {
        let most = self.target.allowance(self.order.population());
        let best = self.purchases().into_iter().next();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        best.map_or(most, |best| (best.failing.ceil().max(1.0) as u64).min(most))
    }

    /// What the money is expected to buy, best first, leaving out what is worse than the target asked for.
    fn purchases(&mut self) -> Vec<Purchase> {
        let most = self.target.allowance(self.order.population());
        let (Some(money), Some(schedule)) = (self.money(), self.schedule(most)) else {
            return Vec::new();
        };
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let alpha = self.level().get();
        let mut found = self.scene(&items, &schedule).purchases(money, alpha);
        found.retain(|purchase| purchase.failing < most as f64);
        found
    }

    /// Opens the test of what the money buys; `None` if that falls short of what was asked for.
    pub(super) fn aim(&mut self) -> Option<ChainTest> {
        let purchases = self.purchases();
        let design = self.design(self.pilot).ok()?;
        let (mut opened, mut others) = (None, Vec::new());
        for purchase in purchases {
            let Purchase { chain, look, each, failing } = purchase;
            let name = chain.describe(&self.roster);
            if opened.is_none()
                && let Some((policy, _)) = self.strictest(&chain, each)
                && let Ok(boundary) = Boundary::single_look(design, self.level(), look)
            {
                opened = Some(ChainTest::of_policy(chain, boundary, self.pilot, policy));
                continue;
            }
            let agreement = 100.0 * (1.0 - failing / self.order.population() as f64);
            let outcome =
                format!("not tested: after the pilot, expected at {agreement:.1} % agreement");
            others.push(Considered::untested(name, Some(chain), outcome));
        }
        if opened.is_some() {
            others.truncate(MOST_CONSIDERED - 1);
            self.considered.append(&mut others);
        }
        opened
    }

    /// The strictest policy of a chain that is likely to cost at most `each` per item, with its mean cost.
    fn strictest(&self, chain: &Chain, each: f64) -> Option<(Mark, f64)> {
        let sample = self.sample(chain);
        let trials = sample.iter().filter_map(|one| chain.trial(one.item, one.coin));
        let mut marks: Vec<Mark> = trials.map(|trial| trial.mark).collect();
        marks.push(Mark::LOWEST);
        marks.sort_unstable();
        self.within(chain, marks, &sample, each)
    }

    /// The last of a chain's rising thresholds that is likely to cost at most `each` per item, with its
    /// mean cost.
    ///
    /// An item of usual size costs between an answer kept (`low`) and one sent on to the reference (`high`).
    /// So with mean `m` the variance is at most `(m - low) (high - m)` (Bhatia and Davis 2000). If items
    /// differ in size, with variance `v` in units of the squared mean, that adds `v` times the mean square.
    /// A threshold stands at a known item, so of `n` random items one in `n + 1` is expected between it and the
    /// next below: that many more are sent on than the known ones show, or none of them would ever be.
    ///
    /// By coin the share given away is known exactly, and any threshold from `marks.first()` on may be taken.
    fn within(
        &self,
        chain: &Chain,
        marks: Vec<Mark>,
        sample: &[Sampled<'_>],
        each: f64,
    ) -> Option<(Mark, f64)> {
        let ends = [Mark::LOWEST, Mark::HIGHEST];
        let marks: Vec<Mark> = ends.into_iter().chain(marks).collect();
        let means = self.till().means(chain, &marks, sample);
        let (low, high) = (means.first().copied()?, means.get(1).copied()?);
        let squares: f64 = sample.iter().map(|one| one.weight * one.weight).sum();
        let known = (stand_for(sample).powi(2) / squares).max(1.0);
        let sizes = self.bills.spread();
        let rest = (self.order.population() - self.profiled()).max(1) as f64;
        // The standard error from what was seen, and from how the other items turn out.
        let about = |mean: f64, unsure: f64, sampled: f64| {
            let sizes = sizes * (unsure + mean * mean);
            (unsure / sampled + sizes / known + (unsure + sizes) / rest).sqrt()
        };
        let unsure = |mean: f64| (mean - low).max(0.0) * (high - mean).max(0.0);
        if matches!(chain.key, Key::Coin | Key::Split { .. }) {
            let least = marks.get(2)?.coin;
            let mean = each - LIKELY * about(each, unsure(each), f64::INFINITY);
            let sent = ((mean - low) / (high - low)).clamp(0.0, 1.0);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
            let coin = (sent * u64::MAX as f64) as u64;
            let threshold = Mark::new(0, Some(0.0), coin);
            return (mean >= low && coin >= least).then_some((threshold, mean));
        }
        let between = |mark: &Mark, mean: f64| {
            if *mark <= Mark::LOWEST { mean } else { mean + (high - mean).max(0.0) / (known + 1.0) }
        };
        let priced = marks.into_iter().zip(means).skip(2);
        let mut priced = priced.map(|(mark, mean)| (mark, between(&mark, mean)));
        let likely = |mean: f64| mean + LIKELY * about(mean, unsure(mean), known);
        priced.rfind(|(_, mean)| likely(*mean) <= each)
    }

    /// Chooses what is delivered of what a look certified: the cheapest policy, or the strictest within
    /// the money.
    pub(super) fn settle(&mut self, position: usize) {
        let Some(money) = self.money() else { return self.cheapen(position) };
        let Some(test) = self.tests.get(position) else { return };
        if let Some(target) = test
            .boundary
            .allowance()
            .and_then(|allowance| self.target.with_allowance(allowance, self.order.population()))
        {
            self.aimed = Some(target);
        }
        let Some(lowest) = test.certified_threshold() else { return };
        let rest = (self.order.population() - self.profiled()).max(1) as f64;
        let floor = self.settings.floor;
        let marks = test.dearer(&lowest, STRICTER);
        let marks = marks.into_iter().filter(|mark| test.above_floor(mark, floor)).collect();
        let sample = self.sample(&test.chain);
        let found = self.within(&test.chain, marks, &sample, money / rest);
        if let Some((threshold, _)) = found
            && threshold > lowest
            && let Some(test) = self.tests.get_mut(position)
        {
            test.tighten(threshold);
        }
    }
}

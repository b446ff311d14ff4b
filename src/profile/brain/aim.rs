//! The reverse objective: the best agreement that a sum of money pays for.
//!
//! The pilot chooses a chain, a look at `k` items, and a policy of the chain: the strictest that is likely
//! to stay within the money, test included ([`purchase`](super::super::purchase)). The test then says how
//! many of its answers may fail, and that becomes the target. If money is left after the test, a
//! stricter policy is delivered, as strict as it pays for.
//!
//! # Why the target may be read off the test
//!
//! Given the pilot, the chain, the policy `s`, the look and the caller's allowance `G` are constants, and
//! the `M` items after it are in uniformly random order (see [`search`](super::super::search)). Of these let
//! `K` be the number on which `s` fails, and `f` those of them among the `k` under test. With
//! `b(F) = max { b : P(Hyp(M, F + 1 + b, k) <= b) <= alpha }`,
//!
//! ```text
//! if f <= b(G)   s is delivered, or a stricter policy, for F = min { F : f <= b(F) }
//! else           the most liberal policy with at most b(G) failures, of those stricter than s, for G
//! ```
//! 1. *The first case alone* is a confidence bound (the inversion of a family of tests: Neyman 1937;
//!    for this distribution Konijn 1973). It misses if `K - f > F`, that is `K >= F + 1 + f`, and then
//!    `P(Hyp(M, K, k) <= f) <= P(Hyp(M, F + 1 + f, k) <= f) <= alpha`: `f` is one of the numbers that a sample
//!    falls to or below with probability at most `alpha`, whose probability together is at most `alpha`. `F`
//!    being found by the evidence is what such a bound is for. A stricter policy fails on a subset, so it may
//!    be chosen by anything.
//! 2. *Both cases together.* If `K <= G` the second cannot miss, for its policies fail on fewer. If
//!    `K >= G + 1 + b(G)`, then in either case a miss needs at most `b(G)` of the first `G + 1 + b(G)` failing
//!    items of the chain among the `k` (in the first, all of them are given to `s`; for the second it is the
//!    bound of [`Boundary::chain`](crate::stats::Boundary::chain)), which has probability at most `alpha`. If
//!    `K` lies between, a miss in the second case needs more than `G` failures outside the test, that is
//!    `f < K - G <= b(G)`, where the first case applies: it cannot be; the first misses as above.
//!
//! So `P(more answers fail than the plan's target allows) <= alpha` given any pilot, and without it. The
//! money is not part of the promise: what a policy costs is estimated.

use super::super::chain_test::ChainTest;
use super::super::purchase::Purchase;
use super::super::settings::Objective;
use super::Brain;
use super::choose::MOST_CONSIDERED;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Considered, Key, Mark, Sampled, stand_for};
use crate::pricing::Cost;
use crate::stats::Boundary;

/// A policy is planned to stay within the money with probability 90 %, so many standard errors of its cost
/// below it: once after the pilot, and once more after the test, where it is made stricter.
const LIKELY: f64 = 1.28;
/// The share of the money that a pilot may take once it would know enough to choose a test at a target.
const PILOT: f64 = 0.1;
/// How many stricter policies are priced, of which one is delivered where money is left.
const STRICTER: usize = 64;

impl Brain {
    /// The money to get the best agreement for, if that is the objective.
    pub(super) const fn asked_within(&self) -> Option<Cost> {
        match self.settings.objective {
            Objective::BestAgreement { within } => Some(within),
            Objective::LeastCost => None,
        }
    }

    /// What is left of the money that is to be spent, in nano-units, if there is such a sum.
    pub(super) fn money(&self) -> Option<f64> {
        let within = self.asked_within()?;
        let cap = self.budget.map_or(within, |cap| cap.min(within));
        Some(cap.as_nanos() as f64 - self.spent)
    }

    /// Whether the reference alone is likely within the money that is to be spent: then nothing needs testing.
    pub(super) fn affords_reference(&self) -> bool {
        let Some(money) = self.money() else { return false };
        let likely = self.bills.likely_mean(LIKELY);
        (self.order.population() - self.profiled()) as f64 * likely <= money
    }

    /// Whether a pilot that would end goes on: what is known of costs decides what the money buys.
    pub(super) fn pilots_on(&self) -> bool {
        self.money().is_some_and(|money| self.spent < PILOT * (money + self.spent))
    }

    /// The allowance to weigh candidates at in the pilot: what the money is expected to buy.
    pub(super) fn supposed(&mut self) -> u64 {
        let most = self.target.allowance(self.order.population());
        let best = self.purchases().into_iter().next();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        best.map_or(most, |best| (best.failing.ceil().max(1.0) as u64).min(most))
    }

    /// What the money is expected to buy, the best first; nothing that is worse than what was asked for.
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

    /// Opens the test of what the money buys. `None` if it does not buy what was asked for.
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
            others.push(Considered {
                name,
                chain: Some(chain),
                cost_per_item: None,
                tested: 0,
                failures: 0,
                outcome: format!(
                    "not tested: after the pilot, expected at {agreement:.1} % agreement"
                ),
                chosen: false,
            });
        }
        if opened.is_some() {
            others.truncate(MOST_CONSIDERED - 1);
            self.considered.append(&mut others);
        }
        opened
    }

    /// The strictest policy of a chain that is likely to cost no more than so much per item, with its
    /// mean cost.
    fn strictest(&self, chain: &Chain, each: f64) -> Option<(Mark, f64)> {
        let sample = self.sample(chain);
        let trials = sample.iter().filter_map(|one| chain.trial(one.item, one.coin));
        let mut marks: Vec<Mark> = trials.map(|trial| trial.mark).collect();
        marks.push(Mark::LOWEST);
        marks.sort_unstable();
        self.within(chain, marks, &sample, each)
    }

    /// Of rising thresholds of a chain the last that is likely to cost no more than `each` per item, with
    /// its mean cost.
    ///
    /// An item of usual size costs between as much as an answer kept and as one sent on to the reference, so
    /// with `m` as the mean the variance is at most `(m - low) (high - m)` (Bhatia and Davis 2000). Items that
    /// differ in size, with `v` as the variance in squares of the mean, add `v` times the mean square.
    ///
    /// By coin the share that is given away is known, and any threshold may be taken from `marks.first()` on.
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
        // By what was seen, and by what the others turn out to be.
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
        let mut priced = marks.into_iter().zip(means).skip(2);
        let likely = |mean: f64| mean + LIKELY * about(mean, unsure(mean), known);
        priced.rfind(|(_, mean)| likely(*mean) <= each)
    }

    /// What is delivered of what a look certified: the cheapest, or the strictest within the money.
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

//! Whether going on pays: what each live chain is worth, and which chains are given up.

use super::super::StopReason;
use super::super::chain_test::ChainTest;
use super::super::worth::{self, Stakes, Untested};
use super::{Brain, DEARER};
use crate::evidence::ModelSet;
use crate::plan::Mark;
use crate::roster::ModelId;
use crate::stats::BoundaryKind;

/// Why a chain is given up once another is certified.
const BEATEN: &str = "a plan at least as cheap is certified";

impl Brain {
    /// Values going on with every live chain, and drops those that are not worth it.
    pub(super) fn review(&mut self, looked: bool) {
        self.update_means();
        let (_, now) = self.best();
        let untested = self.untested(now);
        let remaining = self.order.population() - self.profiled();
        // What an item costs on the whole without another test.
        let without = |rest: f64| untested.mean(now, rest);
        let mut verdicts = Vec::new();
        for (position, test) in self.tests.iter().enumerate().filter(|(_, test)| test.live) {
            if test.boundary.kind() != BoundaryKind::SinglePolicy {
                let last = test.boundary.looks().as_slice().last().copied().unwrap_or(0);
                if test.tested >= last {
                    verdicts.push((position, "its looks are over"));
                } else if test.boundary.is_look(test.tested)
                    && self.best_later(test, without)
                        >= self.thrift().loss([(remaining as f64, without(remaining as f64))])
                {
                    verdicts.push((position, "more profiling is not expected to pay for it"));
                } else if test.certified.is_none() && self.is_beaten(test, now) {
                    verdicts.push((position, BEATEN));
                }
                continue;
            }
            let then = self.mean(test, &Mark::LOWEST);
            if then >= self.means.answer(ModelId::REFERENCE) {
                verdicts.push((position, DEARER));
            } else if then >= now {
                verdicts.push((position, BEATEN));
            }
        }
        for (position, reason) in verdicts {
            self.drop_test(position, reason);
        }
        while let Some(position) = self.least_worth(now, untested, remaining) {
            self.drop_test(position, "more profiling is not expected to pay for it");
        }
        self.tell_forecast(looked);
        let asked = self.demand.ask;
        self.review_demand();
        if self.stop.is_none() && self.tests.iter().all(|test| !test.live) {
            if self.tests.iter().any(|test| test.certified.is_some()) {
                self.halt(StopReason::Certified);
            } else {
                self.give_up(asked);
            }
        }
    }

    /// Whether what is certified is cheaper than the reference, and no dearer than all a chain could give away.
    fn is_beaten(&self, test: &ChainTest, now: f64) -> bool {
        now < self.means.answer(ModelId::REFERENCE) && self.mean(test, &Mark::LOWEST) >= now
    }

    /// The single candidate that is worth the least, if going on does not pay for it.
    ///
    /// A profiled item costs the calls of every live candidate. So candidates are dropped one by one,
    /// the worst first, until those left are together worth their calls.
    fn least_worth(&self, now: f64, untested: Untested, remaining: u64) -> Option<usize> {
        let dense =
            |test: &&ChainTest| test.live && test.boundary.kind() == BoundaryKind::SinglePolicy;
        let live: ModelSet = self.tests.iter().filter(dense).map(|test| test.chain.first).collect();
        let till = self.till();
        let calls: f64 = live.iter().map(|id| till.trial(id)).sum();
        let extra = self.means.answer(ModelId::REFERENCE) + calls - now;
        let worths =
            self.tests.iter().enumerate().filter(|(_, test)| dense(test)).map(|(at, test)| {
                let then = self.mean(test, &Mark::LOWEST);
                let thrift = self.thrift();
                let stakes = Stakes { remaining, now, then, extra, untested, thrift };
                (at, worth::of_whole_chain(test, self.before(test), &stakes, self.settings.floor))
            });
        let least = worths.min_by(|a, b| {
            // Of those worth nothing, the one with the dearest calls goes first.
            let price = |at: usize| {
                let first = self.tests.get(at).map_or(ModelId::REFERENCE, |t| t.chain.first);
                self.means.answer(first)
            };
            a.1.value.total_cmp(&b.1.value).then(price(b.0).total_cmp(&price(a.0)))
        });
        least.filter(|(_, worth)| worth.value <= 0.0).map(|(at, _)| at)
    }

    /// The items before a test began on which its chain was seen, and its failures among them.
    pub(super) fn before(&self, test: &ChainTest) -> (u64, u64) {
        let start = usize::try_from(test.start).unwrap_or(usize::MAX);
        let pilot = self.evidence.iter().take(start);
        let seen = pilot.filter(|item| item.candidate(test.chain.first).is_some());
        seen.fold((0, 0), |(count, failures), item| {
            let fails = test.chain.trial(item, 0).is_some_and(|trial| trial.fails);
            (count + 1, failures + u64::from(fails))
        })
    }
}

//! A recorded test, read again for another target or at other prices.
//!
//! [`Profile::replan`](crate::Profile::replan) uses it: the chain and its looks stay, the limits change.
//!
//! # Why the promise holds
//! Let `E` be what the profiler saw on its pilot. `E`, with the prices, target and settings of the time,
//! chose a chain `C` and looks `k_1 < k_2 < …`; nothing after the pilot had a say. Let other prices, an
//! allowance `G` and a level `a` be named before the evidence is looked at.
//!
//! 1. `C` and its looks are a function of `E` and of constants, and so are the limits `b_j` that go with
//!    them at `(G, a)`.
//! 2. Given `E` the other items are in uniformly random order. Hence the test of `C` at these looks and
//!    limits certifies a policy that leaves more than `G` failures with probability at most `a` given
//!    `E`, and so without the condition ([`Boundary`]).
//! 3. No other test is made. (But see below for several candidates.) What is delivered is the reference, or a
//!    policy of `C` at least as strict as the one certified, which fails on a subset of its items. Prices choose
//!    among these, and may, because all are covered.
//! 4. The evidence of a test ends somewhere, for reasons of its own: profiling ended, or the test was given up.
//!    That leaves looks out, which makes nothing easier to certify.
//!
//! Where several candidates were tested, each at a share of the level (modules `lax` and `insured`), `E` chose all
//! of these tests, each is read again at the same share, and 2 and 3 hold for them together.
//!
//! The recorded certificate is not used beside this test. Delivering it where there is one, and otherwise
//! what a *new* search certifies on the same items, would be two chances to err, and their levels would add
//! up. That is why a profile is not searched anew: its chain is tested, whether that turned out well or not.
//!
//! # Why it is monotone
//! Let the new target be no stricter, `G >= F` at a level `a >= alpha`. Then whatever was certified passes
//! the limits again. (The agreement floor may stop it: a laxer limit has more thresholds, which share its
//! level.) At one look, `p(k, f) = P(Hyp(M, F + 1 + f, k) <= f)` falls as `F` grows, so `b` does not fall.
//! With several looks, the level at each may fall as `F` grows, and a limit with it. If any limit falls, the
//! recorded limits are kept at all looks: they leave more than `F` failures with probability at most `alpha`,
//! and more than `G` no more often. Which limits are used depends on looks and targets, and on no answer.

use super::Brain;
use super::boundaries;
use crate::evidence::ItemEvidence;
use crate::plan::Considered;
use crate::profile::chain_test::ChainTest;
use crate::stats::{Boundary, BoundaryKind, Design, Probability};

/// The outcome of a chain that the evidence does not certify for what is asked for now.
const TOO_LITTLE: &str = "the stored evidence is too little for this target";

impl Brain {
    /// This brain, which has folded nothing, with the recorded brain's test read again for its own target.
    pub(in super::super) fn retold(mut self, recorded: Self) -> Self {
        let same = self.roster == recorded.roster && self.target == recorded.target;
        let told = |row: Considered| if same { row } else { row.into_profiled() };
        let (now, then) = (self.level(), recorded.level());
        self.considered = recorded.considered.into_iter().map(told).collect();
        self.pilot = recorded.pilot;
        self.tests.clear();
        // Each test keeps its share of the level.
        let share = |was: Probability| {
            let part = Probability::new(now.get() * (was.get() / then.get()));
            if now == then { Some(was) } else { part.ok() }
        };
        let mut ends = Vec::new();
        for test in recorded.tests {
            let level = share(test.boundary.alpha());
            let again = level.and_then(|level| self.read_again(&test.boundary, test.start, level));
            let mut again = match again {
                Some(boundary) => ChainTest::new(test.chain, boundary, test.start),
                None => continue,
            };
            TOO_LITTLE.clone_into(&mut again.ended);
            self.tests.push(again);
            ends.push(test.start + test.tested);
        }
        recorded.evidence.into_iter().for_each(|item| self.retell(item, &ends));
        self.live = recorded.live;
        self.stored = if self.tests.is_empty() {
            Some("the stored evidence ends with its pilot, and tests no chain")
        } else {
            Some(TOO_LITTLE)
        };
        self
    }

    /// Adds an item to the tests, and judges those that have a look here.
    ///
    /// A test that was given up was told of no item from its end on, where its candidate may not have been asked.
    fn retell(&mut self, item: ItemEvidence, ends: &[u64]) {
        let (rank, coin) = (self.profiled(), self.order.coin(item.index));
        self.book(&item);
        for (test, end) in self.tests.iter_mut().zip(ends) {
            test.live = rank < *end;
            if test.live && rank >= test.start {
                test.fold(&item, coin, &self.roster);
            }
        }
        self.evidence.push(item);
        self.look();
    }

    /// The limits for this target at the looks of a recorded boundary.
    fn read_again(&self, was: &Boundary, start: u64, level: Probability) -> Option<Boundary> {
        let rest = self.order.population().checked_sub(start)?;
        let allowance = self.target.allowance(self.order.population());
        let laxer = was.allowance().is_some_and(|least| allowance >= least)
            && level.get() >= was.alpha().get();
        let looks = was.looks().as_slice();
        // With a large allowance everything may certify before the first look. A smaller one then keeps
        // that look, which is stricter.
        let allowance = allowance.min(rest.checked_sub(looks.first()? + 1)?);
        let design = Design::finite(rest, allowance).ok()?;
        let looks: Vec<u64> =
            looks.iter().copied().filter(|look| *look < rest - allowance).collect();
        let boundary = match was.kind() {
            BoundaryKind::SinglePolicy => boundaries::single_policy_at(design, level, &looks),
            BoundaryKind::Chain => boundaries::chain(design, level, &looks),
            BoundaryKind::SingleLook => Boundary::single_look(design, level, *looks.first()?),
        };
        let boundary = boundary.ok()?;
        // Beyond the new boundary's looks everything certifies.
        let mut limits = was.limits().iter().zip(boundary.limits());
        let falls = limits.any(|(was, now)| was > now);
        Some(if laxer && falls { was.clone() } else { boundary })
    }
}

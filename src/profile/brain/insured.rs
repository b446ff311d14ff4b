//! A second test beside that of the chosen chain, should what the pilot saw mislead.
//!
//! **It looked better than it is.** The pilot often chooses a cheap candidate whatever its answers' scores, because
//! it has failed on few items or none. Now and then that was luck, and the candidate fails more often than may be.
//! Its test is not given up then: profiling a third of a large population until the rest may go to it is still
//! cheaper than the reference alone. But it costs several times what a better candidate would. So beside the test
//! of the chosen candidate, at nearly the whole of the level, the most reliable of the other cheap ones is tested
//! on the same items, at what is left of it. It certifies a little later than it would alone, and once it has, the
//! first is worth no more profiling.
//!
//! **It is better than it looked.** A chain that orders answers is tested at one look, whose size is chosen for all
//! that its candidate may turn out to be. If that is far better than others of its price, all of its answers could
//! have been certified long before. A candidate that never failed in the pilot may be such a one. So beside the
//! chain all of its answers are tested, at every look and at a small share of the level. It is asked about no other
//! item for that, and once it is certified whole, the chain is worth no more profiling.
//!
//! # Why the levels sum to `alpha`
//! The pilot chose both chains, both boundaries and whether there is a second test at all. Given the pilot these are
//! constants, and the items after it are in uniformly random order (see [`search`](super::super::search)). The
//! tests have the levels `s alpha` and `(1 - s) alpha` on these items, whether they are given up on the way or not.
//! So either certifies wrongly with probability at most `alpha` given the pilot, whatever the dependence between
//! candidates, and so without the condition.

use super::super::belief::Beliefs;
use super::super::chain_test::ChainTest;
use super::super::scheme::LARGE;
use super::Brain;
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Key};
use crate::roster::ModelId;
use crate::stats::{Design, Probability, least_draws};

/// The share `s` of the level that the chosen candidate's test has.
///
/// It lengthens that test by a sixteenth. Measured, like the rest, on simulated populations of 5,000 to 100,000
/// items with two candidates on either side of the target, on the paper's grid, and on recorded answers, with and
/// without scores, drawn anew to 20,000 items.
const CHOSEN: f64 = 0.9;
/// The share of the level that a chain's test has beside that of all its candidate's answers.
///
/// Measured on recorded answers, where the second test costs a tenth of a percent (600 orders of three traces at
/// three targets), and on simulated candidates that fail on one or four items in a hundred: at targets of .9 and .95
/// it saves up to half there, and costs 2 % at most.
const ORDERED: f64 = 0.95;
/// A candidate whose trial costs this share of the reference's answer, or more, is no cheap one to have beside.
const CHEAP: f64 = 0.2;
/// The chosen candidate is sure to be good enough if it is with this probability.
const SURE: f64 = 0.999;

impl Brain {
    /// The level of a chosen chain's test and the test beside it, if there is to be one.
    pub(super) fn insured(&self, chain: &Chain) -> Option<(Probability, ChainTest)> {
        let large = self.order.population() >= LARGE;
        if !(self.tests_whole() && large) || chain.key != Key::Coin {
            return None;
        }
        let second = self.reliable(chain.first)?;
        let design = self.design(self.profiled()).ok()?;
        let (first, rest) = self.split_level(CHOSEN)?;
        if !self.bears_both([chain.first, second], design, rest) {
            return None;
        }
        Some((first, self.test_of_all(second, rest)?))
    }

    /// The level of a chosen chain's test, and the test of all its first candidate's answers beside it.
    pub(super) fn whole_beside(&self, chain: &Chain) -> Option<(Probability, ChainTest)> {
        let (first, rest) = self.split_level(ORDERED)?;
        Some((first, self.test_of_all(chain.first, rest)?))
    }

    /// The level of a chain beside which all its first candidate's answers are tested, if they may be.
    pub(super) fn level_beside_whole(&self) -> Option<Probability> {
        self.split_level(ORDERED).filter(|_| self.tests_whole()).map(|(first, _)| first)
    }

    /// This share of the level, and the rest.
    fn split_level(&self, share: f64) -> Option<(Probability, Probability)> {
        let alpha = self.level().get();
        let first = Probability::new(share * alpha).ok()?;
        Some((first, Probability::new(alpha - share * alpha).ok()?))
    }

    /// The most reliable cheap candidate besides this one, if this one may fail too often.
    fn reliable(&self, chosen: ModelId) -> Option<ModelId> {
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let beliefs = Beliefs::new(&self.roster, &self.settings, &self.means, &items);
        let (tolerated, sure) = (self.tolerated(), Probability::new(SURE).ok()?);
        let own = beliefs.posterior(chosen)?;
        // If it is expected to fail too often, it was chosen for a share of the items.
        if own.mean() > tolerated || own.quantile(sure) <= tolerated {
            return None;
        }
        let cheap = |id: &ModelId| *id != chosen && self.is_below(CHEAP, *id);
        let others = self.demand.ask.iter().filter(cheap);
        let rated = others.filter_map(|id| Some((id, beliefs.posterior(id)?.mean())));
        let good = rated.filter(|(_, rate)| *rate < tolerated);
        good.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    }

    /// Whether both candidates' calls in the shortest test at this level leave half of the money.
    fn bears_both(&self, both: [ModelId; 2], design: Design, level: Probability) -> bool {
        let left = self.order.population().saturating_sub(self.profiled());
        let items = least_draws(design, 0, level, 0, left) as f64;
        let calls: f64 = both.iter().map(|id| self.till().trial(*id)).sum();
        self.thrift().bears(2.0 * items * (self.means.answer(ModelId::REFERENCE) + calls))
    }
}

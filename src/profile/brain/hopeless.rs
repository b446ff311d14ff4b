//! What cannot pay even if it never fails.
//!
//! The first items show what calls cost. A test needs some items even if no answer fails, `k` with
//! `P(Hyp(N, F + 1, k) = 0) <= alpha`, and saves at most what the reference costs on the items after it. Where
//! few items are left, that is little beside the calls of a test and a pilot, and a candidate for which it is
//! too little is not asked again. If nothing may fail at all, no candidate is asked in the first place: a test
//! would take nearly all the items.
//!
//! All this goes by costs and not by answers, and before any test is judged. At any time, ratings that bring an
//! answer to the price of the reference's are not bought again.

use super::super::StopReason;
use super::super::settings::{Families, Objective};
use super::{Brain, DEARER};
use crate::evidence::ModelSet;
use crate::roster::ModelId;
use crate::stats::least_draws;

/// A few items show costs roughly, so what is spent may seem to be up to this many times what it could save.
pub(super) const DOUBT: f64 = 1.5;
/// The items on which a pilot asks all candidates it was begun with.
const TOGETHER: f64 = 4.0;
/// What these calls may cost of what could be saved.
const MODEST: f64 = 0.25;
/// On fewer items than this the first goes alone, for what it shows of costs.
const FEW: u64 = 100;
/// After so many items an absurd bill is told from the others.
const EARLY: u64 = 4;
/// Where the reference has answered too few items by then, it is left to the reviews to judge costs.
const LATE: u64 = 16;
/// If no answer may fail, a test leaves this share of the items at most.
const NEARLY: f64 = 0.2;
/// About the fewest answers that show a good candidate to be above the default floor.
const FLOOR: f64 = 6.0;

impl Brain {
    /// Whether no answer of a candidate may fail, so that asking any is in vain.
    pub(super) fn allows_nothing(&self) -> bool {
        let least = self.settings.objective == Objective::LeastCost;
        let sure = self.target.alpha() < NEARLY;
        least && sure && self.target.allowance(self.order.population()) == 0
    }

    /// Gives up the candidates whose price for a request is no lower than the reference's, before any call.
    ///
    /// If that leaves no policy to look for, a few items tell what the backends say of their bills.
    pub(super) fn give_up_known_dearer(&mut self) {
        let keep: ModelSet =
            self.demand.ask.iter().filter(|id| !self.is_known_dearer(*id)).collect();
        if keep.len() >= self.fewest() {
            self.keep_only(keep, DEARER);
        }
    }

    /// Whether requests have one price each, and this candidate's is no lower than the reference's.
    pub(super) fn is_known_dearer(&self, id: ModelId) -> bool {
        let fee = |id| self.roster.model(id).and_then(|model| model.pricing.fee_alone());
        fee(id).zip(fee(ModelId::REFERENCE)).is_some_and(|(own, theirs)| own >= theirs)
    }

    /// Whether no more than one item is to be begun, because nobody knows yet what calls cost.
    pub(super) fn waits_for_prices(&self) -> bool {
        self.profiled() == 0 && self.order.population() < FEW
    }

    /// Gives up the candidates that cannot pay.
    ///
    /// Among few items that is after each of the first ones that the reference answered, else once, after the
    /// last of these.
    pub(super) fn give_up_hopeless(&mut self) {
        let few = self.order.population() < FEW;
        let least = self.settings.objective == Objective::LeastCost;
        if !least
            || self.profiled() > LATE
            || !self.evidence.last().is_some_and(|item| item.answered)
        {
            return;
        }
        let answered = self.evidence.iter().filter(|item| item.answered).count() as u64;
        if answered > EARLY || !(few || answered == EARLY) {
            return;
        }
        let Ok(design) = self.design(self.profiled()) else { return };
        let reference = self.means.answer(ModelId::REFERENCE);
        if reference <= 0.0 {
            return;
        }
        let left = self.order.population().saturating_sub(self.profiled());
        let cheaper = self.demand.ask.iter().filter(|id| self.means.answer(*id) < reference);
        self.keep_only(cheaper.collect(), DEARER);
        let items = least_draws(design, 0, self.level(), 0, left) as f64;
        let rest = (left as f64 - items).max(0.0);
        let last = self.target.allowance(self.order.population()).min(left) as f64;
        let till = self.till();
        // A trial is compared with the reference's answer, an answer delivered is not.
        let saves = |id: ModelId| reference - self.means.answer(id);
        let mut asked: Vec<(ModelId, f64)> =
            self.demand.ask.iter().map(|id| (id, till.trial(id))).collect();
        asked.sort_by(|a, b| a.1.total_cmp(&b.1));
        let Some((cheapest, _)) = asked.first().copied() else { return };
        let most = MODEST * rest.max(last) * saves(cheapest);
        let (mut keep, mut together) = (ModelSet::EMPTY, 0.0);
        for (id, trial) in asked {
            let tests = items * trial <= DOUBT * rest * saves(id);
            let spares = FLOOR * trial <= MODEST * last * saves(id);
            if (tests || spares) && TOGETHER * (together + trial) <= most {
                keep.insert(id);
                together += trial;
            }
        }
        self.keep_only(keep, "its calls cost too much of what it could save");
    }

    /// Asks only these candidates from here on.
    pub(super) fn keep_only(&mut self, keep: ModelSet, reason: &str) {
        let gone: ModelSet = self.demand.ask.iter().filter(|id| !keep.contains(*id)).collect();
        if gone.is_empty() {
            return;
        }
        for at in 0..self.tests.len() {
            let loses = |id: ModelId| gone.contains(id);
            if self.tests.get(at).is_some_and(|test| test.chain.models().iter().any(loses)) {
                self.drop_test(at, reason);
            }
        }
        for model in gone.iter() {
            self.demand.ask.remove(model);
            self.demand.rate.remove(model);
            self.tell_drop(model, reason.to_owned());
        }
        self.demand.compare &= self.demand.ask.len() > 1;
        if self.demand.ask.len() < self.fewest() {
            self.halt(StopReason::NotWorthMore);
        }
    }

    /// How many candidates a policy takes at least.
    fn fewest(&self) -> usize {
        if self.settings.families == Families::Consensus { 2 } else { 1 }
    }

    /// Buys no more ratings that bring an answer to the price of the reference's.
    pub(super) fn give_up_dear_ratings(&mut self) {
        if self.profiled() < EARLY {
            return;
        }
        let reference = self.means.answer(ModelId::REFERENCE);
        let dear = |id: &ModelId| {
            let (answer, rating) = (self.means.answer(*id), self.means.rating(*id));
            reference > 0.0 && rating > 0.0 && answer + rating >= reference
        };
        let dear: ModelSet = self.demand.rate.iter().filter(dear).collect();
        for id in dear.iter() {
            self.demand.rate.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::stats::{Design, Probability, least_draws};

    #[test]
    fn the_shortest_test_is_that_of_the_hypergeometric_distribution() {
        let level = Probability::new(0.05).unwrap();
        let of = |population, allowance| {
            least_draws(Design::finite(population, allowance).unwrap(), 0, level, 0, population)
        };
        // (20 - k) (19 - k) / 380 is 12 / 380 at k = 16, and 20 / 380 at k = 15.
        assert_eq!(of(20, 1), 16);
        // None of k draws is the one failing item with probability 1 - k / 70.
        assert_eq!(of(70, 0), 67);
        // 0.95^58 < 0.06 and 0.95^59 < 0.05: nearly with replacement.
        assert!((55..=59).contains(&of(1_000_000, 50_000)));
    }
}

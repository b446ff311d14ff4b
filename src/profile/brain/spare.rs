//! What needs no test: the last items of the order, as many as may fail.
//!
//! A candidate that answers no more than `F` items delivers no more than `F` failures, whatever its answers
//! are. So where the reference would answer all that is left, the cheapest candidate takes the last `F` ranks
//! from it instead. This costs no share of the error, so it may be chosen for any reason and at any time: after
//! a test in vain, where none was begun, or in the place of a certified policy that is dearer.
//!
//! The candidate is one whose agreement is above the floor, by its exact upper failure rate (Clopper and
//! Pearson, one-sided, at the target's confidence) over its answers to the items on which it was asked whatever
//! others said. Where profiling would end before any is known to be, a *probe* asks the most promising of the
//! candidates asked last about some more items, as long as the calls that this is likely to take cost little
//! beside what the last items save. The reference answers the probe's items, as it does all profiled ones, and
//! would have answered them anyway. A probe looks at the rate after each item, so its level is nominal; the
//! promise does not rest on it.

use super::super::StopReason;
use super::super::decision::Demand;
use super::super::settings::{Families, Objective};
use super::super::worth::Untested;
use super::Brain;
use crate::evidence::{Agreement, ModelSet};
use crate::plan::{Chain, Considered, Mark, PerItem, Policy};
use crate::pricing::Cost;
use crate::roster::ModelId;
use crate::stats::upper_rate;

/// A probe takes this many items at most.
const PROBE: u64 = 48;
/// A probe's calls are likely to cost this share of what the last items save at most.
const LITTLE: f64 = 0.25;
/// What a budget sets aside for an item, in bills, where it knows no bounds.
const ASIDE: f64 = 2.0;
/// How many items of a probe are under way at once.
const AHEAD: u64 = 4;

/// A candidate that answers the last items.
pub(super) struct Spare {
    model: ModelId,
    /// How many items it answers.
    items: u64,
    /// What each of them costs, in nano-units.
    each: f64,
    /// What an item that was not asked about costs on the whole, in nano-units.
    pub(super) per_item: f64,
    /// What share of the items that were not asked about it answers.
    share: f64,
}

impl Spare {
    pub(super) const fn policy(&self) -> Policy {
        Policy::Last { model: self.model, items: self.items }
    }

    /// Its entry among what was considered.
    pub(super) fn considered(&self, name: String) -> Considered {
        let outcome = "chosen, without a test: no more items than may fail".to_owned();
        let untested = Considered::untested(name, Some(Chain::single(self.model)), outcome);
        Considered { chosen: true, ..untested.at(self.per_item) }
    }
}

/// A candidate asked about a few more items, to see if it is above the floor.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    model: ModelId,
    /// The rank at which it began.
    since: u64,
}

impl Brain {
    /// The candidate that answers the last items at the least cost, if ranks below `asked` are answered.
    pub(super) fn spare(&self, asked: u64) -> Option<Spare> {
        let left = self.order.population().saturating_sub(asked);
        let items = self.last_items(left)?;
        let candidates = self.roster.candidates().filter(|id| {
            let (count, failures) = self.answered(*id);
            self.is_above_floor(count, failures)
        });
        let spares = candidates.map(|model| self.last(model, items, asked));
        let reference = self.means.answer(ModelId::REFERENCE);
        // Where the money ends before all items are answered, it never comes to the last of them. For each of
        // these, an answer of the reference is set aside as well, at up to twice its usual bill.
        let reached = |spare: &Spare| {
            let others = (left - spare.items) as f64;
            let aside = ASIDE * (reference + spare.each);
            self.thrift().bears(others * reference + spare.items as f64 * spare.each + aside)
        };
        let cheaper = spares.filter(|spare| spare.each < reference && reached(spare));
        cheaper.min_by(|a, b| a.each.total_cmp(&b.each))
    }

    /// What the last items save if the others cost `now` each.
    pub(super) fn untested(&self, now: f64) -> Untested {
        let remaining = (self.order.population() - self.profiled()) as f64;
        let spare = self.spare(self.profiled());
        spare.map_or(Untested::NOTHING, |spare| Untested {
            saved: (now - spare.per_item).max(0.0) * remaining,
            items: spare.items,
        })
    }

    /// How many of the `left` items a candidate may answer untested, if any may.
    fn last_items(&self, left: u64) -> Option<u64> {
        let families = self.settings.families;
        let wanted = matches!(families, Families::Auto | Families::Single | Families::Mix)
            && self.settings.objective == Objective::LeastCost
            && self.knows_bills();
        let items = self.target.allowance(self.order.population()).min(left);
        (wanted && items > 0).then_some(items)
    }

    /// What an item costs that is given to this candidate, in nano-units.
    fn spared_each(&self, model: ModelId) -> f64 {
        let chain = Chain::single(model);
        self.till().mean(&chain, &Mark::LOWEST, &self.sample(&chain))
    }

    /// What a candidate answers if it takes the last `items`, and what that costs, if ranks below `asked` are
    /// answered.
    fn last(&self, model: ModelId, items: u64, asked: u64) -> Spare {
        let left = self.order.population().saturating_sub(asked);
        let (items, each) = (items.min(left), self.spared_each(model));
        let share = items as f64 / left.max(1) as f64;
        let reference = self.means.answer(ModelId::REFERENCE);
        Spare { model, items, each, per_item: share * each + (1.0 - share) * reference, share }
    }

    /// What an item that was not asked about costs if a candidate answers the last `items`, in nano-units.
    pub(super) fn mean_of_last(&self, model: ModelId, items: u64, asked: u64) -> f64 {
        self.last(model, items, asked).per_item
    }

    /// The same by item, with what auditing all of the candidate's answers would add.
    pub(super) fn per_item_of_last(&self, model: ModelId, items: u64, asked: u64) -> PerItem {
        let Spare { per_item, share, .. } = self.last(model, items, asked);
        let (chain, till) = (Chain::single(model), self.till());
        let audit = till.audit(&chain, &Mark::LOWEST, &self.sample(&chain));
        PerItem {
            policy: Cost::estimated(per_item),
            reference: Cost::estimated(self.means.answer(ModelId::REFERENCE)),
            audit: Cost::estimated(share * audit),
        }
    }

    /// How many answers a candidate gave that say something of it in general, and how many of them failed.
    fn answered(&self, id: ModelId) -> (u64, u64) {
        let whatever =
            self.evidence.iter().filter(|item| item.unless.is_none_or(|first| first == id));
        let records = whatever.filter_map(|item| item.candidate(id));
        let answers = records.filter(|record| record.agreement != Agreement::NoAnswer);
        answers.fold((0, 0), |(count, failures), record| {
            (count + 1, failures + u64::from(record.agreement != Agreement::Agrees))
        })
    }

    /// Whether so many failures among so many answers show an agreement above the floor.
    fn is_above_floor(&self, count: u64, failures: u64) -> bool {
        let upper = upper_rate(count, failures, self.level());
        count > 0 && upper.is_ok_and(|rate| rate < 1.0 - self.settings.floor)
    }

    /// Ends profiling with nothing certified, or begins a probe of one of the candidates `asked` so far.
    ///
    /// Items under way were asked about these. So a probe demands nothing that an item before it lacks, and whoever
    /// reads the evidence again comes to the same probe.
    pub(super) fn give_up(&mut self, asked: ModelSet) {
        let since = self.profiled();
        self.pilot = self.pilot.min(since);
        let model = self.promising(asked, since);
        self.probe = model.map(|model| Probe { model, since });
        self.ask_promising(model);
    }

    /// Goes on with a probe, or ends profiling.
    pub(super) fn go_on_probing(&mut self) {
        let goes_on = |probe: &Probe| self.promising(ModelSet::of(probe.model), probe.since);
        self.ask_promising(self.probe.as_ref().and_then(goes_on));
    }

    fn ask_promising(&mut self, model: Option<ModelId>) {
        match model {
            Some(model) => {
                self.demand = Demand { ask: ModelSet::of(model), ..Demand::default() };
            }
            None => self.halt(StopReason::NotWorthMore),
        }
    }

    /// The first rank that a probe must not ask about yet.
    pub(super) fn probe_horizon(&self) -> Option<u64> {
        let end = self.probe.as_ref()?.since.saturating_add(PROBE);
        Some((self.profiled() + AHEAD).min(end))
    }

    /// Which of these candidates a probe begun at the rank `since` asks about the next item, if any.
    fn promising(&self, among: ModelSet, since: u64) -> Option<ModelId> {
        let profiled = self.profiled();
        let left = self.order.population().saturating_sub(profiled);
        let items = self.last_items(left)?;
        let most = (since + PROBE).saturating_sub(profiled).min(left - items);
        if self.spare(profiled).is_some() {
            return None;
        }
        let reference = self.means.answer(ModelId::REFERENCE);
        let worth = |id: ModelId| {
            let saved = items as f64 * (reference - self.spared_each(id));
            let calls = self.likely_items(id, most)? as f64 * self.till().trial(id);
            let bears = self.thrift().bears(calls + left as f64 * reference);
            (bears && calls <= LITTLE * saved).then_some((id, saved - calls))
        };
        let candidates = among.iter().filter_map(worth);
        candidates.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    }

    /// After how many more answers, `most` at most, a candidate is likely to be seen above the floor.
    fn likely_items(&self, id: ModelId, most: u64) -> Option<u64> {
        let (count, failures) = self.answered(id);
        if count == 0 {
            return None;
        }
        // The mean of the posterior under Jeffreys' prior.
        let rate = (failures as f64 + 0.5) / (count as f64 + 1.0);
        (1..=most).find(|more| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
            let failing = (rate * *more as f64).ceil() as u64;
            self.is_above_floor(count + more, failures + failing)
        })
    }
}

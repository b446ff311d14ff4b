//! The hard cap: money is set aside for an item before its first call.
//!
//! An item takes a place in a queue. It waits until the most it may cost fits under the cap, beside what
//! was spent and what is set aside for items under way. It is refused only when nothing under way can
//! give money back. Therefore:
//!
//! * Spending never passes the cap while the bounds hold: spent + set aside <= cap at all times.
//! * An item is begun only if it can be finished: no candidate is paid for an answer that is then lost
//!   because the reference cannot be paid.
//! * With given bounds, whether an item is affordable depends on what the items *before it in the queue*
//!   cost, never on which finished first: a place is granted early only if it would also be granted
//!   after all of them had spent their worst.
//!
//! Bounds learnt from calls (the largest bill, with a margin) promise nothing. Until the first call of a
//! model is billed, an item that needs it sets aside all the money and goes alone. If that call does not
//! say what it cost, nobody can tell what is left, and all that was set aside counts as spent. A call
//! that ended without a bill counts as one that does not say.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

use super::Bill;
use crate::calls::CallKey;
use crate::evidence::ModelSet;
use crate::locks::lock;
use crate::observe::CallKind;
use crate::pricing::Cost;
use crate::roster::ModelId;

/// A learnt bound is this many times the largest bill seen.
const MARGIN: u64 = 2;

/// The calls an item takes at worst.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs(Vec<Need>);

/// One call, told from others as its key tells it: a recorded comparison stands for that of no other pair.
#[derive(Debug, Clone, Copy)]
struct Need {
    model: ModelId,
    kind: CallKind,
    /// The model itself; in a comparison the other one, which will be one of these.
    others: ModelSet,
}

impl Needs {
    /// One answer of each model in `answers`, and one rating of each in `ratings`.
    pub(crate) fn new(
        answers: impl IntoIterator<Item = ModelId>,
        ratings: impl IntoIterator<Item = ModelId>,
    ) -> Self {
        let answers = answers.into_iter().map(|id| (id, CallKind::Answer));
        let ratings = ratings.into_iter().map(|id| (id, CallKind::Rating));
        let own = |(model, kind)| Need { model, kind, others: ModelSet::of(model) };
        Self(answers.chain(ratings).map(own).collect())
    }

    /// The reference's second answer, compared with its first.
    pub(crate) fn repeat() -> Self {
        let model = ModelId::REFERENCE;
        let own = |kind| Need { model, kind, others: ModelSet::of(model) };
        Self(vec![own(CallKind::Repeat), own(CallKind::Comparison)])
    }

    /// Adds one comparison of the left model's answer with that of one of the others: not known yet of
    /// which, if there are several.
    pub(crate) fn compare(&mut self, left: ModelId, others: ModelSet) {
        if !others.is_empty() {
            self.0.push(Need { model: left, kind: CallKind::Comparison, others });
        }
    }

    /// The calls that are not paid for already. A comparison with one of several models is, if those with
    /// all of them are.
    pub(crate) fn without(mut self, paid: impl IntoIterator<Item = CallKey>) -> Self {
        for CallKey { model, kind, other, .. } in paid {
            let place = self.0.iter().position(|need| {
                (need.model, need.kind) == (model, kind) && need.others.contains(other)
            });
            let Some(place) = place else { continue };
            if let Some(need) = self.0.get_mut(place) {
                need.others.remove(other);
                if need.others.is_empty() {
                    self.0.remove(place);
                }
            }
        }
        self
    }
}

/// What one call costs at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bound {
    /// The bound that the caller set.
    pub(crate) given: Option<Cost>,
    /// The largest bill seen.
    pub(crate) largest: Option<Cost>,
}

impl Bound {
    /// Learns from a call's bill. A failed call that cost nothing tells nothing about calls that do not fail.
    fn learn(&mut self, bill: &Bill<'_>) {
        let cost = bill.cost();
        if bill.says_something() && (cost > Cost::ZERO || !bill.has_failed()) {
            self.largest = self.largest.max(Some(cost));
        }
    }

    fn value(self) -> Option<Cost> {
        self.given.or_else(|| self.largest.map(|cost| cost.times(MARGIN)))
    }

    /// What a call is taken to have cost; `None` if nobody can tell. A given bound covers all its
    /// attempts, a learnt one each. A model without prices that has sent no bill is free.
    fn taken(self, bill: &Bill<'_>) -> Option<Cost> {
        let (cost, silent) = (bill.cost(), bill.unbilled());
        if bill.is_metered() && !(bill.is_unpriced() && silent > 0) {
            return Some(cost);
        }
        if let Some(given) = self.given {
            return Some(cost.max(given));
        }
        let learnt = self.largest.map(|largest| largest.times(MARGIN).times(silent.max(1)));
        let free = bill.is_metered().then_some(Cost::ZERO);
        learnt.or(free).map(|silent| cost + silent)
    }
}

/// What the run that profiled spent of the same money, and which recorded calls are among that.
pub(crate) type Before<'a> = (Cost, &'a dyn Fn(&CallKey) -> bool);

/// The money of one run.
#[derive(Debug)]
pub(crate) struct Purse {
    cap: Cost,
    /// Whether the run that profiled has spent of the same money.
    continues: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spent: Cost,
    /// How much of that no call reported: the bounds that were assumed instead.
    assumed: Cost,
    /// The same of recorded calls, by item.
    assumed_before: BTreeMap<u64, Cost>,
    reserved: Cost,
    /// One for each model.
    models: Vec<Bound>,
    judge: Bound,
    queue: VecDeque<u64>,
    entries: BTreeMap<u64, Entry>,
    next: u64,
    over_bound: u64,
    unbounded: u64,
}

#[derive(Debug)]
struct Entry {
    needs: Needs,
    stage: Stage,
    wakers: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Open { reserved: Cost },
    Refused,
}

impl Purse {
    /// Makes a purse with this cap.
    pub(crate) fn new(cap: Cost, models: Vec<Bound>, judge: Bound) -> Self {
        let state = State {
            spent: Cost::ZERO,
            assumed: Cost::ZERO,
            assumed_before: BTreeMap::new(),
            reserved: Cost::ZERO,
            models,
            judge,
            queue: VecDeque::new(),
            entries: BTreeMap::new(),
            next: 0,
            over_bound: 0,
            unbounded: 0,
        };
        Self { cap, continues: false, state: Mutex::new(state) }
    }

    /// The same purse after the calls of earlier runs. The bounds are learnt from all of them first,
    /// before a cost is assumed for those that did not report one.
    ///
    /// What the run that profiled spent is spent here too, but only once: if both halves have one journal,
    /// its calls are among the recorded ones.
    pub(super) fn after(
        mut self,
        recorded: &[(CallKey, Bill<'_>)],
        before: Option<Before<'_>>,
    ) -> Self {
        let cap = self.cap;
        self.continues = before.is_some();
        let (mut elsewhere, among) = before.unwrap_or((Cost::ZERO, &|_| false));
        let mut state = self.lock();
        for (key, bill) in recorded {
            state.bound(key).learn(bill);
        }
        for (key, bill) in recorded {
            let taken = state.bound(key).taken(bill).unwrap_or(cap).max(bill.cost());
            state.spent += taken;
            let excess = taken.saturating_sub(bill.cost());
            if excess > Cost::ZERO {
                *state.assumed_before.entry(key.index).or_default() += excess;
            }
            if among(key) {
                elsewhere = elsewhere.saturating_sub(taken);
            }
        }
        state.spent += elsewhere;
        drop(state);
        self
    }

    pub(crate) const fn cap(&self) -> Cost {
        self.cap
    }

    /// Whether the run that profiled has spent of the same money.
    pub(crate) const fn continues(&self) -> bool {
        self.continues
    }

    /// How much was taken to be spent that no call reported: by this run, and by earlier ones on items that
    /// are `ours`.
    pub(crate) fn assumed(&self, ours: impl Fn(u64) -> bool) -> Cost {
        let state = self.lock();
        let before = state.assumed_before.iter().filter(|(index, _)| ours(**index));
        before.map(|(_, cost)| *cost).sum::<Cost>() + state.assumed
    }

    /// The most that a judging call is said to cost.
    pub(crate) fn judge_bound(&self) -> Option<Cost> {
        self.lock().judge.given
    }

    /// How many calls cost more than their given bound.
    pub(crate) fn over_bound(&self) -> u64 {
        self.lock().over_bound
    }

    /// How many calls, of models without a bound, did not say what they cost.
    pub(crate) fn unbounded(&self) -> u64 {
        self.lock().unbounded
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// What is known of the cost of such a call.
    fn bound(&mut self, key: &CallKey) -> &mut Bound {
        match key.kind {
            CallKind::Comparison => &mut self.judge,
            _ => self.models.get_mut(key.model.position()).unwrap_or(&mut self.judge),
        }
    }

    /// The most that these calls cost; `None` if a model among them has neither a bound nor a bill.
    fn worst(&self, needs: &Needs) -> Option<Cost> {
        needs.0.iter().try_fold(Cost::ZERO, |sum, need| {
            let bound = match need.kind {
                CallKind::Comparison => self.judge,
                _ => self.models.get(need.model.position()).copied().unwrap_or_default(),
            };
            Some(sum + bound.value()?)
        })
    }

    /// Grants or refuses places, from the front of the queue. Returns whom to wake, once the purse is unlocked.
    #[must_use]
    fn pump(&mut self, cap: Cost) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(ticket) = self.queue.front().copied() {
            let Some(entry) = self.entries.get(&ticket) else {
                self.queue.pop_front();
                continue;
            };
            let left = cap.saturating_sub(self.spent + self.reserved);
            let wanted = self.worst(&entry.needs);
            let idle = self.reserved == Cost::ZERO;
            let stage = match wanted {
                Some(worst) if worst <= left => Stage::Open { reserved: worst },
                None if idle && left > Cost::ZERO => Stage::Open { reserved: left },
                _ if idle => Stage::Refused,
                _ => break,
            };
            if let Stage::Open { reserved } = stage {
                self.reserved += reserved;
            }
            self.queue.pop_front();
            if let Some(entry) = self.entries.get_mut(&ticket) {
                entry.stage = stage;
                wakers.append(&mut entry.wakers);
            }
        }
        wakers
    }
}

/// One item's account with the purse; it has no effect if there is no budget.
#[derive(Debug)]
pub(crate) struct Tab<'a> {
    purse: Option<&'a Purse>,
    needs: Mutex<Option<Needs>>,
    ticket: Mutex<Option<u64>>,
}

impl<'a> Tab<'a> {
    pub(super) fn new(purse: Option<&'a Purse>, needs: impl FnOnce() -> Needs) -> Self {
        let needs = Mutex::new(purse.map(|_| needs()));
        Self { purse, needs, ticket: Mutex::new(None) }
    }

    /// Waits until the item may spend; returns false if the budget does not allow it. The first request
    /// takes the item's place in the queue.
    pub(crate) async fn open(&self) -> bool {
        let Some(purse) = self.purse else { return true };
        poll_fn(|cx| {
            let mut state = purse.lock();
            let (ticket, wakers) = self.ticket(&mut state, purse.cap);
            let stage = match state.entries.get_mut(&ticket) {
                Some(Entry { stage: Stage::Open { .. }, .. }) => Poll::Ready(true),
                Some(entry) if entry.stage == Stage::Waiting => {
                    entry.wakers.push(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(false),
            };
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            stage
        })
        .await
    }

    /// The item's place in the queue, and whom to wake because it was taken.
    fn ticket(&self, state: &mut State, cap: Cost) -> (u64, Vec<Waker>) {
        let mut ticket = lock(&self.ticket);
        if let Some(ticket) = *ticket {
            return (ticket, Vec::new());
        }
        let new = state.next;
        state.next += 1;
        *ticket = Some(new);
        let needs = lock(&self.needs).take();
        let needs = needs.unwrap_or_default();
        state.entries.insert(new, Entry { needs, stage: Stage::Waiting, wakers: Vec::new() });
        state.queue.push_back(new);
        (new, state.pump(cap))
    }

    /// Books a call of the item. A call whose cost is not known is taken to have cost its bound.
    pub(crate) fn settle(&self, key: &CallKey, bill: Bill<'_>) {
        let Some(purse) = self.purse else { return };
        let mut state = purse.lock();
        let bound = state.bound(key);
        bound.learn(&bill);
        let (given, taken) = (bound.given, bound.taken(&bill));
        let ticket = *lock(&self.ticket);
        let entry = ticket.and_then(|ticket| state.entries.get(&ticket));
        let aside = match entry {
            Some(Entry { stage: Stage::Open { reserved }, .. }) => *reserved,
            _ => Cost::ZERO,
        };
        state.over_bound += u64::from(given.is_some_and(|given| bill.cost() > given));
        state.unbounded += u64::from(taken.is_none());
        let cost = taken.unwrap_or(aside).max(bill.cost());
        state.spent += cost;
        state.assumed += cost.saturating_sub(bill.cost());
        let used = cost.min(aside);
        state.reserved = state.reserved.saturating_sub(used);
        let entry = ticket.and_then(|ticket| state.entries.get_mut(&ticket));
        if let Some(Entry { stage: Stage::Open { reserved }, .. }) = entry {
            *reserved = reserved.saturating_sub(used);
        }
    }
}

impl Drop for Tab<'_> {
    /// Gives back what was not needed, even if the item's future is dropped half way.
    fn drop(&mut self) {
        let Some(purse) = self.purse else { return };
        let ticket = *lock(&self.ticket);
        let Some(ticket) = ticket else { return };
        let mut state = purse.lock();
        let entry = state.entries.remove(&ticket);
        if let Some(Entry { stage: Stage::Open { reserved }, .. }) = entry {
            state.reserved = state.reserved.saturating_sub(reserved);
        }
        let wakers = state.pump(purse.cap);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

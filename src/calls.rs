//! The one place where calls are made and paid: every answer, rating and judgement passes here.
//!
//! If an earlier run paid for a call, its result is recalled. Otherwise, if the budget bears it, the
//! call is made with panics caught, kept in the journal, billed, and only then handed on to profiling or
//! execution. There is no `await` between the end of a call and its record, so a run that is dropped has
//! written down everything it was told. What a wrapper learns *within* a call is not recorded until the
//! call ends: a [`Retry`](crate::backend::Retry) that is dropped while it waits takes along what its
//! failed attempts reported.

mod dropped;
mod errand;
mod judge;
mod kept;
mod key;
mod line;
mod memory;
mod plain;
mod stopping;

use std::sync::Arc;

use crate::backend::guard::guarded;
use crate::backend::{BackendError, Completion, Confidence, ErrorKind, Rating};
use crate::equivalence::{Equivalence, Verdict};
use crate::error::RunError;
use crate::ledger::{Bill, Budgeted, Ledger, Needs, Purse};
use crate::observe::{CallKind, Event, Observers};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, Roster};

use dropped::Sent;
pub(crate) use errand::{Errand, Fingerprint, told_apart};
use judge::Judge;
pub(crate) use judge::is_judgement;
use kept::Paid;
pub(crate) use kept::{Keeper, Keepsake, Kept};
pub(crate) use key::CallKey;
pub(crate) use line::{Line, Place};
use memory::Memory;
pub(crate) use plain::Underway;
use stopping::{Begun, Stopping};

/// The outcome of asking for an answer.
#[derive(Debug)]
pub(crate) enum Asked<O> {
    Answered {
        output: O,
        usage: Option<Usage>,
        score: Option<Confidence>,
        cost: Cost,
    },
    Failed {
        kind: ErrorKind,
        usage: Option<Usage>,
        cost: Cost,
    },
    /// Not asked, because the budget would not bear it or the run was stopped ([`Errand::refusal`]).
    NotMade,
}

/// The outcome of asking for a score, and what asking cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rated {
    pub(crate) score: Option<Confidence>,
    /// How the call failed, if it did.
    pub(crate) failed: Option<ErrorKind>,
    /// Whether there might have been a score at another time.
    pub(crate) missed: bool,
    /// Whether the budget or a stop kept the call from being made.
    pub(crate) not_made: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Cost,
}

/// A verdict on two answers, and what it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) equivalent: bool,
    /// How the comparison failed, if it did.
    pub(crate) failed: Option<ErrorKind>,
    /// Whether the verdict might have been another at another time.
    pub(crate) missed: bool,
    /// Whether the budget or a stop kept the call from being made.
    pub(crate) not_made: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Cost,
}

/// The outcome of a call that was paid now, earlier, or not at all.
enum Went<T> {
    Well(T, Cost),
    Badly(ErrorKind, Option<Usage>, Cost),
    NotMade,
}

/// Makes the calls of one run.
pub(crate) struct Calls<I: ?Sized + Sync, O> {
    pub(crate) roster: Roster<I, O>,
    pub(crate) equivalence: Arc<dyn Equivalence<I, O>>,
    judge: Judge,
    pub(crate) observers: Observers,
    pub(crate) ledger: Ledger,
    keeper: Option<Arc<dyn Keeper<O>>>,
    /// What tells an item from others in evidence and plans, if the caller said so.
    key: Option<Arc<Fingerprint<I>>>,
    /// What tells it from others in the journal, and where the caller said nothing also in evidence and
    /// plans.
    recorded: Option<Arc<Fingerprint<I>>>,
    memory: Memory<O>,
    stopping: Stopping,
    /// The cap that profiling plans within; execution is held to the budget's.
    pub(crate) planned: Option<Cost>,
    /// The rank before which no less money ended profiling in an earlier run.
    pub(crate) ended: Option<u64>,
}

impl<I: ?Sized + Sync, O> Calls<I, O> {
    /// What tells an item from others, if items have a key.
    pub(crate) fn fingerprint_of(&self, index: u64, item: &I) -> Result<Option<u64>, RunError> {
        let by = self.key.as_ref().or(self.recorded.as_ref());
        by.map(|by| told_apart(&**by, index, item)).transpose()
    }
}

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    pub(crate) fn new(
        roster: Roster<I, O>,
        equivalence: Arc<dyn Equivalence<I, O>>,
        observers: Observers,
        ledger: Ledger,
    ) -> Self {
        let judge = Judge::new(equivalence.pricing(), &ledger);
        let (memory, stopping) = (Memory::default(), Stopping::default());
        let (keeper, key, recorded) = (None, None, None);
        let planned = ledger.purse().map(Purse::cap);
        Self {
            roster,
            equivalence,
            judge,
            observers,
            ledger,
            keeper,
            key,
            recorded,
            memory,
            stopping,
            planned,
            ended: None,
        }
    }

    /// Sets the function that tells items apart.
    pub(crate) fn with_item_key(mut self, key: Option<Arc<Fingerprint<I>>>) -> Self {
        self.key = key;
        self
    }

    /// Sets the keeper to recall calls from and to write them down in, and what tells items apart there.
    pub(crate) fn with_keeper(
        mut self,
        keeper: Arc<dyn Keeper<O>>,
        recorded: Option<Arc<Fingerprint<I>>>,
    ) -> Self {
        (self.keeper, self.recorded) = (Some(keeper), recorded);
        self
    }

    /// Begins one item's calls. `needs` returns the calls it takes at worst; it is called only if there
    /// is a budget.
    pub(crate) fn errand<'a>(
        &'a self,
        index: u64,
        item: &'a I,
        needs: impl FnOnce() -> Needs,
    ) -> Result<Errand<'a, I>, RunError> {
        let told = |by: &Option<Arc<Fingerprint<I>>>| {
            by.as_ref().map(|by| told_apart(&**by, index, item)).transpose()
        };
        let recorded = told(&self.recorded)?;
        let fingerprint = told(&self.key)?.or(recorded);
        // A call that is paid for is already counted as spent, and must not be reserved a second time.
        let needs = || {
            let recorded = self.keeper.as_ref().map(|keeper| keeper.paid_for(index));
            needs().without(recorded.into_iter().flatten().chain(self.memory.paid_for(index)))
        };
        let (tab, begun) = (self.ledger.tab(needs), Begun::default());
        Ok(Errand { index, item, fingerprint, recorded, tab, begun, place: None })
    }

    /// Holds on to a paid call for whoever asks for it next.
    pub(crate) fn remember(&self, key: CallKey, kept: Kept<O>) {
        self.judge.learn(&key, kept.usage().as_ref());
        self.memory.put(key, kept);
    }

    /// Writes down that the budget ended profiling before the item of this rank.
    pub(crate) fn end(&self, rank: u64) -> Result<(), RunError> {
        let end = self.keeper.as_ref().zip(self.ledger.purse());
        end.map_or(Ok(()), |(keeper, purse)| keeper.end(rank, purse.cap()))
    }

    /// Takes the paid calls that nobody used.
    pub(crate) fn take_remembered(&self) -> Vec<(CallKey, Kept<O>)> {
        self.memory.empty()
    }

    /// Takes over paid calls from the run that profiled: they are in its books, and must not enter this
    /// run's.
    pub(crate) fn hand_over(&self, calls: Vec<(CallKey, Kept<O>)>) -> Result<(), RunError> {
        for (key, kept) in calls {
            if let Some(keeper) = &self.keeper {
                keeper.recall(&key, None)?;
            }
            self.remember(key, kept);
        }
        Ok(())
    }

    fn pricing(&self, key: &CallKey) -> &Pricing {
        if key.kind == CallKind::Comparison {
            return &self.judge.pricing;
        }
        self.roster.spec().model(key.model).map_or(&Pricing::NONE, |model| &model.pricing)
    }

    fn finished(
        &self,
        key: CallKey,
        usage: Option<Usage>,
        cost: Cost,
        error: Option<ErrorKind>,
        recalled: bool,
    ) {
        if !self.observers.is_empty() {
            let CallKey { index, model, kind, .. } = key;
            let event = Event::CallFinished { model, index, kind, usage, cost, error, recalled };
            self.observers.emit(&event);
        }
    }

    fn started(&self, key: CallKey) {
        if !self.observers.is_empty() {
            let CallKey { index, model, kind, .. } = key;
            self.observers.emit(&Event::CallStarted { model, index, kind });
        }
    }

    /// Recalls a call that was paid for already, by this run or an earlier one.
    fn recall<T: Paid<O>>(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
    ) -> Result<Option<Went<T>>, RunError> {
        let pricing = self.pricing(&key);
        // Observers were already told of what this run paid for itself.
        let (kept, told) = match (self.memory.take(&key), &self.keeper) {
            (Some(kept), _) => (Some((kept, true)), true),
            (None, Some(keeper)) => (keeper.recall(&key, errand.recorded)?, false),
            (None, None) => (None, false),
        };
        let Some((kept, booked)) = kept else { return Ok(None) };
        let (error, usage) = (kept.failed(), kept.usage());
        let bill = Bill::new(pricing, usage.as_ref()).recalled().failed(error);
        let cost = if booked { bill.cost() } else { self.ledger.bill(key, bill) };
        if !booked {
            self.ledger.faults.recall(&key, error);
        }
        if !told {
            self.finished(key, usage, cost, error, true);
        }
        if let Kept::Failure { kind, usage } = kept {
            return Ok(Some(Went::Badly(kind, usage, cost)));
        }
        Ok(T::recalled(kept).map(|value| Went::Well(value, cost)))
    }

    /// Recalls a call, or makes it: reserves its money, guards it against panics, keeps it and bills it.
    async fn pay<T, F, Fut>(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
        call: F,
    ) -> Result<Went<T>, RunError>
    where
        T: Paid<O>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        if let Some(went) = self.recall(errand, key)? {
            return Ok(went);
        }
        let comparison = key.kind == CallKind::Comparison;
        // If judging costs nothing, an empty purse is no reason not to compare.
        let free = comparison && self.judge.is_free();
        if !free {
            let may_begin = || errand.begun.may(|| self.is_stopped());
            // A stopped item takes no place in the queue for money, nor one whose stop came while it waited.
            let left = self.is_stopped() && !may_begin();
            if left || !errand.turn(!comparison).await {
                return Ok(Went::NotMade);
            }
            if !errand.tab.open().await || !may_begin() {
                return Ok(Went::NotMade);
            }
        }
        if let Some(keeper) = &self.keeper {
            keeper.is_ready()?;
        }
        // Whether a comparison calls a model is known only once it is over.
        if !comparison {
            self.started(key);
        }
        let sent = Sent::new(&errand.tab, self.pricing(&key), key);
        let went = guarded(call).await;
        sent.over();
        match went {
            Ok(value) if value.is_free() => Ok(Went::Well(value, Cost::ZERO)),
            Ok(mut value) => {
                disbelieve(value.usage());
                let usage = *value.usage();
                let (cost, unkept) = self.book(errand, key, value.keepsake(), usage, None)?;
                Ok(unkept.map_or(Went::Well(value, cost), |kind| Went::Badly(kind, usage, cost)))
            }
            Err(error) => {
                self.ledger.faults.note(&key, &error);
                let kind = error.kind();
                let usage = believed(kind.used(error.usage()));
                let keepsake = Keepsake::Failure { kind, usage };
                let (cost, _) = self.book(errand, key, keepsake, usage, Some(kind))?;
                Ok(Went::Badly(kind, usage, cost))
            }
        }
    }

    /// Books a call that was made: keeps, bills and settles it and tells observers, even if it could not be
    /// written down. Returns what it cost, and the kind of failure it becomes if its answer cannot be kept.
    fn book(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
        keepsake: Keepsake<'_, O>,
        mut usage: Option<Usage>,
        error: Option<ErrorKind>,
    ) -> Result<(Cost, Option<ErrorKind>), RunError> {
        let mut unkept = None;
        let keep = |keeper: &Arc<dyn Keeper<O>>| keeper.keep(&key, errand.recorded, keepsake);
        let kept = self.keeper.as_ref().map_or(Ok(None), keep);
        if let Ok(Some(why)) = &kept {
            let error = BackendError::new(
                ErrorKind::Permanent,
                format!("the answer cannot be written to the journal: {why}"),
            );
            self.ledger.faults.note(&key, &error);
            unkept = Some(error.kind());
            usage = usage.or(Some(Usage::default()));
        }
        let error = error.or(unkept);
        self.judge.learn(&key, usage.as_ref());
        let bill = self.bill(&key, usage.as_ref(), error);
        let cost = self.ledger.bill(key, bill);
        errand.tab.settle(&key, bill);
        errand.paid();
        self.finished(key, usage, cost, error, false);
        kept.map(|_| (cost, unkept))
    }

    /// The bill of a call that was just made.
    fn bill<'a>(
        &'a self,
        key: &CallKey,
        usage: Option<&'a Usage>,
        error: Option<ErrorKind>,
    ) -> Bill<'a> {
        Bill::new(self.pricing(key), usage).failed(error)
    }

    /// Asks a model for its answer to an item.
    pub(crate) async fn ask(
        &self,
        errand: &Errand<'_, I>,
        model: ModelId,
    ) -> Result<Asked<O>, RunError> {
        self.ask_as(errand, CallKey::answer(errand.index, model)).await
    }

    /// Asks for an answer under the given key.
    pub(crate) async fn ask_as(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
    ) -> Result<Asked<O>, RunError> {
        let Some(backend) = self.roster.backend(key.model) else {
            return Ok(Asked::Failed { kind: ErrorKind::Permanent, usage: None, cost: Cost::ZERO });
        };
        // Calls the backend itself and not the pointer to it: the pointer is a backend too, but costs
        // another box.
        Ok(match self.pay(errand, key, || (**backend).complete(errand.item)).await? {
            Went::Well(Completion { output, usage, confidence: score }, cost) => {
                Asked::Answered { output, usage, score, cost }
            }
            Went::Badly(kind, usage, cost) => Asked::Failed { kind, usage, cost },
            Went::NotMade => Asked::NotMade,
        })
    }

    /// Has a model rate its own answer; no score is a valid outcome.
    pub(crate) async fn rate(
        &self,
        errand: &Errand<'_, I>,
        model: ModelId,
        output: &O,
    ) -> Result<Rated, RunError> {
        let key = CallKey::rating(errand.index, model);
        let (score, failed, usage, cost) = (None, None, None, Cost::ZERO);
        let none = Rated { score, failed, missed: false, not_made: false, usage, cost };
        let Some(backend) = self.roster.backend(model) else { return Ok(none) };
        Ok(match self.pay(errand, key, || (**backend).rate(errand.item, output)).await? {
            Went::Well(Rating { confidence: score, usage }, cost) => {
                Rated { score, usage, cost, ..none }
            }
            Went::Badly(kind, usage, cost) => {
                Rated { failed: Some(kind), missed: !kind.is_of_the_item(), usage, cost, ..none }
            }
            Went::NotMade => Rated { missed: true, not_made: true, ..none },
        })
    }

    /// Compares two models' answers, the left one in the reference's place. A comparison that fails
    /// counts as *not equivalent*.
    pub(crate) async fn compare(
        &self,
        errand: &Errand<'_, I>,
        (left, left_output): (ModelId, &O),
        (right, right_output): (ModelId, &O),
    ) -> Result<Compared, RunError> {
        let key = CallKey::comparison(errand.index, left, right);
        let call = || (*self.equivalence).compare(errand.item, left_output, right_output);
        let (equivalent, usage, cost) = (false, None, Cost::ZERO);
        let (missed, failed, not_made) = (false, None, false);
        let none = Compared { equivalent, failed, missed, not_made, usage, cost };
        Ok(match self.pay(errand, key, call).await? {
            Went::Well(Verdict { equivalent, usage }, cost) => {
                Compared { equivalent, usage, cost, ..none }
            }
            Went::Badly(kind, usage, cost) => {
                Compared { failed: Some(kind), missed: !kind.is_of_the_item(), usage, cost, ..none }
            }
            Went::NotMade => Compared { missed: true, not_made: true, ..none },
        })
    }

    /// How the run kept to its budget, if there is one.
    pub(crate) fn budgeted(&self) -> Option<Budgeted> {
        let purse = self.ledger.purse()?;
        let (cap, over_bound) = (purse.cap(), purse.over_bound());
        let planned = self.planned.filter(|planned| *planned != cap);
        let continued = if purse.continues() { cap } else { Cost::ZERO };
        let (unbounded, profiling) = (purse.unbounded(), Cost::ZERO);
        let assumed = purse.assumed(|_| false);
        Some(Budgeted { cap, over_bound, unbounded, planned, profiling, continued, assumed })
    }

    /// What this run cost so far, as far as known, and what a budget takes its other calls to have cost,
    /// recorded calls about items that are `ours` included.
    pub(crate) fn taken(&self, ours: impl Fn(u64) -> bool) -> Cost {
        self.ledger.spent() + self.ledger.purse().map_or(Cost::ZERO, |purse| purse.assumed(ours))
    }

    /// Ends the run's book-keeping. Calls that earlier runs paid for and this one did not use are booked
    /// all the same, if their items are `ours`; then the journal is flushed to disk.
    pub(crate) fn close(&self, ours: impl Fn(u64) -> bool) -> Result<(), RunError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        for (key, usage, failed) in keeper.leftovers(&ours) {
            let bill = Bill::new(self.pricing(&key), usage.as_ref()).recalled();
            self.ledger.bill(key, bill.failed(failed));
            self.ledger.faults.recall(&key, failed);
        }
        keeper.flush()
    }
}

/// Replaces an implausible count by unknown usage: the call was paid for, and nobody knows how much.
fn believed(mut usage: Option<Usage>) -> Option<Usage> {
    disbelieve(&mut usage);
    usage
}

/// Does the same in place.
#[inline]
fn disbelieve(usage: &mut Option<Usage>) {
    if let Some(told) = usage
        && !told.is_plausible()
    {
        *told = told.without_counts();
    }
}

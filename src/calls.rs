//! The one place where calls are made and paid: every answer, rating and judgement passes here.
//!
//! A call is recalled if an earlier run paid for it, else made if the budget bears it (a panic is a
//! failure), billed, kept in the journal, and only then handed on. Between the end of a call and
//! its record there is no `await`: a run that is dropped has written down all it was told.

mod errand;
mod memory;

use std::sync::Arc;

use crate::backend::guard::guarded;
use crate::backend::{BackendError, Completion, Confidence, ErrorKind, Rating};
use crate::equivalence::{Equivalence, Verdict};
use crate::error::RunError;
use crate::ledger::{Bill, Ledger, Needs};
use crate::observe::{CallKind, Event, Observers};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, Roster};

pub(crate) use errand::Errand;
use memory::Memory;

/// What identifies a call within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallKey {
    pub(crate) index: u64,
    pub(crate) model: ModelId,
    pub(crate) kind: CallKind,
    /// The other model, in a comparison.
    pub(crate) other: ModelId,
}

impl CallKey {
    pub(crate) const fn answer(index: u64, model: ModelId) -> Self {
        Self { index, model, kind: CallKind::Answer, other: model }
    }
    pub(crate) const fn rating(index: u64, model: ModelId) -> Self {
        Self { index, model, kind: CallKind::Rating, other: model }
    }
    pub(crate) const fn comparison(index: u64, left: ModelId, right: ModelId) -> Self {
        Self { index, model: left, kind: CallKind::Comparison, other: right }
    }
    /// The reference asked once more, and its two answers compared.
    pub(crate) const fn repeat(index: u64) -> Self {
        let model = ModelId::REFERENCE;
        Self { index, model, kind: CallKind::Repeat, other: model }
    }
}

/// What a paid call brought, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept<O> {
    Answer { output: O, usage: Option<Usage>, score: Option<Confidence> },
    Rating { usage: Option<Usage>, score: Option<Confidence> },
    Verdict { usage: Option<Usage>, equivalent: bool },
    Failure { kind: ErrorKind, usage: Option<Usage> },
}

impl<O> Kept<O> {
    /// What the call used.
    pub(crate) const fn usage(&self) -> Option<Usage> {
        match self {
            Self::Answer { usage, .. }
            | Self::Rating { usage, .. }
            | Self::Verdict { usage, .. }
            | Self::Failure { usage, .. } => *usage,
        }
    }

    pub(crate) const fn failed(&self) -> bool {
        matches!(self, Self::Failure { .. })
    }
}

/// The memory of a run beyond its process: see [`crate::journal`].
pub(crate) trait Keeper<O>: Send + Sync {
    /// Takes what an earlier run paid for. `item` is the item's fingerprint.
    fn recall(&self, key: &CallKey, item: Option<u64>) -> Result<Option<Kept<O>>, RunError>;
    /// Writes down a call before its answer is used.
    fn keep(&self, key: &CallKey, item: Option<u64>, what: Keepsake<'_, O>)
    -> Result<(), RunError>;
    /// Takes what earlier runs paid for and no one asked about: key, usage, failed.
    fn leftovers(&self) -> Vec<(CallKey, Option<Usage>, bool)>;
    /// Hands everything to the disk.
    fn flush(&self) -> Result<(), RunError>;
}

/// A call to be written down, borrowing its answer.
#[derive(Debug)]
pub(crate) enum Keepsake<'a, O> {
    Answer(&'a Completion<O>),
    Rating(Rating),
    Verdict(Verdict),
    Failure { kind: ErrorKind, usage: Option<Usage> },
}

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
    /// Not asked: the budget would not bear it.
    Unaffordable,
}

/// A score, or none, and what finding out cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rated {
    pub(crate) score: Option<Confidence>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Cost,
}

/// A verdict, and what it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) equivalent: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Cost,
}

/// Something a paid call gives.
trait Paid<O>: Sized {
    fn usage(&self) -> Option<Usage>;
    fn keepsake(&self) -> Keepsake<'_, O>;
    fn recalled(kept: Kept<O>) -> Option<Self>;
}

impl<O> Paid<O> for Completion<O> {
    fn usage(&self) -> Option<Usage> {
        self.usage
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Answer(self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Answer { output, usage, score: confidence } = kept else { return None };
        Some(Self { output, usage, confidence })
    }
}

impl<O> Paid<O> for Rating {
    fn usage(&self) -> Option<Usage> {
        self.usage
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Rating(*self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Rating { usage, score: confidence } = kept else { return None };
        Some(Self { confidence, usage })
    }
}

impl<O> Paid<O> for Verdict {
    fn usage(&self) -> Option<Usage> {
        self.usage
    }
    fn keepsake(&self) -> Keepsake<'_, O> {
        Keepsake::Verdict(*self)
    }
    fn recalled(kept: Kept<O>) -> Option<Self> {
        let Kept::Verdict { usage, equivalent } = kept else { return None };
        Some(Self { equivalent, usage })
    }
}

/// How a call went that may have been paid now, earlier, or not at all.
enum Went<T> {
    Well(T, Cost),
    Badly(ErrorKind, Option<Usage>, Cost),
    Unaffordable,
}

/// Scores a call's item for the journal.
pub(crate) type Fingerprint<I> = dyn Fn(&I) -> u64 + Send + Sync;

/// Makes the calls of one run.
pub(crate) struct Calls<I: ?Sized + Sync, O> {
    pub(crate) roster: Roster<I, O>,
    pub(crate) equivalence: Arc<dyn Equivalence<I, O>>,
    judge: Pricing,
    pub(crate) observers: Observers,
    pub(crate) ledger: Ledger,
    keeper: Option<Arc<dyn Keeper<O>>>,
    fingerprint: Option<Arc<Fingerprint<I>>>,
    memory: Memory<O>,
}

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    pub(crate) fn new(
        roster: Roster<I, O>,
        equivalence: Arc<dyn Equivalence<I, O>>,
        observers: Observers,
        ledger: Ledger,
    ) -> Self {
        let judge = equivalence.pricing();
        let memory = Memory::default();
        let (keeper, fingerprint) = (None, None);
        Self { roster, equivalence, judge, observers, ledger, keeper, fingerprint, memory }
    }

    /// Recalls from this keeper and writes down there.
    pub(crate) fn with_keeper(
        mut self,
        keeper: Arc<dyn Keeper<O>>,
        fingerprint: Option<Arc<Fingerprint<I>>>,
    ) -> Self {
        (self.keeper, self.fingerprint) = (Some(keeper), fingerprint);
        self
    }

    /// One item's calls. `needs` are the calls it takes at worst; they are looked at only if there
    /// is a budget.
    pub(crate) fn errand<'a>(
        &'a self,
        index: u64,
        item: &'a I,
        needs: impl FnOnce() -> Needs,
    ) -> Errand<'a, I> {
        let fingerprint = self.fingerprint.as_ref().map(|of| of(item));
        Errand { index, item, fingerprint, tab: self.ledger.tab(needs) }
    }

    /// Holds on to a paid call for the next to ask.
    pub(crate) fn remember(&self, key: CallKey, kept: Kept<O>) {
        self.memory.put(key, kept);
    }

    fn pricing(&self, key: &CallKey) -> Pricing {
        if key.kind == CallKind::Comparison {
            return self.judge;
        }
        self.roster.spec().model(key.model).map(|model| model.pricing).unwrap_or_default()
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

    /// A call that was paid for already, by this run or an earlier one.
    fn recall<T: Paid<O>>(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
    ) -> Result<Option<Went<T>>, RunError> {
        let pricing = self.pricing(&key);
        let (kept, billed) = match (self.memory.take(&key), &self.keeper) {
            (Some(kept), _) => (Some(kept), true),
            (None, Some(keeper)) => (keeper.recall(&key, errand.fingerprint)?, false),
            (None, None) => (None, false),
        };
        let Some(kept) = kept else { return Ok(None) };
        let mut bill = Bill::new(pricing, kept.usage()).recalled();
        let error = if let Kept::Failure { kind, .. } = kept {
            bill = bill.failed();
            Some(kind)
        } else {
            None
        };
        let cost = if billed { bill.cost() } else { self.ledger.bill(key, bill) };
        if !billed {
            self.finished(key, bill.usage(), cost, error, true);
        }
        if let Kept::Failure { kind, usage } = kept {
            return Ok(Some(Went::Badly(kind, usage, cost)));
        }
        Ok(T::recalled(kept).map(|value| Went::Well(value, cost)))
    }

    /// Recalls a call, or makes it: reserved, guarded, billed, kept.
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
        if !errand.tab.open().await {
            return Ok(Went::Unaffordable);
        }
        self.started(key);
        let result = guarded(call).await;
        let pricing = self.pricing(&key);
        let (bill, keepsake, error) = match &result {
            Ok(value) => (Bill::new(pricing, value.usage()), value.keepsake(), None),
            Err(error) => {
                let (kind, usage) = (error.kind(), error.usage());
                let bill = Bill::new(pricing, usage).failed();
                (bill, Keepsake::Failure { kind, usage }, Some(kind))
            }
        };
        if let Some(keeper) = &self.keeper {
            keeper.keep(&key, errand.fingerprint, keepsake)?;
        }
        let cost = self.ledger.bill(key, bill);
        errand.tab.settle(&key, cost);
        self.finished(key, bill.usage(), cost, error, false);
        Ok(match result {
            Ok(value) => Went::Well(value, cost),
            Err(error) => Went::Badly(error.kind(), error.usage(), cost),
        })
    }

    /// Asks a model for its answer to an item.
    pub(crate) async fn ask(
        &self,
        errand: &Errand<'_, I>,
        model: ModelId,
    ) -> Result<Asked<O>, RunError> {
        self.ask_as(errand, CallKey::answer(errand.index, model)).await
    }

    /// Whether a call needs only to be made and billed: nothing is recalled or written down, nobody
    /// watches, and money is not capped.
    pub(crate) fn is_plain(&self) -> bool {
        self.keeper.is_none()
            && self.observers.is_empty()
            && self.ledger.purse().is_none()
            && self.memory.is_empty()
    }

    /// As [`ask`](Self::ask), where calls are [plain](Self::is_plain): the same call and the same
    /// bill, without the ways that are not taken, and with the answer moved half as often.
    pub(crate) async fn ask_plainly(
        &self,
        index: u64,
        item: &I,
        model: ModelId,
    ) -> (Result<O, ErrorKind>, Cost) {
        let Some(backend) = self.roster.backend(model) else {
            return (Err(ErrorKind::Permanent), Cost::ZERO);
        };
        let result = guarded(|| (**backend).complete(item)).await;
        let key = CallKey::answer(index, model);
        let pricing = self.pricing(&key);
        match result {
            Ok(Completion { output, usage, .. }) => {
                (Ok(output), self.ledger.bill(key, Bill::new(pricing, usage)))
            }
            Err(error) => {
                let bill = Bill::new(pricing, error.usage()).failed();
                (Err(error.kind()), self.ledger.bill(key, bill))
            }
        }
    }

    /// Asks for an answer under a key of its own.
    pub(crate) async fn ask_as(
        &self,
        errand: &Errand<'_, I>,
        key: CallKey,
    ) -> Result<Asked<O>, RunError> {
        let Some(backend) = self.roster.backend(key.model) else {
            return Ok(Asked::Failed { kind: ErrorKind::Permanent, usage: None, cost: Cost::ZERO });
        };
        // The backend itself, not the pointer: a pointer is a backend too, at the price of a box.
        Ok(match self.pay(errand, key, || (**backend).complete(errand.item)).await? {
            Went::Well(Completion { output, usage, confidence: score }, cost) => {
                Asked::Answered { output, usage, score, cost }
            }
            Went::Badly(kind, usage, cost) => Asked::Failed { kind, usage, cost },
            Went::Unaffordable => Asked::Unaffordable,
        })
    }

    /// Has a model rate its own answer. No score is an outcome like any other.
    pub(crate) async fn rate(
        &self,
        errand: &Errand<'_, I>,
        model: ModelId,
        output: &O,
    ) -> Result<Rated, RunError> {
        let key = CallKey::rating(errand.index, model);
        let none = Rated { score: None, usage: None, cost: Cost::ZERO };
        let Some(backend) = self.roster.backend(model) else { return Ok(none) };
        Ok(match self.pay(errand, key, || (**backend).rate(errand.item, output)).await? {
            Went::Well(Rating { confidence: score, usage }, cost) => Rated { score, usage, cost },
            Went::Badly(_, usage, cost) => Rated { score: None, usage, cost },
            Went::Unaffordable => none,
        })
    }

    /// Compares two models' answers, the left one in the reference's place. A comparison that
    /// fails counts as *not equivalent*.
    pub(crate) async fn compare(
        &self,
        errand: &Errand<'_, I>,
        (left, left_output): (ModelId, &O),
        (right, right_output): (ModelId, &O),
    ) -> Result<Compared, RunError> {
        let key = CallKey::comparison(errand.index, left, right);
        let free = Compared { equivalent: false, usage: None, cost: Cost::ZERO };
        let call = || (*self.equivalence).compare(errand.item, left_output, right_output);
        if let Some(went) = self.recall(errand, key)? {
            return Ok(compared(&went));
        }
        // Where judging costs nothing, an empty purse is no reason not to look.
        if self.judge != Pricing::default() && !errand.tab.open().await {
            return Ok(free);
        }
        let result = guarded(call).await;
        let (bill, keepsake, error) = match &result {
            // A comparison that called nothing costs nothing and is not worth remembering.
            Ok(Verdict { equivalent, usage: None }) => {
                return Ok(Compared { equivalent: *equivalent, ..free });
            }
            Ok(verdict) => {
                (Bill::new(self.judge, verdict.usage), Keepsake::Verdict(*verdict), None)
            }
            Err(error) => {
                let (kind, usage) = (error.kind(), error.usage());
                let bill = Bill::new(self.judge, usage).failed();
                (bill, Keepsake::Failure { kind, usage }, Some(kind))
            }
        };
        if let Some(keeper) = &self.keeper {
            keeper.keep(&key, errand.fingerprint, keepsake)?;
        }
        let cost = self.ledger.bill(key, bill);
        errand.tab.settle(&key, cost);
        self.finished(key, bill.usage(), cost, error, false);
        Ok(match result {
            Ok(Verdict { equivalent, usage }) => Compared { equivalent, usage, cost },
            Err(error) => Compared { equivalent: false, usage: error.usage(), cost },
        })
    }

    /// Ends the run's book-keeping: what earlier runs paid for and this one had no use for is
    /// booked all the same, and the journal is handed to the disk.
    pub(crate) fn close(&self) -> Result<(), RunError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        for (key, usage, failed) in keeper.leftovers() {
            let bill = Bill::new(self.pricing(&key), usage).recalled();
            self.ledger.bill(key, if failed { bill.failed() } else { bill });
        }
        keeper.flush()
    }
}

fn compared(went: &Went<Verdict>) -> Compared {
    match went {
        Went::Well(Verdict { equivalent, usage }, cost) => {
            Compared { equivalent: *equivalent, usage: *usage, cost: *cost }
        }
        Went::Badly(_, usage, cost) => Compared { equivalent: false, usage: *usage, cost: *cost },
        Went::Unaffordable => Compared { equivalent: false, usage: None, cost: Cost::ZERO },
    }
}

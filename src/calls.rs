//! The one place where calls are made and paid: every answer, rating and judgement passes here.
//!
//! A call is recalled if an earlier run paid for it, else made (a panic is a failure), billed,
//! kept in the journal, and only then handed on.

use std::sync::Arc;

use crate::backend::guard::guarded;
use crate::backend::{Completion, Confidence, ErrorKind, Rating};
use crate::equivalence::{Equivalence, Verdict};
use crate::error::RunError;
use crate::ledger::{Bill, Ledger};
use crate::observe::{CallKind, Event, Observers};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, Roster};

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
}

/// What a paid call brought, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept<O> {
    Answer { output: O, usage: Option<Usage>, score: Option<Confidence> },
    Rating { usage: Option<Usage>, score: Option<Confidence> },
    Verdict { usage: Option<Usage>, equivalent: bool },
    Failure { kind: ErrorKind, usage: Option<Usage> },
}

/// The memory of a run: see [`crate::journal`].
pub(crate) trait Keeper<O>: Send + Sync {
    /// Takes what an earlier run paid for.
    fn recall(&self, key: &CallKey) -> Option<Kept<O>>;
    /// Writes down a call before its answer is used. `output` is the answer, if it is one.
    fn keep(&self, key: &CallKey, what: Keepsake<'_, O>) -> Result<(), RunError>;
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

/// Makes the calls of one run.
pub(crate) struct Calls<I: ?Sized + Sync, O> {
    pub(crate) roster: Roster<I, O>,
    pub(crate) equivalence: Arc<dyn Equivalence<I, O>>,
    judge: Pricing,
    pub(crate) observers: Observers,
    pub(crate) ledger: Ledger,
    pub(crate) keeper: Option<Arc<dyn Keeper<O>>>,
}

impl<I: ?Sized + Sync, O: Send + Sync> Calls<I, O> {
    pub(crate) fn new(
        roster: Roster<I, O>,
        equivalence: Arc<dyn Equivalence<I, O>>,
        observers: Observers,
        ledger: Ledger,
        keeper: Option<Arc<dyn Keeper<O>>>,
    ) -> Self {
        let judge = equivalence.pricing();
        Self { roster, equivalence, judge, observers, ledger, keeper }
    }

    fn pricing(&self, model: ModelId) -> Pricing {
        self.roster.spec().model(model).map(|model| model.pricing).unwrap_or_default()
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

    fn recall(&self, key: &CallKey) -> Option<Kept<O>> {
        self.keeper.as_ref()?.recall(key)
    }

    fn keep(&self, key: &CallKey, what: Keepsake<'_, O>) -> Result<(), RunError> {
        self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.keep(key, what))
    }

    /// Asks a model for its answer to an item.
    pub(crate) async fn ask(
        &self,
        index: u64,
        item: &I,
        model: ModelId,
    ) -> Result<Asked<O>, RunError> {
        let key = CallKey::answer(index, model);
        let pricing = self.pricing(model);
        match self.recall(&key) {
            Some(Kept::Answer { output, usage, score }) => {
                let cost = self.ledger.bill(key, Bill::new(pricing, usage).recalled());
                self.finished(key, usage, cost, None, true);
                return Ok(Asked::Answered { output, usage, score, cost });
            }
            Some(Kept::Failure { kind, usage }) => {
                let cost = self.ledger.bill(key, Bill::new(pricing, usage).failed().recalled());
                self.finished(key, usage, cost, Some(kind), true);
                return Ok(Asked::Failed { kind, usage, cost });
            }
            _ => {}
        }
        let Some(reservation) = self.ledger.reserve(model).await else {
            return Ok(Asked::Unaffordable);
        };
        self.started(key);
        let Some(backend) = self.roster.backend(model) else {
            return Ok(Asked::Failed { kind: ErrorKind::Permanent, usage: None, cost: Cost::ZERO });
        };
        let result = guarded(|| backend.complete(item)).await;
        match result {
            Ok(completion) => {
                let usage = completion.usage;
                let cost = self.ledger.settle(reservation, key, Bill::new(pricing, usage));
                self.keep(&key, Keepsake::Answer(&completion))?;
                self.finished(key, usage, cost, None, false);
                let Completion { output, confidence: score, .. } = completion;
                Ok(Asked::Answered { output, usage, score, cost })
            }
            Err(error) => {
                let (kind, usage) = (error.kind(), error.usage());
                let bill = Bill::new(pricing, usage).failed();
                let cost = self.ledger.settle(reservation, key, bill);
                self.keep(&key, Keepsake::Failure { kind, usage })?;
                self.finished(key, usage, cost, Some(kind), false);
                Ok(Asked::Failed { kind, usage, cost })
            }
        }
    }

    /// Has a model rate its own answer. No score is an outcome like any other.
    pub(crate) async fn rate(
        &self,
        index: u64,
        item: &I,
        model: ModelId,
        output: &O,
    ) -> Result<Rated, RunError> {
        let key = CallKey::rating(index, model);
        let pricing = self.pricing(model);
        match self.recall(&key) {
            Some(Kept::Rating { usage, score }) => {
                let cost = self.ledger.bill(key, Bill::new(pricing, usage).recalled());
                self.finished(key, usage, cost, None, true);
                return Ok(Rated { score, usage, cost });
            }
            Some(Kept::Failure { kind, usage }) => {
                let cost = self.ledger.bill(key, Bill::new(pricing, usage).failed().recalled());
                self.finished(key, usage, cost, Some(kind), true);
                return Ok(Rated { score: None, usage, cost });
            }
            _ => {}
        }
        let Some(reservation) = self.ledger.reserve(model).await else {
            return Ok(Rated { score: None, usage: None, cost: Cost::ZERO });
        };
        self.started(key);
        let Some(backend) = self.roster.backend(model) else {
            return Ok(Rated { score: None, usage: None, cost: Cost::ZERO });
        };
        match guarded(|| backend.rate(item, output)).await {
            Ok(rating) => {
                let bill = Bill::new(pricing, rating.usage);
                let cost = self.ledger.settle(reservation, key, bill);
                self.keep(&key, Keepsake::Rating(rating))?;
                self.finished(key, rating.usage, cost, None, false);
                Ok(Rated { score: rating.confidence, usage: rating.usage, cost })
            }
            Err(error) => {
                let (kind, usage) = (error.kind(), error.usage());
                let bill = Bill::new(pricing, usage).failed();
                let cost = self.ledger.settle(reservation, key, bill);
                self.keep(&key, Keepsake::Failure { kind, usage })?;
                self.finished(key, usage, cost, Some(kind), false);
                Ok(Rated { score: None, usage, cost })
            }
        }
    }

    /// Compares two models' answers, the left one in the reference's place. A comparison that
    /// fails counts as *not equivalent*.
    pub(crate) async fn compare(
        &self,
        index: u64,
        item: &I,
        (left, left_output): (ModelId, &O),
        (right, right_output): (ModelId, &O),
    ) -> Result<Compared, RunError> {
        let key = CallKey::comparison(index, left, right);
        match self.recall(&key) {
            Some(Kept::Verdict { usage, equivalent }) => {
                let cost = self.ledger.bill(key, Bill::new(self.judge, usage).recalled());
                self.finished(key, usage, cost, None, true);
                return Ok(Compared { equivalent, usage, cost });
            }
            Some(Kept::Failure { kind, usage }) => {
                let bill = Bill::new(self.judge, usage).failed().recalled();
                let cost = self.ledger.bill(key, bill);
                self.finished(key, usage, cost, Some(kind), true);
                return Ok(Compared { equivalent: false, usage, cost });
            }
            _ => {}
        }
        let result = guarded(|| self.equivalence.compare(item, left_output, right_output)).await;
        match result {
            // A comparison that called nothing costs nothing and is not worth remembering.
            Ok(Verdict { equivalent, usage: None }) => {
                Ok(Compared { equivalent, usage: None, cost: Cost::ZERO })
            }
            Ok(verdict) => {
                let cost = self.ledger.bill(key, Bill::new(self.judge, verdict.usage));
                self.keep(&key, Keepsake::Verdict(verdict))?;
                self.finished(key, verdict.usage, cost, None, false);
                Ok(Compared { equivalent: verdict.equivalent, usage: verdict.usage, cost })
            }
            Err(error) => {
                let (kind, usage) = (error.kind(), error.usage());
                let cost = self.ledger.bill(key, Bill::new(self.judge, usage).failed());
                self.keep(&key, Keepsake::Failure { kind, usage })?;
                self.finished(key, usage, cost, Some(kind), false);
                Ok(Compared { equivalent: false, usage, cost })
            }
        }
    }
}

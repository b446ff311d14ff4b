//! Watching a run: [`Event`]s and [`Observer`]s.
//!
//! Observers are how progress bars, logs and dashboards see a run, from the first call to the finished
//! report. They are only told: they are synchronous, cannot fail the run and cannot change anything. An
//! observer that panics is silenced for the rest of the run; the run goes on, and the next run tells it
//! again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::backend::ErrorKind;
use crate::evidence::ItemEvidence;
use crate::execute::Audited;
use crate::journal::Torn;
use crate::plan::{Forecast, Plan};
use crate::pricing::{Cost, Usage};
use crate::profile::{SelfAgreement, StopReason};
use crate::report::Report;
use crate::roster::{ModelId, RosterSpec};
use crate::target::Target;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallKind {
    /// An answer to an item.
    Answer,
    /// A second call that rates an answer.
    Rating,
    /// A judge's comparison of two answers.
    Comparison,
    /// The reference asked once more, to see how far it agrees with itself.
    Repeat,
}

/// How one chain that is still tested stood at a look.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChainStanding<'a> {
    /// The chain in words, for instance `gpt-small` or `gpt-small, then gpt-medium`.
    pub name: &'a str,
    /// Items tested so far.
    pub tested: u64,
    /// The failures among them if the chain's candidates answered every item.
    pub failures: u64,
    /// The most failures that would certify the chain at this look, if any number would.
    pub limit: Option<u64>,
    /// The exact two-sided 95 % interval of the share of items on which the chain agrees (for people;
    /// the certificate does not use it).
    pub agreement: (f64, f64),
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run begins, or an [`Executor`](crate::Executor) is made to follow a plan.
    Started {
        /// How many items there are; [`Order::ENDLESS`](crate::Order::ENDLESS) for a stream of unknown length.
        items: u64,
        /// The models.
        roster: &'a RosterSpec,
        /// The target of the run.
        target: Target,
    },
    /// A journal was opened: an earlier run paid for this many calls.
    JournalOpened {
        /// How many calls are recorded.
        records: u64,
        /// What was cut off the journal's end: a record whose writer died while writing it.
        torn: Option<Torn>,
    },
    /// A call is about to be made.
    CallStarted {
        /// The model asked.
        model: ModelId,
        /// The item.
        index: u64,
        /// What the model is asked for.
        kind: CallKind,
    },
    /// A call ended.
    CallFinished {
        /// The model asked.
        model: ModelId,
        /// The item.
        index: u64,
        /// What the model was asked for.
        kind: CallKind,
        /// What the call used, as far as reported.
        usage: Option<Usage>,
        /// What the call cost.
        cost: Cost,
        /// How the call failed, if it did.
        error: Option<ErrorKind>,
        /// Whether the answer came from the journal, paid for by an earlier run.
        recalled: bool,
    },
    /// A profiled item was folded into the evidence; items are told in rank order.
    Profiled {
        /// Items folded so far, this one included.
        profiled: u64,
        /// The item's index.
        index: u64,
        /// What the item showed.
        evidence: &'a ItemEvidence,
    },
    /// The evidence was judged at a predeclared look.
    Look {
        /// Items folded so far.
        profiled: u64,
        /// How the chains that are still tested stand.
        chains: &'a [ChainStanding<'a>],
    },
    /// A candidate is no longer called in profiling and is not part of the best plan certified so far.
    CandidateDropped {
        /// The candidate.
        model: ModelId,
        /// The candidate's name.
        name: &'a str,
        /// Items folded so far.
        profiled: u64,
        /// Why, in words.
        reason: &'a str,
    },
    /// What the run is expected to cost in the end; told during profiling when that changes, after a
    /// look or after a third more items.
    Forecast {
        /// Items folded so far.
        profiled: u64,
        /// The forecast.
        forecast: &'a Forecast,
    },
    /// A policy was certified.
    Certified {
        /// The policy in words.
        policy: &'a str,
        /// Items folded so far.
        profiled: u64,
    },
    /// Profiling ended.
    ProfilingStopped {
        /// Items folded so far.
        profiled: u64,
        /// Why profiling ended.
        reason: StopReason,
    },
    /// A plan was made for the items not yet answered.
    Planned {
        /// The plan.
        plan: &'a Plan,
    },
    /// An item was answered, or given up; not told of items that a [stop](crate::Stop) left.
    Answered {
        /// The item.
        index: u64,
        /// Whose answer was delivered; `None` if the item stays unanswered.
        by: Option<ModelId>,
        /// What the item's calls cost.
        cost: Cost,
    },
    /// An audit caught a failure. An audit that a stop or the budget cut short counts as caught, too, but is not
    /// told: nothing failed.
    FailureCaught {
        /// The item; it delivers the reference's answer.
        index: u64,
        /// What the audits have found so far.
        audited: Audited,
    },
    /// The audits caught more failures than is safe: from here on everything goes to the reference.
    SwitchedToReference {
        /// What the audits have found so far.
        audited: Audited,
    },
    /// Candidates fail more often than tolerated: the plan is out of date, and it is time to profile anew.
    DriftAlarm {
        /// What the audits have found so far.
        audited: Audited,
    },
    /// The reference was asked twice about some items.
    ReferenceRepeated {
        /// How far it agrees with itself; [`SelfAgreement::is_below_target`] is a warning.
        agreement: SelfAgreement,
    },
    /// The run is over, stopped or not, or [`Executor::finish`](crate::Executor::finish) says that it is.
    Finished {
        /// What happened.
        report: &'a Report,
    },
}

/// Something that watches a run; closures over `&Event` are observers.
pub trait Observer: Send + Sync {
    /// Receives an event, on the task that caused it: be quick, and never block.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// The observers of one run.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    all: Vec<Arc<Watched>>,
}

struct Watched {
    observer: Arc<dyn Observer>,
    silenced: AtomicBool,
}

impl Observers {
    /// Adds an observer.
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.all.push(Arc::new(Watched { observer, silenced: AtomicBool::new(false) }));
    }

    /// The same observers for another run: those that panicked in this one are told again.
    #[must_use]
    pub(crate) fn fresh(&self) -> Self {
        let mut fresh = Self::default();
        self.all.iter().for_each(|watched| fresh.add(Arc::clone(&watched.observer)));
        fresh
    }

    /// Whether there is no observer.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells every observer, except those that have panicked.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        for watched in &self.all {
            if watched.silenced.load(Ordering::Relaxed) {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| watched.observer.on_event(event))).is_err() {
                watched.silenced.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_panicking_observer_is_silenced_and_the_others_are_not() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let mut observers = Observers::default();
        observers.add(Arc::new(|_: &Event<'_>| panic!("observer")));
        observers.add(Arc::new(move |_: &Event<'_>| {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        for index in 0..3 {
            observers.emit(&Event::Answered { index, by: None, cost: Cost::ZERO });
        }
        assert_eq!(seen.load(Ordering::Relaxed), 3);
        assert!(observers.all[0].silenced.load(Ordering::Relaxed));
        assert!(!observers.fresh().all[0].silenced.load(Ordering::Relaxed), "in the next run");
    }
}

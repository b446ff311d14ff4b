//! Watching a run: [`Event`]s and [`Observer`]s.
//!
//! Observers are how progress bars, logs and dashboards see a run. They are told, never asked:
//! infallible, synchronous, and unable to change anything. One that panics is silenced for the
//! rest of the run; the run goes on, and the next one tells it again.

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

/// How one live chain stood at a look.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChainStanding<'a> {
    /// The chain in words, for instance `gpt-small` or `gpt-small, then gpt-medium`.
    pub name: &'a str,
    /// Items tested so far.
    pub tested: u64,
    /// Failures among them if every item were given to the chain's candidates.
    pub failures: u64,
    /// The most failures that would certify it here, if any number would.
    pub limit: Option<u64>,
    /// Exact two-sided 95 % interval of the share of items on which it agrees (for people; the
    /// certificate does not use it).
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
        /// What is asked for.
        target: Target,
    },
    /// A journal was opened: an earlier run paid for this many calls.
    JournalOpened {
        /// How many calls are recorded.
        records: u64,
        /// What was cut off its end: a record that was being written when the writer died.
        torn: Option<Torn>,
    },
    /// A call is about to be made.
    CallStarted {
        /// The model asked.
        model: ModelId,
        /// The item.
        index: u64,
        /// What for.
        kind: CallKind,
    },
    /// A call ended.
    CallFinished {
        /// The model asked.
        model: ModelId,
        /// The item.
        index: u64,
        /// What for.
        kind: CallKind,
        /// What it used, as far as reported.
        usage: Option<Usage>,
        /// What it cost.
        cost: Cost,
        /// Why it failed, if it did.
        error: Option<ErrorKind>,
        /// Whether the answer came from the journal, paid for by an earlier run.
        recalled: bool,
    },
    /// A profiled item was folded into the evidence. Told in rank order.
    Profiled {
        /// Items folded so far, this one included.
        profiled: u64,
        /// The item.
        index: u64,
        /// What it showed.
        evidence: &'a ItemEvidence,
    },
    /// The evidence was judged at a predeclared look.
    Look {
        /// Items folded.
        profiled: u64,
        /// The live chains.
        chains: &'a [ChainStanding<'a>],
    },
    /// A candidate is not called any more in profiling, and no part of the best plan certified so far.
    CandidateDropped {
        /// Which.
        model: ModelId,
        /// Its name.
        name: &'a str,
        /// Items folded.
        profiled: u64,
        /// Why, in words.
        reason: &'a str,
    },
    /// What the run is expected to cost in the end, while it profiles: told when that changes, after a look or
    /// a third more items.
    Forecast {
        /// Items folded.
        profiled: u64,
        /// The forecast.
        forecast: &'a Forecast,
    },
    /// A policy was certified.
    Certified {
        /// The policy in words.
        policy: &'a str,
        /// Items folded.
        profiled: u64,
    },
    /// Profiling ended.
    ProfilingStopped {
        /// Items folded.
        profiled: u64,
        /// Why.
        reason: StopReason,
    },
    /// A plan was made for the items not yet answered.
    Planned {
        /// The plan.
        plan: &'a Plan,
    },
    /// An item was answered, or given up.
    Answered {
        /// The item.
        index: u64,
        /// Whose answer was delivered; `None` if the item stays unanswered.
        by: Option<ModelId>,
        /// What the item's calls cost.
        cost: Cost,
    },
    /// An audit caught a failure.
    FailureCaught {
        /// The item; it delivers the reference's answer.
        index: u64,
        /// How the audits stand.
        audited: Audited,
    },
    /// Audits caught more failures than are safe: everything goes to the reference from here on.
    SwitchedToReference {
        /// How the audits stand.
        audited: Audited,
    },
    /// Candidates fail more often than tolerated: the plan is out of date, profile anew.
    DriftAlarm {
        /// How the audits stand.
        audited: Audited,
    },
    /// The reference was asked twice about some items.
    ReferenceRepeated {
        /// How far it agrees with itself; [`SelfAgreement::is_below_target`] is a warning.
        agreement: SelfAgreement,
    },
    /// The run is over, or [`Executor::finish`](crate::Executor::finish) says that it is.
    Finished {
        /// What happened.
        report: &'a Report,
    },
}

/// Something that watches a run. Closures over `&Event` are observers.
pub trait Observer: Send + Sync {
    /// Something happened. Called on the task that did it: be quick, and never block.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// The observers of one run.
#[derive(Clone, Default)]
pub struct Observers {
    all: Vec<Arc<Watched>>,
}

struct Watched {
    observer: Arc<dyn Observer>,
    silenced: AtomicBool,
}

impl Observers {
    /// Adds an observer.
    pub fn add(&mut self, observer: Arc<dyn Observer>) {
        self.all.push(Arc::new(Watched { observer, silenced: AtomicBool::new(false) }));
    }

    /// The same for another run: what panicked in an earlier one is told again.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let mut fresh = Self::default();
        self.all.iter().for_each(|watched| fresh.add(Arc::clone(&watched.observer)));
        fresh
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells everyone. An observer that panics is not told again.
    pub fn emit(&self, event: &Event<'_>) {
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

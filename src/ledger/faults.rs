//! How calls failed, in a form that helps to fix it: [`Fault`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, ErrorKind};
use crate::calls::CallKey;
use crate::locks::lock;
use crate::observe::CallKind;
use crate::roster::ModelId;
use crate::words::counted;

/// How much of a message is kept, in characters.
const KEPT: usize = 200;

/// Calls of one model that failed with the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// The model asked; `None` for the judge.
    #[serde(default)]
    pub model: Option<ModelId>,
    /// The kind of their failure.
    pub kind: ErrorKind,
    /// How many calls failed in this way for good, in this run or in an earlier one of the same journal.
    pub calls: u64,
    /// How many of them an earlier run had recorded. A journal keeps the kind of a failure, but not its
    /// message.
    #[serde(default)]
    pub recalled: u64,
    /// The backend's message for the first of them in this run ([`BackendError::message`]), up to 200
    /// characters; empty if there was none, or if all were recorded by an earlier run.
    pub message: String,
}

/// Describes the failures without the model's name: `3 calls, transient failure: no reply`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, recalled, message, .. } = self;
        write!(f, "{}, {}", counted(*calls, "call"), self.what())?;
        match *recalled {
            0 => {}
            all if all == *calls => f.write_str(" (recorded by an earlier run)")?,
            some => write!(f, " ({some} of them recorded by an earlier run)")?,
        }
        if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
    }
}

impl Fault {
    /// How they failed, in words.
    pub(crate) fn what(&self) -> &'static str {
        match (self.model, self.kind) {
            // The code that compares answers need not be a backend.
            (None, ErrorKind::Panicked) => "it panicked",
            (_, kind) => kind.as_str(),
        }
    }

    /// The failures of two runs together. Counts of the same model and kind are added; of the messages,
    /// the alphabetically first is kept, so that the result does not depend on order or grouping.
    #[must_use]
    pub(crate) fn merged(mut all: Vec<Self>, more: &[Self]) -> Vec<Self> {
        for fault in more {
            let alike = |have: &&mut Self| (have.model, have.kind) == (fault.model, fault.kind);
            if let Some(have) = all.iter_mut().find(alike) {
                have.calls = have.calls.saturating_add(fault.calls);
                have.recalled = have.recalled.saturating_add(fault.recalled);
                let said = !fault.message.is_empty();
                if said && (have.message.is_empty() || fault.message < have.message) {
                    have.message.clone_from(&fault.message);
                }
            } else {
                all.push(fault.clone());
            }
        }
        all.sort_by_key(|fault| (fault.model, fault.kind));
        all
    }
}

/// The failures of one run; touched only when a call has failed for good.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seen: Mutex<BTreeMap<(Option<ModelId>, ErrorKind), Fault>>,
}

impl Faults {
    /// Adds a call of this run that failed for good.
    pub(crate) fn note(&self, key: &CallKey, error: &BackendError) {
        self.count(key, error.kind(), |fault| {
            if fault.calls == fault.recalled {
                fault.message = error.message().chars().take(KEPT).collect();
            }
        });
    }

    /// Adds a call that an earlier run had paid for, if it failed.
    pub(crate) fn recall(&self, key: &CallKey, failed: Option<ErrorKind>) {
        if let Some(kind) = failed {
            self.count(key, kind, |fault| fault.recalled += 1);
        }
    }

    fn count(&self, key: &CallKey, kind: ErrorKind, note: impl FnOnce(&mut Fault)) {
        let model = (key.kind != CallKind::Comparison).then_some(key.model);
        let mut seen = lock(&self.seen);
        let new = || Fault { model, kind, calls: 0, recalled: 0, message: String::new() };
        let fault = seen.entry((model, kind)).or_insert_with(new);
        note(fault);
        fault.calls += 1;
    }

    pub(crate) fn read(&self) -> Vec<Fault> {
        let seen = lock(&self.seen);
        seen.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_model_and_kind_and_the_first_says_why() {
        let faults = Faults::default();
        let large = CallKey::answer(3, ModelId::REFERENCE);
        faults.note(&large, &BackendError::transient("no reply"));
        faults.note(&large, &BackendError::transient("reset"));
        faults.note(&large, &BackendError::refused("x".repeat(KEPT + 1)));
        let judge = CallKey::comparison(3, ModelId::REFERENCE, ModelId::new(1));
        faults.note(&judge, &BackendError::timeout("late"));
        let read = faults.read();
        let what: Vec<_> =
            read.iter().map(|f| (f.model, f.kind, f.calls, f.message.len())).collect();
        let reference = Some(ModelId::REFERENCE);
        assert_eq!(
            what,
            [
                (None, ErrorKind::Timeout, 1, 4),
                (reference, ErrorKind::Transient, 2, 8),
                (reference, ErrorKind::Refused, 1, KEPT),
            ]
        );

        let others = Faults::default();
        others.note(&large, &BackendError::transient("a reset"));
        let (read, others) = (faults.read(), others.read());
        let together = Fault::merged(read.clone(), &others);
        assert_eq!(together, Fault::merged(others, &read));
        let transient = together.iter().find(|fault| fault.kind == ErrorKind::Transient).unwrap();
        assert_eq!((together.len(), transient.calls, &*transient.message), (3, 3, "a reset"));
    }

    #[test]
    fn what_an_earlier_run_recorded_is_counted_and_what_is_said_now_is_kept() {
        let faults = Faults::default();
        let large = CallKey::answer(3, ModelId::REFERENCE);
        faults.recall(&large, None);
        faults.recall(&large, Some(ErrorKind::Transient));
        faults.recall(&large, Some(ErrorKind::Transient));
        let earlier = faults.read();
        assert_eq!(
            earlier.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["2 calls, transient failure (recorded by an earlier run)"]
        );
        faults.note(&large, &BackendError::transient("no reply"));
        faults.note(&large, &BackendError::transient("reset"));
        let all = faults.read();
        let words = "4 calls, transient failure (2 of them recorded by an earlier run): no reply";
        assert_eq!(all.iter().map(ToString::to_string).collect::<Vec<_>>(), [words]);
        // A missing message does not count as the alphabetically first.
        let together = Fault::merged(all.clone(), &earlier);
        assert_eq!(together, Fault::merged(earlier, &all));
        assert_eq!(
            (together[0].calls, together[0].recalled, &*together[0].message),
            (6, 4, "no reply")
        );
    }
}

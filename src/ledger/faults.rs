//! How calls failed, for people who would mend it: [`Fault`].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, ErrorKind};
use crate::calls::CallKey;
use crate::observe::CallKind;
use crate::roster::ModelId;

/// As much of a message as is kept, in characters.
const KEPT: usize = 200;

/// Calls that failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// The model asked; `None` for the judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// How they failed.
    pub kind: ErrorKind,
    /// How many failed so for good in this run; not what an earlier run had paid for.
    pub calls: u64,
    /// What the backend said of the first ([`BackendError::message`]), its first 200 characters.
    pub message: String,
}

impl Fault {
    /// The failures of two runs together: of each kind the sum, and the message that comes first in
    /// the alphabet, so that any order and grouping comes to the same.
    #[must_use]
    pub fn merged(mut all: Vec<Self>, more: &[Self]) -> Vec<Self> {
        for fault in more {
            let alike = |have: &&mut Self| (have.model, have.kind) == (fault.model, fault.kind);
            if let Some(have) = all.iter_mut().find(alike) {
                have.calls = have.calls.saturating_add(fault.calls);
                if fault.message < have.message {
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

/// The failures of one run. Looked at only when a call has failed for good.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seen: Mutex<BTreeMap<(Option<ModelId>, ErrorKind), Fault>>,
}

impl Faults {
    pub(crate) fn note(&self, key: &CallKey, error: &BackendError) {
        let model = (key.kind != CallKind::Comparison).then_some(key.model);
        let kind = error.kind();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || {
            let message = error.message().chars().take(KEPT).collect();
            Fault { model, kind, calls: 0, message }
        };
        seen.entry((model, kind)).or_insert_with(first).calls += 1;
    }

    pub(crate) fn read(&self) -> Vec<Fault> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
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
}

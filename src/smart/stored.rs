//! The stored form of what profiling hands over: answers as a list, and late calls with their kind in words.
//!
//! What is read was perhaps written by another version, or by hand. So everything that an executor relies on
//! is checked: on reading what can be told from the text alone, and in [`Profiled::check`] the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Profiled;
use crate::answer::Answer;
use crate::backend::{Confidence, ErrorKind};
use crate::calls::{CallKey, Kept};
use crate::error::RunError;
use crate::observe::CallKind;
use crate::pricing::Usage;
use crate::profile::Profile;
use crate::roster::{ModelId, RosterSpec};

/// The version of the stored form; what another version wrote is refused.
pub const PROFILED_VERSION: u32 = 1;

/// What is handed over, in errors.
pub(super) const WHAT: &str = "what profiling handed over";

/// The label of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Label {
    #[serde(rename = "smart-core profiled")]
    Profiled,
}

pub(super) fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, WHAT, PROFILED_VERSION)
}

/// Answers by index, stored as a list: each knows its index.
pub(super) mod by_index {
    use super::*;

    pub(in super::super) fn serialize<O: Serialize, S: Serializer>(
        answers: &BTreeMap<u64, Answer<O>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(answers.values())
    }

    pub(in super::super) fn deserialize<'de, O: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<u64, Answer<O>>, D::Error> {
        let mut all = BTreeMap::new();
        for answer in Vec::<Answer<O>>::deserialize(from)? {
            let index = answer.index;
            if all.insert(index, answer).is_some() {
                return Err(D::Error::custom(format_args!("item {index} is answered twice")));
            }
        }
        Ok(all)
    }
}

/// A paid call, stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<T> {
    index: u64,
    model: ModelId,
    kind: CallKind,
    /// The second model of a comparison.
    #[serde(default)]
    other: Option<ModelId>,
    #[serde(default)]
    usage: Option<Usage>,
    result: CallResult<T>,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum CallResult<T> {
    Answer {
        output: T,
        #[serde(default)]
        score: Option<Confidence>,
    },
    Rating(Option<Confidence>),
    Equivalent(bool),
    Failure(ErrorKind),
}

impl<T> Call<T> {
    /// The call as it is kept; an error says in words what is wrong with it.
    fn kept(self) -> Result<(CallKey, Kept<T>), &'static str> {
        let Self { index, model, kind, other, usage, result } = self;
        let comparison = kind == CallKind::Comparison;
        if comparison != other.is_some() {
            return Err("a comparison, and it alone, has two models");
        }
        let kept = match (result, kind) {
            (CallResult::Answer { output, score }, CallKind::Answer) => {
                Kept::Answer { output, usage, score }
            }
            (CallResult::Rating(score), CallKind::Rating) => Kept::Rating { usage, score },
            (CallResult::Equivalent(equivalent), CallKind::Comparison) => {
                Kept::Verdict { usage, equivalent }
            }
            (CallResult::Failure(kind), _) => Kept::Failure { kind, usage },
            _ => return Err("the result is not of the call's kind"),
        };
        Ok((CallKey { index, model, kind, other: other.unwrap_or(model) }, kept))
    }

    fn new<'a>(key: &CallKey, kept: &'a Kept<T>) -> Call<&'a T> {
        let result = match kept {
            Kept::Answer { output, score, .. } => CallResult::Answer { output, score: *score },
            Kept::Rating { score, .. } => CallResult::Rating(*score),
            Kept::Verdict { equivalent, .. } => CallResult::Equivalent(*equivalent),
            Kept::Failure { kind, .. } => CallResult::Failure(*kind),
        };
        let CallKey { index, model, kind, other } = *key;
        let other = (kind == CallKind::Comparison).then_some(other);
        Call { index, model, kind, other, usage: kept.usage(), result }
    }
}

/// Paid calls about items that came too late to be evidence.
pub(super) mod late {
    use super::*;

    pub(in super::super) fn serialize<O: Serialize, S: Serializer>(
        calls: &[(CallKey, Kept<O>)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(calls.iter().map(|(key, kept)| Call::new(key, kept)))
    }

    pub(in super::super) fn deserialize<'de, O: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(CallKey, Kept<O>)>, D::Error> {
        let calls = Vec::<Call<O>>::deserialize(from)?;
        let mut seen = BTreeSet::new();
        let kept = calls.into_iter().map(|call| {
            let index = call.index;
            let wrong =
                |why: &str| D::Error::custom(format_args!("a call about item {index}: {why}"));
            let (key, kept) = call.kept().map_err(wrong)?;
            if !seen.insert(key) {
                return Err(wrong("it is there twice"));
            }
            Ok((key, kept))
        });
        kept.collect()
    }
}

impl<O> Profiled<O> {
    /// Checks that this was made with these models (prices may differ) and this equivalence, that its
    /// [evidence is whole](Profile::check), and that its answers are the reference's on the profiled items.
    /// [`Smart::executor`](crate::Smart::executor) checks it by itself.
    ///
    /// # Errors
    /// [`RunError::Mismatch`], which says what differs.
    pub fn check(&self, roster: &RosterSpec, equivalence: &str) -> Result<(), RunError> {
        check(&self.profile, &self.answers, &self.late, (roster, equivalence))
    }
}

/// Checks what profiling hands over, whole or a worker's part of it.
pub(super) fn check<O>(
    profile: &Profile,
    answers: &BTreeMap<u64, Answer<O>>,
    late: &[(CallKey, Kept<O>)],
    (roster, equivalence): (&RosterSpec, &str),
) -> Result<(), RunError> {
    profile.check(roster, equivalence)?;
    // The evidence is about the items of the first ranks, so ranks tell what was profiled.
    let profiled = profile.order.first(profile.asked);
    let mismatch = |difference| Err(RunError::Mismatch { what: WHAT, difference });
    for (index, answer) in answers {
        if answer.index != *index || !profiled.contains(*index) {
            return mismatch(format!("it answers item {index}, which was not profiled"));
        }
        if answer.by.is_some_and(|by| !by.is_reference()) {
            return mismatch(format!("its answer to item {index} is not the reference's"));
        }
    }
    for (key, _) in late {
        let CallKey { index, model, other, .. } = *key;
        if index >= profile.order.population() || profiled.contains(index) {
            return mismatch(format!("item {index} did not come too late to be profiled"));
        }
        if [model, other].iter().any(|id| roster.model(*id).is_none()) {
            return mismatch(format!("a call about item {index} is to a model that is not there"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_every_kind_come_back() {
        let usage = Some(Usage::tokens(u64::MAX, 0));
        let score = Confidence::new(0.1 + 0.2);
        let (small, tiny) = (ModelId::new(1), ModelId::new(2));
        let calls: Vec<(CallKey, Kept<Option<f64>>)> = vec![
            (CallKey::answer(0, small), Kept::Answer { output: Some(0.1), usage, score }),
            (
                CallKey::answer(u64::MAX, tiny),
                Kept::Answer { output: None, usage: None, score: None },
            ),
            (CallKey::rating(0, small), Kept::Rating { usage, score }),
            (CallKey::rating(1, small), Kept::Rating { usage: None, score: None }),
            (CallKey::comparison(0, small, tiny), Kept::Verdict { usage, equivalent: false }),
            (
                CallKey::answer(0, tiny),
                Kept::Failure { kind: ErrorKind::Timeout, usage: Some(Usage::UNBILLED) },
            ),
            (
                CallKey::comparison(1, small, tiny),
                Kept::Failure { kind: ErrorKind::Refused, usage: None },
            ),
        ];
        for (key, kept) in calls {
            let text = serde_json::to_string(&Call::new(&key, &kept)).unwrap();
            let read: Call<Option<f64>> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.kept().unwrap(), (key, kept), "{text}");
        }
    }
}

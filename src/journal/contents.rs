//! What a journal holds, read as one run sees it: [`Contents`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::found::{Found, Recalls};
use super::recorder::{Decode, FingerprintNow, journal_error};
use super::{Header, Journal, Record, Recorded};
use crate::backend::ErrorKind;
use crate::calls::{CallKey, Kept, is_judgement};
use crate::error::RunError;
use crate::pricing::{Cost, Usage};
use crate::roster::ModelId;

/// A call that failed and was, or will be, made again: paid for in vain.
pub(super) struct Vain {
    pub(super) key: CallKey,
    pub(super) usage: Option<Usage>,
    pub(super) kind: ErrorKind,
    pub(super) booked: bool,
}

/// The records of a journal.
pub(super) struct Contents<O> {
    /// The calls, by what they asked. A call that was made twice can be recalled twice.
    pub(super) found: BTreeMap<CallKey, Recalls<O>>,
    /// How many calls are recorded.
    pub(super) records: u64,
    /// Whether any output reads back.
    pub(super) sound: bool,
    /// Whether a model judged: some verdict used something.
    pub(super) judged: bool,
    /// The items before which profiling ended for want of money, each with the cap.
    pub(super) ends: Vec<(u64, Cost)>,
}

impl<O> Default for Contents<O> {
    fn default() -> Self {
        Self { found: BTreeMap::new(), records: 0, sound: false, judged: false, ends: Vec::new() }
    }
}

impl<O> Contents<O> {
    /// Adds a record; an error says in words what is wrong with it.
    pub(super) fn add(
        &mut self,
        record: Record,
        header: &Header,
        decode: &Decode<O>,
    ) -> Result<(), String> {
        let key = key(&record, header)?;
        let Record { item, outcome, usage, .. } = record;
        let kept = match outcome {
            Recorded::Answer { output, score } => {
                let output =
                    decode(&output).map_err(|why| format!("the output cannot be read: {why}"))?;
                Kept::Answer { output, usage, score }
            }
            Recorded::Rating { score } => Kept::Rating { usage, score },
            Recorded::Verdict { equivalent } => Kept::Verdict { usage, equivalent },
            Recorded::Failure(kind) => Kept::Failure { kind, usage: kind.used(usage) },
            Recorded::Unaffordable { cap } => {
                self.ends.push((key.index, cap));
                return Ok(());
            }
        };
        self.records += 1;
        self.sound |= matches!(kept, Kept::Answer { .. });
        self.judged |= is_judgement(&key, kept.usage().as_ref());
        // The call was never made, so it is made now.
        if kept.failed() == Some(ErrorKind::Unavailable) {
            return Ok(());
        }
        let call = Found { item, kept, booked: false };
        match self.found.entry(key) {
            Entry::Vacant(place) => drop(place.insert(Recalls::new(call))),
            Entry::Occupied(mut place) => place.get_mut().push(call),
        }
        Ok(())
    }

    /// Sets aside the failures that may have passed and were followed by another attempt, or, with `again`,
    /// will be.
    pub(super) fn set_aside(&mut self, again: bool) -> Vec<Vain> {
        let found = &mut self.found;
        // Only the item's own failures would be the same again. A model that is not there (`Permanent`) or code
        // that panics may have been mended since.
        let passes = |kind: ErrorKind| !kind.is_of_the_item();
        let failed = |call: &Found<O>| call.kept.failed().is_some_and(passes);
        let some = found.iter().filter(|(_, calls)| calls.iter().any(failed));
        let some: Vec<CallKey> = some.map(|(key, _)| *key).collect();
        let mut vain = Vec::new();
        for key in some {
            let calls = found.remove(&key).and_then(|calls| {
                calls.retain(|call, after| {
                    let Kept::Failure { kind, usage } = call.kept else { return true };
                    let passed = passes(kind) && (again || after > 0);
                    if passed {
                        vain.push(Vain { key, usage, kind, booked: false });
                    }
                    !passed
                })
            });
            found.extend(calls.map(|calls| (key, calls)));
        }
        vain
    }
}

/// The call that a record is of; an error says in words what is wrong.
fn key(record: &Record, header: &Header) -> Result<CallKey, String> {
    if let Some(complaint) = record.complaint() {
        return Err(complaint.to_owned());
    }
    let Record { index, kind, .. } = *record;
    if index >= header.population {
        return Err(format!("item {index} is outside the population of {}", header.population));
    }
    let find = |name: &str| -> Result<ModelId, String> {
        header.roster.find(name).ok_or_else(|| format!("`{name}` is not in the roster"))
    };
    let model = find(&record.model)?;
    let other = record.other.as_deref().map_or(Ok(model), find)?;
    if matches!(record.outcome, Recorded::Unaffordable { .. }) && !model.is_reference() {
        return Err(format!(
            "money ends profiling under the reference, not under `{}`",
            record.model
        ));
    }
    Ok(CallKey { index, model, kind, other })
}

/// The first item recorded that is another now, in words to go on with.
pub(super) fn first_changed(
    journal: &dyn Journal,
    now: &FingerprintNow<'_>,
) -> Result<String, RunError> {
    let mut first: Option<u64> = None;
    let mut look = |record: Record| {
        let known = first.is_some_and(|first| first <= record.index);
        let changed =
            || record.item.is_some_and(|was| now(record.index).is_some_and(|is| is != was));
        if !known && changed() {
            first = Some(record.index);
        }
        Ok(())
    };
    journal.read(&mut look).map_err(journal_error)?;
    Ok(first.map_or_else(
        || " (none that was asked about so far is another)".to_owned(),
        |index| format!(" (item {index} is the first that has changed)"),
    ))
}

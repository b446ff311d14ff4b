//! One run's view of its journal: recalls what was paid for, and writes down what is paid for now.
//!
//! On opening, the `Recorder` checks that the journal belongs to the same run and reads its records.
//! During the run it is the keeper that every paid call passes through.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::found::{Found, Recalls};
use super::{Header, Journal, JournalError, OTHER_ITEMS, Record, Recorded, Torn};
use crate::backend::guard::panicked;
use crate::backend::{Completion, ErrorKind};
use crate::calls::{CallKey, Fingerprint, Keeper, Keepsake, Kept, is_judgement};
use crate::error::RunError;
use crate::locks::lock;
use crate::observe::CallKind;
use crate::pricing::{Cost, Usage};
use crate::roster::{ModelId, RosterSpec};

type Encode<O> = dyn Fn(&O) -> Result<String, String> + Send + Sync;
type Decode<O> = dyn Fn(&str) -> Result<O, String> + Send + Sync;

/// A journal bound to a caller's types: how outputs are written and read, how items are told apart.
pub(crate) struct Binding<I: ?Sized, O> {
    journal: Arc<dyn Journal>,
    encode: Arc<Encode<O>>,
    decode: Arc<Decode<O>>,
    pub(crate) fingerprint: Arc<Fingerprint<I>>,
    /// Whether a run is writing to the journal now.
    busy: Arc<AtomicBool>,
}

impl<I: ?Sized, O> Binding<I, O> {
    #[cfg(feature = "json")]
    pub(crate) fn json(
        journal: impl Journal + 'static,
        fingerprint: impl Fn(&I) -> u64 + Send + Sync + 'static,
    ) -> Self
    where
        O: serde::Serialize + serde::de::DeserializeOwned,
    {
        Self {
            journal: Arc::new(journal),
            encode: Arc::new(|output| {
                serde_json::to_string(output).map(super::wire::one_line).map_err(|e| e.to_string())
            }),
            decode: Arc::new(|text| serde_json::from_str(text).map_err(|e| e.to_string())),
            fingerprint: Arc::new(fingerprint),
            busy: Arc::default(),
        }
    }
}

/// Clears the mark that a run is writing to a journal.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A call that failed and was, or will be, made again: paid for in vain.
struct Vain {
    key: CallKey,
    usage: Option<Usage>,
    kind: ErrorKind,
    booked: bool,
}

/// The keeper of one run.
pub(crate) struct Recorder<O> {
    journal: Arc<dyn Journal>,
    encode: Arc<Encode<O>>,
    decode: Arc<Decode<O>>,
    /// Whether any output has been written that reads back: then the type is sound, and an output that
    /// does not read back is an exception.
    sound: AtomicBool,
    /// Whether a model judged: some verdict used something.
    judged: bool,
    /// Whether a record could not be written: then nothing more is written, and no call is made.
    broken: AtomicBool,
    roster: RosterSpec,
    /// What was recorded and not asked for yet. A call that was made twice can be recalled twice.
    found: Mutex<BTreeMap<CallKey, Recalls<O>>>,
    vain: Mutex<Vec<Vain>>,
    records: u64,
    torn: Option<Torn>,
    budget: Option<Cost>,
    _busy: Busy,
}

/// The fingerprint that the item of an index has now, if it can be had.
pub(crate) type FingerprintNow<'a> = dyn Fn(u64) -> Option<u64> + 'a;

/// A journal's name, to go into a sentence.
fn named(journal: &dyn Journal) -> String {
    journal.location().unwrap_or_else(|| "it".to_owned())
}

/// What to do about a journal that does not fit.
fn remedy(journal: &dyn Journal) -> String {
    let than = journal.location().map_or_else(String::new, |location| format!(" than {location}"));
    format!("; go back to what it was begun with, or use another journal{than}")
}

/// The first item recorded that is another now, in words to go on with.
fn first_changed(journal: &dyn Journal, now: &FingerprintNow<'_>) -> Result<String, RunError> {
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

fn journal_error(error: JournalError) -> RunError {
    RunError::Journal(Box::new(error))
}

impl<O> Recorder<O> {
    /// Opens a journal for a run with this header: begins it, or reads what it holds. With `again`,
    /// failures that may have passed are set aside, so that their calls are made again. What items are `now`
    /// serves to name one that has changed.
    pub(crate) fn open<I: ?Sized>(
        binding: &Binding<I, O>,
        header: &Header,
        now: Option<&FingerprintNow<'_>>,
        again: bool,
    ) -> Result<Self, RunError> {
        if binding.busy.swap(true, Ordering::AcqRel) {
            let journal = named(&*binding.journal);
            let difference =
                format!("another run is writing to {journal}; wait for it, or open another");
            return Err(RunError::Mismatch { what: "the journal", difference });
        }
        let busy = Busy(Arc::clone(&binding.busy));
        let journal = Arc::clone(&binding.journal);
        let roster = &header.roster;
        let mut found: BTreeMap<CallKey, Recalls<O>> = BTreeMap::new();
        let (mut records, mut sound, mut judged) = (0, false, false);
        let mut budget = header.budget;
        let torn = match journal.header().map_err(journal_error)? {
            None => {
                journal.begin(header).map_err(journal_error)?;
                // There is nothing to read, but a torn header may have been cut off.
                journal.read(&mut |_| Ok(())).map_err(journal_error)?
            }
            Some(was) => {
                if let Some(mut difference) = was.difference(header) {
                    if let Some(now) = now.filter(|_| difference == OTHER_ITEMS) {
                        difference.push_str(&first_changed(&*journal, now)?);
                    }
                    difference.push_str(&remedy(&*journal));
                    return Err(RunError::Mismatch { what: "the journal", difference });
                }
                budget = was.budget;
                let mut take = |record: Record| {
                    let (key, item, kept) = read(record, header, &*binding.decode)?;
                    records += 1;
                    sound |= matches!(kept, Kept::Answer { .. });
                    judged |= is_judgement(&key, kept.usage().as_ref());
                    // The call was never made, so it is made now.
                    if kept.failed() != Some(ErrorKind::Unavailable) {
                        let call = Found { item, kept, booked: false };
                        match found.entry(key) {
                            Entry::Vacant(place) => drop(place.insert(Recalls::new(call))),
                            Entry::Occupied(mut place) => place.get_mut().push(call),
                        }
                    }
                    Ok(())
                };
                journal.read(&mut take).map_err(journal_error)?
            }
        };
        // A journal that an earlier run of this process broke reports it here, before a call is paid for.
        journal.flush().map_err(journal_error)?;
        let vain = Mutex::new(set_aside(&mut found, again));
        Ok(Self {
            journal,
            encode: Arc::clone(&binding.encode),
            decode: Arc::clone(&binding.decode),
            sound: AtomicBool::new(sound),
            judged,
            broken: AtomicBool::new(false),
            roster: roster.clone(),
            found: Mutex::new(found),
            vain,
            records,
            torn,
            budget,
            _busy: busy,
        })
    }

    /// How many records the journal held when it was opened.
    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    /// The cap within which profiling is planned: that of the run that began the journal.
    pub(crate) const fn budget(&self) -> Option<Cost> {
        self.budget
    }

    /// Whether a model judged in earlier runs.
    pub(crate) const fn judged(&self) -> bool {
        self.judged
    }

    /// What was cut off the journal's end.
    pub(crate) const fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// An output's text, if it can be read back: a record that cannot would spoil the journal. A panic
    /// in the caller's own code counts as such a failure, because the call is paid for.
    fn written(&self, output: &O) -> Result<String, String> {
        let there_and_back = || {
            let text = (self.encode)(output)?;
            (self.decode)(&text).map_err(|why| format!("it does not read back: {why}"))?;
            Ok(text)
        };
        let text = catch_unwind(AssertUnwindSafe(there_and_back))
            .unwrap_or_else(|panic| Err(format!("it panics: {}", panicked(&*panic).message())))?;
        self.sound.store(true, Ordering::Release);
        Ok(text)
    }

    /// Every call in the journal, with what it used and how it failed.
    pub(crate) fn paid(&self) -> Vec<(CallKey, Option<Usage>, Option<ErrorKind>)> {
        let (found, vain) = (lock(&self.found), lock(&self.vain));
        let useful = found.iter().flat_map(|(key, calls)| {
            calls.iter().map(|call| (*key, call.kept.usage(), call.kept.failed()))
        });
        useful.chain(vain.iter().map(|call| (call.key, call.usage, Some(call.kind)))).collect()
    }
}

/// Sets aside the failures that may have passed and were followed by another attempt, or, with `again`,
/// will be.
fn set_aside<O>(found: &mut BTreeMap<CallKey, Recalls<O>>, again: bool) -> Vec<Vain> {
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

/// Reads a record as this run sees it; an error says in words what is wrong.
fn read<O>(
    record: Record,
    header: &Header,
    decode: &Decode<O>,
) -> Result<(CallKey, Option<u64>, Kept<O>), String> {
    if let Some(complaint) = record.complaint() {
        return Err(complaint.to_owned());
    }
    let Record { index, item, model, kind, other, outcome, usage } = record;
    if index >= header.population {
        return Err(format!("item {index} is outside the population of {}", header.population));
    }
    let find = |name: &str| -> Result<ModelId, String> {
        header.roster.find(name).ok_or_else(|| format!("`{name}` is not in the roster"))
    };
    let model = find(&model)?;
    let other = other.map_or(Ok(model), |name| find(&name))?;
    let kept = match outcome {
        Recorded::Answer { output, score } => {
            let output =
                decode(&output).map_err(|why| format!("the output cannot be read: {why}"))?;
            Kept::Answer { output, usage, score }
        }
        Recorded::Rating { score } => Kept::Rating { usage, score },
        Recorded::Verdict { equivalent } => Kept::Verdict { usage, equivalent },
        Recorded::Failure(kind) => Kept::Failure { kind, usage: kind.used(usage) },
    };
    Ok((CallKey { index, model, kind, other }, item, kept))
}

impl<O: Send + Sync> Keeper<O> for Recorder<O> {
    fn recall(
        &self,
        key: &CallKey,
        item: Option<u64>,
    ) -> Result<Option<(Kept<O>, bool)>, RunError> {
        let mut all = lock(&self.found);
        let Some((found, others)) = all.remove(key).map(Recalls::split) else { return Ok(None) };
        all.extend(others.map(|others| (*key, others)));
        drop(all);
        if found.item.is_some() && item.is_some() && found.item != item {
            let (index, remedy) = (key.index, remedy(&*self.journal));
            let difference =
                format!("item {index} is not the item recorded under this index{remedy}");
            return Err(RunError::Mismatch { what: "the journal", difference });
        }
        Ok(Some((found.kept, found.booked)))
    }

    fn keep(
        &self,
        key: &CallKey,
        item: Option<u64>,
        what: Keepsake<'_, O>,
    ) -> Result<Option<String>, RunError> {
        let mut unkept = None;
        let (outcome, usage) = match what {
            Keepsake::Answer(completion) => {
                let Completion { output, usage, confidence: score } = completion;
                match self.written(output) {
                    Ok(output) => (Recorded::Answer { output, score: *score }, *usage),
                    Err(why) => {
                        unkept = Some(why);
                        // The call was answered, and is billed.
                        (Recorded::Failure(ErrorKind::Permanent), usage.or(Some(Usage::default())))
                    }
                }
            }
            Keepsake::Rating(rating) => {
                (Recorded::Rating { score: rating.confidence }, rating.usage)
            }
            Keepsake::Verdict(verdict) => {
                (Recorded::Verdict { equivalent: verdict.equivalent }, verdict.usage)
            }
            // Nobody was asked, so there is nothing to remember.
            Keepsake::Failure { kind: ErrorKind::Unavailable, .. } => return Ok(None),
            Keepsake::Failure { kind, usage } => (Recorded::Failure(kind), usage),
        };
        let name = |id| self.roster.name(id).to_owned();
        let mut record = Record::new(key.index, name(key.model), key.kind, outcome);
        if key.kind == CallKind::Comparison {
            record = record.with_other(name(key.other));
        }
        let record = record.with_usage(usage).with_item(item);
        let written = self.journal.append(&record).and(match unkept {
            // If no output was ever kept, the type itself cannot be kept, and every other answer would
            // be lost too.
            Some(why) if !self.sound.load(Ordering::Acquire) => {
                Err(JournalError::Unwritable { index: key.index, why })
            }
            unkept => Ok(unkept),
        });
        self.broken.fetch_or(written.is_err(), Ordering::AcqRel);
        written.map_err(journal_error)
    }

    fn is_ready(&self) -> Result<(), RunError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(journal_error(JournalError::Broken));
        }
        Ok(())
    }

    fn paid_for(&self, index: u64) -> Vec<CallKey> {
        let all = lock(&self.found);
        let calls = all.range(CallKey::all_of(index));
        calls.flat_map(|(key, calls)| std::iter::repeat_n(*key, calls.len())).collect()
    }

    fn leftovers(
        &self,
        ours: &dyn Fn(u64) -> bool,
    ) -> Vec<(CallKey, Option<Usage>, Option<ErrorKind>)> {
        let mut left = Vec::new();
        for (key, calls) in lock(&self.found).iter_mut().filter(|(key, _)| ours(key.index)) {
            for call in calls.iter_mut() {
                if !std::mem::replace(&mut call.booked, true) {
                    left.push((*key, call.kept.usage(), call.kept.failed()));
                }
            }
        }
        for call in lock(&self.vain).iter_mut().filter(|call| ours(call.key.index)) {
            if !std::mem::replace(&mut call.booked, true) {
                left.push((call.key, call.usage, Some(call.kind)));
            }
        }
        left
    }

    fn flush(&self) -> Result<(), RunError> {
        self.journal.flush().map_err(journal_error)
    }
}

impl<O> fmt::Debug for Recorder<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, torn, .. } = self;
        f.debug_struct("Recorder")
            .field("records", records)
            .field("torn", torn)
            .finish_non_exhaustive()
    }
}

//! One run's view of its journal: recalls what was paid for, and writes down what is paid for now.
//!
//! On opening, the `Recorder` checks that the journal belongs to the same run and reads its records.
//! During the run it is the keeper that every paid call passes through.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::contents::{Contents, Vain, first_changed};
use super::found::Recalls;
use super::{Header, Journal, JournalError, OTHER_ITEMS, Record, Recorded, Torn};
use crate::backend::guard::panicked;
use crate::backend::{Completion, ErrorKind};
use crate::calls::{CallKey, Fingerprint, Keeper, Keepsake, Kept};
use crate::error::RunError;
use crate::locks::lock;
use crate::observe::CallKind;
use crate::order::Order;
use crate::pricing::{Cost, Usage};
use crate::roster::{ModelId, RosterSpec};

type Encode<O> = dyn Fn(&O) -> Result<String, String> + Send + Sync;
pub(super) type Decode<O> = dyn Fn(&str) -> Result<O, String> + Send + Sync;

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
    /// Where the money ended profiling: the caps, and the ranks of the items before which it did.
    ends: Vec<(Cost, u64)>,
    order: Order,
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

pub(super) fn journal_error(error: JournalError) -> RunError {
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
            let difference = format!(
                "another run is writing to {journal}; wait for it, or drop the executor if it has one, which holds \
                 the journal even when it has finished"
            );
            return Err(RunError::Mismatch { what: "the journal", difference });
        }
        let busy = Busy(Arc::clone(&binding.busy));
        let journal = Arc::clone(&binding.journal);
        let (mut held, mut budget) = (Contents::default(), header.budget);
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
                let mut take = |record| held.add(record, header, &*binding.decode);
                journal.read(&mut take).map_err(journal_error)?
            }
        };
        // A journal that an earlier run of this process broke reports it here, before a call is paid for.
        journal.flush().map_err(journal_error)?;
        let vain = Mutex::new(held.set_aside(again));
        let Contents { found, records, sound, judged, ends } = held;
        let order = Order::of(&header.roster, header.population, header.seed);
        let ends = ends.into_iter().map(|(index, cap)| (cap, order.rank(index))).collect();
        Ok(Self {
            journal,
            encode: Arc::clone(&binding.encode),
            decode: Arc::clone(&binding.decode),
            sound: AtomicBool::new(sound),
            judged,
            broken: AtomicBool::new(false),
            roster: header.roster.clone(),
            found: Mutex::new(found),
            vain,
            records,
            torn,
            budget,
            ends,
            order,
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

    /// The rank before which this cap, or the least larger one known, ended profiling.
    pub(crate) fn ended(&self, cap: Option<Cost>) -> Option<u64> {
        let ends = self.ends.iter().filter(|(was, _)| cap.is_some_and(|cap| cap <= *was));
        ends.min().map(|(_, rank)| *rank)
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

    fn end(&self, rank: u64, cap: Cost) -> Result<(), RunError> {
        if self.ended(Some(cap)) == Some(rank) {
            return Ok(());
        }
        let index = self.order.index(rank);
        let name = self.roster.name(ModelId::REFERENCE);
        let outcome = Recorded::Unaffordable { cap };
        let written = self.journal.append(&Record::new(index, name, CallKind::Answer, outcome));
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

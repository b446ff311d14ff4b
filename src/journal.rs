//! The journal: what was paid for is never lost, and never paid for twice.
//!
//! A journal holds a [`Header`] (what the run was) and one [`Record`] for each call, written before the
//! call's answer is used, and one more where money ended profiling. To **resume** a run, run it again with the
//! same journal. Recorded calls are served from it, and the profiler comes to the same decisions from the same
//! answers. Calls are made again only if they were under way when the run ended, were turned away by an open
//! circuit breaker, or, if you ask for it, failed in a way that is not due to the item
//! ([`Smart::with_failures_asked_again`](crate::Smart::with_failures_asked_again)).
//!
//! A record is a call as its outermost wrapper ends it, retries included. If a run is dropped while a
//! [`Retry`](crate::backend::Retry) waits for its next attempt, the attempts so far are in no record,
//! and the call is made again.
//!
//! ```text
//! recorder   one run's journal: recalls, checks, writes
//! file       one append-only JSON Lines file                 (feature `json`)
//! redb       the same records in an embedded database        (feature `redb`)
//! ```
//!
//! A run with another roster, target, seed, item list, equivalence or setting is a different run, and is
//! refused with what differs. Prices may change: recorded usage is billed at today's prices. Since the profiler
//! goes by what calls cost, other prices may bring another plan. So choose them without looking at the results:
//! prices picked because of what a plan came to are a second try at the same promise.
//!
//! # Two runs, two plans
//! Where every call comes out as it did, a resumed run has the plan of the first. It may come to another one if
//! the first was stopped before its test was over, if a circuit breaker was open (the calls that it turned away
//! are not recorded, and are made now), if calls that failed are asked again, at other prices, or with more money.
//! Where a budget ended profiling is recorded ([`Recorded::Unaffordable`]): a run whose cap is no larger ends it
//! there too, though the calls of the item's candidates alone might now be within the money left. It does so even
//! after a run with more money, which went on from there: with less again, that run's answers are not delivered.
//!
//! Each run keeps the promise by itself, for the answers that *it* delivers. Suppose the first run handed over
//! some answers (as a stream does, or a run that was stopped), and the second came to another plan. Whoever
//! keeps the first run's answers and takes only the rest from the second follows two plans, each of which may
//! leave as many failures as the allowance: up to twice as many in all. So the second run's answers replace
//! those of the first. No recorded call is paid again for that.

mod contents;
#[cfg(feature = "json")]
mod file;
mod found;
mod recorder;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "json")]
mod wire;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::{Confidence, ErrorKind};
use crate::observe::CallKind;
use crate::pricing::{Cost, Pricing, Usage};
use crate::profile::ProfileSettings;
use crate::roster::RosterSpec;
use crate::target::Target;

#[cfg(feature = "json")]
pub use file::{FileJournal, FlushPolicy};
pub(crate) use recorder::{Binding, FingerprintNow, Recorder};
#[cfg(feature = "redb")]
pub use redb::RedbJournal;

/// Adds an item to a digest of a list; the order counts.
pub(crate) const fn fold(digest: u64, item: u64) -> u64 {
    crate::order::keyed(digest, item)
}

/// The version of the stored form; a journal of another version is refused.
pub const JOURNAL_VERSION: u32 = 1;

/// The run that a journal belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Header {
    label: Label,
    /// [`JOURNAL_VERSION`].
    pub version: u32,
    /// The models with their version tags, at the prices when the journal began.
    pub roster: RosterSpec,
    /// The equivalence's name.
    pub equivalence: String,
    /// What judging cost when the journal began.
    pub judge: Pricing,
    /// The target of the run.
    pub target: Target,
    /// The seed of the random order.
    pub seed: u64,
    /// How many items there are.
    pub population: u64,
    /// A digest of all items in order; unknown if the items came as a stream.
    #[serde(default)]
    pub items: Option<u64>,
    /// The settings of the profiler.
    pub settings: ProfileSettings,
    /// The cap that profiling was planned within, if there was one. A resumed run may have another cap,
    /// but its profiler goes on planning within this one, so that it comes to the same decisions.
    #[serde(default)]
    pub budget: Option<Cost>,
}

/// The label of a stored journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Label {
    #[serde(rename = "smart-core journal")]
    Journal,
}

impl Header {
    /// Makes the header of a run, without a budget or a digest of the items.
    pub fn new(
        roster: RosterSpec,
        equivalence: impl Into<String>,
        judge: Pricing,
        target: Target,
        order: crate::Order,
        settings: ProfileSettings,
    ) -> Self {
        Self {
            label: Label::Journal,
            version: JOURNAL_VERSION,
            roster,
            equivalence: equivalence.into(),
            judge,
            target,
            seed: order.seed(),
            population: order.population(),
            items: None,
            settings,
            budget: None,
        }
    }

    /// Adds the cap that profiling is planned within.
    #[must_use]
    pub const fn with_budget(mut self, cap: Option<Cost>) -> Self {
        self.budget = cap;
        self
    }

    /// Adds a digest of all items.
    #[must_use]
    pub const fn with_items(mut self, digest: Option<u64>) -> Self {
        self.items = digest;
        self
    }

    /// What keeps a run with header `now` from resuming this one, in a sentence; `None` if nothing does.
    /// Prices and the budget may differ; prices are to be chosen without looking at the results
    /// ([why](self)).
    pub fn difference(&self, now: &Self) -> Option<String> {
        let was_now = |what: &str, was: &dyn fmt::Display, is: &dyn fmt::Display| {
            Some(format!("{what} was {was} and is now {is}"))
        };
        if self.version != now.version {
            return was_now("the version", &self.version, &now.version);
        }
        if let Some(difference) = self.roster.difference(&now.roster) {
            return Some(difference);
        }
        if self.equivalence != now.equivalence {
            let (was, is) = (format!("`{}`", self.equivalence), format!("`{}`", now.equivalence));
            return was_now("the equivalence", &was, &is);
        }
        if self.target != now.target {
            return was_now("the target", &self.target, &now.target);
        }
        if self.seed != now.seed {
            return was_now("the seed", &self.seed, &now.seed);
        }
        if self.population != now.population {
            let items = |header: &Self| match header.population {
                crate::Order::ENDLESS => "unknown".to_owned(),
                items => items.to_string(),
            };
            return was_now("the number of items", &items(self), &items(now));
        }
        if self.items.is_some() && now.items.is_some() && self.items != now.items {
            return Some(OTHER_ITEMS.to_owned());
        }
        self.settings.difference(&now.settings)
    }
}

/// That the items are not those that a journal was begun with.
const OTHER_ITEMS: &str = "the items, or their order, are not those of the journal";

/// One call as the journal keeps it, or that none could be afforded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The item's index.
    pub index: u64,
    /// The item's fingerprint, if items have a key.
    pub item: Option<u64>,
    /// The model asked; in a comparison, the one in the reference's place.
    pub model: String,
    /// What the model was asked for.
    pub kind: CallKind,
    /// The other model, in a comparison.
    pub other: Option<String>,
    /// The outcome of the call.
    pub outcome: Recorded,
    /// What the call used, as far as reported.
    pub usage: Option<Usage>,
}

/// The outcome of a recorded call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Recorded {
    /// An answer: the output as JSON text, and its confidence.
    Answer {
        /// The output as JSON text on one line: a line break between its parts is white space and is
        /// replaced by a space.
        output: String,
        /// The confidence that came with the answer.
        score: Option<Confidence>,
    },
    /// A rating.
    Rating {
        /// The score, if there was one.
        score: Option<Confidence>,
    },
    /// A verdict.
    Verdict {
        /// Whether the two answers are equivalent.
        equivalent: bool,
    },
    /// A failure for good.
    Failure(ErrorKind),
    /// No call was made: this cap left no room for the item's calls, and profiling ended before it. It stands
    /// under the reference.
    Unaffordable {
        /// The cap of the run.
        cap: Cost,
    },
}

impl Record {
    /// Makes a record without fingerprint, second model or usage.
    pub fn new(index: u64, model: impl Into<String>, kind: CallKind, outcome: Recorded) -> Self {
        Self { index, item: None, model: model.into(), kind, other: None, outcome, usage: None }
    }

    /// Adds the other model of a comparison.
    #[must_use]
    pub fn with_other(mut self, model: impl Into<String>) -> Self {
        self.other = Some(model.into());
        self
    }

    /// Adds what the call used.
    #[must_use]
    pub const fn with_usage(mut self, usage: Option<Usage>) -> Self {
        self.usage = usage;
        self
    }

    /// Adds the item's fingerprint.
    #[must_use]
    pub const fn with_item(mut self, item: Option<u64>) -> Self {
        self.item = item;
        self
    }

    /// What is wrong with the record in itself, in words; `None` if nothing is.
    pub fn complaint(&self) -> Option<&'static str> {
        let fits = matches!(
            (&self.outcome, self.kind),
            (Recorded::Failure(_), _)
                | (Recorded::Unaffordable { .. }, CallKind::Answer)
                | (Recorded::Answer { .. }, CallKind::Answer | CallKind::Repeat)
                | (Recorded::Rating { .. }, CallKind::Rating)
                | (Recorded::Verdict { .. }, CallKind::Comparison)
        );
        if !fits {
            return Some("the outcome is not of the call's kind");
        }
        if matches!(self.outcome, Recorded::Unaffordable { .. }) && self.usage.is_some() {
            return Some("a call that was not made has used nothing");
        }
        let comparison = self.kind == CallKind::Comparison;
        (comparison != self.other.is_some()).then_some("a comparison, and it alone, has two models")
    }
}

/// What was cut off the end of a journal: a record whose writer died while writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// The line, counted from 1.
    pub line: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

impl Torn {
    /// A torn last line.
    pub const fn new(line: u64, bytes: u64) -> Self {
        Self { line, bytes }
    }
}

/// Takes records one by one; its error says in words what is wrong with the record.
pub type Reader<'a> = dyn FnMut(Record) -> Result<(), String> + 'a;

/// Storage for the records of calls.
///
/// # Contract
/// * [`append`](Self::append) returns once the record will survive the process, or as far as the journal's
///   own flush policy promises. Records are read back in the order appended, each whole or not at all.
/// * It is called from many tasks at once, and blocks the calling task, so it must be quick.
/// * After a failed write every later one fails, and so does [`flush`](Self::flush): a journal must not
///   have holes.
/// * There is one writer at a time: opening a journal that is open elsewhere is an error.
///
/// The `conformance` feature has a suite for implementors: `conformance::check_journal`, and
/// `check_failing_journal` for the case that a write fails.
pub trait Journal: Send + Sync {
    /// Reads the header, or `None` if the journal is new.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be read or is of another version.
    fn header(&self) -> Result<Option<Header>, JournalError>;

    /// Reads every record, oldest first, and returns what was cut off the end when the journal was opened.
    ///
    /// # Errors
    /// [`JournalError::Record`] if `each` complains or a record cannot be read; no record is skipped.
    fn read(&self, each: &mut Reader<'_>) -> Result<Option<Torn>, JournalError>;

    /// Writes the header of a new journal.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be written or there is one already.
    fn begin(&self, header: &Header) -> Result<(), JournalError>;

    /// Writes a record.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be written; after that nothing may be written any more.
    fn append(&self, record: &Record) -> Result<(), JournalError>;

    /// Flushes everything to disk.
    ///
    /// # Errors
    /// [`JournalError`] if the disk refuses or an earlier write failed, so that some of what was appended is
    /// missing. A run calls this before its first call to a model, so as not to pay for what cannot be kept.
    fn flush(&self) -> Result<(), JournalError>;

    /// Where the journal is, such as a path, to name it to people.
    fn location(&self) -> Option<String> {
        None
    }
}

/// Formats a file's name to follow a noun, with a space before it.
fn named(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {what} the journal {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Another writer holds the journal.
    #[error(
        "the journal {} is open elsewhere, in another process or by something of this one that is not dropped yet \
         (a journal, a Smart, an Executor): a journal has one writer",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file exists, but is not a journal.
    #[error("{} is not a journal: {why}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// Why it is not one.
        why: String,
    },
    /// The journal is of another version.
    #[error(
        "the journal{} has version {found}, but this release reads {JOURNAL_VERSION}: start a new journal",
        named(path.as_deref())
    )]
    Version {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// The version found.
        found: u32,
    },
    /// A record is wrong.
    #[error(
        "line {line} of the journal{}: {why}; delete the line to have its call made again",
        named(path.as_deref())
    )]
    Record {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// The line (or the number of the record), counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A record cannot be written as it is.
    #[error("a record of item {index} cannot be written: {why}")]
    Unwritable {
        /// The item's index.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A new journal was to begin, but there is a header already.
    #[error("the journal already has a header")]
    Begun,
    /// An earlier write failed, so nothing more is written.
    #[error(
        "an earlier write to the journal failed; nothing more is written, so that it has no gap"
    )]
    Broken,
    /// The storage underneath failed.
    #[error("the journal's storage failed: cannot {what}")]
    Storage {
        /// What was tried.
        what: &'static str,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

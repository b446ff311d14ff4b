//! The suite for journals: [`check_journal`], and [`check_failing_journal`] for writes that fail.

use std::fmt::Display;

use super::{Conformance, Outcome};
use crate::backend::{Confidence, ErrorKind, Scoring};
use crate::journal::{Header, Journal, JournalError, Record, Recorded};
use crate::observe::CallKind;
use crate::order::Order;
use crate::pricing::{Cost, Pricing, Usage};
use crate::profile::ProfileSettings;
use crate::roster::{ModelSpec, RosterSpec};
use crate::target::Target;

/// Opens a journal several times and says whether it keeps the contract of [`Journal`].
///
/// `open` must open the same storage each time; it must be empty at first.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use smart_core::conformance::check_journal;
/// use smart_core::journal::FileJournal;
///
/// let path = std::env::temp_dir().join(format!("check-journal-{}.jsonl", std::process::id()));
/// let report = check_journal(|| FileJournal::open(&path));
/// assert!(report.is_conformant(), "{report}");
/// # std::fs::remove_file(path).unwrap();
/// # }
/// ```
pub fn check_journal<J: Journal>(open: impl Fn() -> Result<J, JournalError>) -> Conformance {
    let mut report = Conformance::new();
    let records = samples();
    let (first, second) = records.split_at(records.len() / 2);
    let Some(header) = header() else { return report };
    let opened = open();
    let say = |result: Result<(), JournalError>| failed(result.err());
    let Ok(journal) = opened else {
        report.note("an empty journal opens", failed(opened.err()));
        return report;
    };
    let none = journal.header().map(|header| header.is_none());
    report.note("an empty journal has no header", holds(none));
    report.note("a journal begins", say(journal.begin(&header)));
    let twice = matches!(journal.begin(&header), Err(JournalError::Begun));
    report.note("it begins once", holds(Ok(twice)));
    report.judge("records are written", append(&journal, first));
    let now = read(&journal).map(|read| read.0 == first);
    report.note("records read back as they were written, at once", holds(now));
    report.note("a second writer is turned away", holds(Ok(open().is_err())));
    report.note("it hands everything to the disk", say(journal.flush()));
    drop(journal);

    match open() {
        Err(error) => report.note("a journal opens again", failed(Some(error))),
        Ok(journal) => {
            let same = journal.header().map(|read| read.as_ref() == Some(&header));
            report.note("the header reads back after it was opened again", holds(same));
            report.judge("records are added", append(&journal, second));
            drop(journal);
        }
    }
    match open() {
        Err(error) => report.note("a journal opens a third time", failed(Some(error))),
        Ok(journal) => {
            let all = read(&journal).map(|(read, torn)| read == records && !torn);
            report.note("all records read back, in order, and nothing was torn", holds(all));
            let complained = journal.read(&mut |_| Err("a complaint".to_owned()));
            let named = matches!(&complained, Err(JournalError::Record { why, .. }) if why == "a complaint");
            report.note("a reader's complaint comes back with its place", holds(Ok(named)));
            let nonsense = Recorded::Answer { output: "no JSON".to_owned(), score: None };
            let refused = journal.append(&Record::new(0, "large", CallKind::Answer, nonsense));
            let harmed = read(&journal).map(|(read, _)| refused.is_err() && read == records);
            report.note("what cannot be written is refused and does no harm", holds(harmed));
            crowd(&journal);
            let all = read(&journal).map(|(read, _)| is_crowd(read.get(records.len()..)));
            let statement = "records of several threads are all there, each thread's in its order";
            report.note(statement, holds(all));
            let lines = Recorded::Answer { output: "[1,\r\n2]".to_owned(), score: None };
            let kept = journal.append(&Record::new(1, "large", CallKind::Answer, lines));
            let same = kept.and_then(|()| Ok(is_in_one_piece(read(&journal)?.0.last())));
            report.note("line breaks between the parts of an output do no harm", holds(same));
        }
    }
    report
}

/// Whether the answer is still the JSON list of 1 and 2, whatever its white space.
fn is_in_one_piece(record: Option<&Record>) -> bool {
    let Some(Recorded::Answer { output, .. }) = record.map(|record| &record.outcome) else {
        return false;
    };
    output.chars().filter(|c| !c.is_whitespace()).eq("[1,2]".chars())
}

/// Says whether a journal keeps the contract of [`Journal`] when its storage fails.
///
/// Hand over a journal that has begun and whose next write fails (for instance on a full disk).
///
/// ```
/// # #[cfg(feature = "json")] {
/// use smart_core::conformance::check_failing_journal;
/// use smart_core::journal::{FileJournal, Header, Journal, JournalError, Reader, Record, Torn};
///
/// struct Full; // a journal of yours, on storage that is full
/// # impl Journal for Full {
/// #     fn header(&self) -> Result<Option<Header>, JournalError> { Ok(None) }
/// #     fn read(&self, _: &mut Reader<'_>) -> Result<Option<Torn>, JournalError> { Ok(None) }
/// #     fn begin(&self, _: &Header) -> Result<(), JournalError> { Err(JournalError::Begun) }
/// #     fn append(&self, _: &Record) -> Result<(), JournalError> { Err(JournalError::Broken) }
/// #     fn flush(&self) -> Result<(), JournalError> { Err(JournalError::Broken) }
/// # }
/// let report = check_failing_journal(&Full);
/// assert!(report.is_conformant(), "{report}");
/// # }
/// ```
pub fn check_failing_journal(journal: &impl Journal) -> Conformance {
    let mut report = Conformance::new();
    let records = samples();
    let before = read(journal).map(|read| read.0.len());
    // A journal that buffers records reports the failure with a later record, or when it is flushed.
    let kept = records.iter().take_while(|record| journal.append(record).is_ok()).count();
    let told = kept < records.len() || journal.flush().is_err();
    report.note("a write that fails is told", holds(Ok(told)));
    let later = records.iter().any(|record| journal.append(record).is_ok());
    report.note("after it every other one fails", holds(Ok(!later)));
    report.note("and nothing is handed to the disk", holds(Ok(journal.flush().is_err())));
    let more = before.and_then(|before| Ok(read(journal)?.0.len() > before + kept));
    report.note("no more is read back than was written", holds(more.map(|more| !more)));
    report
}

fn failed<E: Display>(error: Option<E>) -> Outcome {
    error.map_or(Outcome::Passed, |error| Outcome::Failed(error.to_string()))
}

fn holds(result: Result<bool, JournalError>) -> Outcome {
    match result {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed("it is not so".to_owned()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn append<'a>(
    journal: &'a impl Journal,
    records: &'a [Record],
) -> impl Iterator<Item = String> + 'a {
    records.iter().filter_map(|record| Some(journal.append(record).err()?.to_string()))
}

/// How many threads write at once, and how many records each writes.
const THREADS: u64 = 4;
const EACH: u64 = 25;

fn crowd(journal: &impl Journal) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..EACH {
                    let score = Confidence::new(number as f64);
                    let outcome = Recorded::Rating { score };
                    let record = Record::new(thread, "small", CallKind::Rating, outcome);
                    // A record whose append fails is found missing when the records are read.
                    let _ = journal.append(&record);
                }
            });
        }
    });
}

fn is_crowd(records: Option<&[Record]>) -> bool {
    let records = records.unwrap_or_default();
    let whole = (0..THREADS).all(|thread| {
        let own = records.iter().filter(|record| record.index == thread);
        let scores = own.map(|record| match record.outcome {
            Recorded::Rating { score } => score.map(Confidence::as_f64),
            _ => None,
        });
        scores.eq((0..EACH).map(|number| Some(number as f64)))
    });
    whole && records.len() as u64 == THREADS * EACH
}

fn read(journal: &impl Journal) -> Result<(Vec<Record>, bool), JournalError> {
    let mut all = Vec::new();
    let torn = journal.read(&mut |record| {
        all.push(record);
        Ok(())
    })?;
    Ok((all, torn.is_some()))
}

fn header() -> Option<Header> {
    let model = |name: &str| ModelSpec {
        name: name.to_owned(),
        version: Some("prompt 1\n\"quoted\"".to_owned()),
        pricing: Pricing::per_million(0.15, 0.6).unwrap_or_default(),
        scoring: Scoring::SecondCall,
    };
    let roster = RosterSpec::new(vec![model("large"), model("small")]).ok()?;
    let target = Target::new(0.95, 0.99).ok()?;
    let (order, settings) = (Order::new(1_000, u64::MAX), ProfileSettings::default());
    let header = Header::new(roster, "exact", Pricing::default(), target, order, settings);
    Some(header.with_items(Some(u64::MAX)))
}

fn samples() -> Vec<Record> {
    let answer = |output: &str, score| Recorded::Answer {
        output: output.to_owned(),
        score: Confidence::new(score),
    };
    let usage = Some(Usage::tokens(u64::MAX, 0).with_cached_input(1));
    let kinds = [ErrorKind::Timeout, ErrorKind::Panicked, ErrorKind::Unavailable];
    let mut records = vec![
        Record::new(0, "large", CallKind::Answer, answer("null", f64::NAN)).with_usage(usage),
        Record::new(999, "small", CallKind::Answer, answer("\"a\\nb\\u0000\"", 0.1)),
        Record::new(5, "small", CallKind::Answer, answer("[1.5e300,\"\u{1F980}\"]", f64::MIN)),
        Record::new(5, "small", CallKind::Rating, Recorded::Rating { score: None }),
        Record::new(6, "small", CallKind::Rating, Recorded::Rating { score: Confidence::new(0.3) }),
        Record::new(5, "large", CallKind::Comparison, Recorded::Verdict { equivalent: true })
            .with_other("small")
            .with_usage(usage)
            .with_item(Some(u64::MAX)),
        Record::new(7, "large", CallKind::Repeat, answer("{}", 0.0)),
        Record::new(7, "large", CallKind::Answer, Recorded::Unaffordable { cap: Cost::MAX }),
    ];
    let failures = kinds.into_iter().map(Recorded::Failure);
    records.extend(failures.map(|failure| Record::new(8, "small", CallKind::Answer, failure)));
    records
}

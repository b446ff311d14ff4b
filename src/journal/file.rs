//! The default journal: one append-only file in JSON Lines ([`FileJournal`]).

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::wire::{self, BadHeader};
use super::{Header, Journal, JournalError, Reader, Record, Torn};

use crate::locks::lock;

/// When a record counts as safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// Each record is handed to the operating system at once. It survives the death of the process;
    /// whether it survives a power failure is up to the system. The default.
    #[default]
    EachWrite,
    /// Each record is on the disk before its answer is used. This is slow: a disk manages a few hundred
    /// of these a second.
    EachSync,
    /// Each record is handed to the operating system at once, and synced to disk every so many records.
    SyncEvery(u64),
    /// Up to this many records are held in memory and lost if the process dies; their calls are then
    /// paid for again. For answers that cost less than writing them down.
    Buffered(u64),
}

/// A journal in one file: a line for the header, then a line for each call.
///
/// The file is locked as long as the journal is open (by an advisory lock, which the system releases
/// with the process). A last line without its end was being written when the writer died; it is cut off
/// and reported ([`FileJournal::torn`]). Any other line that is not as it was written (each ends with a
/// checksum) is an error with the line's number, and the file is left as it is.
///
/// ```no_run
/// use smart_core::journal::{FileJournal, FlushPolicy};
/// let journal = FileJournal::open("run.jsonl")?.with_flush(FlushPolicy::SyncEvery(100));
/// # Ok::<(), smart_core::journal::JournalError>(())
/// ```
pub struct FileJournal {
    path: PathBuf,
    flush: FlushPolicy,
    torn: Option<Torn>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    begun: bool,
    /// The file's length, which only this writer changes.
    length: u64,
    /// Lines that were not handed to the operating system yet.
    held: Vec<u8>,
    /// Records since the last sync to disk or, if buffered, since the last write.
    pending: u64,
    broken: bool,
}

impl FileJournal {
    /// Opens or creates a journal, locks it, and cuts off a torn last line.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be opened, is open elsewhere, or does not begin as a journal. What it
    /// holds is read, and checked, by the run that takes it up.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let path = path.as_ref().to_path_buf();
        let io = |what, source| JournalError::Io { what, path: path.clone(), source };
        // Not opened for appending: on some systems a file opened that way cannot be truncated.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| io("open", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(io("lock", source)),
        }
        let torn = mend(&mut file, &path)?;
        let length = file.metadata().map_err(|source| io("measure", source))?.len();
        let (begun, held) = (length > 0, Vec::new());
        let inner = Inner { file, begun, length, held, pending: 0, broken: false };
        Ok(Self { path, flush: FlushPolicy::default(), torn, inner: Mutex::new(inner) })
    }

    /// Sets when a record counts as safe.
    #[must_use]
    pub const fn with_flush(mut self, policy: FlushPolicy) -> Self {
        self.flush = policy;
        self
    }

    /// What was cut off the end of the file when it was opened.
    pub const fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// The journal's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn io(&self, what: &'static str) -> impl Fn(std::io::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::Io { what, path: path.clone(), source }
    }

    /// Makes the error of a line that is wrong.
    fn record(&self, line: u64, why: String) -> JournalError {
        JournalError::Record { path: Some(self.path.clone()), line, why }
    }

    /// Passes the whole lines of the file to `each`, with their numbers, until it returns `false`.
    fn lines(
        &self,
        each: &mut dyn FnMut(u64, &str) -> Result<bool, JournalError>,
    ) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let io = self.io("read");
        self.push(&mut inner)?;
        let mut reader = BufReader::new(&inner.file);
        reader.seek(SeekFrom::Start(0)).map_err(&io)?;
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if reader.read_until(b'\n', &mut text).map_err(&io)? == 0 {
                break;
            }
            if text.pop_if(|byte| *byte == b'\n').is_none() {
                let why = "it ends without an end of line".to_owned();
                return Err(self.record(line, why));
            }
            let text = std::str::from_utf8(&text)
                .map_err(|error| self.record(line, format!("it is not UTF-8: {error}")))?;
            if !each(line, text)? {
                break;
            }
        }
        Ok(())
    }

    /// Hands held lines to the operating system. A failed write may have left a part behind, which is
    /// cut off.
    fn push(&self, inner: &mut Inner) -> Result<(), JournalError> {
        if inner.held.is_empty() {
            return Ok(());
        }
        if inner.broken {
            return Err(JournalError::Broken);
        }
        let Inner { file, held, length, .. } = inner;
        let written = file.seek(SeekFrom::Start(*length)).and_then(|_| file.write_all(held));
        let added = held.len() as u64;
        held.clear();
        if let Err(error) = written {
            // Best effort: a torn line that stays is cut off when the journal is next opened.
            let _ = file.set_len(*length);
            inner.broken = true;
            return Err(self.io("write to")(error));
        }
        *length += added;
        Ok(())
    }

    fn sync(&self, inner: &mut Inner) -> Result<(), JournalError> {
        let synced = inner.file.sync_data();
        inner.broken |= synced.is_err();
        inner.pending = 0;
        synced.map_err(|error| self.io("sync")(error))
    }

    fn write(&self, inner: &mut Inner, line: &str) -> Result<(), JournalError> {
        if inner.broken {
            return Err(JournalError::Broken);
        }
        inner.held.extend_from_slice(line.as_bytes());
        inner.held.push(b'\n');
        inner.pending += 1;
        match self.flush {
            FlushPolicy::EachWrite => self.push(inner),
            FlushPolicy::EachSync => {
                self.push(inner)?;
                self.sync(inner)
            }
            FlushPolicy::SyncEvery(records) => {
                self.push(inner)?;
                if inner.pending >= records { self.sync(inner) } else { Ok(()) }
            }
            FlushPolicy::Buffered(records) if inner.pending >= records => {
                inner.pending = 0;
                self.push(inner)
            }
            FlushPolicy::Buffered(_) => Ok(()),
        }
    }
}

/// Cuts off a last line that has no end, and reports it. A file that is not a journal is left alone.
fn mend(file: &mut File, path: &Path) -> Result<Option<Torn>, JournalError> {
    let io = |what| move |source| JournalError::Io { what, path: path.to_path_buf(), source };
    let not = |why: &str| JournalError::NotAJournal { path: path.to_path_buf(), why: why.into() };
    let length = file.metadata().map_err(io("measure"))?.len();
    file.seek(SeekFrom::Start(0)).map_err(io("read"))?;
    let mut start = Vec::new();
    let most = wire::BEGINNING.len() as u64;
    Read::by_ref(file).take(most).read_to_end(&mut start).map_err(io("read"))?;
    if !wire::BEGINNING.as_bytes().starts_with(&start) {
        return Err(not("it does not begin like one"));
    }
    file.seek(SeekFrom::Start(0)).map_err(io("read"))?;
    let (mut whole, mut lines) = (0, 0);
    let mut reader = BufReader::new(&mut *file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(io("read"))?;
        if read == 0 {
            return Ok(None);
        }
        lines += 1;
        if line.last() != Some(&b'\n') {
            break;
        }
        whole += read as u64;
    }
    file.set_len(whole).map_err(io("mend"))?;
    file.sync_data().map_err(io("mend"))?;
    Ok(Some(Torn::new(lines, length - whole)))
}

impl Journal for FileJournal {
    fn header(&self) -> Result<Option<Header>, JournalError> {
        let mut header = None;
        self.lines(&mut |_, text| {
            let not = |why| JournalError::NotAJournal { path: self.path.clone(), why };
            header = Some(wire::read_header(text).map_err(|bad| match bad {
                BadHeader::Version(found) => {
                    JournalError::Version { path: Some(self.path.clone()), found }
                }
                BadHeader::Other(why) => not(why),
            })?);
            Ok(false)
        })?;
        Ok(header)
    }

    fn read(&self, each: &mut Reader<'_>) -> Result<Option<Torn>, JournalError> {
        self.lines(&mut |line, text| {
            if line > 1 {
                let taken = wire::read(text).and_then(&mut *each);
                taken.map_err(|why| self.record(line, wire::complaint(why)))?;
            }
            Ok(true)
        })?;
        Ok(self.torn)
    }

    fn begin(&self, header: &Header) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if inner.begun {
            return Err(JournalError::Begun);
        }
        let line = wire::write_header(header)
            .map_err(|why| JournalError::NotAJournal { path: self.path.clone(), why })?;
        self.write(&mut inner, &line)?;
        self.push(&mut inner)?;
        inner.begun = true;
        self.sync(&mut inner)
    }

    fn append(&self, record: &Record) -> Result<(), JournalError> {
        let unwritable = |why| JournalError::Unwritable { index: record.index, why };
        let line = wire::write(record).map_err(unwritable)?;
        self.write(&mut self.lock(), &line)
    }

    fn flush(&self) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if inner.broken {
            return Err(JournalError::Broken);
        }
        self.push(&mut inner)?;
        self.sync(&mut inner)
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        let mut inner = self.lock();
        // If this write fails, the calls are made again: no more is lost than in a crash.
        let _ = self.push(&mut inner);
        let _ = inner.file.unlock();
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, flush, torn, .. } = self;
        f.debug_struct("FileJournal")
            .field("path", path)
            .field("flush", flush)
            .field("torn", torn)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use super::*;
    use crate::conformance::check_failing_journal;

    /// A journal whose disk is full: its file handle is replaced by one that cannot write.
    #[test]
    fn a_full_disk_is_told_and_nothing_is_handed_over_after_it() {
        for policy in [
            FlushPolicy::EachWrite,
            FlushPolicy::EachSync,
            FlushPolicy::Buffered(3),
            FlushPolicy::Buffered(99),
        ] {
            let name = format!("full-{}-{policy:?}.jsonl", std::process::id());
            let path = std::env::temp_dir().join(name);
            let journal = FileJournal::open(&path).unwrap().with_flush(policy);
            journal.lock().file = File::open(&path).unwrap();
            let report = check_failing_journal(&journal);
            assert!(report.is_conformant(), "{policy:?}\n{report}");
            assert!(matches!(journal.flush(), Err(JournalError::Broken)));
            drop(journal);
            std::fs::remove_file(path).unwrap();
        }
    }
}

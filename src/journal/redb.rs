//! A journal in an embedded database: [`RedbJournal`].

use std::fmt;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use ::redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};

use super::wire::{self, BadHeader};
use super::{Header, Journal, JournalError, Reader, Record, Torn};

use crate::locks::lock;

/// The header's JSON, under key 0.
const HEADER: TableDefinition<'_, u64, &str> = TableDefinition::new("smart-core journal");
/// Each record's JSON, under its number: counted from 1, and missing where a record was deleted.
const RECORDS: TableDefinition<'_, u64, &str> = TableDefinition::new("smart-core records");

/// A journal in a [redb](::redb) database, for those who keep other data in redb or want whole transactions
/// instead of lines.
///
/// Records are the same JSON as the lines of a [`FileJournal`](super::FileJournal). Each is written in a
/// transaction of its own, so nothing is ever torn. The database is locked as long as the journal is open.
///
/// Records have rising numbers and are read in their order. A number that is missing is a record that
/// someone deleted, as the error of a bad record advises: its call is made again. It cannot be one that a
/// crash tore out, since transactions are kept whole and in order, and a crash loses none but the last.
///
/// Every transaction that reaches the disk takes as long as the disk does. For thousands of calls a
/// second use [`with_sync_every`](Self::with_sync_every), or the file.
///
/// ```no_run
/// use smart_core::journal::RedbJournal;
/// let journal = RedbJournal::open("run.redb")?.with_sync_every(100);
/// # Ok::<(), smart_core::journal::JournalError>(())
/// ```
pub struct RedbJournal {
    path: PathBuf,
    database: Database,
    sync_every: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The number of the next record.
    next: u64,
    /// Records since the last one that was synced to disk.
    pending: u64,
    broken: bool,
}

fn storage<E>(what: &'static str) -> impl Fn(E) -> JournalError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| JournalError::Storage { what, source: Box::new(error) }
}

/// The error of a file that is no database, or no longer.
fn damaged(path: &Path) -> JournalError {
    let why = "it is no redb database, or one that is damaged or cut short; put back a whole copy of it, or \
               begin a new journal at another path";
    JournalError::NotAJournal { path: path.to_path_buf(), why: why.to_owned() }
}

/// Does what redb may panic in, since it believes what a file says of its own length and of its strings.
fn guarded<T>(
    path: &Path,
    act: impl FnOnce() -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err(damaged(path)))
}

impl RedbJournal {
    /// Opens or creates a journal, and locks it. A file that is cut short is left as it is.
    ///
    /// # Errors
    /// [`JournalError`] if the database cannot be opened, is open elsewhere, is damaged, or is not a journal.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let path = path.as_ref();
        guarded(path, || Self::open_sound(path.to_path_buf()))
    }

    fn open_sound(path: PathBuf) -> Result<Self, JournalError> {
        let database = Database::create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => JournalError::Locked { path: path.clone() },
            DatabaseError::Storage(StorageError::Corrupted(_)) => damaged(&path),
            DatabaseError::Storage(StorageError::Io(error))
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                damaged(&path)
            }
            other => storage("open it")(other),
        })?;
        let read = database.begin_read().map_err(storage("read it"))?;
        let ours = match read.open_table(HEADER) {
            Ok(_) => true,
            Err(TableError::TableDoesNotExist(_)) => false,
            Err(error) => return Err(storage("read it")(error)),
        };
        if !ours && read.list_tables().map_err(storage("read it"))?.next().is_some() {
            let why = "it is a database of another kind".to_owned();
            return Err(JournalError::NotAJournal { path, why });
        }
        let mut next = 1;
        if ours {
            let records = read.open_table(RECORDS).map_err(storage("read it"))?;
            let last = records.last().map_err(storage("read it"))?;
            next = last.map_or(1, |(number, _)| number.value().saturating_add(1));
        }
        drop(read);
        let inner = Mutex::new(Inner { next, pending: 0, broken: false });
        Ok(Self { path, database, sync_every: 1, inner })
    }

    /// Syncs only every `records`-th record to disk before its answer is used; 0 counts as 1. If the
    /// process dies, up to `records - 1` records are lost, and their calls are paid for again.
    #[must_use]
    pub const fn with_sync_every(mut self, records: u64) -> Self {
        self.sync_every = records;
        self
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Writes these entries in one transaction, synced to disk or not.
    fn write(
        &self,
        durability: Durability,
        header: Option<&str>,
        record: Option<(u64, &str)>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.database.begin_write().map_err(storage("write to it"))?;
        transaction.set_durability(durability).map_err(storage("write to it"))?;
        {
            let mut headers = transaction.open_table(HEADER).map_err(storage("write to it"))?;
            let mut records = transaction.open_table(RECORDS).map_err(storage("write to it"))?;
            if let Some(header) = header {
                headers.insert(0, header).map_err(storage("write to it"))?;
            }
            if let Some((number, record)) = record {
                records.insert(number, record).map_err(storage("write to it"))?;
            }
        }
        transaction.commit().map_err(storage("commit to it"))
    }

    fn read_header(&self) -> Result<Option<Header>, JournalError> {
        let read = self.database.begin_read().map_err(storage("read it"))?;
        let headers = match read.open_table(HEADER) {
            Ok(headers) => headers,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(storage("read it")(error)),
        };
        let Some(text) = headers.get(0).map_err(storage("read it"))? else { return Ok(None) };
        let header = wire::read_header(text.value()).map_err(|bad| match bad {
            BadHeader::Version(found) => {
                JournalError::Version { path: Some(self.path.clone()), found }
            }
            BadHeader::Other(why) => JournalError::NotAJournal { path: self.path.clone(), why },
        })?;
        Ok(Some(header))
    }
}

impl Journal for RedbJournal {
    fn header(&self) -> Result<Option<Header>, JournalError> {
        guarded(&self.path, || self.read_header())
    }

    fn read(&self, each: &mut Reader<'_>) -> Result<Option<Torn>, JournalError> {
        let read = self.database.begin_read().map_err(storage("read it"))?;
        let records = match read.open_table(RECORDS) {
            Ok(records) => records,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(storage("read it")(error)),
        };
        let mut records = guarded(&self.path, || records.iter().map_err(storage("read it")))?;
        // Only what redb does is guarded: a panic of `each` is not the file's.
        let mut next = || {
            let Some(entry) = records.next() else { return Ok(None) };
            let (number, text) = entry.map_err(storage("read it"))?;
            Ok(Some((number.value(), text.value().to_owned())))
        };
        while let Some((line, text)) = guarded(&self.path, &mut next)? {
            wire::read(&text).and_then(&mut *each).map_err(|why| {
                let (path, why) = (Some(self.path.clone()), wire::complaint(why));
                JournalError::Record { path, line, why }
            })?;
        }
        Ok(None)
    }

    fn begin(&self, header: &Header) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if self.header()?.is_some() {
            return Err(JournalError::Begun);
        }
        let text = wire::write_header(header)
            .map_err(|why| JournalError::NotAJournal { path: self.path.clone(), why })?;
        let written = self.write(Durability::Immediate, Some(&text), None);
        inner.broken |= written.is_err();
        written
    }

    fn append(&self, record: &Record) -> Result<(), JournalError> {
        let unwritable = |why| JournalError::Unwritable { index: record.index, why };
        let text = wire::write(record).map_err(unwritable)?;
        let mut inner = self.lock();
        if inner.broken {
            return Err(JournalError::Broken);
        }
        inner.pending += 1;
        let synced = inner.pending >= self.sync_every;
        let durability = if synced { Durability::Immediate } else { Durability::None };
        let written = self.write(durability, None, Some((inner.next, &text)));
        inner.broken |= written.is_err();
        inner.next += 1;
        if synced {
            inner.pending = 0;
        }
        written
    }

    fn flush(&self) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if inner.broken {
            return Err(JournalError::Broken);
        }
        if inner.pending > 0 {
            let written = self.write(Durability::Immediate, None, None);
            inner.broken |= written.is_err();
            inner.pending = 0;
            return written;
        }
        Ok(())
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }
}

impl Drop for RedbJournal {
    fn drop(&mut self) {
        // If this write fails, the calls are made again: no more is lost than in a crash.
        let _ = self.flush();
    }
}

impl fmt::Debug for RedbJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, sync_every, .. } = self;
        f.debug_struct("RedbJournal")
            .field("path", path)
            .field("sync_every", sync_every)
            .finish_non_exhaustive()
    }
}

//! Runs that remember what they paid for, in a journal.

#[cfg(feature = "json")]
use std::hash::Hash;
#[cfg(feature = "json")]
use std::sync::Arc;

use super::Smart;
#[cfg(feature = "json")]
use crate::fingerprint::fingerprint;
#[cfg(feature = "json")]
use crate::journal::Binding;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Writes every paid call to a journal, and resumes from what it holds.
    ///
    /// To resume a run, run it again with the same items, roster, target, seed and settings: see
    /// [`journal`](crate::journal). The journal tells items apart by their [`Hash`]; an item whose
    /// fingerprint differs from the recorded one is refused, whatever [key](Self::with_item_key) items have.
    /// Profiles and plans tell items apart in the same way if no key is set.
    ///
    /// ```
    /// use smart_core::{Completion, Model, Roster, Smart, Target, from_fn};
    /// use smart_core::equivalence::Exact;
    /// use smart_core::journal::FileJournal;
    ///
    /// # let path = std::env::temp_dir().join(format!("smart-core-doc-{}.jsonl", std::process::id()));
    /// # futures::executor::block_on(async {
    /// let client = || from_fn(|n: &u64| { let even = n % 2 == 0; async move { Ok(Completion::new(even)) } });
    /// let roster = Roster::new(Model::new("large", client()), [Model::new("small", client())])?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.9)?)
    ///     .with_journal(FileJournal::open(&path)?);
    /// let items: Vec<u64> = (0..100).collect();
    /// let first = smart.run(&items).await?;
    /// let again = smart.run(&items).await?; // asks no one
    /// assert_eq!(first.answers, again.answers);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # std::fs::remove_file(path).unwrap();
    /// ```
    #[cfg(feature = "json")]
    #[must_use]
    pub fn with_journal(mut self, journal: impl crate::journal::Journal + 'static) -> Self
    where
        I: Hash,
        O: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.journal = Some(Arc::new(Binding::json(journal, |item: &I| fingerprint(item))));
        self
    }

    /// As `with_journal`, for items without a [`Hash`] of their own: the journal tells them apart by a key,
    /// such as an identifier or a hash of their content. Items with the same key are the same to it.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn with_keyed_journal<K: Hash>(
        mut self,
        journal: impl crate::journal::Journal + 'static,
        key: impl Fn(&I) -> K + Send + Sync + 'static,
    ) -> Self
    where
        O: serde::Serialize + serde::de::DeserializeOwned,
    {
        let binding = Binding::json(journal, move |item: &I| fingerprint(&key(item)));
        self.journal = Some(Arc::new(binding));
        self
    }

    /// Sets whether calls that failed are made again when the run is resumed. By default they are not, so
    /// that a resumed run decides as the first one did. (Where a circuit breaker was open it may decide
    /// otherwise, see below. Each run keeps the promise by itself; do not mix the answers of two with other
    /// plans: [why](crate::journal#two-runs-two-plans).)
    ///
    /// These are all failures but those that are due to the item and would be the same again
    /// ([`Refused`](crate::ErrorKind::Refused), [`InvalidRequest`](crate::ErrorKind::InvalidRequest)): a
    /// time-out, a limit, a fault of the server, a wrong key, a model that was not there, code that panicked,
    /// an answer that the journal could not hold.
    ///
    /// Set it after an outage, or once what was wrong is mended. The items it left unanswered are asked about
    /// again, and profiling decides on what is then known, as if the outage had not happened. What the failed
    /// calls cost stays on the bill. A call that was never made, because the circuit breaker was open, is
    /// made in any case.
    ///
    /// Decide to resume because of what happened (an outage), not because of the result: resuming a run
    /// *because* its plan disappoints is a second try at the same promise.
    #[must_use]
    pub const fn with_failures_asked_again(mut self, again: bool) -> Self {
        self.again = again;
        self
    }
}

//! Paid calls of this run that have not been used yet.
//!
//! Profiling may end while items are under way. Their calls are paid for; when the plan answers those
//! items, it finds the calls here instead of asking again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CallKey, Kept};

use crate::locks::lock;

pub(super) struct Memory<O> {
    /// How many calls are held, so that most runs never take the lock.
    count: AtomicUsize,
    kept: Mutex<BTreeMap<CallKey, Kept<O>>>,
}

impl<O> Default for Memory<O> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), kept: Mutex::default() }
    }
}

impl<O> Memory<O> {
    pub(super) fn put(&self, key: CallKey, kept: Kept<O>) {
        let mut all = lock(&self.kept);
        all.insert(key, kept);
        self.count.store(all.len(), Ordering::Release);
    }

    /// The keys of the held calls about an item.
    pub(super) fn paid_for(&self, index: u64) -> Vec<CallKey> {
        if self.is_empty() {
            return Vec::new();
        }
        let all = lock(&self.kept);
        all.range(CallKey::all_of(index)).map(|(key, _)| *key).collect()
    }

    /// Takes everything that is held.
    pub(super) fn empty(&self) -> Vec<(CallKey, Kept<O>)> {
        let mut all = lock(&self.kept);
        self.count.store(0, Ordering::Release);
        std::mem::take(&mut *all).into_iter().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(super) fn take(&self, key: &CallKey) -> Option<Kept<O>> {
        if self.is_empty() {
            return None;
        }
        let mut all = lock(&self.kept);
        let kept = all.remove(key);
        self.count.store(all.len(), Ordering::Release);
        kept
    }
}

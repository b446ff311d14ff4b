//! What a journal holds of a call that nobody has asked for yet.

use crate::calls::Kept;

/// A recorded call with the fingerprint of its item.
pub(super) struct Found<O> {
    pub(super) item: Option<u64>,
    pub(super) kept: Kept<O>,
    /// Whether the call was booked before anyone asked for it.
    pub(super) booked: bool,
}

/// The records of one call, oldest first: a single one, unless the call was made again.
///
/// A plain list per call would take more memory than the record itself, and a resumed run holds them all.
pub(super) struct Recalls<O> {
    first: Found<O>,
    others: Vec<Found<O>>,
}

impl<O> Recalls<O> {
    pub(super) const fn new(first: Found<O>) -> Self {
        Self { first, others: Vec::new() }
    }

    pub(super) fn push(&mut self, found: Found<O>) {
        self.others.push(found);
    }

    pub(super) fn len(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Found<O>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Found<O>> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// Splits off the oldest record; the rest, if any.
    pub(super) fn split(self) -> (Found<O>, Option<Self>) {
        let Self { first, others } = self;
        (first, Self::of(others))
    }

    /// Keeps the records for which `wanted` returns true; it is given each one's place from the end.
    pub(super) fn retain(self, mut wanted: impl FnMut(&Found<O>, usize) -> bool) -> Option<Self> {
        let mut after = self.len();
        let kept = std::iter::once(self.first).chain(self.others).filter(|found| {
            after -= 1;
            wanted(found, after)
        });
        Self::of(kept)
    }

    fn of(found: impl IntoIterator<Item = Found<O>>) -> Option<Self> {
        let mut found = found.into_iter();
        Some(Self { first: found.next()?, others: found.collect() })
    }
}

//! What a journal holds of a call that no one has asked for yet.

use crate::calls::Kept;

/// A kept call with the fingerprint of its item.
pub(super) struct Found<O> {
    pub(super) item: Option<u64>,
    pub(super) kept: Kept<O>,
    /// Whether it was booked before anyone asked for it.
    pub(super) booked: bool,
}

/// The records of one call, oldest first: one, but for calls that were made again.
///
/// A list for each would take more than the record, and a resumed run holds them all.
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

    /// The oldest, and the others if there are any.
    pub(super) fn split(self) -> (Found<O>, Option<Self>) {
        let Self { first, others } = self;
        (first, Self::of(others))
    }

    /// Those that `wanted` says of, by their place from the end.
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

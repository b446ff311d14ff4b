//! What profiling leaves to whoever answers the rest: [`Handed`].

use std::collections::BTreeMap;

use super::Profiled;
use crate::answer::Answer;
use crate::calls::{CallKey, Kept};

/// What profiling answered and paid for, for [`Smart::executor`](crate::Smart::executor): made of a
/// [`Profiled`], or of a map of answers by index.
///
/// Profiling may end while items are under way. Their calls are paid for and no evidence; handed on
/// with the [`Profiled`] they are not paid for again. They are in its report and not in the
/// executor's.
#[derive(Debug, Clone)]
pub struct Handed<O> {
    pub(super) answers: BTreeMap<u64, Answer<O>>,
    pub(super) late: Vec<(CallKey, Kept<O>)>,
}

impl<O> Handed<O> {
    /// What belongs to one worker's items.
    #[must_use]
    pub fn only(mut self, ours: impl Fn(u64) -> bool) -> Self {
        self.answers.retain(|index, _| ours(*index));
        self.late.retain(|(key, _)| ours(key.index));
        self
    }
}

impl<O> From<BTreeMap<u64, Answer<O>>> for Handed<O> {
    fn from(answers: BTreeMap<u64, Answer<O>>) -> Self {
        Self { answers, late: Vec::new() }
    }
}

impl<O> From<Profiled<O>> for Handed<O> {
    fn from(profiled: Profiled<O>) -> Self {
        Self { answers: profiled.answers, late: profiled.late }
    }
}

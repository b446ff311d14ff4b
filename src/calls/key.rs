//! What identifies a call within a run: [`CallKey`].
//!
//! Books, journals and recalled calls all find a call by its item, its model and its kind. Keys are ordered,
//! so that the calls of one item lie together.

use std::ops::RangeInclusive;

use crate::observe::CallKind;
use crate::roster::ModelId;

/// What identifies a call within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallKey {
    pub(crate) index: u64,
    pub(crate) model: ModelId,
    pub(crate) kind: CallKind,
    /// The other model, in a comparison.
    pub(crate) other: ModelId,
}

impl CallKey {
    pub(crate) const fn answer(index: u64, model: ModelId) -> Self {
        Self { index, model, kind: CallKind::Answer, other: model }
    }
    pub(crate) const fn rating(index: u64, model: ModelId) -> Self {
        Self { index, model, kind: CallKind::Rating, other: model }
    }
    /// The range in which all keys of an item lie.
    pub(crate) const fn all_of(index: u64) -> RangeInclusive<Self> {
        let first = Self::answer(index, ModelId::REFERENCE);
        let last = ModelId::new(u8::MAX);
        first..=Self { index, model: last, kind: CallKind::Repeat, other: last }
    }
    pub(crate) const fn comparison(index: u64, left: ModelId, right: ModelId) -> Self {
        Self { index, model: left, kind: CallKind::Comparison, other: right }
    }
    /// The key for asking the reference once more and comparing its two answers.
    pub(crate) const fn repeat(index: u64) -> Self {
        let model = ModelId::REFERENCE;
        Self { index, model, kind: CallKind::Repeat, other: model }
    }
}

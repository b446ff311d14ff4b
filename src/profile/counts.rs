//! The pilot's items, counted once for all chains.
//!
//! There are as many chains as pairs of candidates, and every gate of the pilot prices them all. So one
//! pass over the items sets a bit for each candidate and item, and a chain's counts are then taken 64
//! items at a time.

use crate::evidence::{Agreement, ItemEvidence};
use crate::roster::ModelId;

/// The pilot's counts for one candidate, or for one checked by another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) items: u64,
    /// Failing answers of the first model with which the second agrees (or there is no second).
    pub(super) agreeing_failures: u64,
    /// Failing answers with which the second disagrees.
    pub(super) disagreeing_failures: u64,
    pub(super) disagreements: u64,
    pub(super) silent: u64,
}

/// What one candidate did on 64 items, one bit for each.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    asked: u64,
    silent: u64,
    fails: u64,
    answered: u64,
    agrees: u64,
}

/// What the candidates did on the pilot's items.
#[derive(Debug)]
pub(super) struct Seen {
    candidates: usize,
    /// By block of 64 items, then by candidate.
    words: Vec<Word>,
    /// By block of 64 items, then by pair of candidates: whether their answers were found equivalent.
    pairs: Vec<u64>,
}

impl Seen {
    pub(super) fn new(candidates: usize, items: &[&ItemEvidence]) -> Self {
        let length = items.len().div_ceil(64);
        let mut seen = Self {
            candidates,
            words: vec![Word::default(); candidates * length],
            pairs: vec![0; candidates * candidates * length],
        };
        for (at, block) in items.chunks(64).enumerate() {
            for (bit, item) in block.iter().enumerate() {
                seen.add(item, at * candidates, 1 << bit);
            }
        }
        seen
    }

    /// Adds an item, in the block whose words start at `from`.
    fn add(&mut self, item: &ItemEvidence, from: usize, bit: u64) {
        let words = self.words.get_mut(from..).unwrap_or_default();
        for (record, word) in item.candidates.iter().zip(words).take(self.candidates) {
            let Some(record) = record else { continue };
            word.asked |= bit;
            match record.agreement {
                Agreement::Agrees => word.agrees |= bit,
                Agreement::Differs | Agreement::Unheard => word.fails |= bit,
                Agreement::NoAnswer => word.silent |= bit,
            }
            if record.agreement.is_answer() {
                word.answered |= bit;
            }
        }
        for (a, b) in &item.pairs {
            for (one, other) in [(a, b), (b, a)] {
                let at = self.pair(from, *one, *other);
                if let Some(word) = at.and_then(|at| self.pairs.get_mut(at)) {
                    *word |= bit;
                }
            }
        }
    }

    /// The place of a pair's word, in the block whose words start at `from`.
    fn pair(&self, from: usize, one: ModelId, other: ModelId) -> Option<usize> {
        let place = |id: ModelId| id.position().checked_sub(1).filter(|at| *at < self.candidates);
        Some((from + place(one)?) * self.candidates + place(other)?)
    }

    /// One candidate's failures, and the items it was asked about.
    pub(super) fn failures(&self, id: ModelId) -> (f64, f64) {
        let counts = self.counts(id, None);
        (counts.agreeing_failures as f64, counts.items as f64)
    }

    /// The counts of one candidate; with a `second` as its check, over the items on which both were asked.
    pub(super) fn counts(&self, first: ModelId, second: Option<ModelId>) -> Counts {
        let mut counts = Counts::default();
        let ones = |bits: u64| u64::from(bits.count_ones());
        let blocks = self.words.chunks(self.candidates.max(1));
        for (from, block) in (0..).step_by(self.candidates.max(1)).zip(blocks) {
            let word = |id: ModelId| {
                let place = id.position().checked_sub(1);
                place.and_then(|at| block.get(at)).copied().unwrap_or_default()
            };
            let mut own = word(first);
            if let Some(second) = second {
                let both = word(second).asked;
                own.asked &= both;
                own.silent &= both;
                own.fails &= both;
            }
            let together = second.map_or(u64::MAX, |second| {
                let other = word(second);
                let at = self.pair(from, first, second);
                let found = at.and_then(|at| self.pairs.get(at)).copied().unwrap_or(0);
                other.answered & (own.agrees & other.agrees | found)
            });
            counts.items += ones(own.asked);
            counts.silent += ones(own.silent);
            counts.disagreements += ones(own.asked & !own.silent & !together);
            counts.agreeing_failures += ones(own.fails & together);
            counts.disagreeing_failures += ones(own.fails & !together);
        }
        counts
    }
}

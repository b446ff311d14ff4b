//! The limits `b_j = max { f : p(k_j, f) <= c }` of one level over all looks, found as needed.

use super::Design;
use super::hypergeometric::limit_between;

/// Limits at one level, computed from the first look on, as far as someone asks.
#[derive(Debug)]
pub(super) struct Limits<'a> {
    design: Design,
    looks: &'a [u64],
    ln_level: f64,
    known: Vec<Option<u64>>,
    /// Limits at a higher level, which these cannot exceed; may be shorter than the looks.
    ceiling: &'a [Option<u64>],
}

impl<'a> Limits<'a> {
    pub(super) fn new(
        design: Design,
        looks: &'a [u64],
        level: f64,
        ceiling: &'a [Option<u64>],
    ) -> Self {
        Self { design, looks, ln_level: level.ln(), known: Vec::new(), ceiling }
    }

    /// The limit at look `index`, `None` if nothing certifies there (or there is no such look).
    pub(super) fn at(&mut self, index: usize) -> Option<u64> {
        while self.known.len() <= index {
            let position = self.known.len();
            let &look = self.looks.get(position)?;
            // For fixed f the p-value falls as k grows, so limits never fall.
            let least = self.known.last().copied().flatten();
            let most = self.ceiling.get(position).copied().unwrap_or(Some(look));
            let found = match (least, most) {
                (None, None) => None,
                (least, most) => {
                    let least = least.map_or(0, |least| least + 1);
                    let most = most.unwrap_or(look).max(least.saturating_sub(1));
                    limit_between(self.design, look, self.ln_level, least, most)
                }
            };
            self.known.push(found);
        }
        self.known.get(index).copied().flatten()
    }

    /// The limits at all looks.
    pub(super) fn all(mut self) -> Vec<Option<u64>> {
        if let Some(last) = self.looks.len().checked_sub(1) {
            self.at(last);
        }
        self.known
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Looks, Probability, single_look_limit};
    use super::*;

    #[test]
    fn limits_over_a_schedule_are_those_of_single_looks() {
        let alpha = Probability::new(0.013).unwrap();
        for design in [
            Design::finite(3_000, 60).unwrap(),
            Design::finite(300, 150).unwrap(),
            Design::finite(40, 0).unwrap(),
            Design::unbounded(Probability::new(0.1).unwrap()),
        ] {
            let looks = Looks::schedule(design, Probability::new(0.5).unwrap());
            let ceiling = Limits::new(design, looks.as_slice(), 0.05, &[]).all();
            let plain = Limits::new(design, looks.as_slice(), 0.013, &[]).all();
            let capped = Limits::new(design, looks.as_slice(), 0.013, &ceiling).all();
            assert_eq!(plain, capped);
            for (&look, limit) in looks.as_slice().iter().zip(plain) {
                assert_eq!(limit, single_look_limit(design, look, alpha), "{design:?} at {look}");
            }
        }
    }
}

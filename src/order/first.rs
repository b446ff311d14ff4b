//! Which items come first in the random order: [`First`].

use super::Order;

/// Bits of the screen for each item in the set: fewer than one non-member in 32 passes it.
const BITS_PER_ITEM: u64 = 32;
/// The largest screen, in bits: 2 MiB, which fits in second-level caches.
const MOST_BITS: u64 = 1 << 24;

/// The set of items whose ranks lie below a bound: [`Order::first`].
///
/// Every answered item must be tested for membership. Asking the [`Order`] for its rank costs ten rounds of a
/// network in which every step waits for the one before, about fifty nanoseconds: more than all other routing
/// of the item. So a bit set, the *screen*, holds the low bits of the members' indices. They need no hash,
/// because the order is random and spreads them evenly. An item whose bit is not set is no member. An item
/// whose bit is set is a member or, rarely, another item with the same low bits, and its rank decides. The
/// answer is exact, and the screen's size depends on the bound and not on the population.
#[derive(Debug, Clone)]
pub struct First {
    order: Order,
    count: u64,
    /// One bit for each value of an index's low bits; empty if the screen would be too large.
    screen: Vec<u64>,
}

impl First {
    pub(super) fn new(order: Order, count: u64) -> Self {
        let count = count.min(order.population());
        let bits = count.saturating_mul(BITS_PER_ITEM).checked_next_power_of_two();
        let bits = bits.unwrap_or(u64::MAX).max(64);
        let mut screen = Vec::new();
        if bits <= MOST_BITS {
            screen.resize(usize::try_from(bits / 64).unwrap_or(0), 0);
            for rank in 0..count {
                let (word, bit) = place(order.index(rank), screen.len());
                if let Some(word) = screen.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        // For an index beyond the population the order returns the index itself, which the bound excludes.
        Self { order, count: count.min(order.population()), screen }
    }

    /// Whether the item's rank lies below the bound.
    #[inline]
    pub fn contains(&self, index: u64) -> bool {
        let (word, bit) = place(index, self.screen.len());
        // Without a screen every item passes.
        self.screen.get(word).is_none_or(|word| word & bit != 0)
            && self.order.rank(index) < self.count
    }
}

/// The word and the bit of an index, in a screen whose number of words is a power of two.
#[allow(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
const fn place(index: u64, words: usize) -> (usize, u64) {
    ((index >> 6) as usize & words.wrapping_sub(1), 1 << (index & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_any_size_can_be_made() {
        let order = Order::new(u64::MAX, 1);
        for count in [1 << 58, (1 << 58) + 1, 1 << 60, u64::MAX] {
            let first = order.first(count);
            assert!(first.contains(order.index(count - 1)), "{count}");
            assert!(count == u64::MAX || !first.contains(order.index(count)), "{count}");
        }
    }

    #[test]
    fn membership_is_that_of_the_ranks() {
        for (population, count) in [
            (1, 0),
            (1, 1),
            (10, 3),
            (1_000, 137),
            (50_000, 60),
            (3_000, 9_000),
            (2_000_000, 600_000),
        ] {
            let order = Order::new(population, 9);
            let first = order.first(count);
            assert_eq!(first.screen.is_empty(), count == 600_000, "{count}");
            let step = usize::try_from(population / 10_000).unwrap().max(1);
            for index in (0..population + 70).step_by(step) {
                let member = index < population && order.rank(index) < count;
                assert_eq!(first.contains(index), member, "{index}");
            }
        }
    }
}

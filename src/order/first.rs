//! Which items come first in the random order: [`First`].

use super::Order;

/// Bits of the screen for each item in the set: fewer than one item in 32 passes it by chance.
const BITS_PER_ITEM: u64 = 32;
/// The largest screen, in bits: 2 MiB, which second-level caches hold.
const MOST_BITS: u64 = 1 << 24;

/// The items whose ranks lie below a bound: [`Order::first`].
///
/// Asking an [`Order`] for a rank costs ten rounds of a network whose every step waits for the one
/// before, some fifty nanoseconds: more than all else that routing an item costs. So a screen is
/// kept of the low bits of the members' indices. They are spread evenly, as the order is random,
/// and need no hash. An item whose bit is not set is no member; for one whose bit is set, a member
/// or one of a few others, the rank decides. The answer is exact, and the screen's size depends on
/// the bound and not on the population.
#[derive(Debug, Clone)]
pub struct First {
    order: Order,
    count: u64,
    /// One bit for each remainder of an index; empty where it would be too full to be of use.
    screen: Vec<u64>,
}

impl First {
    pub(super) fn new(order: Order, count: u64) -> Self {
        let bits = count.saturating_mul(BITS_PER_ITEM).next_power_of_two().max(64);
        let mut screen = Vec::new();
        if bits <= MOST_BITS {
            screen.resize(usize::try_from(bits / 64).unwrap_or(0), 0);
            for rank in 0..count.min(order.population()) {
                let (word, bit) = place(order.index(rank), screen.len());
                if let Some(word) = screen.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        Self { order, count, screen }
    }

    /// Whether the item's rank lies below the bound.
    #[inline]
    pub fn contains(&self, index: u64) -> bool {
        let (word, bit) = place(index, self.screen.len());
        // Without a screen every item passes it.
        self.screen.get(word).is_none_or(|word| word & bit != 0)
            && self.order.rank(index) < self.count
    }
}

/// The word and the bit of an index in a screen of a power of two of words.
#[allow(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
const fn place(index: u64, words: usize) -> (usize, u64) {
    ((index >> 6) as usize & words.wrapping_sub(1), 1 << (index & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(first.contains(index), order.rank(index) < count, "{index}");
            }
        }
    }
}

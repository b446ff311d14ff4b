//! One random order for everything: a keyed permutation of the items, and private coins for each item.
//!
//! The items are profiled in this order, and the promise is a probability over it. An item's position in
//! the order is its *rank*. Profiling takes the first ranks, and a plan decides about the rest. The
//! order needs no table, so a billion items take as much memory as ten, and every worker that holds the
//! seed knows every rank.
//!
//! The permutation is a Feistel network on pairs `(l, r)` of the smallest nearly square rectangle that holds
//! the population. A round adds a keyed hash of one side to the other, modulo its length (the scheme FE1 of
//! Bellare, Ristenpart, Rogaway and Stegers, "Format-preserving encryption", 2009). The few pairs beyond the
//! population are skipped by *cycle walking* (Black and Rogaway, 2002): the network is applied again until
//! the value falls inside. The round function is the `SplitMix64` finaliser (Steele, Lea and Flood 2014).
//!
//! The values are part of the crate's contract: a seed gives the same order on every machine and
//! in every release of the same format version.

mod first;

use serde::{Deserialize, Serialize};

pub use first::First;

use crate::fingerprint::fingerprint;
use crate::roster::RosterSpec;

/// Rounds of the network, half of them on each side.
///
/// Three a side already resist a distinguisher that sees few pairs (Luby and Rackoff 1988); the rest is
/// a margin for small populations.
const ROUNDS: usize = 10;
/// The shortest side of the rectangle; with a shorter one too few permutations could be reached.
const MIN_SIDE: u64 = 16;

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014): a bijection on 64 bits in which every input
/// bit moves every output bit. Of a coin it makes a second one, independent of it.
pub(crate) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A keyed hash of one value.
pub(crate) const fn keyed(key: u64, value: u64) -> u64 {
    mix(mix(value ^ key).wrapping_add(key.rotate_left(32)))
}

/// A keyed pseudo-random permutation of `0..population`.
///
/// ```
/// use smart_core::Order;
/// let order = Order::new(1_000, 7);
/// let rank = order.rank(42);
/// assert_eq!(order.index(rank), 42);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Order {
    population: u64,
    seed: u64,
    salt: u64,
    keys: [u64; ROUNDS],
    coin_key: u64,
    audit_key: u64,
    left: u64,
    right: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    population: u64,
    seed: u64,
    #[serde(default)]
    salt: u64,
}

impl Order {
    /// The population of a stream whose length is not known.
    pub const ENDLESS: u64 = 1 << 62;

    /// The order of `population` items under `seed`.
    pub fn new(population: u64, seed: u64) -> Self {
        Self::salted(population, seed, 0)
    }

    /// The order that a run of these models has under `seed`.
    ///
    /// It is [`Order::new`]'s, unless models have version tags. The tags are part of what the order is
    /// drawn from, because the promise is about answers that were fixed before the order was drawn. A
    /// prompt that was mended after a look at its failures has been fitted to the profiled items; its
    /// new tag brings a new order, and other items are profiled.
    ///
    /// ```
    /// use smart_core::{Completion, Model, Order, Roster, from_fn};
    /// let model = || Model::new("large", from_fn(|_: &str| async { Ok(Completion::new(1)) }));
    /// let plain = Roster::new(model(), [])?;
    /// assert_eq!(Order::of(plain.spec(), 1_000, 7), Order::new(1_000, 7));
    /// let mended = Roster::new(model().with_version("prompt 2"), [])?;
    /// assert_ne!(Order::of(mended.spec(), 1_000, 7), Order::new(1_000, 7));
    /// # Ok::<(), smart_core::RosterError>(())
    /// ```
    pub fn of(roster: &RosterSpec, population: u64, seed: u64) -> Self {
        let tagged = roster.models().iter().filter_map(|m| Some((&m.name, m.version.as_ref()?)));
        let salt = tagged.fold(0, |salt, tag| keyed(salt, fingerprint(&tag)));
        Self::salted(population, seed, salt)
    }

    /// The same order with another seed.
    pub(crate) fn with_seed(self, seed: u64) -> Self {
        Self::salted(self.population, seed, self.salt)
    }

    fn salted(population: u64, seed: u64, salt: u64) -> Self {
        let left = population.isqrt().max(MIN_SIDE);
        let right = population.div_ceil(left).max(MIN_SIDE);
        let key = |label: u64| {
            mix((mix(seed) ^ salt).wrapping_add(label.wrapping_mul(0xa076_1d64_78bd_642f)))
        };
        let mut keys = [0; ROUNDS];
        for (round, slot) in (1..).zip(&mut keys) {
            *slot = key(round);
        }
        let audit_key = key(ROUNDS as u64 + 1);
        Self { population, seed, salt, keys, coin_key: key(0), audit_key, left, right }
    }

    /// How many items are ordered.
    pub const fn population(&self) -> u64 {
        self.population
    }

    /// The seed the order is drawn from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The position of item `index` in the random order; `index` itself outside the population.
    pub fn rank(&self, index: u64) -> u64 {
        self.walk(index, Self::forwards)
    }

    /// The item at position `rank` of the random order; `rank` itself outside the population.
    pub fn index(&self, rank: u64) -> u64 {
        self.walk(rank, Self::backwards)
    }

    /// The set of items with ranks below `count`, for many membership queries.
    ///
    ///
    /// ```
    /// use smart_core::Order;
    /// let order = Order::new(1_000_000, 7);
    /// let first = order.first(137);
    /// assert!((0..137).all(|rank| first.contains(order.index(rank))));
    /// assert!(!first.contains(order.index(137)));
    /// ```
    pub fn first(&self, count: u64) -> First {
        First::new(*self, count)
    }

    /// The item's private coin, uniform on 64 bits and independent of its rank.
    pub const fn coin(&self, index: u64) -> u64 {
        keyed(self.coin_key, index)
    }

    /// A second coin, independent of the first, which decides whether an answer is audited.
    pub const fn audit_coin(&self, index: u64) -> u64 {
        keyed(self.audit_key, index)
    }

    fn walk(&self, from: u64, network: fn(&Self, u64) -> u64) -> u64 {
        if from >= self.population {
            return from;
        }
        let mut x = network(self, from);
        while x >= self.population {
            x = network(self, x);
        }
        x
    }

    fn forwards(&self, x: u64) -> u64 {
        let (mut l, mut r) = (x / self.right, x % self.right);
        for pair in self.keys.as_chunks::<2>().0 {
            l = add(l, below(mix(r ^ pair[0]), self.left), self.left);
            r = add(r, below(mix(l ^ pair[1]), self.right), self.right);
        }
        l * self.right + r
    }

    fn backwards(&self, x: u64) -> u64 {
        let (mut l, mut r) = (x / self.right, x % self.right);
        for pair in self.keys.as_chunks::<2>().0.iter().rev() {
            r = add(r, self.right - below(mix(l ^ pair[1]), self.right), self.right);
            l = add(l, self.left - below(mix(r ^ pair[0]), self.left), self.left);
        }
        l * self.right + r
    }
}

/// A hash scaled to `0..side` (Lemire's multiplication; the bias is below `side / 2^64`).
#[allow(clippy::cast_possible_truncation, reason = "the high half of a 128-bit product")]
const fn below(hash: u64, side: u64) -> u64 {
    ((hash as u128 * side as u128) >> 64) as u64
}

/// `a + b` modulo `side`, for `a < side` and `b <= side`.
const fn add(a: u64, b: u64, side: u64) -> u64 {
    let sum = a + b;
    if sum >= side { sum - side } else { sum }
}

impl From<Stored> for Order {
    fn from(stored: Stored) -> Self {
        Self::salted(stored.population, stored.seed, stored.salt)
    }
}

impl From<Order> for Stored {
    fn from(order: Order) -> Self {
        Self { population: order.population, seed: order.seed, salt: order.salt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_population_is_permuted() {
        for population in (1..70).chain([255, 256, 257, 1_000, 5_574]) {
            let order = Order::new(population, 11);
            let mut seen = vec![false; usize::try_from(population).unwrap()];
            for index in 0..population {
                let rank = order.rank(index);
                assert!(rank < population);
                assert_eq!(order.index(rank), index);
                assert!(!std::mem::replace(&mut seen[usize::try_from(rank).unwrap()], true));
            }
        }
    }

    /// Value stability: these numbers are the contract, and changing them needs a new format version.
    #[test]
    fn the_order_is_pinned() {
        let first = |n, seed| (0..6).map(|r| Order::new(n, seed).index(r)).collect::<Vec<_>>();
        assert_eq!(first(127_600, 1), PINNED_127_600);
        assert_eq!(first(1_000_000_000, 42), PINNED_BILLION);
        let coins = [0, 1, 2].map(|i| Order::new(10, 1).coin(i));
        assert_eq!(coins, PINNED_COINS);
    }
    const PINNED_127_600: [u64; 6] = [29_619, 99_371, 35_136, 84_235, 127_105, 117_946];
    const PINNED_BILLION: [u64; 6] =
        [741_089_415, 913_268_793, 370_748_837, 625_232_496, 215_297_059, 164_491_873];
    const PINNED_COINS: [u64; 3] =
        [552_880_140_163_663_405, 14_379_702_111_158_617_624, 10_800_076_899_557_717_100];

    #[test]
    fn ranks_look_uniform() {
        // Chi-squared over seeds: where item 3 of 12 lands, and where items 0 and 1 land jointly.
        let (seeds, n) = (24_000_u64, 12_u64);
        let mut one = [0_f64; 12];
        let mut pair = [[0_f64; 12]; 12];
        for seed in 0..seeds {
            let order = Order::new(n, seed);
            one[usize::try_from(order.rank(3)).unwrap()] += 1.0;
            let (a, b) = (order.rank(0), order.rank(1));
            pair[usize::try_from(a).unwrap()][usize::try_from(b).unwrap()] += 1.0;
        }
        let chi = |observed: &[f64], expected: f64| {
            observed.iter().map(|o| (o - expected).powi(2) / expected).sum::<f64>()
        };
        // 99.99 % quantiles at 11 and 131 degrees of freedom: 37.4 and 197.
        assert!(chi(&one, seeds as f64 / 12.0) < 37.4, "{one:?}");
        let joint: Vec<f64> = (0..12)
            .flat_map(|a| (0..12).filter(move |b| *b != a).map(move |b| (a, b)))
            .map(|(a, b)| pair[a][b])
            .collect();
        assert!(chi(&joint, seeds as f64 / 132.0) < 197.0);
    }

    #[test]
    fn coins_do_not_follow_ranks() {
        let order = Order::new(20_000, 5);
        let mean = |first: bool| {
            let half = (0..20_000).filter(|i| (order.rank(*i) < 10_000) == first);
            half.map(|i| order.coin(i) as f64 / u64::MAX as f64).sum::<f64>() / 10_000.0
        };
        // Standard error of each mean: 0.0029.
        assert!((mean(true) - 0.5).abs() < 0.0125 && (mean(false) - 0.5).abs() < 0.0125);
    }
}

//! Fingerprints of items that are the same in every process.
//!
//! A resumed run must notice that its list of items has changed. So journals and plans hold a
//! fingerprint of each item.

use std::hash::{Hash, Hasher};

use crate::order::{keyed, mix};

/// A 64-bit fingerprint of a value by its [`Hash`], the same in every process and on every machine of
/// any word size and byte order.
///
/// The standard library's hashers do not promise that. The fingerprint is meant to notice a changed or
/// reordered list of items, not to resist an adversary.
pub(crate) fn fingerprint<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = Stable { state: mix(0), tail: 0, held: 0, length: 0 };
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hasher that takes bytes eight at a time, however they are split into writes.
struct Stable {
    state: u64,
    tail: u64,
    held: u32,
    length: u64,
}

impl Stable {
    fn byte(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << (8 * self.held);
        self.held += 1;
        self.length += 1;
        if self.held == 8 {
            self.state = keyed(self.state, self.tail);
            (self.tail, self.held) = (0, 0);
        }
    }
}

impl Hasher for Stable {
    fn finish(&self) -> u64 {
        keyed(keyed(self.state, self.tail), self.length)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }
    fn write_u16(&mut self, value: u16) {
        self.write(&value.to_le_bytes());
    }
    fn write_u32(&mut self, value: u32) {
        self.write(&value.to_le_bytes());
    }
    fn write_u64(&mut self, value: u64) {
        self.write(&value.to_le_bytes());
    }
    fn write_u128(&mut self, value: u128) {
        self.write(&value.to_le_bytes());
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn write_i16(&mut self, value: i16) {
        self.write(&value.to_le_bytes());
    }
    fn write_i32(&mut self, value: i32) {
        self.write(&value.to_le_bytes());
    }
    fn write_i64(&mut self, value: i64) {
        self.write(&value.to_le_bytes());
    }
    fn write_i128(&mut self, value: i128) {
        self.write(&value.to_le_bytes());
    }
    fn write_isize(&mut self, value: isize) {
        self.write_i64(value as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fold;

    /// Value stability: journals hold these numbers.
    #[test]
    fn fingerprints_are_pinned_and_differ() {
        assert_eq!(fingerprint("a review"), fingerprint(&"a review".to_owned()));
        assert_eq!([fingerprint("a review"), fingerprint(&7_u64)], PINNED);
        assert_ne!(fingerprint(&("ab", "c")), fingerprint(&("a", "bc")));
        assert_ne!(fingerprint(&7_u64), fingerprint(&7_u32));
        assert_ne!(fold(fold(0, 1), 2), fold(fold(0, 2), 1));
    }
    const PINNED: [u64; 2] = [4_816_092_841_942_797_258, 7_676_836_758_642_377_528];
}

//! Items that are their own indices.

use smart_core::Generated;

/// One type for all tests, or the drivers are compiled anew for each.
pub(crate) type Counted = Generated<fn(u64) -> u64>;

/// So many items.
pub(crate) fn counted(count: u64) -> Counted {
    Generated::new(count, |index| index)
}

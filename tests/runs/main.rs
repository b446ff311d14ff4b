//! Whole runs. They are one test crate, since each crate compiles the drivers anew for its own types.

mod crash;
mod money;
mod running;
mod stopped;
mod turns;
mod words;
mod workers;

use smart_core::Generated;

/// So many items, which are their indices: one type for all tests, or the drivers are compiled anew for each.
type Counted = Generated<fn(u64) -> u64>;

fn counted(count: u64) -> Counted {
    Generated::new(count, |index| index)
}

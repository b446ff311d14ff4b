//! Runs, from the first item to the report, in all the ways to start one.

mod batches;
mod claims;
mod collections;
mod end_to_end;
mod in_order;
mod late;
mod picture;
mod replanned;
mod stored;
mod straight;
mod telemetry;

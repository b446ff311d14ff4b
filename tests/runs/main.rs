//! Whole runs. They are one test crate, since each crate compiles the drivers anew for its own types.

mod crash;
mod items;
mod money;
mod running;
mod stopped;
mod turns;
mod words;
mod workers;

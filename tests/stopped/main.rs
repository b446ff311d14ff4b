//! Runs that end before their items do.

mod cut_short;
mod harness;
mod parts;
#[path = "../shared/turns.rs"]
mod turns;
mod unpaying;
mod whole;

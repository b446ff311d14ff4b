//! Runs that end before their items do.

mod harness;
mod parts;
mod unpaying;
mod whole;

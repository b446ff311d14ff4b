//! Runs that end before their items do.

mod cut_short;
mod harness;
mod parts;
mod unpaying;
mod whole;

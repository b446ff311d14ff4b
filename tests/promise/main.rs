//! The promise, and what profiling decides.

mod audited;
mod contradicted;
mod floor;
mod floored;
mod forecasts;
mod guarantee;
mod insured;
#[path = "../runs/items.rs"]
mod items;
mod last;
mod pinned;
mod policy;
mod replan;
mod routed;
mod stats_certificate;
#[path = "../runs/turns.rs"]
mod turns;

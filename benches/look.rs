//! How long the decision core keeps a driver waiting: `cargo bench --bench look`.
//!
//! While 1,024 items are under way, their outcomes come in random order. Measured is the time from
//! handing in an outcome to having the next step, over whole profiles: the median, the 99th percentile
//! and the worst. Budget: 50 microseconds at the 99th percentile.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod setting;

use std::time::Instant;

use setting::{ITEMS, Models, target};
use smart_core::profile::{Request, Step};
use smart_core::{Families, ProfileSettings};

const IN_FLIGHT: usize = 1_024;
const RUNS: u64 = 20;

fn main() {
    println!("| profile | outcomes | median us | p99 us | worst us |");
    println!("|---|---|---|---|---|");
    for (families, agreement) in [
        (Families::Single, 0.92),
        (Families::Single, 0.938),
        (Families::Mix, 0.92),
        (Families::Auto, 0.92),
    ] {
        measure(&format!("AG News, {families:?}, target {agreement}"), families, agreement);
    }
}

fn measure(name: &str, families: Families, agreement: f64) {
    let settings = ProfileSettings::default().with_families(families);
    let mut waits = Vec::new();
    for seed in 0..RUNS {
        let models = Models::ag_news(seed);
        let mut machine = models.machine(ITEMS, seed, target(agreement), &settings);
        let mut open: Vec<Request> = Vec::new();
        let mut state = seed;
        loop {
            while open.len() < IN_FLIGHT {
                let Step::Profile(request) = machine.poll_step() else { break };
                open.push(request);
            }
            if open.is_empty() {
                break;
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).expect("31 bits") % open.len();
            let outcome = models.outcome(&open.swap_remove(at));
            let begun = Instant::now();
            machine.handle_outcome(outcome).expect("what was asked for");
            let step = machine.poll_step();
            waits.push(begun.elapsed().as_secs_f64() * 1e6);
            if let Step::Profile(request) = step {
                open.push(request);
            }
            while machine.poll_decision().is_some() {}
        }
    }
    waits.sort_by(f64::total_cmp);
    let at = |per_cent: usize| waits[(waits.len() - 1) * per_cent / 100];
    let (count, median, p99, worst) = (waits.len(), at(50), at(99), at(100));
    println!("| {name} | {count} | {median:.2} | {p99:.2} | {worst:.0} |");
}

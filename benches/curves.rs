//! Decision time against size, models and looks: `cargo bench --bench curves`.
//!
//! Every row drives the profiler's state machine to its end over outcomes that cost no call, one at a
//! time, then plans and routes items. *Calibration* is the time to set up the machine, which for single
//! policies includes calibrating their boundary. *Profile* is the rest of profiling. *Plan* is planning
//! from the profile (which runs the profiler again over the stored evidence). *Route* is in nanoseconds
//! per item. All are medians of five runs.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod setting;

use std::hint::black_box;
use std::time::Instant;

use setting::{ITEMS, Models, median, profile, target};
use smart_core::plan::Move;
use smart_core::{Families, Plan, ProfileSettings};

const RUNS: u64 = 5;

struct Row {
    calibration: f64,
    profiling: f64,
    planning: f64,
    routing: f64,
    profiled: u64,
    stored_kb: f64,
    looks: u64,
}

fn main() {
    println!("AG News models, target 0.94, against N\n");
    heading("N");
    for power in 3..=9 {
        let items = 10_u64.pow(power);
        // Single candidates just short of the target are profiled on a twentieth of the items.
        let families: &[Families] =
            if power < 8 { &[Families::Auto, Families::Single] } else { &[Families::Auto] };
        for &families in families {
            print(
                &format!("10^{power} {families:?}"),
                &run(&Models::ag_news, items, 0.94, families),
            );
        }
    }
    println!("\nN = {ITEMS}, target 0.9, against the number of candidates\n");
    heading("candidates");
    for count in [1, 2, 5, 10, 20, 30] {
        let models = move |seed| Models::many(count, seed);
        print(&count.to_string(), &run(&models, ITEMS, 0.9, Families::Auto));
    }
    println!("\nN = {ITEMS}, single policies, targets that need ever more looks\n");
    heading("target");
    for agreement in [0.80, 0.90, 0.93, 0.935, 0.94, 0.945] {
        let row = run(&Models::ag_news, ITEMS, agreement, Families::Single);
        print(&format!("{agreement}"), &row);
    }
}

fn run(models: &dyn Fn(u64) -> Models, items: u64, agreement: f64, families: Families) -> Row {
    let settings = ProfileSettings::default().with_families(families);
    let (mut calibration, mut profiling) = (Vec::new(), Vec::new());
    let (mut planning, mut routing) = (Vec::new(), Vec::new());
    let (mut profiled, mut looks, mut stored_kb) = (0, 0, 0.0);
    for seed in 0..RUNS {
        let models = models(seed);
        let begun = Instant::now();
        let mut machine = models.machine(items, seed, target(agreement), &settings);
        calibration.push(milliseconds(begun));
        let begun = Instant::now();
        models.drive(&mut machine);
        profiling.push(milliseconds(begun));
        let profile = profile(machine);
        let begun = Instant::now();
        let plan = profile.plan().expect("a profile of its own making");
        planning.push(milliseconds(begun));
        routing.push(route(&plan, items.min(1_000_000)));
        let stored = serde_json::to_string(&profile).expect("a profile is serde");
        stored_kb = stored.len() as f64 / 1024.0;
        profiled = profiled.max(profile.evidence.len() as u64);
        looks = plan.certificate.as_ref().map_or(0, |certificate| certificate.looks);
    }
    let [calibration, profiling] = [calibration, profiling].map(median);
    let [planning, routing] = [planning, routing].map(median);
    Row { calibration, profiling, planning, routing, profiled, stored_kb, looks }
}

/// The time to route an item, in nanoseconds.
fn route(plan: &Plan, items: u64) -> f64 {
    let begun = Instant::now();
    let asked = plan.order.first(plan.asked);
    let mut asks = 0_u64;
    for index in 0..items {
        if !asked.contains(index) {
            asks += u64::from(matches!(plan.policy.next(&plan.start(index, None)), Move::Ask(_)));
        }
    }
    black_box(asks);
    begun.elapsed().as_secs_f64() * 1e9 / items as f64
}

fn heading(what: &str) {
    println!(
        "| {what} | profiled, at most | looks | calibration ms | profile ms | plan ms | route ns | evidence kB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

fn print(name: &str, row: &Row) {
    let Row { calibration, profiling, planning, routing, profiled, stored_kb, looks } = row;
    println!(
        "| {name} | {profiled} | {looks} | {calibration:.2} | {profiling:.2} | {planning:.2} | {routing:.1} | {stored_kb:.0} |"
    );
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

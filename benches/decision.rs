//! What deciding costs: `cargo bench --bench decision`.
//!
//! `whole_run` profiles, plans and routes all 127,600 items of the AG News setting with models that do
//! nothing (budget: 10 ms once the boundary is calibrated; setting up the machine, which calibrates, is not
//! timed). `planning` plans from a profile of 2,000 items with 10 candidates and scores on all (budget: 20
//! ms). `published` is the paper's algorithm on the same setting, as rewritten in this crate.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod setting;

use divan::{Bencher, black_box};
use setting::{ITEMS, Models, profile, target};
use smart_core::plan::Move;
use smart_core::profile::Step;
use smart_core::published::{self, Demand, Dependence, Method, Setting};
use smart_core::{Families, Profile, ProfileSettings, StopReason};

fn main() {
    divan::main();
}

const TARGETS: [f64; 3] = [0.80, 0.90, 0.92];

fn whole_run(bencher: Bencher<'_, '_>, agreement: f64, families: Families) {
    let models = Models::ag_news(1);
    let settings = ProfileSettings::default().with_families(families);
    bencher.with_inputs(|| models.machine(ITEMS, 1, target(agreement), &settings)).bench_values(
        |mut machine| {
            models.drive(&mut machine);
            let plan = machine.plan("exact");
            let first = plan.order.first(plan.asked);
            let mut asks = 0_u64;
            for index in 0..ITEMS {
                if !first.contains(index) {
                    let next = plan.policy.next(&plan.start(index, None));
                    asks += u64::from(matches!(next, Move::Ask(_)));
                }
            }
            black_box(asks)
        },
    );
}

#[divan::bench(args = TARGETS)]
fn whole_run_auto(bencher: Bencher<'_, '_>, agreement: f64) {
    whole_run(bencher, agreement, Families::Auto);
}

#[divan::bench(args = TARGETS, sample_count = 20)]
fn whole_run_single(bencher: Bencher<'_, '_>, agreement: f64) {
    whole_run(bencher, agreement, Families::Single);
}

/// A profile of 2,000 items in which all ten candidates were asked, scored and compared on each item. It
/// comes from the smallest population, at the lowest target, that is profiled for so long.
fn large_profile() -> Profile {
    let models = Models::many(10, 1);
    let mut largest = None;
    for items in [ITEMS, 10 * ITEMS, 100 * ITEMS, 1_000 * ITEMS] {
        for agreement in [0.90, 0.92, 0.94, 0.95, 0.96, 0.965] {
            let target = target(agreement);
            let mut machine = models.machine(items, 1, target, &ProfileSettings::default());
            while machine.profiled() < 2_000 {
                let Step::Profile(mut request) = machine.poll_step() else { break };
                // All scores and comparisons are given, whatever the profiler would still ask for.
                request.ask = models.roster().spec().candidates().collect();
                request.compare = true;
                machine.handle_outcome(models.outcome(&request)).expect("what was asked for");
            }
            machine.stop(StopReason::Caller);
            let found = (machine.profiled(), items, agreement);
            if largest.as_ref().is_none_or(|(most, _)| found.0 > *most) {
                println!("{} items of {}, target {}", found.0, found.1, found.2);
                largest = Some((found.0, profile(machine)));
            }
            if found.0 >= 2_000 {
                break;
            }
        }
        if largest.as_ref().is_some_and(|(most, _)| *most >= 2_000) {
            break;
        }
    }
    largest.expect("a profile").1
}

#[divan::bench(sample_count = 40)]
fn planning_10_candidates_2000_items(bencher: Bencher<'_, '_>) {
    let profile = large_profile();
    bencher.bench(|| black_box(&profile).plan());
}

#[divan::bench(args = TARGETS, sample_count = 3, sample_size = 1)]
fn published(bencher: Bencher<'_, '_>, agreement: f64) {
    let matrix = Setting::ag_news().draw(1, Dependence::INDEPENDENT).expect("a published setting");
    let demand = Demand::new(1.0 - agreement, 0.95).expect("a demand");
    let options = published::Options::new(demand);
    bencher.bench(|| published::run(black_box(&matrix), Method::ModelMix, &options));
}

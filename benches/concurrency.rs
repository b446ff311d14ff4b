//! What concurrency costs in money: `cargo bench --bench concurrency`.
//!
//! The AG News setting, 127,600 items, with Pareto latencies (shape 1.5: a tail without a variance) and
//! disagreeing answers twice as slow, on tokio's paused clock. Items asked about beyond the look that
//! decided, because they were under way, are the overshoot. It is bounded by asking about no item past
//! the next look, however many calls may be under way.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod setting;

use std::time::Duration;

use setting::{ITEMS, Models, target};
use smart_core::backend::Latency;
use smart_core::equivalence::Exact;
use smart_core::{Families, Generated, ProfileSettings, Report, Smart};

const RUNS: u64 = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    println!(
        "| policies, target | at once | cost, mean | against 1 at once | overshoot, mean | most |"
    );
    println!("|---|---|---|---|---|---|");
    for (families, agreement) in [
        (Families::Auto, 0.90),
        (Families::Auto, 0.93),
        (Families::Single, 0.86),
        (Families::Single, 0.92),
    ] {
        let mut alone = None;
        for concurrency in [1, 16, 256, 1_024] {
            let reports: Vec<Report> = (0..RUNS)
                .map(|seed| runtime.block_on(run(families, agreement, concurrency, seed)))
                .collect();
            let cost: f64 = reports.iter().map(|report| report.cost().as_usd()).sum();
            let over = |report: &Report| report.overshoot;
            let mean = reports.iter().map(over).sum::<u64>() as f64 / RUNS as f64;
            let most = reports.iter().map(over).max().unwrap_or(0);
            let more = 100.0 * (cost / *alone.get_or_insert(cost) - 1.0);
            let mean_cost = cost / RUNS as f64;
            println!(
                "| {families:?}, {agreement} | {concurrency} | {mean_cost:.5} | {more:+.2} % | {mean:.1} | {most} |"
            );
        }
    }
}

async fn run(families: Families, agreement: f64, concurrency: usize, seed: u64) -> Report {
    let latency = Latency::Pareto { least: Duration::from_millis(400), shape: 1.5 };
    let models = Models::ag_news(seed).with_latency(latency);
    let smart = Smart::new(models.roster(), Exact, target(agreement))
        .with_seed(seed)
        .with_concurrency(concurrency)
        .with_settings(ProfileSettings::default().with_families(families));
    let items = Generated::new(ITEMS, |index| index);
    smart.run(&items).await.expect("a run without a journal").report
}

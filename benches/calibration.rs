//! What calibrating a boundary costs: `cargo bench --bench calibration`.
//!
//! Budgets for a dense single-policy calibration: 50 ms at N = 127,600, 250 ms at N = 10^6, 1 s at
//! N = 10^9; a single-look limit at k = 1,000: 20 microseconds.
#![allow(missing_docs, reason = "a benchmark has no callers")]

use divan::{Bencher, black_box};
use smart_core::stats::{
    Boundary, Design, EProcess, Looks, Probability, RatePosterior, single_look_limit,
};

const SIZES: [u64; 5] = [1_000, 50_000, 127_600, 1_000_000, 1_000_000_000];

fn main() {
    divan::main();
}

fn probability(x: f64) -> Probability {
    Probability::new(x).expect("a constant between 0 and 1")
}

fn design(population: u64, per_cent: u64) -> Design {
    Design::finite(population, population / 100 * per_cent).expect("a constant design")
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn single_policy_delta_05(bencher: Bencher<'_, '_>, population: u64) {
    let (design, alpha) = (design(population, 5), probability(0.05));
    bencher.bench(|| Boundary::single_policy(black_box(design), alpha));
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn single_policy_delta_20_alpha_01(bencher: Bencher<'_, '_>, population: u64) {
    let (design, alpha) = (design(population, 20), probability(0.01));
    bencher.bench(|| Boundary::single_policy(black_box(design), alpha));
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn single_policy_delta_01(bencher: Bencher<'_, '_>, population: u64) {
    let (design, alpha) = (design(population, 1), probability(0.05));
    bencher.bench(|| Boundary::single_policy(black_box(design), alpha));
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn chain_ratio_125(bencher: Bencher<'_, '_>, population: u64) {
    let (design, alpha) = (design(population, 5), probability(0.05));
    bencher.bench(|| {
        let looks = Looks::sparse(black_box(design), alpha, 1.25)?;
        Boundary::chain(design, alpha, &looks)
    });
}

#[divan::bench(args = [100, 1_000, 20_000])]
fn single_look(bencher: Bencher<'_, '_>, draws: u64) {
    let (design, alpha) = (design(1_000_000, 5), probability(0.05));
    bencher.bench(|| single_look_limit(design, black_box(draws), alpha));
}

#[divan::bench(args = [100, 1_000, 20_000])]
fn e_process(bencher: Bencher<'_, '_>, draws: u64) {
    let process = EProcess::at(design(1_000_000, 5), draws, draws / 30).expect("possible counts");
    bencher.bench(|| black_box(process).log_evidence());
}

#[divan::bench(args = [100, 1_000, 20_000])]
fn nine_posterior_nodes(bencher: Bencher<'_, '_>, draws: u64) {
    let posterior = RatePosterior::new(draws, draws / 30).expect("possible counts");
    bencher.bench(|| black_box(posterior).nodes(9));
}

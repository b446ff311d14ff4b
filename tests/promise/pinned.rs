//! Value stability: the same designs give the same boundaries and the same seeds the same plans, to
//! the bit, whatever was made faster. A change of one of these numbers is a change of decisions.

use serde::Serialize;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::stats::{Boundary, Design, Looks, Probability, single_look_limit};
use smart_core::{Cost, Families, Model, ProfileSettings, Roster, Smart, Target, Usage};

use crate::items::counted;

/// FNV-1a (Fowler, Noll and Vo), 64 bits, of a value's JSON: floats are written so that they read
/// back to the bit.
fn digest(digest: u64, value: &impl Serialize) -> u64 {
    let text = serde_json::to_string(value).expect("a value of ours is serde");
    text.bytes().fold(digest, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

fn designs(most: u64) -> Vec<(Design, Probability)> {
    let mut designs = Vec::new();
    for population in [7, 40, 300, 1_000, 1_816, 5_574, 50_000, 127_600, 1_000_000] {
        for per_mille in [0, 3, 10, 20, 50, 60, 80, 100, 140, 200, 500] {
            for alpha in [0.05, 0.0125, 0.0166, 0.0249, 0.01, 0.2] {
                if population <= most && (population < 50_000 || per_mille % 20 == 0) {
                    let design = Design::finite(population, population * per_mille / 1_000);
                    let alpha = Probability::new(alpha).expect("a constant");
                    designs.push((design.expect("a constant design"), alpha));
                }
            }
        }
    }
    designs
}

#[test]
fn dense_boundaries() {
    let mut all = START;
    for (design, alpha) in designs(u64::MAX) {
        let boundary = Boundary::single_policy(design, alpha).unwrap();
        all = digest(all, &boundary);
    }
    assert_eq!(all, 0x7103_c21a_601d_72d0, "{all:#x}");
}

#[test]
fn chain_boundaries() {
    let mut all = START;
    for (design, alpha) in designs(127_600) {
        for ratio in [1.25, 1.5] {
            let looks = Looks::sparse(design, alpha, ratio).unwrap();
            let boundary = Boundary::chain(design, alpha, &looks).unwrap();
            // Not the error: it is a sum over many states, and its last digits decide nothing.
            all = digest(all, &(boundary.level(), boundary.looks(), boundary.limits()));
        }
    }
    assert_eq!(all, 0x412e_9d9c_a387_c576, "{all:#x}");
}

#[test]
fn single_looks() {
    let mut all = START;
    for (design, alpha) in designs(u64::MAX) {
        let mut draws = 1;
        while draws < 200_000 {
            all = digest(all, &single_look_limit(design, draws, alpha));
            draws += 1 + draws / 7;
        }
    }
    assert_eq!(all, 0x02e4_1c8d_613e_e1a7, "{all:#x}");
}

/// A reference and four candidates at the costs and agreement of the paper's AG News setting.
fn roster(seed: u64) -> Roster<u64, u32> {
    let model = |name: &str, agreement: f64, nanos| {
        let usage = Usage::billed(Cost::from_nanos(nanos));
        let backend = Simulated::candidate(name, agreement, seed).with_labels(4).with_usage(usage);
        Model::new(name, backend.with_confidence(0.8))
    };
    let candidates =
        [("a", 0.943, 20_000), ("b", 0.91, 9_000), ("c", 0.84, 3_000), ("d", 0.02, 1_000)];
    let reference = model("reference", 1.0, 600_000);
    Roster::new(reference, candidates.map(|(name, share, cost)| model(name, share, cost))).unwrap()
}

/// Policy, certificate and forecast over sizes, targets and seeds.
fn plans(families: Families) -> u64 {
    let mut all = START;
    for population in [300, 5_574, 127_600] {
        for agreement in [0.80, 0.90, 0.93] {
            for seed in [1, 2] {
                let settings = ProfileSettings::default().with_families(families);
                let target = Target::new(agreement, 0.95).unwrap();
                let smart =
                    Smart::new(roster(seed), Exact, target).with_seed(seed).with_settings(settings);
                let items = counted(population);
                let profiled = futures::executor::block_on(smart.profile(&items)).unwrap();
                let plan = profiled.profile.plan().unwrap();
                let shown = (&plan.policy, plan.asked, &plan.certificate, &plan.forecast);
                all = digest(all, &shown);
            }
        }
    }
    all
}

#[test]
fn plans_of_every_family() {
    let all =
        [Families::Single, Families::Mix, Families::Cascade, Families::Consensus, Families::Auto]
            .map(|families| (families, format!("{:#x}", plans(families))));
    let pinned = [
        (Families::Single, "0x8a3afa78a188f26f"),
        (Families::Mix, "0xfda03a0b29d48548"),
        (Families::Cascade, "0xaacf8ad8bb9ed072"),
        (Families::Consensus, "0x7fe7fff608f083e0"),
        (Families::Auto, "0xb15b8ca8e581a76e"),
    ]
    .map(|(families, digest)| (families, digest.to_owned()));
    assert_eq!(all, pinned);
}

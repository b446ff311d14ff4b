//! Candidates near the agreement floor, and scores that the families do not read: neither prolongs profiling.

use smart_core::published::{Dependence, Setting, SimulatedModel};
use smart_core::simulation::{MatrixOutcomes, simulate};
use smart_core::{Families, ModelId, ProfileSettings, Target};

/// One candidate beside a reference of a thousand thousandths.
#[derive(Clone, Copy)]
struct Job {
    items: usize,
    target: f64,
    agreement: f64,
    cost: u64,
    scored: bool,
}

/// The mean bill, as a share of the reference's, and the mean number of profiled items.
fn mean(job: Job, settings: &ProfileSettings) -> (f64, f64) {
    const SEEDS: u64 = 20;
    let Job { items, target, agreement, cost, scored } = job;
    let model = |name: &str, cost: u64, agreement| SimulatedModel {
        name: name.to_owned(),
        prompt_price: cost as f64,
        cost,
        agreement,
    };
    let models = vec![model("small", cost * 1_000, agreement), model("large", 1_000_000, 1.0)];
    let reference = "large".to_owned();
    let setting = Setting { name: "one".to_owned(), items, models, reference };
    let (mut bill, mut profiled) = (0.0, 0.0);
    for seed in 1..=SEEDS {
        let matrix = setting.draw(seed, Dependence::INDEPENDENT).unwrap();
        let mut outcomes = MatrixOutcomes::new(&matrix).unwrap();
        if scored {
            let scores = (0..items).map(|item| (item % 97) as f64).collect();
            outcomes = outcomes.with_scores(ModelId::new(1), scores);
        }
        let target = Target::new(target, 0.95).unwrap();
        let run = simulate(&outcomes, outcomes.roster(), target, seed, settings).unwrap();
        bill += run.cost.as_nanos() as f64 / (items as f64 * 1e6);
        profiled += run.profiled() as f64;
    }
    (bill / SEEDS as f64, profiled / SEEDS as f64)
}

#[test]
fn a_candidate_below_the_floor_is_not_profiled_for_ever() {
    for families in [Families::Single, Families::Auto] {
        for (items, target, floor, agreement, cost) in [
            (2_000, 0.75, 0.85, 0.80, 150),
            (2_000, 0.75, 0.85, 0.80, 600),
            // The floor that there is if none is set.
            (4_000, 0.40, 0.50, 0.45, 600),
        ] {
            let settings = ProfileSettings::default().with_families(families).with_floor(floor);
            let job = Job { items, target, agreement, cost, scored: false };
            let (bill, profiled) = mean(job, &settings);
            assert!(bill < 1.06, "{families:?} at {target}: {bill:.3}, {profiled:.0} profiled");
        }
        // One above it is none the worse for it.
        let settings = ProfileSettings::default().with_families(families).with_floor(0.85);
        let job = Job { items: 2_000, target: 0.75, agreement: 0.9, cost: 20, scored: false };
        let (bill, profiled) = mean(job, &settings);
        assert!(bill < 0.13, "{families:?}: {bill:.3}, {profiled:.0} profiled");
    }
}

#[test]
fn scores_that_the_families_do_not_read_change_nothing() {
    let settings = ProfileSettings::default().with_families(Families::Mix);
    for (items, agreement) in [(1_000, 1.0), (2_000, 0.98)] {
        let job = Job { items, target: 0.95, agreement, cost: 20, scored: false };
        let without = mean(job, &settings);
        assert_eq!(mean(Job { scored: true, ..job }, &settings), without, "{items} items");
    }
}

//! A cheap candidate that looked good by luck, and a second test beside its own.

use std::collections::BTreeSet;

use smart_core::published::{Dependence, Setting, SimulatedModel};
use smart_core::simulation::{MatrixOutcomes, Run, simulate};
use smart_core::{ProfileSettings, Target};

const ITEMS: usize = 20_000;

/// Runs over a reference and two candidates, one cheap and one cheaper, that agree on these shares of the items.
fn runs(items: usize, medium: f64, small: f64, agreement: f64) -> Vec<Run> {
    scored_runs(items, [medium, small], agreement, false)
}

/// The same; the answers may have scores, which say nothing.
fn scored_runs(items: usize, [medium, small]: [f64; 2], agreement: f64, scored: bool) -> Vec<Run> {
    let model = |name: &str, cost: u32, agreement| SimulatedModel {
        name: name.to_owned(),
        prompt_price: f64::from(cost),
        cost: u64::from(cost),
        agreement,
    };
    let setting = Setting {
        name: "two".to_owned(),
        items,
        models: vec![
            model("small", 20_000, small),
            model("medium", 100_000, medium),
            model("large", 1_000_000, 1.0),
        ],
        reference: "large".to_owned(),
    };
    let (target, settings) = (Target::new(agreement, 0.95).unwrap(), ProfileSettings::default());
    let run = |seed| {
        let matrix = setting.draw(seed, Dependence::INDEPENDENT).unwrap();
        let mut outcomes = MatrixOutcomes::new(&matrix).unwrap();
        for id in outcomes.roster().candidates().filter(|_| scored) {
            outcomes = outcomes.with_scores(id, vec![0.9; items]);
        }
        simulate(&outcomes, outcomes.roster(), target, seed, &settings).unwrap()
    };
    (1..=60).map(run).collect()
}

/// How many chains were tested.
fn tests(run: &Run) -> usize {
    run.plan.considered.iter().filter(|chain| chain.tested > 0).count()
}

#[test]
fn a_candidate_that_was_lucky_in_the_pilot_is_not_profiled_for_ever() {
    let runs = runs(ITEMS, 0.95, 0.88, 0.9);
    let insured: Vec<&Run> = runs.iter().filter(|run| tests(run) == 2).collect();
    assert!(insured.len() >= 5, "{} of 60 runs had a second test", insured.len());
    // The tests share the level: nine tenths and one tenth of it.
    let levels = insured.iter().filter_map(|run| run.plan.certificate.as_ref());
    let levels: BTreeSet<String> = levels.map(|own| format!("{:.6}", own.level)).collect();
    assert!(levels.iter().all(|level| ["0.045000", "0.005000"].contains(&&**level)), "{levels:?}");
    let alone = runs.iter().filter(|run| tests(run) == 1);
    let mut whole = alone.filter_map(|run| run.plan.certificate.as_ref());
    assert!(whole.all(|own| (own.level - 0.05).abs() < 1e-12));
    // Without the second test five of these seeds profile a fifth of the items, or more.
    let long = runs.iter().filter(|run| run.profiled() > ITEMS as u64 / 5).count();
    assert!(long <= 1, "{long} of 60 runs");
    // P(Bin(60, 0.05) > 9) < 1e-3.
    assert!(runs.iter().filter(|run| run.missed()).count() <= 9);
}

#[test]
fn two_tests_err_no_more_often_than_one() {
    // Both candidates fail a little more often than may be: whatever is certified whole is a miss.
    let runs = runs(5_000, 0.898, 0.895, 0.9);
    assert!(runs.iter().any(|run| tests(run) == 2));
    let missed = runs.iter().filter(|run| run.missed()).count();
    assert!(missed <= 9, "{missed} of 60");
}

#[test]
fn scores_do_not_keep_a_lucky_candidate_from_being_insured() {
    // `without` is how many these are when the second test is taken out of the code.
    for (pair, target, without) in [([0.9, 0.75], 0.8, 16), ([0.9, 0.6], 0.7, 17)] {
        let runs = scored_runs(ITEMS, pair, target, true);
        assert!(runs.iter().filter(|run| tests(run) == 2).count() >= 5);
        let long = runs.iter().filter(|run| run.profiled() > ITEMS as u64 / 5).count();
        assert!(long <= without / 2, "{long} of 60 runs; without a second test {without}");
        assert!(runs.iter().filter(|run| run.missed()).count() <= 9);
    }
}

#[test]
fn few_items_bear_no_second_test() {
    assert!(runs(2_000, 0.95, 0.88, 0.9).iter().all(|run| tests(run) <= 1));
}

//! A second test beside that of the chosen chain: of another candidate, if the cheap one chosen looked good by luck,
//! and of all answers of a candidate that has never failed.

use std::collections::BTreeSet;

use smart_core::published::{Dependence, Setting, SimulatedModel};
use smart_core::simulation::{MatrixOutcomes, Run, simulate};
use smart_core::{Families, ProfileSettings, Target};

const ITEMS: usize = 20_000;

/// Runs over a reference and two candidates, one cheap and one cheaper, that agree on these shares of the items.
fn runs(items: usize, medium: f64, small: f64, agreement: f64) -> Vec<Run> {
    scored_runs(items, [medium, small], agreement, false)
}

/// The same; the answers may have scores, which say nothing.
fn scored_runs(items: usize, [medium, small]: [f64; 2], agreement: f64, scored: bool) -> Vec<Run> {
    let candidates = [("small", 20_000, small), ("medium", 100_000, medium)];
    drawn(items, &candidates, agreement, Families::Auto, scored)
}

/// Sixty runs over a reference and one candidate whose scores say nothing.
fn alone(items: usize, agrees: f64, agreement: f64, families: Families) -> Vec<Run> {
    drawn(items, &[("small", 20_000, agrees)], agreement, families, true)
}

/// Sixty runs over a reference and candidates, given by name, cost and agreement.
fn drawn(
    items: usize,
    candidates: &[(&str, u32, f64)],
    agreement: f64,
    families: Families,
    scored: bool,
) -> Vec<Run> {
    let reference = ("large", 1_000_000, 1.0);
    let models = candidates.iter().chain([&reference]).map(|(name, cost, agreement)| {
        let (name, agreement) = ((*name).to_owned(), *agreement);
        SimulatedModel { name, prompt_price: f64::from(*cost), cost: u64::from(*cost), agreement }
    });
    let setting = Setting {
        name: "drawn".to_owned(),
        items,
        models: models.collect(),
        reference: "large".to_owned(),
    };
    let target = Target::new(agreement, 0.95).unwrap();
    let settings = ProfileSettings::default().with_families(families);
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
fn few_items_bear_no_test_of_another_candidate() {
    for run in runs(2_000, 0.95, 0.88, 0.9) {
        let tested = run.plan.considered.iter().filter(|row| row.tested > 0);
        let firsts = tested.filter_map(|row| Some(row.chain.as_ref()?.first));
        assert!(firsts.collect::<BTreeSet<_>>().len() <= 1);
    }
}

#[test]
fn a_candidate_that_never_failed_may_be_certified_whole_before_the_only_look() {
    let profiled = |runs: &[Run]| runs.iter().map(Run::profiled).sum::<u64>();
    let both = alone(4_500, 0.99, 0.9, Families::Auto);
    // A cascade alone is tested at its one look, however good the candidate is.
    let cascade = alone(4_500, 0.99, 0.9, Families::Cascade);
    assert!(cascade.iter().all(|run| tests(run) == 1));
    assert!(both.iter().filter(|run| tests(run) == 2).count() >= 45);
    assert!(profiled(&both) < profiled(&cascade) / 2);
    let levels = both.iter().filter_map(|run| run.plan.certificate.as_ref());
    let levels: BTreeSet<String> = levels.map(|own| format!("{:.6}", own.level)).collect();
    assert!(levels.contains("0.002500"), "certified whole: {levels:?}");
    assert!(levels.iter().all(|own| ["0.002500", "0.047500", "0.050000"].contains(&&**own)));
}

#[test]
fn a_whole_test_beside_a_chain_takes_its_level_from_the_chain() {
    // The candidate fails a little more often than may be: whatever gives it every item is a miss.
    for items in [700, 1_300] {
        let runs = alone(items, 0.895, 0.9, Families::Auto);
        assert!(runs.iter().filter(|run| tests(run) == 2).count() >= 20);
        // P(Bin(60, 0.05) > 9) < 1e-3.
        let missed = runs.iter().filter(|run| run.missed()).count();
        assert!(missed <= 9, "{missed} of 60");
    }
}

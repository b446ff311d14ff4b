//! Stored plans at other prices: what a report compares, and what it says where nothing is known.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::executor::block_on;
use futures::stream;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::{
    Audit, BackendError, Completion, Cost, Families, Handed, Model, Plan, Policy, Pricing,
    ProfileSettings, Profiled, Report, Roster, Smart, Target, Usage, from_fn,
};

use crate::items::counted;

const ITEMS: u64 = 2_000;

fn usd(dollars: f64) -> Cost {
    Cost::from_usd(dollars).unwrap()
}

fn smart(large: f64, small: f64) -> Smart<u64, u32> {
    let price = |usd| Pricing::per_request(usd).unwrap();
    let roster = Roster::new(
        Model::new("large", Simulated::reference(7)).with_pricing(price(large)),
        [Model::new("small", Simulated::candidate("small", 0.97, 7)).with_pricing(price(small))],
    );
    Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap()).with_seed(1)
}

fn profiled() -> (Profiled<u32>, Plan) {
    let items = counted(ITEMS);
    let profiled = block_on(smart(0.01, 0.0005).profile(&items)).unwrap();
    let plan = profiled.profile.plan().unwrap();
    assert_ne!(plan.policy, Policy::Reference);
    (profiled, plan)
}

#[test]
fn a_stored_plan_is_set_against_the_reference_at_the_prices_of_execution() {
    let (profiled, plan) = profiled();
    // The reference is ten times cheaper today.
    let today = smart(0.001, 0.0005);
    let executor = today.executor(plan.clone(), BTreeMap::new()).unwrap();
    block_on(executor.execute(stream::iter(0..ITEMS)).count());
    let report = executor.finish().unwrap();
    assert_eq!(report.reference_cost, usd(2.0), "{report}");
    let truth = 2.0 / report.cost().as_usd();
    assert!((report.saving() - truth).abs() < 1e-9 && truth < 2.0, "{report}");
    let words = report.to_string();
    assert!(
        words.contains("Planned    without a forecast: the plan does not say what an item costs"),
        "{words}"
    );
    assert!(
        words.contains(&format!("against about $2.00 for the reference alone: {truth:.2} times"))
    );

    // With the evidence at hand it is repriced, before anything is asked.
    let executor = today.executor(plan.clone(), profiled.clone()).unwrap();
    let forecast = executor.plan().forecast;
    assert_eq!(forecast.reference_cost, usd(2.0));
    assert!(forecast.cost < usd(2.0) && executor.plan().certificate == plan.certificate);
    assert_eq!(profiled.profile.at_prices(&plan, &plan.roster).unwrap(), plan);
}

#[test]
fn workers_at_one_price_list_merge_with_or_without_the_evidence() {
    let (profiled, plan) = profiled();
    let part = |smart: &Smart<u64, u32>, handed: bool, part: std::ops::Range<u64>| -> Report {
        let handed: Handed<u32> =
            if handed { profiled.clone().into() } else { BTreeMap::new().into() };
        let executor = smart.executor(plan.clone(), handed);
        let executor = executor.unwrap();
        block_on(executor.execute_indexed(stream::iter(part.map(|i| (i, i)))).count());
        executor.finish().unwrap()
    };
    let today = smart(0.001, 0.0005);
    let (one, two) = (part(&today, true, 0..900), part(&today, false, 900..ITEMS));
    let whole = one.clone().merge(&two).unwrap();
    assert_eq!(whole, two.merge(&one).unwrap());
    assert!(whole.is_whole() && whole.reference_cost == usd(2.0), "{whole}");
    let yesterday = part(&smart(0.01, 0.0005), true, 900..ITEMS);
    let error = one.merge(&yesterday).unwrap_err().to_string();
    assert!(error.ends_with("they follow one plan at different prices"), "{error}");
}

#[test]
fn what_the_reference_answered_everything_for_is_what_it_costs() {
    let (_, mut plan) = profiled();
    plan.policy = Policy::Reference;
    plan.certificate = None;
    let today = smart(0.001, 0.0005).with_audit(Audit::new(0.1).unwrap());
    for known in [Some(500), None] {
        let executor = today.apply(&plan, known).unwrap();
        block_on(executor.execute(stream::iter(0..500)).count());
        let report = executor.finish().unwrap();
        assert_eq!(report.cost(), usd(0.5));
        assert_eq!(report.reference_cost_of_answered(), usd(0.5), "{report}");
        assert!((report.saving() - 1.0).abs() < 1e-9, "{report}");
    }
}

#[test]
fn where_nothing_is_known_of_the_reference_no_saving_is_told() {
    let (_, plan) = profiled();
    let small = || Model::new("small", Simulated::candidate("small", 0.97, 7));
    let silent = from_fn(|_: &u64| async { Err(BackendError::refused("not today")) });
    let roster = Roster::new(
        Model::new("large", silent).with_pricing(Pricing::per_request(0.001).unwrap()),
        [small().with_pricing(Pricing::per_request(0.0005).unwrap())],
    );
    let today = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap()).with_seed(1);
    let executor = today.executor(plan, BTreeMap::new()).unwrap();
    block_on(executor.execute(stream::iter(0..ITEMS)).count());
    let report = executor.finish().unwrap();
    let words = report.to_string();
    assert!(words.contains("; what the reference costs is not known"), "{words}");
    assert!(!words.contains("times cheaper") && !words.contains("(the reference:"), "{words}");
    assert!((report.saving() - 1.0).abs() < 1e-9 && !report.is_reference_cost_known());
    assert!(report.to_html().contains("not known"));
}

#[test]
fn a_run_that_cost_more_is_called_dearer() {
    let answer = |value: u32| {
        from_fn(
            move |_: &u64| async move { Ok(Completion::new(value).with_usage(Usage::default())) },
        )
    };
    let model = |name, value, usd| {
        Model::new(name, answer(value)).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(model("large", 0, 0.01), [model("small", 1, 0.005)]).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let report = block_on(run.run(&counted(200))).unwrap().report;
    let dearer = report.cost().as_usd() / 2.0;
    assert!(dearer > 1.0, "{report}");
    let words = report.to_string();
    assert!(
        words.contains(&format!("for the reference alone: {dearer:.2} times dearer")),
        "{words}"
    );
    assert!(!words.contains("times cheaper"), "{words}");
}

#[test]
fn a_candidate_whose_price_is_known_to_be_higher_is_never_called() {
    let model = |name: &str, usd| {
        let backend = Simulated::candidate(name, 0.97, 7);
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    for families in [Families::Single, Families::Auto, Families::Cascade] {
        let large = Model::new("large", Simulated::reference(7));
        let roster = Roster::new(
            large.with_pricing(Pricing::per_request(0.01).unwrap()),
            [model("absurd", 1_000.0), model("small", 0.0005), model("same", 0.01)],
        );
        let run = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap())
            .with_settings(ProfileSettings::default().with_families(families));
        let report = block_on(run.run(&counted(ITEMS))).unwrap().report;
        let spent: Vec<u64> = report.profiling.iter().map(smart_core::Spending::calls).collect();
        assert_eq!((spent[1], spent[3]), (0, 0), "{report}");
        let words = report.to_string();
        assert!(words.contains("absurd: it is dearer than the reference"), "{words}");
    }
}

#[test]
fn profiling_at_other_prices_is_added_up_at_those_of_execution() {
    let (profiled, plan) = profiled();
    let executor = smart(0.001, 0.0005).executor(plan, profiled.clone()).unwrap();
    block_on(executor.execute(stream::iter(0..ITEMS)).count());
    let worker = executor.finish().unwrap();
    assert!(profiled.report().unwrap().merge(&worker).is_err());
    let profiler = profiled.report_under(executor.plan()).unwrap();
    let whole = profiler.clone().merge(&worker).unwrap();
    assert_eq!(whole.cost(), profiler.cost() + worker.cost());
    assert!(whole.is_whole() && whole.reference_cost == usd(2.0), "{whole}");
}

//! What is forecast of the bill, and how often it is right: fixed seeds, held to what `Forecast` documents.

use std::sync::{Arc, Mutex};

use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::plan::Forecast;
use smart_core::profile::ProfileMachine;
use smart_core::{
    Completion, Cost, Event, Families, Model, ModelSpec, Objective, Order, Pricing,
    ProfileSettings, Report, Roster, RosterSpec, Smart, Target, Usage, from_fn,
};

use crate::items::counted;

/// A dear model and two cheaper ones that agree on 95 and 86 %.
fn roster(seed: u64, scores: bool) -> Roster<u64, u32> {
    let model = |name: &str, agreement: f64, nanos| {
        let usage = Usage::billed(Cost::from_nanos(nanos));
        let model = Simulated::candidate(name, agreement, seed).with_labels(4).with_usage(usage);
        Model::new(name, if scores { model.with_confidence(0.85) } else { model })
    };
    let reference = model("large", 1.0, 1_000_000);
    Roster::new(reference, [model("medium", 0.95, 100_000), model("small", 0.86, 20_000)]).unwrap()
}

fn run(items: u64, seed: u64, scores: bool, settings: ProfileSettings) -> (Vec<Forecast>, Report) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let smart = Smart::new(roster(seed, scores), Exact, Target::new(0.9, 0.95).unwrap())
        .with_seed(seed)
        .with_settings(settings)
        .with_observer(move |event: &Event<'_>| {
            if let Event::Forecast { forecast, .. } = event {
                heard.lock().unwrap().push(**forecast);
            }
        });
    let items = counted(items);
    let outcome = futures::executor::block_on(smart.run(&items)).unwrap();
    let told = told.lock().unwrap().clone();
    (told, outcome.report)
}

#[test]
fn the_first_forecast_and_the_plans_hold_the_bill_as_often_as_they_say() {
    let runs = 200;
    for (families, scores) in
        [(Families::Auto, false), (Families::Auto, true), (Families::Single, false)]
    {
        for items in [600, 2_000, 20_000] {
            let (mut within, mut above, mut told, mut planned) = (0, 0, 0, 0);
            for seed in 0..runs {
                let settings = ProfileSettings::default().with_families(families);
                let (forecasts, report) = run(items, seed, scores, settings);
                let first = forecasts.first().expect("a forecast");
                let bill = report.cost();
                within += u64::from(first.low <= bill && bill <= first.high);
                above += u64::from(bill > first.high);
                let plan = report.plan.forecast;
                planned += u64::from(plan.low <= bill && bill <= plan.high);
                told += forecasts.len() as u64;
                assert!(forecasts.windows(2).all(|two| two[0] != two[1]), "told and not changed");
            }
            let what = format!("{families:?}, scores {scores}, {items} items");
            // P(Bin(200, 0.9) < 164) and P(Bin(200, 0.05) > 23) are below 3e-4.
            assert!(within >= 164, "{what}: {within} of {runs}");
            assert!(planned >= 164, "{what}: {planned} of {runs} as planned");
            assert!(above <= 23, "{what}: {above} of {runs} above");
            assert!(told > 2 * runs, "{what}: {told} forecasts in {runs} runs");
        }
    }
}

#[test]
fn money_that_is_to_be_spent_is_forecast_to_be() {
    let runs = 100;
    let within = Cost::from_nanos(2_000 * 500_000);
    let (mut held, mut planned, mut over, mut far) = (0, 0, 0, 0);
    for seed in 0..runs {
        let objective = Objective::BestAgreement { within };
        let settings = ProfileSettings::default().with_objective(objective);
        let (forecasts, report) = run(2_000, seed, true, settings);
        let (first, bill) = (forecasts.first().expect("a forecast"), report.cost());
        held += u64::from(first.low <= bill && bill <= first.high);
        let plan = report.plan.forecast;
        planned += u64::from(plan.low <= bill && bill <= plan.high);
        over += u64::from(bill > within);
        far += u64::from(bill.as_usd() > 1.05 * within.as_usd());
    }
    // One in five and one in ten: P(Bin(100, 0.2) > 33) and P(Bin(100, 0.1) > 20) are below 1e-3.
    assert!(over <= 33 && far <= 20, "{over} of {runs} over the money, {far} by more than 5 %");
    // P(Bin(100, 0.9) < 79) < 1e-3.
    assert!(held >= 79 && planned >= 79, "{held} and {planned} of {runs}");
}

/// Where money is short, a policy hangs on what a few known items say of its cost.
#[test]
fn small_sums_are_kept_to_as_well() {
    let runs = 100;
    for share in [200_000, 300_000, 400_000] {
        let within = Cost::from_nanos(2_000 * share);
        let (mut over, mut far) = (0, 0);
        for seed in 0..runs {
            let objective = Objective::BestAgreement { within };
            let settings = ProfileSettings::default().with_objective(objective);
            let smart = Smart::new(roster(seed, true), Exact, Target::new(0.8, 0.95).unwrap());
            let smart = smart.with_seed(seed).with_settings(settings);
            let items = counted(2_000);
            let bill = futures::executor::block_on(smart.run(&items)).unwrap().report.cost();
            over += u64::from(bill > within);
            far += u64::from(bill.as_usd() > 1.05 * within.as_usd());
        }
        // As above.
        assert!(over <= 33 && far <= 20, "{share}: {over} of {runs} over, {far} by more than 5 %");
    }
}

#[test]
fn the_reference_alone_costs_what_its_bills_say() {
    let usage = |bill: fn(u64) -> u64| {
        move |index: &u64| {
            let usage = Usage::billed(Cost::from_nanos(bill(*index)));
            let index = *index;
            async move { Ok(Completion::new(index).with_usage(usage)) }
        }
    };
    let plan = |bill| {
        let reference = Model::new("large", from_fn(usage(bill)));
        // A candidate that never agrees.
        let cheap = from_fn(|index: &u64| {
            let other = index + 1;
            async move { Ok(Completion::new(other).with_usage(Usage::billed(Cost::from_nanos(9)))) }
        });
        let roster = Roster::new(reference, [Model::new("small", cheap)]).unwrap();
        let smart = Smart::new(roster, Exact, Target::new(0.95, 0.95).unwrap());
        let items = counted(500);
        futures::executor::block_on(smart.profile(&items)).unwrap().profile.plan().unwrap()
    };
    let flat = plan(|_| 10_000_000).forecast;
    assert!(flat.low == flat.cost && flat.cost == flat.high, "{flat}");
    assert!((flat.cost.as_usd() - 5.0).abs() < 0.001, "{flat}");
    // Bills between a half and one and a half of the mean: spread 0.29 of it.
    let mixed = plan(|index| 5_000_000 + index * 7_919 % 1_000 * 10_000).forecast;
    let width = (mixed.high.as_usd() - mixed.low.as_usd()) / mixed.cost.as_usd();
    assert!((0.02..0.6).contains(&width), "{mixed}");
}

#[test]
fn before_the_first_call_prices_and_guesses_are_all_there_is() {
    let model = |name: &str, price| {
        ModelSpec::new(name).with_pricing(Pricing::per_million(price, 3.0 * price).unwrap())
    };
    let roster = RosterSpec::new(vec![model("large", 10.0), model("small", 0.3)]).unwrap();
    let target = Target::new(0.95, 0.95).unwrap();
    let item = Usage::tokens(400, 20);
    let by = |settings: ProfileSettings| settings.forecast(&roster, target, 20_000, item).unwrap();
    let (good, bad) = (("small", 0.98), ("small", 0.7));
    let plain = ProfileSettings::default();
    let good = by(plain.clone().with_prior(good.0, good.1));
    let bad = by(plain.clone().with_prior(bad.0, bad.1));
    let neither = by(plain.clone());
    assert!(good.cost < neither.cost && neither.cost < bad.cost, "{good}; {neither}; {bad}");
    assert_eq!(neither.reference_cost, Cost::from_usd(20_000.0 * 0.0046).unwrap());
    let alone = by(plain.clone().with_families(Families::Reference));
    assert_eq!(alone.cost, alone.reference_cost);
    assert!(plain.forecast(&roster, target, 0, item).is_err(), "no items");

    // A plan before any call knows nothing, and says so.
    let order = Order::new(100, 1);
    let machine = ProfileMachine::new(&roster, Pricing::default(), target, order, &plain).unwrap();
    let nothing = machine.plan("same").forecast;
    assert!(!nothing.is_known());
    assert!(nothing.to_string().contains("unknown"), "{nothing}");
}

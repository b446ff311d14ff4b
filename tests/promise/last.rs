//! The last items of the order, as many as may fail: a candidate may answer them without a test.

use std::collections::BTreeMap;

use futures::executor::block_on;
use smart_core::equivalence::Exact;
use smart_core::plan::{Policy, Verdict};
use smart_core::{
    Audit, Completion, Families, Model, Plan, Pricing, ProfileSettings, Profiled, Reason, Roster,
    RunError, Smart, Target, from_fn,
};

use crate::items::{Counted, counted};

const ITEMS: u64 = 2_000;

/// A candidate whose answers fail where `fails` says so, and which is too dear for a long profile.
fn smart(
    agreement: f64,
    seed: u64,
    fails: impl Fn(u64) -> bool + Copy + Send + Sync + 'static,
) -> Smart<u64, u64> {
    smart_at(0.004, agreement, seed, fails)
}

fn smart_at(
    price: f64,
    agreement: f64,
    seed: u64,
    fails: impl Fn(u64) -> bool + Copy + Send + Sync + 'static,
) -> Smart<u64, u64> {
    let large = from_fn(|item: &u64| {
        let item = *item;
        async move { Ok(Completion::new(item)) }
    });
    let small = from_fn(move |item: &u64| {
        let item = *item;
        async move { Ok(Completion::new(if fails(item) { ITEMS } else { item })) }
    });
    let roster = Roster::new(
        Model::new("large", large).with_pricing(Pricing::per_request(0.01).unwrap()),
        [Model::new("small", small).with_pricing(Pricing::per_request(price).unwrap())],
    );
    // `Auto` may find a share by coin that pays more.
    let single = ProfileSettings::default().with_families(Families::Single);
    let target = Target::new(agreement, 0.95).unwrap();
    Smart::new(roster.unwrap(), Exact, target).with_seed(seed).with_settings(single)
}

/// Three items in ten, in an order of their own.
fn three_in_ten(item: u64) -> bool {
    (item.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 10 < 3
}

fn items() -> Counted {
    counted(ITEMS)
}

fn profiled(smart: &Smart<u64, u64>) -> (Plan, Profiled<u64>) {
    let profiled = block_on(smart.profile(&items())).unwrap();
    (profiled.profile.plan().unwrap(), profiled)
}

/// The seeds at which the plan is about the last items, with the plan.
fn plans() -> Vec<(u64, Plan, Profiled<u64>)> {
    let all = (0..20).map(|seed| (seed, profiled(&smart(0.95, seed, three_in_ten))));
    let all: Vec<_> = all.map(|(seed, (plan, profiled))| (seed, plan, profiled)).collect();
    let last: Vec<_> =
        all.into_iter().filter(|(_, plan, _)| plan.policy.family() == "last").collect();
    assert!(last.len() >= 10, "{} of 20", last.len());
    last
}

#[test]
fn what_may_fail_is_left_to_the_candidate_and_no_more() {
    for (seed, plan, profiled) in plans() {
        let Policy::Last { items: last, .. } = plan.policy else { panic!("{:?}", plan.policy) };
        assert_eq!((last, &plan.certificate), (100, &None));
        assert!(matches!(plan.verdict, Verdict::DoesNotPay(_)), "{:?}", plan.verdict);
        let executor = smart(0.95, seed, three_in_ten).executor(plan.clone(), profiled).unwrap();
        let outcome = block_on(executor.run(&items())).unwrap();
        for answer in &outcome.answers {
            let rank = plan.order.rank(answer.index);
            let small = rank >= ITEMS - 100;
            assert_eq!(answer.reason == Reason::Accepted, small, "rank {rank}");
            assert_eq!(
                answer.output,
                Some(if small && three_in_ten(answer.index) { ITEMS } else { answer.index })
            );
        }
        let said = outcome.report.to_string();
        for line in [
            "Policy     small for the last 100 items\n",
            "Certified  needs no certificate: 100 items may fail, and candidates answer no more\n",
            "Verdict    does not pay: ",
            " * small for the last 100 items, $0.00",
        ] {
            assert!(said.contains(line), "no {line:?} in:\n{said}");
        }
        assert!(outcome.report.to_html().contains("No test pays: large answers all but 100 items"));
        let stored = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
    }
}

#[test]
fn it_saves_what_it_forecasts() {
    for (seed, plan, _) in plans() {
        let report = block_on(smart(0.95, seed, three_in_ten).run(&items())).unwrap().report;
        assert_eq!(report.plan, plan);
        assert_eq!(report.cost(), plan.forecast.cost, "{report}");
        // A hundred answers of the reference are saved; the candidate is asked about few other items.
        let (large, small) = (10_000_000, 4_000_000);
        let most = (ITEMS - 100) * large + (100 + ITEMS / 20) * small;
        assert!(report.cost().as_nanos() < most, "{report}");
    }
}

/// A candidate that fails on all of the last items, and on no other: the worst there is.
#[test]
fn if_all_of_them_fail_the_promise_is_kept() {
    let mut seen = 0;
    for seed in 0..20 {
        // The order does not depend on what the models answer.
        let order = profiled(&smart(0.95, seed, |_| false)).0.order;
        let last = move |item: u64| order.rank(item) >= ITEMS - 100 || three_in_ten(item);
        let smart = smart(0.95, seed, last);
        let outcome = block_on(smart.run(&items())).unwrap();
        if outcome.report.plan.policy.family() == "last" {
            seen += 1;
            let failures = outcome.answers.iter().filter(|a| a.output == Some(ITEMS)).count();
            assert_eq!(failures, 100);
        }
    }
    assert!(seen >= 5, "{seen} of 20");
}

#[test]
fn a_candidate_below_the_floor_answers_nothing() {
    for seed in 0..10 {
        let (plan, _) = profiled(&smart(0.95, seed, |item| three_in_ten(item) || item % 3 == 0));
        assert_eq!(plan.policy, Policy::Reference);
    }
}

#[test]
fn a_strict_target_leaves_what_it_allows_and_costs_few_calls() {
    let mut seen = 0;
    for seed in 0..20 {
        let auto =
            smart_at(0.0003, 0.99, seed, three_in_ten).with_settings(ProfileSettings::default());
        let (plan, _) = profiled(&auto);
        if let Policy::Last { items, .. } = plan.policy {
            seen += 1;
            assert_eq!(items, 20);
            // The reference would have answered these anyway.
            assert!(plan.asked < 150, "{}", plan.asked);
            assert!(plan.forecast.cost < plan.forecast.reference_cost, "{}", plan.forecast);
        }
    }
    assert!(seen >= 10, "{seen} of 20");
}

#[test]
fn families_that_rule_it_out_leave_all_to_the_reference() {
    for families in [Families::Cascade, Families::Consensus, Families::Reference] {
        let settings = ProfileSettings::default().with_families(families);
        let (plan, _) = profiled(&smart(0.95, 1, three_in_ten).with_settings(settings));
        assert_ne!(plan.policy.family(), "last", "{families:?}");
    }
}

#[test]
fn a_plan_that_gives_away_more_than_may_fail_is_refused() {
    let (seed, plan, _) = plans().swap_remove(0);
    let smart = smart(0.95, seed, three_in_ten);
    assert!(smart.executor(plan.clone(), BTreeMap::new()).is_ok());
    let Policy::Last { model, items } = plan.policy else { panic!("{:?}", plan.policy) };
    let policy = Policy::Last { model, items: items + 1 };
    let mut generous = plan;
    generous.policy = policy;
    let refused = smart.executor(generous, BTreeMap::new()).unwrap_err();
    assert!(matches!(refused, RunError::Settings(_)), "{refused}");
}

#[test]
fn on_other_items_the_reference_answers() {
    let (seed, plan, _) = plans().swap_remove(0);
    let audited = smart(0.95, seed, three_in_ten).with_audit(Audit::new(0.1).unwrap());
    let executor = audited.apply(&plan, Some(ITEMS)).unwrap();
    assert_eq!(executor.plan().policy, Policy::Reference);
    let forecast = executor.plan().forecast;
    assert_eq!(forecast.cost, forecast.reference_cost);
    // Under audit on the same items, what is audited cannot fail.
    let outcome = block_on(audited.run(&items())).unwrap();
    assert!(outcome.answers.iter().any(|answer| answer.reason == Reason::Audited));
    let failures = outcome.answers.iter().filter(|a| a.output == Some(ITEMS)).count();
    assert!(failures <= 100, "{failures}");
}

#[test]
fn at_other_prices_it_is_forecast_anew() {
    let (_, plan, profiled) = plans().swap_remove(0);
    let mut models: Vec<_> = plan.roster.models().to_vec();
    models[0].pricing = Pricing::per_request(0.02).unwrap();
    let roster = smart_core::RosterSpec::new(models).unwrap();
    let dearer = profiled.profile.at_prices(&plan, &roster).unwrap();
    assert_eq!(dearer.policy, plan.policy);
    let (was, is) = (plan.forecast, dearer.forecast);
    assert_eq!(is.reference_cost.as_nanos(), 2 * was.reference_cost.as_nanos());
    let candidate = was.cost.as_nanos() - (ITEMS - 100) * 10_000_000;
    // Up to the rounding of a mean.
    assert!(is.cost.as_nanos().abs_diff((ITEMS - 100) * 20_000_000 + candidate) < 10);
}

/// Items are under way when a test ends and a probe begins. What is stored comes to the plan of the run.
#[test]
fn stored_evidence_comes_to_the_plan_of_the_run() {
    let candidate = |by: u64| {
        let small = from_fn(move |item: &u64| {
            let item = *item;
            let fails = (item.wrapping_mul(by) >> 32) % 100 < 38;
            async move { Ok(Completion::new(if fails { ITEMS } else { item })) }
        });
        Model::new(format!("small {by}"), small).with_pricing(Pricing::per_request(0.001).unwrap())
    };
    let large = || {
        let large = from_fn(|item: &u64| {
            let item = *item;
            async move { Ok(Completion::new(item)) }
        });
        Model::new("large", large).with_pricing(Pricing::per_request(0.01).unwrap())
    };
    let mut last = 0;
    for seed in 0..200 {
        let (a, b) =
            (candidate(0x9E37_79B9_7F4A_7C15 + 2 * seed), candidate(0xBF58_476D_1CE4_E5B9));
        let roster = Roster::new(large(), [a, b]).unwrap();
        let single = ProfileSettings::default().with_families(Families::Single);
        let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
        let smart = smart.with_seed(seed).with_settings(single);
        let profiled = block_on(smart.profile(&counted(400))).unwrap();
        let plan = profiled.profile.plan().unwrap();
        assert!(!matches!(plan.verdict, Verdict::Undecided(_)), "{seed}: {:?}", plan.verdict);
        last += u64::from(plan.policy.family() == "last");
    }
    assert!(last > 20, "{last} of 200");
}

/// Where the last items save even more than a certified policy, the verdict is that candidates pay.
#[test]
fn a_certified_policy_that_pays_is_told_so_though_the_last_items_save_more() {
    let items = counted(300);
    let two_in_ten = |item: u64| (item.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 10 < 2;
    let auto =
        |seed| smart_at(0.003, 0.95, seed, two_in_ten).with_settings(ProfileSettings::default());
    let mut seen = 0;
    for seed in 0..40 {
        let report = block_on(auto(seed).run(&items)).unwrap().report;
        let certified =
            report.plan.considered.iter().any(|row| row.outcome.starts_with("certified"));
        if report.plan.policy.family() != "last" || !certified {
            continue;
        }
        seen += 1;
        assert_eq!(report.plan.verdict, Verdict::Pays, "{report}");
        assert!(!report.to_string().contains("does not pay:"), "{report}");
        assert!(!report.to_html().contains("none of them was certified"));
        let looked = block_on(auto(seed).with_stop_unless_it_pays().run(&items)).unwrap().report;
        assert_eq!(looked.delivered.answered(), 300, "{looked}");
    }
    assert!(seen >= 3, "{seen} of 40");
}

//! Plans that go by a router's scores: they hold for that router alone.

use std::collections::BTreeMap;

use futures::executor::block_on;
use smart_core::equivalence::Exact;
use smart_core::{
    Completion, Families, Model, Plan, Pricing, ProfileSettings, Profiled, Roster, RunError, Smart,
    Target, from_fn,
};

use crate::items::counted;

const ITEMS: u64 = 10_000;

/// A candidate that fails on most of the long items, and on few others.
fn smart() -> Smart<u64, u64> {
    let large = from_fn(|item: &u64| {
        let item = *item;
        async move { Ok(Completion::new(item)) }
    });
    let small = from_fn(|item: &u64| {
        let item = *item;
        let fails = if length(item) >= 70.0 { item % 10 < 8 } else { item % 100 == 7 };
        async move { Ok(Completion::new(if fails { 0 } else { item })) }
    });
    let roster = Roster::new(
        Model::new("large", large).with_pricing(Pricing::per_request(0.01).unwrap()),
        [Model::new("small", small).with_pricing(Pricing::per_request(0.0003).unwrap())],
    );
    Smart::new(roster.unwrap(), Exact, Target::new(0.95, 0.95).unwrap())
        .with_settings(ProfileSettings::default().with_families(Families::Auto))
}

/// The hundredths of the items, in an order of their own.
fn length(item: u64) -> f64 {
    (item.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 % 100.0
}

fn profiled() -> (Smart<u64, u64>, Profiled<u64>) {
    let smart = smart().with_router(|item| -length(*item));
    let profiled = block_on(smart.profile(&counted(ITEMS))).unwrap();
    assert_eq!(profiled.profile.plan().unwrap().policy.family(), "router");
    (smart, profiled)
}

fn run(smart: &Smart<u64, u64>, profiled: Profiled<u64>) -> Result<u64, RunError> {
    let plan = profiled.profile.plan().unwrap();
    let executor = smart.executor(plan, profiled)?;
    let answers = block_on(executor.run(&counted(ITEMS)))?;
    Ok(answers.answers.iter().filter(|answer| answer.output != Some(answer.index)).count() as u64)
}

#[test]
fn the_same_router_keeps_the_promise() {
    let (smart, profiled) = profiled();
    let failures = run(&smart, profiled).unwrap();
    assert!((1..=500).contains(&failures), "{failures}");
}

#[test]
fn another_router_is_refused() {
    let (_, profiled) = profiled();
    let plan = profiled.profile.plan().unwrap();
    assert_eq!(plan.routed.len() as u64, plan.asked);
    let stored = serde_json::to_string(&plan).unwrap();
    let bare: Plan = serde_json::from_str(&stored).unwrap();
    assert_eq!(bare, plan);
    let other = smart().with_router(|item| length(*item));
    let bare = other.executor(bare, BTreeMap::new()).unwrap();
    let bare = block_on(bare.run(&counted(ITEMS))).unwrap_err();
    for refused in [run(&other, profiled).unwrap_err(), bare].map(|error| error.to_string()) {
        assert!(
            refused.starts_with("the router does not fit this run: it scores item "),
            "{refused}"
        );
    }
}

#[test]
fn a_plan_that_reads_no_router_holds_no_scores() {
    let smart = smart().with_router(|item| -length(*item));
    let single = ProfileSettings::default().with_families(Families::Single);
    let smart = smart.with_settings(single);
    let profiled = block_on(smart.profile(&counted(ITEMS))).unwrap();
    assert!(profiled.profile.evidence.iter().all(|item| item.router.is_some()));
    assert_eq!(profiled.profile.plan().unwrap().routed, []);
}

#[test]
fn a_plan_by_router_is_refused_without_one() {
    let (_, profiled) = profiled();
    let plan = profiled.profile.plan().unwrap();
    let audit = smart_core::Audit::new(0.1).unwrap();
    let refusals = [
        run(&smart(), profiled).unwrap_err(),
        smart().with_audit(audit).apply(&plan, Some(ITEMS)).map(drop).unwrap_err(),
        smart().executor(plan, BTreeMap::new()).map(drop).unwrap_err(),
    ];
    for refused in refusals.map(|error| error.to_string()) {
        assert!(refused.contains("this run has no router"), "{refused}");
    }
}

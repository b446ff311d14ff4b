//! The verdict names what is at fault, and does not praise a plan that loses money.

use smart_core::backend::Simulated;
use smart_core::equivalence::{Exact, equivalent};
use smart_core::{
    BackendError, Completion, Equivalence, ErrorKind, LlmBackend, Model, Pricing, Report, Roster,
    Smart, Target, from_fn,
};

use super::says;
use crate::items::{Counted, counted};

fn items() -> Counted {
    counted(500)
}

fn roster(
    reference: impl LlmBackend<u64, Output = u32> + 'static,
    prices: [f64; 2],
) -> Roster<u64, u32> {
    let [large, small] = prices.map(|price| Pricing::per_request(price).unwrap());
    Roster::new(
        Model::new("large", reference).with_pricing(large),
        [Model::new("small", Simulated::candidate("small", 0.97, 7)).with_pricing(small)],
    )
    .unwrap()
}

fn target() -> Target {
    Target::new(0.9, 0.95).unwrap()
}

fn run(roster: Roster<u64, u32>, relation: impl Equivalence<u64, u32> + 'static) -> Report {
    let smart = Smart::new(roster, relation, target());
    futures::executor::block_on(smart.run(&items())).unwrap().report
}

#[test]
fn a_reference_that_never_answers_is_at_fault_whatever_its_calls_cost() {
    for kind in [ErrorKind::Timeout, ErrorKind::Permanent, ErrorKind::Transient, ErrorKind::Refused]
    {
        let dead = from_fn(move |_: &u64| async move {
            Err::<Completion<u32>, _>(BackendError::new(kind, "no such thing"))
        });
        let report = run(roster(dead, [0.01, 0.0005]), Exact).to_string();
        says(&report, "Verdict    does not pay: the reference answered none of the profiled items");
    }
}

#[test]
fn a_relation_that_compares_nothing_is_at_fault() {
    let breaks = equivalent(|_: &u64, _: &u32, _: &u32| -> bool { panic!("no such field") });
    let report = run(roster(Simulated::reference(7), [0.01, 0.0005]), breaks);
    let failed = report.judging.failures;
    assert!((4..100).contains(&failed), "{failed}");
    let report = report.to_string();
    let verdict = format!("Verdict    does not pay: all {failed} comparisons failed");
    says(&report, &verdict);
    let fault = format!("Failed     equivalence, {failed} calls, it panicked: no such field");
    says(&report, &fault);
}

#[test]
fn a_plan_that_loses_money_at_the_prices_of_execution_says_so() {
    let before = Smart::new(roster(Simulated::reference(7), [0.01, 0.0005]), Exact, target());
    let profiled = futures::executor::block_on(before.profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let loses =
        "Verdict    does not pay here: the plan is expected to cost more than the reference alone";
    let after = |prices| {
        let smart = Smart::new(roster(Simulated::reference(7), prices), Exact, target());
        let executor = smart.executor(plan.clone(), profiled.clone()).unwrap();
        futures::executor::block_on(executor.run(&items())).unwrap().report
    };
    let report = after([0.001, 0.002]);
    says(&report.to_string(), loses);
    assert!(report.to_html().contains("Verdict: does not pay here: "), "{}", report.to_html());
    assert!(!after([0.02, 0.0001]).to_string().contains("Verdict"));
}

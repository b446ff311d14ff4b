//! The bill of a run whose plan is not the one that profiling ended with.

use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::{Model, Pricing, Profiled, Report, Roster, Smart, Target};

use crate::items::{Counted, counted};

type Run = Smart<u64, u32>;

fn items() -> Counted {
    counted(10_000)
}

fn roster(large: f64) -> Roster<u64, u32> {
    let price = |usd| Pricing::per_request(usd).unwrap();
    Roster::new(
        Model::new("large", Simulated::reference(7)).with_pricing(price(large)),
        [Model::new("small", Simulated::candidate("small", 0.97, 7)).with_pricing(price(0.0005))],
    )
    .unwrap()
}

fn smart(agreement: f64, large: f64) -> Run {
    Smart::new(roster(large), Exact, Target::new(agreement, 0.95).unwrap()).with_seed(1)
}

/// Profiled for 95 %, planned again for 90 % and executed, at these prices of the reference.
fn halves(large: f64) -> (Profiled<u32>, Report) {
    let profiled = block_on(smart(0.95, 0.01).profile(&items())).unwrap();
    let (run, profile) = (smart(0.9, large), &profiled.profile);
    let target = Target::new(0.9, 0.95).unwrap();
    let plan = profile.replan(roster(large).spec(), target, &profile.settings).unwrap();
    let executor = run.executor(plan, profiled.clone()).unwrap();
    let report = block_on(executor.run(&items())).unwrap().report;
    (profiled, report)
}

#[test]
fn the_whole_bill_of_a_run_that_was_planned_again() {
    for large in [0.01, 0.02] {
        let (profiled, executed) = halves(large);
        let error = profiled.report().unwrap().merge(&executed).unwrap_err().to_string();
        assert!(error.contains("`Profiled::report_under`"), "{error}");
        let whole = profiled.report_under(&executed.plan).unwrap().merge(&executed).unwrap();
        assert!(whole.is_whole() && whole.is_profiling_included());
        assert_eq!(whole.allowance(), 1_000);
        let profiling = profiled.spent.iter().map(|spent| spent.cost).sum::<smart_core::Cost>();
        assert_eq!(
            (whole.profiling_cost(), whole.cost()),
            (profiling, profiling + executed.cost())
        );
        // Read back, it promises the same.
        let stored = serde_json::to_string(&whole).unwrap();
        assert!(stored.contains("\"allowance\":1000,"), "{stored}");
        assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), whole);
    }
    let (profiled, _) = halves(0.01);
    let other = block_on(smart(0.9, 0.01).with_seed(2).profile(&items())).unwrap();
    assert!(profiled.report_under(&other.profile.plan().unwrap()).is_err());
}

#[test]
fn no_order_of_merging_promises_more_than_the_plan() {
    let (profiled, executed) = halves(0.01);
    let mut before = profiled.report().unwrap();
    before.plan = executed.plan.clone();
    let one = before.clone().merge(&executed).unwrap();
    assert_eq!(one, executed.clone().merge(&before).unwrap());
    for report in [before, one] {
        let said = report.to_string();
        assert!(said.contains("(at most 1000 answers that differ"), "{said}");
    }
}

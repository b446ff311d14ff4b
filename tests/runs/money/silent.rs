//! What is not known is not free, and bills are set against what they are to be compared with.

use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::equivalence::{Exact, equivalent};
use smart_core::progress::Progress;
use smart_core::{
    Audit, BackendError, Budget, Completion, Cost, ErrorKind, Model, ModelId, Pricing, Reason,
    Report, Roster, Smart, Target, Usage, from_fn,
};

use crate::items::counted;

fn target() -> Target {
    Target::new(0.9, 0.9).unwrap()
}

fn usd(amount: f64) -> Cost {
    Cost::from_usd(amount).unwrap()
}

/// A model that agrees on this share of the items. What it used is a function of the item, if it says so.
fn model(
    name: &'static str,
    agreement: f64,
    price: f64,
    used: impl Fn(u64) -> Option<Usage> + Send + Sync + 'static,
) -> Model<u64, u32> {
    let inner = Simulated::candidate(name, agreement, 9);
    let backend = from_fn(move |item: &u64| {
        let completion = Completion::new(inner.answer(*item));
        let said = used(*item);
        async move { Ok(said.into_iter().fold(completion, Completion::with_usage)) }
    });
    Model::new(name, backend).with_pricing(Pricing::per_million(price, price).unwrap())
}

/// What every call of a model uses that says so.
const HUNDRED: Option<Usage> = Some(Usage::tokens(100, 0));

fn run(candidates: [Model<u64, u32>; 2]) -> Report {
    let roster = Roster::new(model("large", 1.0, 10.0, |_| HUNDRED), candidates).unwrap();
    let items = counted(2_000);
    block_on(Smart::new(roster, Exact, target()).run(&items)).unwrap().report
}

#[test]
fn a_candidate_that_never_says_what_it_used_is_not_taken_for_free() {
    let silent = |price| model("silent", 0.99, price, |_| None);
    let told = || model("told", 0.98, 1.0, |_| HUNDRED);
    // It is dearer than the reference, if it uses as much.
    let dear = run([silent(100.0), told()]);
    assert_eq!(dear.delivered.by_model[1], 0, "{dear}");
    assert!(dear.delivered.by_model[2] > 1_500, "{dear}");
    let [of_silent, of_told] = [1, 2].map(|id| dear.spending(ModelId::new(id)).calls());
    assert!(of_silent < 50 && of_told > 1_500, "{dear}");
    // If it is cheap and uses as much, it is the one to take; and the summary says what is not known.
    let cheap = run([silent(0.1), told()]);
    assert!(cheap.delivered.by_model[1] > 1_500, "{cheap}");
    let models = cheap.summary().models;
    assert!(models[1].unmetered > 1_500 && models[0].unmetered + models[2].unmetered == 0);
    // Failures that cost nothing say nothing of what its answers cost.
    let inner = Simulated::candidate("silent", 0.99, 9);
    let fails = from_fn(move |item: &u64| {
        let answer = Completion::new(inner.answer(*item));
        let fails = item.is_multiple_of(3);
        let refused = || BackendError::new(ErrorKind::InvalidRequest, "too long");
        async move { if fails { Err(refused()) } else { Ok(answer) } }
    });
    let fails = Model::new("silent", fails);
    let fails = fails.with_pricing(Pricing::per_million(100.0, 100.0).unwrap());
    assert_eq!(run([fails, told()]).delivered.by_model[1], 0);
    // Bills that nobody can believe are no bills.
    let absurd = model("silent", 0.99, 100.0, |_| Some(Usage::tokens(u64::MAX, 0)));
    assert_eq!(run([absurd, told()]).delivered.by_model[1], 0);
}

#[test]
fn other_items_are_set_against_what_the_reference_costs_on_them() {
    let smart = |tokens: u64| {
        let used = move |_| Some(Usage::tokens(tokens, 0));
        let small = model("small", 0.97, 1.0, used);
        let roster = Roster::new(model("large", 1.0, 10.0, used), [small]).unwrap();
        Smart::new(roster, Exact, target()).with_audit(Audit::new(0.1).unwrap())
    };
    let items = counted(4_000);
    let plan = block_on(smart(100).profile(&items)).unwrap().profile.plan().unwrap();
    for tokens in [20, 100, 3_000] {
        let executor = smart(tokens).with_seed(5).apply(&plan, Some(4_000)).unwrap();
        let report = block_on(executor.run(&items)).unwrap().report;
        let alone = usd(4_000.0 * tokens as f64 * 10e-6);
        assert_eq!(report.reference_cost, alone, "{report}");
        assert!((1.5..10.0).contains(&report.saving()), "{report}");
    }
}

#[test]
fn where_the_reference_answers_everything_its_own_bill_is_the_comparison() {
    // The items asked about first are not the cheapest: a forecast from them is off.
    let used = |item: u64| Some(Usage::tokens(100 + item, 0));
    let small = model("small", 0.97, 1.0, used);
    let roster = Roster::new(model("large", 1.0, 10.0, used), [small]).unwrap();
    let never = equivalent(|_: &u64, _: &u32, _: &u32| false).named("never");
    let items = counted(1_000);
    let report = block_on(Smart::new(roster, never, target()).run(&items)).unwrap().report;
    let reference = report.spending(ModelId::REFERENCE).cost;
    assert_eq!(report.reference_cost_of_answered(), reference, "{report}");
    let said = report.to_string();
    let words = format!("no candidate agreed on any of {} items: see whether", report.profiled);
    assert!(said.contains(&words), "{said}");
}

#[test]
fn progress_and_report_compare_the_same() {
    let progress = Progress::new();
    let small = model("small", 0.97, 1.0, |_| HUNDRED);
    let roster = Roster::new(model("large", 1.0, 10.0, |_| HUNDRED), [small]).unwrap();
    let last = std::sync::Arc::new(std::sync::Mutex::new(Cost::ZERO));
    let (seen, kept) = (progress.clone(), std::sync::Arc::clone(&last));
    let smart = Smart::new(roster, Exact, target())
        .with_budget(Budget::new(usd(0.15)))
        .with_observer(progress.clone())
        .with_observer(move |event: &smart_core::Event<'_>| {
            if let smart_core::Event::Answered { .. } = event {
                *kept.lock().unwrap() = seen.snapshot().reference_so_far;
            }
        });
    let outcome = block_on(smart.run(&counted(2_000))).unwrap();
    let (report, now) = (outcome.report, progress.snapshot());
    let given_up = outcome.answers.iter().filter(|a| a.reason == Reason::Unaffordable).count();
    assert!(given_up > 500, "{report}");
    assert_eq!(now.reference_so_far, report.reference_cost_of_answered());
    assert_eq!(*last.lock().unwrap(), report.reference_cost_of_answered());
    assert_eq!((now.answered, now.spent), (2_000, report.cost()));
}

#[test]
fn a_cap_that_was_passed_is_told_with_the_reason() {
    let small = model("small", 0.97, 1.0, |_| HUNDRED);
    let roster = Roster::new(model("large", 1.0, 10.0, |_| HUNDRED), [small]).unwrap();
    let smart = Smart::new(roster, Exact, target()).with_budget(Budget::new(Cost::from_nanos(9)));
    let report = block_on(smart.run(&counted(100))).unwrap().report;
    assert!(report.cost() > Cost::from_nanos(9), "{report}");
    let said = report.to_string();
    assert!(
        said.contains("more than the cap, for earlier runs' calls, or calls of models"),
        "{said}"
    );
}

#[test]
fn a_reference_without_a_price_makes_everything_dear() {
    let free = Model::new("large", Simulated::reference(9));
    let roster = Roster::new(free, [model("small", 0.97, 1.0, |_| HUNDRED)]).unwrap();
    let report = block_on(Smart::new(roster, Exact, target()).run(&counted(100)));
    let said = report.unwrap().report.to_string();
    assert!(!said.contains("at no cost"), "{said}");
    assert!(said.contains("for the reference alone: infinitely dearer"), "{said}");
}

#[test]
fn what_silent_calls_are_taken_to_spend_is_told() {
    let silent = model("small", 0.97, 1.0, |_| None);
    let roster = Roster::new(model("large", 1.0, 10.0, |_| HUNDRED), [silent]).unwrap();
    let budget = Budget::new(usd(1.0)).with_call_bound("small", usd(0.01));
    let budget = budget.with_call_bound("large", usd(0.001));
    let smart = Smart::new(roster, Exact, target()).with_budget(budget);
    let report = block_on(smart.run(&counted(2_000))).unwrap().report;
    let assumed = report.budget.unwrap().assumed;
    let calls = report.spending(ModelId::new(1)).calls();
    assert_eq!(assumed, usd(0.01).times(calls), "{report}");
    assert!(report.to_string().contains("more is taken to be spent by calls that did not say"));
}

//! A report says in words what stopped a run from saving, so that a reader knows what to mend.

mod tables;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use smart_core::backend::Simulated;
use smart_core::equivalence::{Exact, Normalized, Verdict as EqualOrNot, equivalent};
use smart_core::plan::Verdict;
use smart_core::{
    Audit, BackendError, Budget, Completion, Cost, Equivalence, Event, Families, LlmBackend, Model,
    ModelId, Objective, Pricing, ProfileSettings, Reason, Report, Roster, RunError, Smart, Target,
    Usage, async_trait, from_fn,
};

use crate::items::counted;

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Up,
    Down,
    Silent,
}

fn client(service: Service) -> impl LlmBackend<str, Output = String> {
    from_fn(move |_: &str| async move {
        let answer = Completion::new("yes".to_owned());
        match service {
            Service::Up => Ok(answer.with_usage(Usage::tokens(100, 2))),
            Service::Silent => Ok(answer),
            Service::Down => Err(BackendError::transient("no reply")),
        }
    })
}

fn report(reference: Service, candidate: Service, prices: Option<(f64, f64)>) -> String {
    run(reference, candidate, prices).to_string()
}

fn run(reference: Service, candidate: Service, prices: Option<(f64, f64)>) -> Report {
    let price = |model: Model<str, String>, price: Option<f64>| match price {
        Some(price) => model.with_pricing(Pricing::per_million(price, price).unwrap()),
        None => model,
    };
    let roster = Roster::new(
        price(Model::new("large", client(reference)), prices.map(|(large, _)| large)),
        [price(Model::new("small", client(candidate)), prices.map(|(_, small)| small))],
    )
    .unwrap();
    let items: Vec<String> = (0..300).map(|i| format!("text {i}")).collect();
    let target = Target::new(0.9, 0.95).unwrap();
    let run = Smart::new(roster, Normalized::default(), target);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    report
}

#[track_caller]
fn says(report: &str, line: &str) {
    assert!(report.lines().any(|have| have == line), "no line `{line}` in\n{report}");
}

#[test]
fn a_service_that_is_down_is_named_with_what_it_said() {
    let down = report(Service::Down, Service::Down, Some((10.0, 1.0)));
    says(&down, "Verdict    does not pay: the reference answered none of the profiled items");
    says(&down, "Failed     large, 300 calls, transient failure: no reply");
    assert!(down.contains("Failed     small"), "{down}");
}

#[test]
fn a_candidate_that_is_down_is_named_with_what_it_said() {
    let down = run(Service::Up, Service::Down, Some((10.0, 1.0)));
    let page = down.to_html();
    assert!(page.contains("calls failed for good, transient failure."), "{page}");
    assert!(!page.contains("no reply"), "what a backend said stays in the stored report");
    let down = down.to_string();
    assert!(down.contains("\nFailed     small, "), "{down}");
    assert!(!down.contains("Failed     large"), "{down}");
    let verdict = "\nVerdict    does not pay: all calls of candidates failed: `small` on all of ";
    assert!(down.contains(verdict), "{down}");
}

#[test]
fn missing_prices_and_missing_usage_are_not_the_candidates_fault() {
    let unpriced = report(Service::Up, Service::Up, None);
    says(&unpriced, "Verdict    does not pay: the reference costs nothing: give the models prices");
    let silent = report(Service::Silent, Service::Silent, Some((10.0, 1.0)));
    says(
        &silent,
        "Verdict    does not pay: the reference reports no usage, so its prices say nothing",
    );
}

#[test]
fn a_dear_candidate_is_still_called_dear() {
    let dear = report(Service::Up, Service::Up, Some((1.0, 10.0)));
    says(&dear, "Verdict    does not pay: no candidate is cheaper than the reference");
}

#[test]
fn a_setting_that_makes_no_sense_says_which() {
    let model = || from_fn(|_: &u64| async { Ok(Completion::new(1)) });
    let roster = Roster::new(Model::new("large", model()), []).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let nothing = counted(0);
    let error = futures::executor::block_on(run.run(&nothing)).unwrap_err();
    assert!(matches!(error, RunError::Settings(_)));
    assert_eq!(error.to_string(), "there are no items");
}

#[test]
fn another_unit_than_dollars_is_left_to_the_reader() {
    let roster = Roster::new(
        Model::new("large", client(Service::Up)).with_pricing(Pricing::per_request(2.0).unwrap()),
        [Model::new("small", client(Service::Up)).with_pricing(Pricing::per_request(0.1).unwrap())],
    )
    .unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items: Vec<String> = (0..300).map(|i| format!("text {i}")).collect();
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    assert!(report.to_string().contains('$'));
    let bare = format!("{report:#}");
    assert!(bare.contains("against about 600.00 for the reference alone"), "{bare}");
    assert!(!bare.contains('$'), "{bare}");
}

/// A reference at a cent an item and a candidate at half a tenth of it, on so many items.
fn simulated(agreement: f64, items: u64, with: impl Fn(Sim) -> Sim) -> Report {
    let reference = Model::new("large", Simulated::reference(7));
    let candidate = Model::new("small", Simulated::candidate("small", agreement, 7));
    let roster = Roster::new(
        reference.with_pricing(Pricing::per_request(0.01).unwrap()),
        [candidate.with_pricing(Pricing::per_request(0.0005).unwrap())],
    );
    let run = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap()).with_seed(1);
    let items = counted(items);
    futures::executor::block_on(with(run).run(&items)).unwrap().report
}

type Sim = Smart<u64, u32>;

#[test]
fn what_was_answered_is_set_against_what_the_reference_costs_for_that() {
    let budget = Cost::from_usd(1.0).unwrap();
    let report = simulated(0.05, 400, |run| run.with_budget(budget));
    let answered = report.delivered.answered();
    assert!((50..150).contains(&answered), "{report}");
    assert!((0.5..=1.0).contains(&report.saving()), "{report}");
    assert_eq!(report.reference_cost_of_answered(), Cost::from_usd(0.01).unwrap().times(answered));
    assert_eq!(report.reference_cost, Cost::from_usd(4.0).unwrap());
    assert!(report.to_string().contains(&format!(" dearer (of {answered} items answered)")));
    let unanswered = 400 - answered;
    says(
        &report.to_string(),
        &format!("Unanswered {unanswered} items: the budget ended before {unanswered}"),
    );
    let page = report.to_html();
    assert!(page.contains(&format!("estimated, for the {answered} items answered")));
    let whole = simulated(0.97, 2_000, |run| run);
    assert!(whole.saving() > 5.0 && !whole.to_string().contains("items answered"), "{whole}");
}

#[test]
fn only_the_reasons_there_were_are_given_for_what_is_unanswered() {
    let failing = from_fn(|item: &u64| {
        let fails = item.is_multiple_of(10);
        async move { if fails { Err(BackendError::refused("no")) } else { Ok(Completion::new(1)) } }
    });
    let large = Model::new("large", failing).with_pricing(Pricing::per_request(0.01).unwrap());
    let roster = Roster::new(large, []).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let report = futures::executor::block_on(run.run(&counted(50))).unwrap().report;
    says(&report.to_string(), "Unanswered 5 items: the reference failed on 5");
}

#[test]
fn where_nothing_was_profiled_the_reference_costs_what_it_did() {
    let large = Model::new("large", Simulated::reference(7));
    let large = large.with_pricing(Pricing::per_request(0.01).unwrap());
    let run = Smart::new(Roster::new(large, []).unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    let items = counted(50);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    assert_eq!(report.reference_cost, Cost::from_usd(0.5).unwrap());
    assert!((report.saving() - 1.0).abs() < 1e-9);
    let report = report.to_string();
    says(&report, "Planned    without a forecast: no item was profiled");
    says(
        &report,
        "Spent      $0.5000 against about $0.5000 for the reference alone: about the same",
    );
}

/// A run for the best agreement that so many dollars buy, where the reference alone costs twenty.
fn best_within(agreement: f64, money: f64) -> Report {
    let within = Cost::from_usd(money).unwrap();
    let objective = Objective::BestAgreement { within };
    let settings = ProfileSettings::default().with_objective(objective);
    simulated(agreement, 2_000, |run| run.with_settings(settings.clone()))
}

#[test]
fn the_objective_is_told_with_what_it_came_to() {
    let report = best_within(0.97, 12.0);
    let (came_to, left) = (
        report.plan.target.agreement(),
        Cost::from_usd(12.0).unwrap().saturating_sub(report.cost()),
    );
    assert!(came_to.as_f64() > 0.9 && left > Cost::ZERO, "{report}");
    let line = format!("best agreement within $12.00; came to {came_to}, {left} left");
    says(&report.to_string(), &format!("Objective  {line}"));
    assert!(report.to_html().contains(&line));

    let exceeded = best_within(0.97, 0.5);
    let more = exceeded.cost().saturating_sub(Cost::from_usd(0.5).unwrap());
    let line = format!("best agreement within $0.5000; came to 90 %, for {more} more than that");
    says(&exceeded.to_string(), &format!("Objective  {line}"));
    assert!(!simulated(0.97, 2_000, |run| run).to_string().contains("Objective"));

    // A cap below the sum leaves no more than itself.
    let within = Cost::from_usd(12.0).unwrap();
    let settings = ProfileSettings::default().with_objective(Objective::BestAgreement { within });
    let cap = Cost::from_usd(8.0).unwrap();
    let capped = simulated(0.97, 2_000, |run| run.with_settings(settings.clone()).with_budget(cap));
    let left = format!(", {} left", cap.saturating_sub(capped.cost()));
    assert!(capped.to_string().contains(&left), "{capped}");
}

#[test]
fn no_money_and_no_price_are_refused() {
    let large = Model::new("large", from_fn(|_: &u64| async { Ok(Completion::new(1)) }));
    let small = Model::new("small", from_fn(|_: &u64| async { Ok(Completion::new(1)) }));
    let objective = Objective::BestAgreement { within: Cost::ZERO };
    let run =
        Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.9, 0.95).unwrap())
            .with_settings(ProfileSettings::default().with_objective(objective));
    let items = counted(50);
    let error = futures::executor::block_on(run.run(&items)).unwrap_err().to_string();
    assert!(error.contains("let `within` be what the run may cost"), "{error}");
    let error = Pricing::per_request(1e-12).unwrap_err().to_string();
    assert!(error.contains("would count as nothing; count in a smaller unit"), "{error}");
    assert!(Pricing::per_request(0.0).is_ok() && Pricing::per_request(1e-9).is_ok());
}

#[test]
fn money_enough_for_the_reference_is_no_failure_of_the_candidates() {
    let report = best_within(0.97, 25.0);
    assert_eq!(report.plan.verdict, Verdict::MoneySuffices);
    let said = report.to_string();
    says(&said, "Verdict    the money is enough for the reference alone");
    assert!(said.contains("within $25.00; the reference answers every item, $"), "{said}");
    assert!(!said.contains("does not pay"), "{said}");
    assert!(
        report.to_html().contains("<h1 class=\"quiet\">The money is enough for large alone</h1>")
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_prior_says_whether_its_name_or_its_number_is_wrong() {
    let error = |model: &str, guess: f64| {
        let small = Model::new("small", Simulated::candidate("small", 0.9, 7));
        let roster = Roster::new(Model::new("large", Simulated::reference(7)), [small]).unwrap();
        let settings = ProfileSettings::default().with_prior(model, guess);
        let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
        let items = counted(100);
        let run = run.with_settings(settings);
        futures::executor::block_on(run.run(&items)).unwrap_err().to_string()
    };
    let candidates = "which is not a candidate; the candidates are `small`";
    assert_eq!(error("smal", 0.9), format!("a prior guess names `smal`, {candidates}"));
    assert_eq!(error("large", 0.9), format!("a prior guess names `large`, {candidates}"));
    assert_eq!(error("small", 1.5), "the prior guess for `small` must lie in [0, 1], got 1.5");
}

#[test]
fn a_budget_that_allows_no_call_is_not_the_references_fault() {
    let none = simulated(0.97, 300, |run| run.with_budget(Cost::ZERO)).to_string();
    says(&none, "Verdict    undecided: the budget allowed no call");
    says(&none, "Spent      $0.00, and no item was answered");
    let large = Cost::from_usd(0.01).unwrap();
    let small = simulated(0.97, 300, |run| {
        let budget = Budget::new(Cost::from_usd(0.005).unwrap());
        run.with_budget(budget.with_call_bound("large", large).with_call_bound("small", large))
    });
    let words = "undecided: the budget bore not even the calls for one profiled item";
    says(&small.to_string(), &format!("Verdict    {words}"));
}

#[test]
fn who_is_in_the_plan_is_not_told_to_be_dropped() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let report = simulated(0.97, 2_000, |run| {
        let dropped = Arc::clone(&dropped);
        run.with_observer(move |event: &Event<'_>| {
            if let Event::CandidateDropped { name, .. } = event {
                dropped.lock().unwrap().push((*name).to_owned());
            }
        })
    });
    assert!(report.plan.models().contains(ModelId::new(1)), "{report}");
    assert!(dropped.lock().unwrap().is_empty(), "{dropped:?}");
    let useless = simulated(0.05, 2_000, |run| {
        let dropped = Arc::clone(&dropped);
        run.with_observer(move |event: &Event<'_>| {
            if let Event::CandidateDropped { name, .. } = event {
                dropped.lock().unwrap().push((*name).to_owned());
            }
        })
    });
    assert!(useless.plan.models().is_empty(), "{useless}");
    assert_eq!(*dropped.lock().unwrap(), ["small"]);
}

/// A judge of the caller's own that says nothing of its name.
struct Parity;

#[async_trait]
impl Equivalence<u64, u32> for Parity {
    async fn compare(&self, _: &u64, a: &u32, b: &u32) -> Result<EqualOrNot, BackendError> {
        Ok(EqualOrNot::new(a % 2 == b % 2))
    }
}

#[test]
fn a_plan_made_under_one_unnamed_relation_is_refused_under_another() {
    let with = |relation: Box<dyn Equivalence<u64, u32>>| {
        let small = Model::new("small", Simulated::candidate("small", 0.97, 7));
        let large = Model::new("large", Simulated::reference(7));
        let roster = Roster::new(large, [small]).unwrap();
        Smart::new(roster, relation, Target::new(0.9, 0.95).unwrap())
    };
    let exact = || with(Box::new(equivalent(|_: &u64, a: &u32, b: &u32| a == b)));
    let items = counted(500);
    let profiled = futures::executor::block_on(exact().profile(&items)).unwrap();
    let plan = profiled.profile.plan().unwrap();
    assert!(exact().executor(plan.clone(), BTreeMap::new()).is_ok());
    let lenient = with(Box::new(equivalent(|_: &u64, _: &u32, _: &u32| true)));
    for other in [lenient, with(Box::new(Parity))] {
        let error = other.executor(plan.clone(), BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("the equivalence was `closure at "), "{error}");
    }
    assert!(Parity.name().ends_with("words::Parity"), "{}", Parity.name());
}

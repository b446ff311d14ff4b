//! A report says in words what stopped a run from saving, so that a reader knows what to mend.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use smart_core::backend::Simulated;
use smart_core::equivalence::{Exact, Normalized, Verdict as EqualOrNot, equivalent};
use smart_core::plan::Verdict;
use smart_core::{
    Audit, BackendError, Budget, Completion, Cost, Equivalence, Event, Families, Generated,
    LlmBackend, Model, ModelId, Objective, Pricing, ProfileSettings, Reason, Report, Roster,
    RunError, Smart, Target, Usage, async_trait, from_fn,
};

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
    let nothing = Generated::new(0, |index| index);
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
    let items = Generated::new(items, |index| index);
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
    let report = futures::executor::block_on(run.run(&Generated::new(50, |i| i))).unwrap().report;
    says(&report.to_string(), "Unanswered 5 items: the reference failed on 5");
}

#[test]
fn where_nothing_was_profiled_the_reference_costs_what_it_did() {
    let large = Model::new("large", Simulated::reference(7));
    let large = large.with_pricing(Pricing::per_request(0.01).unwrap());
    let run = Smart::new(Roster::new(large, []).unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    let items = Generated::new(50, |index| index);
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
        let items = Generated::new(100, |index| index);
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
    let items = Generated::new(500, |index| index);
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

/// Two candidates that give scores, the second better and dearer: relays are among the chains considered.
fn scored(budget: Option<Cost>) -> Report {
    let model = |name: &str, agreement, usd| {
        let backend = Simulated::candidate(name, agreement, 3).with_confidence(0.8);
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let large = Model::new("large", Simulated::reference(3));
    let large = large.with_pricing(Pricing::per_request(0.01).unwrap());
    let roster = Roster::new(large, [model("small", 0.8, 0.0003), model("medium", 0.88, 0.0012)]);
    let run = Smart::new(roster.unwrap(), Exact, Target::new(0.95, 0.95).unwrap());
    let run = match budget {
        Some(budget) => run.with_budget(budget),
        None => run,
    };
    let items = Generated::new(4_000, |index| index);
    futures::executor::block_on(run.run(&items)).unwrap().report
}

#[test]
fn the_table_of_what_was_considered_explains_the_choice() {
    for budget in [None, Some(Cost::from_usd(9.0).unwrap())] {
        let report = scored(budget);
        let considered = &report.plan.considered;
        assert!(considered.len() > 3, "{report}");
        let names: std::collections::BTreeSet<&str> =
            considered.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), considered.len(), "no two rows are worded alike\n{report}");
        let chosen = considered.iter().find(|row| row.chosen).expect("a policy is certified");
        assert_eq!(chosen.name, report.plan.policy.describe(&report.plan.roster));
        let share = |outcome: &str| {
            let (before, _) = outcome.split_once(" % of the reference's cost")?;
            before.rsplit(' ').next()?.parse::<f64>().ok()
        };
        let best = share(&chosen.outcome).expect("what was expected of the one chosen");
        assert!(chosen.outcome.starts_with("chosen, expected at "), "{}", chosen.outcome);
        let mut shares = Vec::new();
        for row in considered.iter().filter(|row| !row.chosen) {
            assert!(row.outcome.contains("not tested: "), "{}", row.outcome);
            if let Some(share) = share(&row.outcome) {
                assert!(share >= best && row.cost_per_item.is_some(), "{report}");
                shares.push(share);
            }
        }
        shares.dedup();
        assert!(shares.len() > 1, "a cap makes no two chains alike\n{report}");
        let line = format!(" * {}, {}: chosen", chosen.name, chosen.cost_per_item.unwrap());
        assert!(report.to_string().contains(&line), "{report}");
    }
}

#[test]
fn a_plan_on_other_items_is_set_against_what_the_reference_costs_for_those() {
    let large = Model::new("large", Simulated::reference(7));
    let small = Model::new("small", Simulated::candidate("small", 0.97, 7));
    let roster = Roster::new(
        large.with_pricing(Pricing::per_request(0.01).unwrap()),
        [small.with_pricing(Pricing::per_request(0.0005).unwrap())],
    );
    let run = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    let run = run.with_audit(Audit::new(0.1).unwrap());
    let items = Generated::new(2_000, |index| index);
    futures::executor::block_on(async {
        let plan = run.profile(&items).await.unwrap().profile.plan().unwrap();
        for known in [Some(500), None] {
            let executor = run.apply(&plan, known).unwrap();
            executor.execute(futures::stream::iter(0..500)).count().await;
            let report = executor.report();
            let five = Cost::from_usd(5.0).unwrap();
            assert_eq!(report.delivered.answered(), 500);
            assert_eq!(report.reference_cost, if known.is_some() { five } else { Cost::ZERO });
            // Of a stream the items so far are a share of nobody knows how many.
            assert_eq!(report.reference_cost_of_answered(), five, "{report}");
            assert!((1.0..20.0).contains(&report.saving()), "{report}");
        }
    });
}

/// Two candidates without scores: only whether they agree tells a right answer from a wrong one.
#[test]
fn a_consensus_that_asks_nobody_says_so() {
    let hash = |a: u64, b: u64| {
        let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
        for _ in 0..3 {
            x ^= x >> 31;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 29;
        }
        (x >> 11) as f64 / (1_u64 << 53) as f64
    };
    let model = |name: &str, salt: u64, fails: f64, usd: f64| {
        let backend = from_fn(move |item: &u64| {
            let luck = hash(*item, salt + 9);
            let kind = 1 + [0.25, 0.5, 0.75].iter().filter(|part| luck >= **part).count();
            let answer = if hash(*item, salt) < fails { kind } else { 0 };
            async move { Ok(Completion::new(answer).with_usage(Usage::default())) }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let consensus = ProfileSettings::default().with_families(Families::Consensus);
    let items = Generated::new(5_000, |index| index);
    let mut seen = [false; 2];
    for seed in 0..8 {
        let cheap = [model("small", 6, 0.1, 0.0005), model("tiny", 4, 0.2, 0.0001)];
        let roster = Roster::new(model("large", 5, 0.0, 0.01), cheap);
        let run = Smart::new(roster.unwrap(), Exact, Target::new(0.92, 0.95).unwrap());
        let run = run.with_seed(seed).with_settings(consensus.clone());
        let outcome = futures::executor::block_on(run.run(&items)).unwrap();
        let plan = &outcome.report.plan;
        let words = plan.policy.describe(&plan.roster);
        let kept = outcome.answers.iter().filter(|answer| answer.reason == Reason::Accepted);
        let alone = kept.filter(|answer| answer.asked.len() == 1).count() as f64;
        let rest = (5_000 - plan.asked) as f64;
        match words.split_once(" % of the items by coin, else where ") {
            Some((before, second)) => {
                let share: f64 = before.rsplit(' ').next().unwrap().parse().unwrap();
                assert!((alone / rest - share / 100.0).abs() < 0.03, "{words}: {alone} of {rest}");
                assert!(second.ends_with(" agrees"), "{words}");
                seen[0] = true;
            }
            None if words.contains("agrees") => {
                assert!(alone == 0.0, "{words}: {alone} of {rest}");
                seen[1] = true;
            }
            None => {}
        }
    }
    assert!(seen[0], "no seed keeps answers without asking the second");
}

#[test]
fn where_nothing_ever_cost_anything_nothing_is_planned() {
    let dead = |name: &str, usd: f64| {
        let refuses = from_fn(|_: &u64| async {
            Err::<Completion<u32>, _>(BackendError::from_status(401, None, "no key"))
        });
        Model::new(name, refuses).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(dead("large", 0.01), [dead("small", 0.0001)]).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items = Generated::new(500, |index| index);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    assert_eq!((report.cost(), report.plan.forecast.is_known()), (Cost::ZERO, false));
    let said = report.to_string();
    let reason = "nothing is known of what the reference costs";
    says(&said, &format!("Planned    without a forecast: {reason}"));
    says(&said, "Spent      $0.00, and no item was answered");
}

/// Says the same of everything, but fails on every tenth item.
struct Moody;

#[async_trait]
impl Equivalence<u64, u32> for Moody {
    async fn compare(&self, item: &u64, a: &u32, b: &u32) -> Result<EqualOrNot, BackendError> {
        if item.is_multiple_of(10) {
            return Err(BackendError::refused("maybe"));
        }
        Ok(EqualOrNot::new(a == b))
    }
}

#[test]
fn failures_that_are_the_judges_are_told_apart() {
    let model = |name: &str, usd| {
        let answer = from_fn(|_: &u64| async { Ok(Completion::new(1)) });
        Model::new(name, answer).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let report = |agreement| {
        let roster = Roster::new(model("large", 0.01), [model("small", 0.0005)]).unwrap();
        let run = Smart::new(roster, Moody, Target::new(agreement, 0.95).unwrap());
        let items = Generated::new(2_000, |index| index);
        futures::executor::block_on(run.run(&items)).unwrap().report
    };
    let lax = report(0.8);
    let certificate = lax.plan.certificate.as_ref().expect("nine in ten agree");
    assert!(certificate.failures > 0, "{lax}");
    assert_eq!(certificate.unjudged, certificate.failures, "{lax}");
    let count = certificate.failures;
    assert!(
        lax.to_string().contains(&format!("({count} of them comparisons that failed), at most"))
    );
    let json = serde_json::to_string(&lax).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), lax);
}

#[test]
fn the_summary_says_what_the_report_comes_to() {
    let report = simulated(0.97, 2_000, |run| run);
    let json = serde_json::to_value(&report).unwrap();
    let summary = &json["summary"];
    assert_eq!(summary["cost"], report.cost().as_usd());
    assert_eq!((&summary["reference_cost"], &summary["items"]), (&20.0.into(), &2_000.into()));
    assert_eq!(summary["saving"], report.saving());
    assert_eq!(summary["models"][1]["name"], "small");
    assert_eq!(summary["unit"], "USD, or the unit of the prices");
    assert_eq!(serde_json::from_value::<Report>(json.clone()).unwrap(), report);
    // It is worked out, and not believed; and nothing that is unknown is let in beside it.
    let mut other = json.clone();
    other["summary"]["cost"] = 1e6.into();
    assert_eq!(serde_json::from_value::<Report>(other).unwrap(), report);
    let mut strange = json;
    strange["sumary"] = 1.into();
    assert!(serde_json::from_value::<Report>(strange).is_err());
}

#[test]
fn names_are_set_by_their_characters() {
    let model = |name: &str, usd| {
        let answer = from_fn(|_: &u64| async { Ok(Completion::new(1)) });
        Model::new(name, answer).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(model("großes Modell", 0.01), [model("小", 0.0005)]).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items = Generated::new(300, |index| index);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report.to_string();
    let table = report.lines().skip_while(|line| !line.starts_with("model ")).take(3);
    let widths: Vec<usize> = table.map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{report}");
    assert!(report.contains("\nmodel            answers"), "{report}");
}

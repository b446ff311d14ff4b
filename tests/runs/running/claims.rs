//! A report or a forecast claims no more than is known: on other items, after a stop, within too little
//! money, and for a worker that knows its own part only.

use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::evidence::ModelSet;
use smart_core::plan::Verdict;
use smart_core::{
    Audit, BackendError, Cost, Equivalence, Event, Model, ModelId, Plan, Pricing, ProfileSettings,
    Report, Roster, RunError, SettingsError, Smart, Stop, StopReason, Target, Usage,
    Verdict as EqualOrNot, async_trait,
};

use crate::items::counted;

fn usd(amount: f64) -> Cost {
    Cost::from_usd(amount).unwrap()
}

fn target(agreement: f64) -> Target {
    Target::new(agreement, 0.95).unwrap()
}

/// A reference at $0.01 an answer and a candidate that agrees with it on this share, at $0.0005.
fn smart(agreement: f64, target: Target) -> Smart<u64, u32> {
    let large = Model::new("large", Simulated::reference(7));
    let small = Model::new("small", Simulated::candidate("small", agreement, 7));
    let roster = Roster::new(
        large.with_pricing(Pricing::per_request(0.01).unwrap()),
        [small.with_pricing(Pricing::per_request(0.0005).unwrap())],
    );
    Smart::new(roster.unwrap(), Exact, target).with_seed(1)
}

fn says(report: &str, line: &str) {
    assert!(report.lines().any(|own| own == line), "no line `{line}` in\n{report}");
}

/// Yesterday's plan, for 2,000 items.
fn plan() -> Plan {
    let items = counted(2_000);
    block_on(smart(0.97, target(0.9)).profile(&items)).unwrap().profile.plan().unwrap()
}

/// The report of a plan that answered the first of these items under audit.
fn applied(plan: &Plan, share: f64, items: Option<u64>, answered: u64) -> Report {
    let run = smart(0.97, target(0.9)).with_audit(Audit::new(share).unwrap()).with_seed(2);
    let executor = run.apply(plan, items).unwrap();
    let stream = futures::stream::iter(0..answered);
    block_on(futures::StreamExt::count(executor.execute(stream)));
    executor.finish().unwrap()
}

#[test]
fn a_plan_on_other_items_rests_on_the_audits() {
    let plan = plan();
    assert!(plan.certificate.is_some());
    let report = applied(&plan, 0.05, Some(4_000), 4_000);
    let limit = report.audit.unwrap().limit.unwrap();
    let said = report.to_string();
    says(&said, "Promised   at least 90 % agreement with 95 % confidence over 4000 items");
    let then = format!("after more than {limit} catches the reference answers the rest");
    says(&said, &format!("Rests on   audits of 5 % of the candidates' answers; {then}"));
    assert!(!said.contains("Certified") && report.plan.certificate.is_none(), "{said}");
    // Too few items for any number of catches, and a stream of which nobody knows the length.
    let few = applied(&plan, 0.05, Some(20), 20);
    let forecast = few.plan.forecast;
    assert_eq!((forecast.cost, forecast.high), (few.cost(), few.cost()), "{few}");
    let few = few.to_string();
    let none = "so few items allow no candidate's answer, and the reference answers all";
    says(&few, &format!("Rests on   audits of 5 % of the candidates' answers; {none}"));
    let stream = applied(&plan, 0.05, None, 400).to_string();
    let open = "the reference answers wherever a candidate's answer could break the promise";
    says(&stream, &format!("Rests on   audits of 5 % of the candidates' answers; {open}"));
}

#[test]
fn a_forecast_for_other_items_pays_the_audits_and_no_profiling() {
    let plan = plan();
    let each = plan.per_item.expect("its profile knows the bills");
    // The candidate answers every item: its price, and per audit the reference's.
    assert_eq!((each.policy, each.audit), (usd(0.0005), usd(0.01)));
    for share in [0.02, 0.4] {
        let report = applied(&plan, share, Some(4_000), 4_000);
        let forecast = report.plan.forecast;
        let expected = 4_000.0 * (0.0005 + share * 0.01);
        assert!((forecast.cost.as_usd() - expected).abs() < 1e-6, "{forecast}");
        assert_eq!(forecast.reference_cost, usd(40.0));
        let spent = report.cost().as_usd();
        assert!(!report.audit.unwrap().switched, "{report}");
        assert!((spent / expected - 1.0).abs() < 0.15, "{spent} where {forecast}");
    }
    // At other prices it is known only if the evidence is there to tell.
    let mut old = plan;
    old.per_item = None;
    assert!(!applied(&old, 0.02, Some(4_000), 0).plan.forecast.is_known());
}

#[test]
fn a_plan_without_a_certificate_is_followed_under_audit_only() {
    let run = smart(0.97, target(0.9));
    let audited = smart(0.97, target(0.9)).with_audit(Audit::new(0.1).unwrap());
    let applied = audited.apply(&plan(), Some(500)).unwrap().plan().clone();
    let answers = std::collections::BTreeMap::new;
    let refused = run.executor(applied.clone(), answers()).unwrap_err();
    assert!(matches!(refused, RunError::Settings(SettingsError::Unaudited)), "{refused}");
    assert!(audited.executor(applied, answers()).is_ok());
}

/// A reference and two candidates at a tenth and a fiftieth of its price.
fn two_candidates() -> Smart<u64, u32> {
    let model = |name: &str, agreement, price| {
        let backend = Simulated::candidate(name, agreement, 7);
        Model::new(name, backend).with_pricing(Pricing::per_request(price).unwrap())
    };
    let candidates = [model("medium", 0.97, 0.001), model("small", 0.9, 0.0002)];
    let roster = Roster::new(model("large", 1.0, 0.01), candidates).unwrap();
    Smart::new(roster, Exact, target(0.95)).with_concurrency(1)
}

/// Their run, stopped after the given number of profiled items or never, within a cap or without.
fn two(stop_after: Option<u64>, cap: Option<f64>) -> Report {
    let stop = Stop::new();
    let run = two_candidates().with_stop(stop.clone());
    let run = match cap {
        Some(cap) => run.with_budget(usd(cap)),
        None => run,
    };
    let run = run.with_observer(move |event: &Event<'_>| match event {
        Event::Profiled { profiled, .. } if Some(*profiled) == stop_after => stop.stop(),
        _ => {}
    });
    block_on(run.run(&counted(3_000))).unwrap().report
}

#[test]
fn a_stopped_run_is_undecided_and_so_is_a_candidate_that_was_still_asked() {
    let report = two(Some(8), None);
    let (said, page) = (report.to_string(), report.to_html());
    assert_eq!((report.profiled, report.stopped), (8, StopReason::Caller), "{said}");
    let why = "profiling was stopped before a policy could be certified";
    assert_eq!(report.plan.verdict, Verdict::Undecided(why.to_owned()));
    says(&said, &format!("Verdict    undecided: {why}; run again over the same journal to go on"));
    says(&said, "Planned    without a forecast: profiling was stopped");
    for name in ["medium", "small"] {
        says(&said, &format!("   {name}: undecided after 8 items: profiling was stopped"));
    }
    assert!(!said.contains("pay"), "{said}");
    assert!(page.contains("Undecided whether anything is cheaper than large alone"));
    assert!(
        page.contains(&format!("Why it is undecided: {why}")) && page.contains("planned: unknown")
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    // Under test, the chain is undecided, not failed.
    let later = two(Some(90), None);
    let tested = later.plan.considered.iter().find(|chain| chain.tested > 0);
    let outcome = &tested.unwrap_or_else(|| panic!("{later}")).outcome;
    assert!(outcome.starts_with("undecided, expected at "), "{outcome}");
    assert!(outcome.ends_with(": profiling was stopped"), "{outcome}");
    // What ends by itself is decided.
    let whole = two(None, None);
    assert!(!whole.to_string().contains("undecided"), "{whole}");
}

#[test]
fn too_little_money_is_named_and_not_taken_for_a_candidate_that_does_not_pay() {
    let report = two(None, Some(0.3));
    let said = report.to_string();
    assert_eq!(report.stopped, StopReason::Budget, "{said}");
    let why = "the budget is too small for any test that could certify a policy";
    says(&said, &format!("Verdict    undecided: {why}"));
    assert!(said.contains(": the budget ended profiling\n"), "{said}");
    for cap in [0.01, 0.05, 0.6, 1.0, 2.0, 4.0] {
        let report = two(None, Some(cap));
        let named = match &report.plan.verdict {
            Verdict::Pays => true,
            Verdict::DoesNotPay(why) | Verdict::Undecided(why) => why.contains("budget"),
            other => panic!("{other:?}"),
        };
        assert!(named, "{cap}: {report}");
    }
}

#[test]
fn a_forecast_within_too_little_money_says_how_many_items_it_answers() {
    let settings = ProfileSettings::default().with_prior("medium", 0.97).with_prior("small", 0.9);
    let usage = Usage::default();
    for cap in [0.2, 0.5, 1.0, 2.0, 3.0] {
        let run = two_candidates().with_settings(settings.clone()).with_budget(usd(cap));
        let forecast = run.forecast(3_000, usage).unwrap();
        let reach = forecast.reach.unwrap_or_else(|| panic!("{cap}: {forecast}"));
        assert_eq!((forecast.cost, forecast.high, reach.of), (usd(cap), usd(cap), 3_000));
        let words = format!("which answers about {} of 3000 items; the reference", reach.answered);
        assert!(forecast.to_string().contains(&words), "{forecast}");
        let report = two(None, Some(cap));
        let share = reach.answered as f64 / report.delivered.answered() as f64;
        assert!((0.5..2.0).contains(&share), "{cap}: {forecast}\n{report}");
        // The plan's own forecast counts as the report does, and neither calls it a saving.
        let planned = report.plan.forecast;
        let reach = planned.reach.unwrap_or_else(|| panic!("{cap}: {report}")).answered as f64;
        let share = reach / report.delivered.answered() as f64;
        assert!((0.8..1.25).contains(&share), "{cap}: {report}");
        assert!((planned.saving() / report.saving() - 1.0).abs() < 0.25, "{cap}: {report}");
    }
    // Where the money is enough nothing is said of it.
    let enough = two_candidates().with_settings(settings).with_budget(usd(40.0));
    let forecast = enough.forecast(3_000, usage).unwrap();
    assert!(forecast.reach.is_none() && !forecast.to_string().contains("answers about"));
}

#[test]
fn a_forecast_is_refused_as_a_run_is() {
    let usage = Usage::default();
    let error = |settings: ProfileSettings, items| {
        let run = two_candidates().with_settings(settings);
        let refused = run.forecast(items, usage).unwrap_err().to_string();
        let items = counted(items);
        assert_eq!(block_on(run.run(&items)).unwrap_err().to_string(), refused);
        refused
    };
    let plain = ProfileSettings::default;
    let said = error(plain().with_prior("small", 1.7), 100);
    assert_eq!(said, "the prior guess for `small` must lie in [0, 1], got 1.7");
    let said = error(plain().with_prior("smal", 0.7), 100);
    assert!(said.starts_with("a prior guess names `smal`, which is not a candidate"), "{said}");
    assert_eq!(error(plain(), 0), "there are no items");
    assert!(error(plain(), u64::MAX).contains(" items are too many: the limit is "));
}

#[test]
fn a_workers_report_compares_execution_alone_until_it_is_merged() {
    let run = smart(0.97, target(0.9));
    let items = counted(2_000);
    let profiled = block_on(run.profile(&items)).unwrap();
    let profiling = profiled.report().unwrap();
    let plan = profiled.profile.plan().unwrap();
    let executor = run.executor(plan.clone(), profiled).unwrap();
    block_on(futures::StreamExt::count(executor.execute(futures::stream::iter(0..2_000))));
    let worker = executor.finish().unwrap();
    let said = worker.to_string();
    let asked = plan.asked;
    let words = "in another run; what that cost is not included until merged";
    says(&said, &format!("Profiled   {asked} items {words}"));
    assert!(said.contains(" times cheaper; execution alone, without profiling\n"), "{said}");
    assert!(worker.to_html().contains("in another run; what that cost is not included"));
    assert!(!worker.summary().profiling_included);
    let merged = profiling.merge(&worker).unwrap();
    let (whole, said) = (block_on(run.run(&items)).unwrap().report, merged.to_string());
    assert!(merged.is_profiling_included() && !said.contains("execution alone"), "{said}");
    assert_eq!(said, whole.to_string());
    let other = applied(&plan, 0.05, Some(4_000), 4_000).to_string();
    says(&other, "Profiled   nothing; the plan is that of another run");
}

#[test]
fn a_plan_that_promises_less_than_is_asked_for_is_refused() {
    let plan = plan();
    let answers = std::collections::BTreeMap::new;
    for (agreement, confidence) in [(0.9, 0.99), (0.99, 0.95), (0.99, 0.5)] {
        let asked = Target::new(agreement, confidence).unwrap();
        let run = smart(0.97, asked).with_audit(Audit::new(0.1).unwrap());
        for error in [run.executor(plan.clone(), answers()), run.apply(&plan, Some(500))] {
            let said = error.unwrap_err().to_string();
            let promised = "the plan promises at least 90 % agreement with 95 % confidence";
            let but = format!("{promised}, this run asks for {asked}; profile for that");
            let words = format!("the stored plan does not fit this run: {but}");
            assert!(said.starts_with(&words), "{said}");
        }
    }
    let lax = smart(0.97, Target::new(0.8, 0.95).unwrap());
    let executor = lax.with_seed(99).executor(plan.clone(), answers()).unwrap();
    assert_eq!((executor.plan().target, executor.plan().order), (plan.target, plan.order));
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let stored = serde_json::to_value(plan()).unwrap();
    let run = smart(0.97, target(0.9)).with_audit(Audit::new(0.1).unwrap());
    let refused = |at: &str, to: u64, why: &str| {
        let mut changed = stored.clone();
        *changed.pointer_mut(at).unwrap() = to.into();
        let plan: Plan = serde_json::from_value(changed).unwrap();
        for error in [
            run.executor(plan.clone(), std::collections::BTreeMap::new()),
            run.apply(&plan, Some(500)),
        ] {
            let said = error.unwrap_err().to_string();
            assert!(said.ends_with(&format!("{why}: it was changed after it was made")), "{said}");
        }
    };
    refused("/policy/chain/chain/first", 9, "its policy asks a model that is not in its roster");
    refused("/certificate/failures", 999, "its certificate's test was not passed");
    refused("/certificate/allowance", 900, "its certificate allows more failures than its target");
}

/// Calls that failed at the beginning say nothing of what the reference costs.
#[test]
fn a_reference_that_is_turned_away_at_first_is_not_taken_for_a_cheap_one() {
    let calls = std::sync::atomic::AtomicU64::new(0);
    let large = smart_core::from_fn(move |item: &u64| {
        let early = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3;
        let item = *item;
        async move {
            if early {
                return Err(BackendError::from_status(429, None, "busy"));
            }
            Ok(smart_core::Completion::new(item))
        }
    });
    let small = smart_core::from_fn(|item: &u64| {
        let item = *item;
        async move { Ok(smart_core::Completion::new(item)) }
    });
    let roster = Roster::new(
        Model::new("large", large).with_pricing(Pricing::per_request(0.01).unwrap()),
        [Model::new("small", small).with_pricing(Pricing::per_request(0.003).unwrap())],
    );
    let run = Smart::new(roster.unwrap(), Exact, target(0.9)).with_seed(1);
    let report = block_on(run.run(&counted(2_000))).unwrap().report;
    assert_eq!(report.plan.verdict, Verdict::Pays, "{report}");
    assert_eq!(report.plan.forecast.reference_cost, usd(20.0));
    assert!(report.saving() > 2.0, "{report}");
}

#[test]
fn per_cent_are_told_from_shares() {
    let said = Target::new(95.0, 0.95).unwrap_err().to_string();
    assert_eq!(said, "agreement target must lie in (0, 1), got 95 (0.95 for 95 %)");
    let said = Target::new(0.9, 99.9).unwrap_err().to_string();
    assert_eq!(said, "confidence must lie in (0, 1), got 99.9 (0.999 for 99.9 %)");
    let said = Audit::new(5.0).unwrap_err().to_string();
    assert_eq!(said, "the share of audited items must lie in (0, 1), got 5 (0.05 for 5 %)");
    for other in [f64::NAN, -3.0, 0.0, 100.0] {
        let said = Target::new(other, 0.95).unwrap_err().to_string();
        assert_eq!(said, format!("agreement target must lie in (0, 1), got {other}"));
    }
}

/// A judge that is paid for each comparison.
struct Paid;

#[async_trait]
impl Equivalence<u64, u32> for Paid {
    async fn compare(&self, _: &u64, a: &u32, b: &u32) -> Result<EqualOrNot, BackendError> {
        Ok(EqualOrNot::new(a == b).with_usage(Usage::default()))
    }
    fn pricing(&self) -> Pricing {
        Pricing::per_request(0.001).unwrap()
    }
    fn name(&self) -> std::borrow::Cow<'static, str> {
        "paid".into()
    }
}

/// The report on 3,000 items of models at these prices, judged by a paid judge; the candidate rates its own
/// answers in a second call if asked to.
fn judged(prices: [f64; 2], rates: bool) -> Report {
    let [dear, cheap] = prices.map(|price| Pricing::per_request(price).unwrap());
    let small = Simulated::candidate("small", 0.85, 7);
    let small = small.with_confidence(0.9);
    let small = if rates { small.with_second_call(Usage::default()) } else { small };
    let large = Model::new("large", Simulated::reference(7)).with_pricing(dear);
    let roster = Roster::new(large, [Model::new("small", small).with_pricing(cheap)]).unwrap();
    let run = Smart::new(roster, Paid, target(0.95));
    block_on(run.run(&counted(3_000))).unwrap().report
}

#[test]
fn the_summary_adds_up_with_its_judge() {
    let report = judged([0.01, 0.0002], false);
    let summary = report.summary();
    let judge = summary.judge.as_ref().expect("the judge was paid");
    assert_eq!((judge.name.as_str(), judge.calls), ("paid", report.judging.calls()));
    let all = summary.models.iter().chain([judge]).map(|model| model.cost).sum::<f64>();
    assert!((all - summary.cost).abs() < 1e-9 && judge.cost > 0.05, "{all} {summary:?}");
    let free = block_on(smart(0.97, target(0.9)).run(&counted(500)));
    let json = serde_json::to_value(free.unwrap().report).unwrap();
    assert!(json["summary"]["judge"].is_null());
}

#[test]
fn a_threshold_a_bill_and_the_ratings_are_named() {
    let report = judged([0.01, 0.0002], true);
    let said = report.to_string();
    assert!(said.contains("\nPolicy     small from confidence 0."), "{said}");
    let head = said.lines().find(|line| line.starts_with("model ")).unwrap();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>()[1..4], ["answers", "calls", "ratings"]);
    let small = said.lines().find(|line| line.starts_with("small ")).unwrap();
    let spent = report.spending(ModelId::new(1));
    let columns: Vec<&str> = small.split_whitespace().collect();
    assert_eq!(columns[2..4], [spent.calls().to_string(), spent.ratings.to_string()], "{said}");
    let widths = said.lines().skip_while(|line| !line.starts_with("model ")).take(4);
    let widths: Vec<usize> = widths.map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{said}");
    let share = 100.0 * report.cost().as_usd() / report.reference_cost.as_usd();
    let came_to = format!(" % of the reference's cost; the run came to {share:.1} %");
    assert!(said.contains(&came_to), "{said}");
    // Without ratings there is no column for them.
    assert!(!judged([0.01, 0.0002], false).to_string().contains("ratings"));
}

#[test]
fn what_costs_nothing_has_no_factor() {
    let large = Model::new("large", Simulated::reference(7));
    let small = Model::new("small", Simulated::candidate("small", 0.97, 7));
    let run = Smart::new(Roster::new(large, [small]).unwrap(), Exact, target(0.9));
    let said = block_on(run.run(&counted(300))).unwrap().report.to_string();
    assert!(!said.contains("1.00 times"), "{said}");
    let dear = smart(0.05, target(0.95)).with_concurrency(1);
    let said = block_on(dear.run(&counted(20_000))).unwrap().report;
    assert!(!said.to_string().contains("1.00 times"), "{said}");
}

#[test]
fn which_models_were_asked_can_be_read_in_an_answer() {
    let asked = [0, 3].map(ModelId::new).into_iter().collect::<ModelSet>();
    assert_eq!(format!("{asked:?} {:?}", ModelSet::EMPTY), "{0, 3} {}");
}

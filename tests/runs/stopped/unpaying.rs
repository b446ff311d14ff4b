//! Runs that are not to go on without a plan that pays: they end after profiling, say why, and can be taken
//! up again.
#![cfg(feature = "json")]

use std::collections::BTreeSet;

use super::harness::{CASES, Case, ITEMS, Log, PLAIN, Scratch, Slow, items, price};
use futures::executor::block_on;
use smart_core::equivalence::equivalent;
use smart_core::plan::Verdict;
use smart_core::{
    BackendError, Completion, Cost, ErrorKind, Families, Model, Objective, Outcome, Pricing,
    ProfileSettings, Reason, Report, Roster, Smart, Target, Usage, from_fn,
};

/// Under this relation no two answers are the same.
fn mistaken(log: &Log) -> Smart<u64, u64> {
    let never = equivalent(|_: &u64, _: &u64, _: &u64| false).named("never");
    let (large, small) = (Slow::new("large", u64::MAX, log), Slow::new("small", 40, log));
    let roster = Roster::new(
        Model::new("large", large).with_pricing(price(1.0)),
        [Model::new("small", small).with_pricing(price(0.02))],
    );
    Smart::new(roster.unwrap(), never, Target::new(0.9, 0.9).unwrap())
        .with_seed(4)
        .with_item_key(|item: &u64| *item)
}

fn check(outcome: &Outcome<u64>) {
    let report = &outcome.report;
    let answered = report.delivered.answered();
    assert!(report.found_nothing && report.cut_short && answered < ITEMS / 2, "{report}");
    assert_eq!(outcome.answers.len() as u64, ITEMS);
    let left = outcome.answers.iter().filter(|answer| answer.reason == Reason::Stopped).count();
    assert_eq!(left as u64, report.delivered.stopped);
    assert!(left as u64 > ITEMS / 2);
    let line = format!("no plan that pays was found; {answered} of {ITEMS} items answered");
    assert!(report.to_string().contains(&line), "{report}");
    assert!(report.to_html().contains("stopped after profiling: no plan that pays"));
}

#[test]
fn it_ends_after_profiling_and_can_be_taken_up_again() {
    for at_once in [1, 16] {
        let (scratch, log, all) = (Scratch::new(), Log::default(), Log::default());
        let calm = block_on(mistaken(&all).with_concurrency(at_once).run(&items())).unwrap();
        assert!(!calm.report.cut_short && calm.report.delivered.answered() == ITEMS);
        assert!(matches!(calm.report.plan.verdict, Verdict::DoesNotPay(_)));
        let again = || mistaken(&log).with_concurrency(at_once);
        let ended = scratch.run(again().with_stop_unless_it_pays().with_reference_check(20));
        check(&ended);
        assert_eq!(ended.report.self_agreement, None);
        assert_eq!(ended.report.plan, calm.report.plan);
        // What was profiled is delivered, and what came too late for that; nothing else was asked.
        let asked = log.items().1;
        assert_eq!(asked.len() as u64, ended.report.delivered.answered());
        assert_eq!(log.count(), scratch.records());
        let Report { profiled, overshoot, .. } = ended.report;
        assert_eq!(asked.len() as u64, profiled + overshoot);
        for answer in ended.answers.iter().filter(|answer| answer.is_answered()) {
            assert_eq!(answer.output, calm.answers[usize::try_from(answer.index).unwrap()].output);
        }
        // Again with the option: the same, and no call.
        let read = scratch.run(again().with_stop_unless_it_pays());
        assert_eq!(read.answers, ended.answers);
        assert_eq!(log.count(), scratch.records());
        // Without it, the run goes on.
        let rest = scratch.run(again());
        assert_eq!((&rest.answers, &rest.report.plan), (&calm.answers, &calm.report.plan));
        let calls = log.calls.lock().unwrap();
        assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), calls.len(), "paid twice");
        drop(calls);
        // With the option once more: all that is paid for is delivered.
        let read = scratch.run(again().with_stop_unless_it_pays());
        assert_eq!(read.answers, calm.answers);
        assert!(!read.report.found_nothing && !read.report.cut_short);
    }
}

#[test]
fn a_plan_that_pays_is_followed() {
    for case in CASES {
        let calm = block_on(case.smart(&Log::default()).run(&items())).unwrap();
        let looked = case.smart(&Log::default()).with_stop_unless_it_pays();
        let looked = block_on(looked.run(&items())).unwrap();
        assert_eq!(looked.answers, calm.answers);
        assert_eq!(looked.report, calm.report);
    }
    // The sum that was named pays for the reference: that is what was asked for.
    let within = Objective::BestAgreement { within: Cost::from_usd(1e6).unwrap() };
    let settings = ProfileSettings::default().with_objective(within);
    let smart = PLAIN.smart(&Log::default()).with_settings(settings).with_stop_unless_it_pays();
    let outcome = block_on(smart.run(&items())).unwrap();
    assert_eq!(outcome.report.plan.verdict, Verdict::MoneySuffices);
    assert_eq!(outcome.report.delivered.answered(), ITEMS);
}

#[test]
fn mistakes_of_wiring_cost_little() {
    let backend = |name: &'static str, wrong, log: &Log, pricing: Pricing| {
        Model::new(name, Slow::new(name, wrong, log)).with_pricing(pricing)
    };
    let tokens = Pricing::per_million(10.0, 30.0).unwrap();
    // A reference whose usage is not reported, or whose price was forgotten.
    for pricing in [tokens, Pricing::default()] {
        let log = Log::default();
        let large = backend("large", u64::MAX, &log, pricing);
        let roster = Roster::new(large, [backend("small", 40, &log, price(0.02))]).unwrap();
        let smart = Smart::new(roster, super::harness::Plain, Target::new(0.9, 0.9).unwrap());
        let outcome = block_on(smart.with_stop_unless_it_pays().run(&items())).unwrap();
        check(&outcome);
        assert!(log.count() < ITEMS, "{}", log.count());
    }
    // A reference with a wrong key, cheap candidates with a right one.
    let log = Log::default();
    let denied = from_fn(|_: &u64| async {
        let error = BackendError::new(ErrorKind::Permanent, "401: no such key");
        Err::<Completion<u64>, _>(error.with_usage(Usage::default()))
    });
    let large = Model::new("large", denied).with_pricing(price(1.0));
    let roster = Roster::new(large, [backend("small", 40, &log, price(0.02))]).unwrap();
    let smart = Smart::new(roster, super::harness::Plain, Target::new(0.9, 0.9).unwrap());
    let outcome = block_on(smart.with_stop_unless_it_pays().run(&items())).unwrap();
    check(&outcome);
    assert_eq!(outcome.report.delivered.answered(), 0);
    assert!(outcome.report.to_string().contains("401: no such key"), "{}", outcome.report);
}

#[test]
fn everything_is_handed_over_once_and_in_order() {
    let mut seen = Vec::new();
    let smart = mistaken(&Log::default()).with_answers_in_order(64).with_stop_unless_it_pays();
    let report = block_on(smart.run_each(&items(), |answer| seen.push(answer.index))).unwrap();
    assert!(seen.into_iter().eq(0..ITEMS));
    assert!(report.found_nothing);
    // It is stored with the report, as is that another run found something.
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["found_nothing"], true);
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    let calm = block_on(mistaken(&Log::default()).run(&items())).unwrap().report;
    assert_eq!(serde_json::to_value(&calm).unwrap()["found_nothing"], false);
    assert!(report.clone().merge(&report).unwrap().found_nothing);
}

#[test]
fn a_stop_by_the_caller_is_told_as_such() {
    let case = Case { families: Families::Single, ..PLAIN };
    let log = Log::stopping_at(20);
    let smart = case.smart(&log).with_stop_unless_it_pays();
    let report = block_on(smart.run(&items())).unwrap().report;
    assert!(report.cut_short && !report.found_nothing);
    assert!(report.to_string().contains("Stopped    by the caller"), "{report}");
}

//! The cap: never passed while the bounds hold, whatever finishes first.
#![cfg(all(feature = "json", feature = "conformance", feature = "tokio"))]

use std::time::Duration;

use futures::StreamExt;
use smart_core::backend::{Latency, RetryPolicy, Simulated, Wrap};
use smart_core::conformance::{Fault, FaultPlan, Faulty};
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::sleep::TokioSleeper;
use smart_core::{
    Budget, Completion, Cost, ErrorKind, Families, Handed, Model, ModelId, Outcome, Part, Pricing,
    ProfileSettings, Reason, Roster, RunError, Smart, StopReason, Target, Usage, from_fn,
};

use crate::items::counted;

const ITEMS: u64 = 600;
const LARGE: Cost = Cost::from_nanos(10_000_000);
const SMALL: Cost = Cost::from_nanos(500_000);

/// Models whose calls take a time drawn from `clock`, half of them failing in passing and billed.
fn smart(clock: u64, concurrency: usize) -> Smart<u64, u32> {
    let model = |name: &str, conformity: f64, price: Cost| {
        // Latency is keyed by the name: another clock is another name inside, the same answers out.
        let timed = Simulated::candidate(name, conformity, 9)
            .with_usage(Usage::billed(price))
            .with_latency(Latency::Constant(Duration::from_millis(5)))
            .with_sleeper(TokioSleeper::new());
        let faults = FaultPlan::new(clock)
            .with_random(0.3, Fault::Slow(Duration::from_millis(40)))
            .with_random(0.3, Fault::Slow(Duration::from_millis(7)));
        let backend = Faulty::new(timed, faults).with_sleeper(TokioSleeper::new());
        Model::new(name, backend).with_pricing(Pricing::per_million(1.0, 1.0).unwrap())
    };
    let roster = Roster::new(model("large", 1.0, LARGE), [model("small", 0.96, SMALL)]).unwrap();
    Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_concurrency(concurrency)
        .with_settings(ProfileSettings::default().with_families(Families::Auto))
}

fn bounded(cap: u64) -> Budget {
    Budget::new(Cost::from_nanos(cap))
        .with_call_bound("large", LARGE)
        .with_call_bound("small", SMALL)
}

fn items() -> Vec<u64> {
    (0..ITEMS).collect()
}

fn unanswered(outcome: &Outcome<u32>) -> u64 {
    let none: Vec<_> = outcome.answers.iter().filter(|answer| !answer.is_answered()).collect();
    assert!(none.iter().all(|answer| answer.reason == Reason::Unaffordable));
    none.len() as u64
}

#[tokio::test(start_paused = true)]
async fn the_cap_holds_and_decisions_do_not_follow_the_clock() {
    let full = smart(0, 16).run(&items()).await.unwrap();
    let total = full.report.cost().as_nanos();
    for share in [0, 1, 5, 20, 50, 80, 99, 101] {
        let cap = total * share / 100;
        let mut plans = Vec::new();
        for (clock, concurrency) in [(1, 16), (2, 16), (3, 1), (4, 64)] {
            let run = smart(clock, concurrency).with_budget(bounded(cap));
            let outcome = run.run(&items()).await.unwrap();
            let cost = outcome.report.cost();
            assert!(cost.as_nanos() <= cap, "{cost} of {cap} at {clock}");
            let left = unanswered(&outcome);
            assert_eq!(left, outcome.report.delivered.unaffordable);
            // Planned within it, half of what a run without a cap spends may be enough.
            assert!(left == 0 || share < 100, "{left} at {share} %");
            assert!(left > 0 || share > 5, "{left} at {share} %");
            assert_eq!(outcome.report.budget.unwrap().over_bound, 0);
            // Nearly all of the money is used: what is left would not bear one more item.
            if left > 0 {
                let worst = LARGE.as_nanos() + 2 * SMALL.as_nanos();
                assert!(cap - cost.as_nanos() < worst, "{} left", cap - cost.as_nanos());
            }
            if outcome.report.stopped == StopReason::Budget {
                assert!(share < 100);
            }
            // Where the reference alone goes on, the small model was asked in vain about what was under
            // way when profiling ended: with that money and what is left so many more were answered.
            let plan = outcome.report.plan.clone();
            let in_vain = if plan.certificate.is_none() { outcome.report.overshoot } else { 0 };
            let unused = (cap - cost.as_nanos()) * u64::from(in_vain > 0);
            let lost = (unused + in_vain * SMALL.as_nanos()) / LARGE.as_nanos();
            plans.push((plan, left, lost));
        }
        assert!(plans.windows(2).all(|pair| pair[0].0 == pair[1].0), "at {share} %");
        let fewest = plans.iter().map(|(_, left, _)| *left).min().unwrap();
        assert!(plans.iter().all(|(_, left, lost)| *left <= fewest + lost), "at {share} %");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_keeps_what_was_spent_and_a_larger_budget_goes_on() {
    let path = std::env::temp_dir().join(format!("budget-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let cap = LARGE.as_nanos() * 15;
    let run = |clock, cap| {
        let path = path.clone();
        async move {
            let journal = FileJournal::open(path).unwrap();
            let run = smart(clock, 16).with_budget(bounded(cap)).with_journal(journal);
            run.run(&items()).await.unwrap()
        }
    };
    let first = run(1, cap).await;
    let again = run(2, cap).await;
    assert_eq!(first.answers, again.answers);
    assert!(unanswered(&first) > 500);
    assert_eq!(first.report.cost(), again.report.cost());
    let spent = again.report.plan.roster.ids().map(|id| again.report.spending(id));
    assert!(spent.into_iter().all(|spent| spent.recalled == spent.calls()), "nothing new is asked");
    // The profiler goes on planning within the cap it began with: the decisions are the same.
    let more = run(3, cap * 41).await;
    assert_eq!(unanswered(&more), 0);
    assert_eq!(more.report.plan, first.report.plan);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn learnt_bounds_keep_the_cap_where_costs_are_alike() {
    for cap in [5_000_000, 40_000_000, 1_500_000_000] {
        let run = smart(1, 16).with_budget(Cost::from_nanos(cap));
        let outcome = run.run(&items()).await.unwrap();
        // The first item goes alone, without a bound: it may pass a cap smaller than itself.
        let first = LARGE + SMALL;
        assert!(outcome.report.cost() <= Cost::from_nanos(cap).max(first));
        assert_eq!(unanswered(&outcome) > 0, cap < 1_500_000_000);
    }
}

#[tokio::test(start_paused = true)]
async fn bounds_that_are_wrong_are_told_and_names_are_checked() {
    let wrong = Budget::new(Cost::from_nanos(900_000_000))
        .with_call_bound("large", SMALL)
        .with_call_bound("small", SMALL);
    let outcome = smart(1, 16).with_budget(wrong).run(&items()).await.unwrap();
    assert!(outcome.report.budget.unwrap().over_bound > 0);
    assert!(outcome.report.to_string().contains("cost more than the bound given"));
    let stranger = Budget::new(LARGE).with_call_bound("medium", SMALL);
    let error = smart(1, 16).with_budget(stranger).run(&items()).await.unwrap_err();
    assert!(matches!(error, RunError::Settings(_)));
    assert!(error.to_string().contains("`medium`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_paid_from_the_budget() {
    let usage = Usage::billed(SMALL);
    let faults = FaultPlan::new(3)
        .with_random(0.3, Fault::Error(ErrorKind::Transient))
        .with_failed_usage(usage);
    let retry = RetryPolicy::default().with_max_attempts(3);
    let backend = Faulty::new(Simulated::reference(1).with_usage(usage), faults)
        .with_retry(retry)
        .with_sleeper(TokioSleeper::new());
    let roster = Roster::new(
        Model::new("large", backend).with_pricing(Pricing::per_request(1.0).unwrap()),
        [],
    );
    let cap = SMALL.times(500);
    let budget = Budget::new(cap).with_call_bound("large", SMALL.times(3));
    let smart = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.9).unwrap());
    let outcome = smart.with_budget(budget).run(&items()).await.unwrap();
    let cost = outcome.report.cost();
    assert!(cost <= cap && cost.as_nanos() > cap.as_nanos() - SMALL.as_nanos() * 3);
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_say_what_they_cost_take_their_bound() {
    let path = std::env::temp_dir().join(format!("budget-silent-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let nonsense = Usage::tokens(u64::MAX, u64::MAX);
    let run = |usage: Option<Usage>| {
        let silent = from_fn(move |item: &u64| {
            let mut answer = Completion::new(*item);
            answer.usage = usage;
            async move { Ok(answer) }
        });
        let large = Model::new("large", silent);
        let large = large.with_pricing(Pricing::per_million(1.0, 1.0).unwrap());
        let budget = Budget::new(LARGE.times(50)).with_call_bound("large", LARGE);
        let target = Target::new(0.9, 0.9).unwrap();
        let smart = Smart::new(Roster::new(large, []).unwrap(), Exact, target);
        smart.with_budget(budget).with_journal(FileJournal::open(&path).unwrap())
    };
    for usage in [None, Some(nonsense)] {
        for again in [false, true] {
            let outcome = run(usage).run(&items()).await.unwrap();
            let large = outcome.report.spending(ModelId::REFERENCE);
            assert_eq!((large.answers, large.unmetered, large.cost), (50, 50, Cost::ZERO));
            assert_eq!(large.recalled, if again { 50 } else { 0 }, "resumed, nothing new is asked");
            assert_eq!(outcome.report.delivered.unaffordable, ITEMS - 50);
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// Profiling and execution apart: nothing can be saved, so the reference answers until the money ends.
#[tokio::test]
async fn halves_of_a_run_have_one_purse() {
    let usd = |amount| Cost::from_usd(amount).unwrap();
    let smart = |cap: Cost, journal: Option<&std::path::Path>| {
        let paid = Usage::default();
        let large = from_fn(move |_: &u64| async move { Ok(Completion::new(0).with_usage(paid)) });
        let small = from_fn(move |item: &u64| {
            let output = u64::from(item.is_multiple_of(5));
            async move { Ok(Completion::new(output).with_usage(paid)) }
        });
        let price = |cost: Cost| Pricing::per_request(cost.as_usd()).unwrap();
        let roster = Roster::new(
            Model::new("large", large).with_pricing(price(LARGE)),
            [Model::new("small", small).with_pricing(price(SMALL))],
        );
        let budget = bounded(cap.as_nanos());
        let smart = Smart::new(roster.unwrap(), Exact, Target::new(0.85, 0.95).unwrap());
        let smart = smart.with_seed(3).with_budget(budget);
        match journal {
            Some(path) => smart.with_journal(FileJournal::open(path).unwrap()),
            None => smart,
        }
    };
    let (items, cap) = (counted(2_000), usd(8.0));
    let path = std::env::temp_dir().join(format!("budget-halves-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    // With a journal, the second time both halves are resumed and nothing is left to spend.
    for journal in [None, Some(&*path), Some(&*path)] {
        let smart = smart(cap, journal);
        let profiled = smart.profile(&items).await.unwrap();
        let (first, plan) = (profiled.report().unwrap(), profiled.profile.plan().unwrap());
        assert!(first.cost() > usd(0.2), "{first}");
        let executor = smart.executor(plan, profiled).unwrap();
        executor.execute(futures::stream::iter(0..2_000_u64)).count().await;
        let second = executor.finish().unwrap();
        assert_eq!(second.budget.unwrap().cap, cap);
        let words = "of $8.00 spent; what the run that profiled spent counts too";
        assert!(second.to_string().contains(words), "{second}");
        for whole in [first.clone().merge(&second), second.clone().merge(&first)] {
            let whole = whole.unwrap();
            assert_eq!(whole.budget.unwrap().cap, cap, "one cap");
            assert!(whole.cost() <= cap && whole.cost() + LARGE > cap, "{whole}");
            assert!(!whole.to_string().contains("counts too"), "{whole}");
        }
    }
    std::fs::remove_file(&path).unwrap();

    // Workers share the cap by parts, and what profiling spent with it: even if that leaves little.
    let profiled = smart(cap, None).profile(&items).await.unwrap();
    let (plan, first) = (profiled.profile.plan().unwrap(), profiled.report().unwrap());
    for (cap, workers) in [(cap, 4), (first.cost() + LARGE.times(12), 10)] {
        let mut whole = first.clone();
        for worker in 0..workers {
            let part = Part::even(worker, workers).unwrap();
            let smart = smart(Cost::from_nanos(part.share(cap.as_nanos())), None);
            let each = 2_000 / workers;
            let ours = each * worker..each * (worker + 1);
            let mine = Handed::from(profiled.clone());
            let mine = mine.only_part(part, |index| ours.contains(&index));
            let executor = smart.executor(plan.clone(), mine).unwrap();
            let items = futures::stream::iter(ours.map(|index| (index, index)));
            executor.execute_indexed(items).count().await;
            whole = whole.merge(&executor.finish().unwrap()).unwrap();
        }
        let room = LARGE.times(workers + 1);
        assert!(whole.is_whole() && whole.cost() <= cap && whole.cost() + room > cap, "{whole}");
        assert!(whole.budget.unwrap().cap == usd(8.0) || workers == 10, "one cap");
    }
}

#[test]
fn a_cap_that_was_raised_says_which_one_was_planned_within() {
    let path = std::env::temp_dir().join(format!("smart-core-raised-{}.jsonl", std::process::id()));
    let price = |usd| Pricing::per_request(usd).unwrap();
    let report = |cap: f64| {
        let roster = Roster::new(
            Model::new("large", Simulated::reference(7)).with_pricing(price(0.01)),
            [Model::new("small", Simulated::candidate("small", 0.97, 7))
                .with_pricing(price(0.0005))],
        )
        .unwrap();
        let target = Target::new(0.9, 0.95).unwrap();
        let run = Smart::new(roster, Exact, target)
            .with_budget(Cost::from_usd(cap).unwrap())
            .with_journal(FileJournal::open(&path).unwrap());
        let items = counted(2_000);
        futures::executor::block_on(run.run(&items)).unwrap().report
    };
    let (first, second) = (report(0.1), report(0.4));
    std::fs::remove_file(&path).unwrap();
    assert!(!first.to_string().contains("planned within"), "{first}");
    let planned = Cost::from_usd(0.1).unwrap();
    assert_eq!(second.budget.unwrap().planned, Some(planned));
    let line = "; profiling was planned within $0.1000, the cap that the journal was begun with";
    assert!(second.to_string().contains(line), "{second}");
}

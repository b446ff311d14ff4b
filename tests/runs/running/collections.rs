//! An executor over borrowed items is the second half of a run: the same answers, calls and bill, whole or
//! in parts.
#![cfg(feature = "json")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::executor::block_on;
use smart_core::equivalence::Exact;
use smart_core::{
    Audit, Budget, Completion, Cost, Event, Families, Generated, Handed, Items, Model, Outcome,
    Plan, Pricing, ProfileSettings, Profiled, Reason, Report, Roster, RunError, Smart, Stop,
    Target, Usage, from_fn,
};

const ITEMS: usize = 900;

/// No copy can be made of it.
struct Row {
    number: u64,
}

fn rows(from: usize, items: usize) -> Arc<[Row]> {
    (from..from + items).map(|number| Row { number: number as u64 }).collect()
}

type Calls = Arc<Mutex<Vec<(&'static str, u64)>>>;

/// Models that give way, the large one longer, so that items are under way when profiling ends. The small
/// one is wrong about one row in `wrong`.
fn smart(calls: &Calls, wrong: u64) -> Smart<Row, u64> {
    let model = |name: &'static str, slow: bool, usd: f64| {
        let calls = Arc::clone(calls);
        let backend = from_fn(move |row: &Row| {
            let number = row.number;
            calls.lock().unwrap().push((name, number));
            let mut waits = if slow { number % 17 } else { 0 };
            let off =
                !slow && (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).is_multiple_of(wrong);
            async move {
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    let ready = waits == 0;
                    waits = waits.saturating_sub(1);
                    if ready { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                Ok(Completion::new(number + u64::from(off)).with_usage(Usage::default()))
            }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(model("large", true, 0.01), [model("small", false, 0.0001)]).unwrap();
    Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_settings(ProfileSettings::default().with_families(Families::Single))
        .with_concurrency(64)
        .with_item_key(|row: &Row| row.number)
}

fn steady(calls: &Calls) -> Smart<Row, u64> {
    smart(calls, 50)
}

fn profiled(smart: &Smart<Row, u64>) -> (Plan, Profiled<u64>) {
    let profiled = block_on(smart.profile(&rows(0, ITEMS))).unwrap();
    (profiled.profile.plan().unwrap(), profiled)
}

/// Every call once.
fn check_once(calls: &Calls) -> BTreeSet<(&'static str, u64)> {
    let calls = calls.lock().unwrap();
    let distinct: BTreeSet<_> = calls.iter().copied().collect();
    assert_eq!(distinct.len(), calls.len(), "a call was made twice");
    distinct
}

#[test]
fn the_halves_are_the_whole() {
    let (whole, halves) = (Calls::default(), Calls::default());
    let items = rows(0, ITEMS);
    let once = block_on(steady(&whole).run(&items)).unwrap();
    let smart = steady(&halves);
    let (plan, profiled) = profiled(&smart);
    assert!(profiled.profile.late.len() > 3 && plan.certificate.is_some(), "{plan:?}");
    let before = profiled.report().unwrap();
    let Outcome { answers, report, .. } =
        block_on(smart.executor(plan, profiled).unwrap().run(&items)).unwrap();
    assert_eq!(answers, once.answers);
    assert_eq!(check_once(&halves), check_once(&whole));
    let report = before.merge(&report).unwrap();
    assert!(report.is_whole());
    assert_eq!(report.cost(), once.report.cost());
    assert_eq!(report.delivered, once.report.delivered);
}

#[test]
fn answers_can_be_handed_over_in_order() {
    let calls = Calls::default();
    let smart = steady(&calls).with_answers_in_order(100);
    let (plan, profiled) = profiled(&smart);
    let mut seen = Vec::new();
    let executor = smart.executor(plan, profiled).unwrap();
    let report = block_on(executor.run_each(&&*rows(0, ITEMS), |answer| seen.push(answer.index)));
    assert!(seen.iter().copied().eq(0..ITEMS as u64));
    assert_eq!(report.unwrap().delivered.answered(), ITEMS as u64);
    check_once(&calls);
}

#[test]
fn parts_are_the_whole_whoever_answers_them() {
    let calls = Calls::default();
    let smart = steady(&calls);
    let once = block_on(steady(&Calls::default()).run(&rows(0, ITEMS))).unwrap();
    let (plan, profiled) = profiled(&smart);
    let mut report = profiled.report().unwrap();
    let mut answers = Vec::new();
    // The first worker answers two parts; no worker can fetch the items of another.
    for parts in [[0..100, 700..900], [100..100, 100..600], [600..650, 650..700]] {
        let ours = |index: u64| parts.iter().any(|part| part.contains(&index));
        let mine = Handed::from(profiled.clone()).only(ours);
        let executor = smart.executor(plan.clone(), mine).unwrap();
        let fetched = |index| {
            assert!(ours(index), "item {index} is another worker's");
            Row { number: index }
        };
        let items = Generated::new(ITEMS as u64, fetched);
        for part in parts.clone() {
            let each = |answer| {
                answers.push(answer);
                Ok::<_, std::io::Error>(())
            };
            block_on(executor.run_part(&items, part, each)).unwrap();
        }
        report = report.merge(&executor.finish().unwrap()).unwrap();
    }
    answers.sort_by_key(|answer| answer.index);
    assert_eq!(answers, once.answers);
    assert!(report.is_whole() && report.cost() == once.report.cost());
    check_once(&calls);
}

#[test]
fn other_items_are_refused_before_they_cost_anything() {
    let calls = Calls::default();
    let smart = steady(&calls);
    let (plan, profiled) = profiled(&smart);
    let executor = || smart.executor(plan.clone(), profiled.clone()).unwrap();
    let before = calls.lock().unwrap().len();
    for count in [0, ITEMS - 1, ITEMS + 1] {
        let error = block_on(executor().run(&rows(0, count))).unwrap_err();
        let words = format!("it is for 900 items, and the collection holds {count}");
        assert!(error.to_string().contains(&words), "{error}");
    }
    let each = |_| Ok::<_, std::io::Error>(());
    // Beyond the plan, and beyond the collection.
    for (count, part) in [(ITEMS + 1, 880..901_u64), (ITEMS - 1, 0..900)] {
        let error = block_on(executor().run_part(&rows(0, count), part, each)).unwrap_err();
        assert!(matches!(error, RunError::OutsidePopulation { .. }), "{error}");
    }
    assert_eq!(calls.lock().unwrap().len(), before);
    // As many items in another order: noticed at the first profiled one.
    let error = block_on(executor().run(&rows(1, ITEMS))).unwrap_err();
    assert!(error.to_string().contains("is not the item that was profiled"), "{error}");
}

#[test]
fn a_stop_leaves_the_rest_unanswered() {
    let calls = Calls::default();
    let stop = Stop::new();
    let at = stop.clone();
    let smart = steady(&calls).with_stop(stop).with_observer(move |event: &Event<'_>| {
        if let Event::Answered { index: 400, .. } = event {
            at.stop();
        }
    });
    let (plan, profiled) = profiled(&smart);
    let outcome = block_on(smart.executor(plan, profiled).unwrap().run(&rows(0, ITEMS))).unwrap();
    assert!(outcome.report.cut_short);
    let left: Vec<_> = outcome.answers.iter().filter(|a| a.reason == Reason::Stopped).collect();
    assert!(left.len() > 100 && left.len() as u64 == outcome.report.delivered.stopped);
    check_once(&calls);

    // One that comes by itself is polled too.
    let smart = steady(&calls).with_stop(Stop::when(std::future::ready(())));
    let (plan, profiled) = self::profiled(&smart);
    let outcome = block_on(smart.executor(plan, profiled).unwrap().run(&rows(0, ITEMS))).unwrap();
    assert_eq!(outcome.report.delivered.answered(), 0);
}

#[test]
fn an_error_of_the_caller_ends_the_executor() {
    for whole in [true, false] {
        let calls = Calls::default();
        let smart = steady(&calls);
        let (plan, profiled) = profiled(&smart);
        let executor = smart.executor(plan, profiled).unwrap();
        let (items, mut seen) = (rows(0, ITEMS), 0);
        let each = |_| {
            seen += 1;
            if seen == 300 { Err("the disk is full") } else { Ok(()) }
        };
        let error = if whole {
            block_on(executor.try_run_each(&items, each)).unwrap_err()
        } else {
            block_on(executor.run_part(&items, 0..ITEMS as u64, each)).unwrap_err()
        };
        assert!(matches!(&error, RunError::Caller(why) if why.to_string() == "the disk is full"));
        // Asked again it does not seem to have answered everything.
        let again = block_on(executor.run_part(&items, 0..10, |_| Ok::<(), String>(())));
        assert!(matches!(again, Err(RunError::Ended)));
        let report: Report = executor.finish().unwrap();
        assert!(report.cut_short && seen == 300 && calls.lock().unwrap().len() < 800);
        check_once(&calls);
    }
}

/// Where the money ends early, those who are answered are the same as in a run: a random sample.
#[test]
fn with_a_budget_the_order_is_random() {
    let budget = || Budget::new(Cost::from_usd(6.0).unwrap());
    let budget = || {
        let bounds = budget().with_call_bound("large", Cost::from_usd(0.01).unwrap());
        bounds.with_call_bound("small", Cost::from_usd(0.0001).unwrap())
    };
    // A candidate that is of no use: the reference answers while there is money.
    let smart = || smart(&Calls::default(), 2).with_budget(budget()).with_concurrency(1);
    let items = rows(0, ITEMS);
    let once = block_on(smart().run(&items)).unwrap();
    let (plan, profiled) = profiled(&smart());
    let outcome = block_on(smart().executor(plan, profiled).unwrap().run(&items)).unwrap();
    assert!(once.report.delivered.unanswered() > 200, "{}", once.report);
    assert_eq!(outcome.answers, once.answers);
    let of_first = outcome.answers[..450].iter().filter(|answer| answer.is_answered()).count();
    assert!((240..360).contains(&of_first), "not the first ones: {of_first}");
}

#[test]
fn runs_can_be_sent() {
    fn sent<F: Future + Send>(_: F) {}
    let smart = steady(&Calls::default());
    let (plan, profiled) = profiled(&smart);
    let executor = smart.executor(plan, profiled).unwrap();
    let items = rows(0, ITEMS);
    assert_eq!(Items::<Row>::count(&&items), 900);
    sent(executor.run(&items));
    sent(executor.run_part(&items, 0..3, |_| Ok::<_, std::io::Error>(())));
}

/// A stored plan on new items, of a number that is known or not.
#[test]
fn new_items_are_answered_under_audit() {
    let (plan, _) = profiled(&steady(&Calls::default()));
    for known in [Some(500), None] {
        let calls = Calls::default();
        let smart = steady(&calls).with_seed(9).with_audit(Audit::new(0.1).unwrap());
        let executor = smart.apply(&plan, known).unwrap();
        let outcome = block_on(executor.run(&rows(5_000, 500))).unwrap();
        assert!(outcome.answers.iter().map(|answer| answer.index).eq(0..500));
        assert_eq!(outcome.report.delivered.answered(), 500);
        check_once(&calls);
    }
}

//! Runs that the caller stops: what is under way is finished and delivered, nothing else is begun, and a
//! run taken up again over its journal is the run that was never stopped.
#![cfg(feature = "json")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::harness::{CASES, ITEMS, Log, PLAIN, Plain, Scratch, check_stopped, items, price};
use futures::executor::block_on;
use smart_core::progress::{Phase, Progress};
use smart_core::{
    Answer, Audit, Budget, Completion, Cost, Event, Families, Model, Reason, Report, Roster,
    RunError, Smart, Stop, StopReason, Target,
};

#[test]
fn taken_up_again_it_is_the_run_that_was_never_stopped() {
    for case in CASES {
        let whole = Log::default();
        let calm = block_on(case.smart(&whole).run(&items())).unwrap();
        assert!(calm.report.plan.certificate.is_some(), "{}", calm.report);
        assert!(!calm.report.cut_short && !calm.report.to_string().contains("Stopped"));
        let (mut profiling, mut execution) = (0, 0);
        let step = (whole.count() / 30).max(1);
        let early = 1..12_u64;
        let later = (1..).map(|k| k * step + k % 7).take_while(|at| *at <= whole.count());
        for at in early.chain(later) {
            let (scratch, log) = (Scratch::new(), Log::stopping_at(at));
            let stopped = scratch.run(case.smart(&log));
            check_stopped(&stopped, &calm, &log, case);
            assert_eq!(log.count(), scratch.records(), "all that was called is written down");
            let cut = stopped.report.stopped == StopReason::Caller;
            assert!(cut || stopped.report.plan == calm.report.plan, "{case:?} at {at}");
            *(if cut { &mut profiling } else { &mut execution }) += 1;

            // Again under the same stop: nothing is called, and what there was is there.
            let read = scratch.run(case.smart(&log));
            assert_eq!(read.answers, stopped.answers, "{case:?} at {at}");
            assert_eq!(read.report.cost(), stopped.report.cost());
            assert_eq!(log.count(), scratch.records());

            let rest = Log { calls: Arc::clone(&log.calls), ..Log::default() };
            let again = scratch.run(case.smart(&rest));
            assert_eq!(again.answers, calm.answers, "{case:?} at {at}");
            assert_eq!(again.report.plan, calm.report.plan, "{case:?} at {at}");
            assert_eq!(again.report.profiled, calm.report.profiled);
            assert_eq!(again.report.delivered, calm.report.delivered);
            // Nothing is paid twice. How many calls were under way when profiling ended depends on timing.
            let calls = rest.calls.lock().unwrap().clone();
            assert_eq!(calls.len() as u64, scratch.records());
            if !case.judged {
                let distinct: BTreeSet<_> = calls.iter().collect();
                assert_eq!(distinct.len(), calls.len(), "{case:?} at {at}");
            }
            if case.families == Families::Auto || case.at_once == 1 {
                assert_eq!(again.report.cost(), calm.report.cost(), "{case:?} at {at}");
            }
        }
        assert!(profiling > 10 && execution > 5, "{case:?}: {profiling} {execution}");
    }
}

#[test]
fn stopped_every_night_it_is_done_one_morning() {
    for case in CASES {
        let calm = block_on(case.smart(&Log::default()).run(&items())).unwrap();
        let scratch = Scratch::new();
        let (mut nights, mut known) = (0, 0);
        let last = loop {
            let log = Log::stopping_at(90);
            let outcome = scratch.run(case.smart(&log));
            nights += 1;
            let answered = outcome.report.delivered.answered();
            assert!(answered >= known, "night {nights}: {answered} after {known}");
            known = answered;
            if !outcome.report.cut_short {
                break outcome;
            }
        };
        assert!(nights > 4, "{nights}");
        assert_eq!(last.answers, calm.answers);
        assert_eq!(last.report.plan, calm.report.plan);
    }
}

#[test]
fn stopped_before_it_begins_it_makes_no_call() {
    for case in CASES {
        let log = Log::default();
        log.stop.stop();
        let outcome = block_on(case.smart(&log).run(&items())).unwrap();
        assert_eq!((log.count(), outcome.report.profiled), (0, 0));
        assert!(outcome.answers.iter().all(|answer| answer.reason == Reason::Stopped));
        assert_eq!(outcome.report.delivered.stopped, ITEMS);
        let profiled = block_on(case.smart(&log).profile(&items())).unwrap();
        assert!(profiled.answers.is_empty() && profiled.profile.stopped == StopReason::Caller);
        assert_eq!(log.count(), 0);
        // With a full journal there is nothing to begin.
        let scratch = Scratch::new();
        let calm = scratch.run(case.smart(&Log::default()));
        let read = scratch.run(case.smart(&log));
        assert_eq!((&read.answers, &read.report.plan), (&calm.answers, &calm.report.plan));
        assert!(!read.report.cut_short && log.count() == 0);
    }
}

#[test]
fn the_report_says_so_in_words_and_in_json() {
    let log = Log::stopping_at(400);
    let outcome = block_on(PLAIN.smart(&log).run(&items())).unwrap();
    let (report, answered) = (&outcome.report, outcome.report.delivered.answered());
    let words = report.to_string();
    let left = ITEMS - answered;
    let line = format!("Stopped    by the caller; {answered} of {ITEMS} items answered");
    assert!(words.contains(&line), "{words}");
    assert!(words.contains(&format!("Unanswered {left} items: the run was stopped before {left}")));
    assert!(report.to_html().contains("stopped by the caller"), "on the page, too");
    let json = serde_json::to_value(report).unwrap();
    assert_eq!((&json["cut_short"], &json["summary"]["cut_short"]), (&true.into(), &true.into()));
    assert_eq!(json["delivered"]["stopped"], left);
    assert_eq!(json["summary"]["answered"], answered);
    let back: Report = serde_json::from_value(json).unwrap();
    assert_eq!(back, *report);
    let calm = block_on(PLAIN.smart(&Log::default()).run(&items())).unwrap().report;
    let json = serde_json::to_value(&calm).unwrap();
    assert_eq!((&json["cut_short"], &json["delivered"]["stopped"]), (&false.into(), &0.into()));

    // Stopped before anything could be certified, the plan does not blame the candidates.
    let early = block_on(PLAIN.smart(&Log::stopping_at(20)).run(&items())).unwrap().report;
    assert!(early.to_string().contains("the caller ended it"), "{early}");
    assert!(early.to_string().contains("stopped before a policy could be certified"), "{early}");
}

#[test]
fn observers_hear_the_end() {
    let log = Log::stopping_at(500);
    let progress = Progress::new();
    let (told, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (answered, finished) = (Arc::clone(&told), Arc::clone(&over));
    let watch = move |event: &Event<'_>| match event {
        Event::Answered { .. } => drop(answered.fetch_add(1, Ordering::Relaxed)),
        Event::Finished { report } => {
            assert!(report.cut_short);
            finished.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    };
    let smart = PLAIN.smart(&log).with_observer(progress.clone()).with_observer(watch);
    let report = block_on(smart.run(&items())).unwrap().report;
    let now = progress.snapshot();
    let answered = report.delivered.answered();
    assert_eq!((now.phase, now.answered, now.spent), (Phase::Stopped, answered, report.cost()));
    assert!(now.to_string().starts_with(&format!("stopped {answered} of {ITEMS} items")), "{now}");
    assert_eq!(told.load(Ordering::Relaxed), answered, "of items that were left nothing is told");
    assert_eq!(over.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_delivered_stays_in_order() {
    for (case, at) in CASES.iter().flat_map(|case| [(*case, 30), (*case, 300), (*case, 640)]) {
        let calm = block_on(case.smart(&Log::default()).run(&items())).unwrap();
        let log = Log::stopping_at(at);
        let smart = case.smart(&log).with_answers_in_order(20);
        let mut answers: Vec<Answer<u64>> = Vec::new();
        let report = block_on(smart.run_each(&items(), |answer| answers.push(answer))).unwrap();
        assert!(answers.iter().map(|answer| answer.index).eq(0..ITEMS));
        let mut outcome = calm.clone();
        (outcome.answers, outcome.report) = (answers, report);
        check_stopped(&outcome, &calm, &log, case);
    }
}

/// Runs that have little money: what waits for money has not begun.
#[test]
fn with_a_budget_it_is_like_the_end_of_the_money() {
    // Without bounds the first item goes alone, and the others wait for its bills.
    let log = Log::stopping_at(1);
    let smart = PLAIN.smart(&log).with_budget(Cost::from_usd(100.0).unwrap());
    let report = block_on(smart.run(&items())).unwrap().report;
    let (before, after) = log.items();
    assert!(before.len() == 1 && after.is_subset(&before), "{before:?} {after:?}");
    assert_eq!((report.profiled, report.delivered.answered()), (1, 1));
    assert_eq!((report.delivered.stopped, report.delivered.unaffordable), (ITEMS - 1, 0));

    // With bounds who can be paid depends on the items before, so that runs can be compared.
    let usd = |usd| Cost::from_usd(usd).unwrap();
    let budget = |cap| {
        Budget::new(usd(cap))
            .with_call_bound("large", usd(1.0))
            .with_call_bound("medium", usd(0.1))
            .with_call_bound("small", usd(0.02))
    };
    for cap in [60.0, 5_000.0] {
        let calm = block_on(PLAIN.smart(&Log::default()).with_budget(budget(cap)).run(&items()));
        let calm = calm.unwrap();
        for at in [1, 40, 100, 160, 250, 400] {
            let (scratch, log) = (Scratch::new(), Log::stopping_at(at));
            let stopped = scratch.run(PLAIN.smart(&log).with_budget(budget(cap))).report;
            let (before, after) = log.items();
            assert!(after.is_subset(&before) && stopped.cost() <= usd(cap));
            assert_eq!(stopped.delivered.items(), ITEMS);
            let again = scratch.run(PLAIN.smart(&Log::default()).with_budget(budget(cap))).report;
            assert_eq!(again.plan.policy, calm.report.plan.policy, "{cap} at {at}");
            assert_eq!(again.profiled, calm.report.profiled);
            assert!(again.cost() <= usd(cap) && again.delivered.stopped == 0);
            if cap > 1_000.0 {
                assert_eq!(again.delivered, calm.report.delivered);
                assert_eq!(again.cost(), calm.report.cost());
            } else {
                assert!(calm.report.delivered.unaffordable > 0);
            }
        }
    }
}

#[test]
fn under_audit_a_stop_catches_nothing_and_lets_nothing_through() {
    // One at a time: when too much is caught depends on which audits have finished.
    let smart = |log: &Log| CASES[0].smart(log).with_audit(Audit::new(0.2).unwrap());
    let calm = block_on(smart(&Log::default()).run(&items())).unwrap();
    let found = calm.report.audit.unwrap();
    assert!(found.audits > 20);
    let whole = Log::default();
    block_on(smart(&whole).run(&items())).unwrap();
    for at in (50..whole.count()).step_by(83) {
        let (scratch, log) = (Scratch::new(), Log::stopping_at(at));
        let stopped = scratch.run(smart(&log));
        check_stopped(&stopped, &calm, &log, CASES[0]);
        assert!(stopped.report.audit.unwrap().caught <= found.caught);
        let again = scratch.run(smart(&Log::default()));
        assert_eq!((again.answers, again.report.audit), (calm.answers.clone(), Some(found)));
    }
}

#[test]
fn a_reference_check_is_not_begun_after_the_stop() {
    let smart = |log: &Log| PLAIN.smart(log).with_reference_check(20);
    let calm = block_on(smart(&Log::default()).run(&items())).unwrap().report;
    let (scratch, log) = (Scratch::new(), Log::stopping_at(50));
    let stopped = scratch.run(smart(&log)).report;
    assert_eq!(stopped.self_agreement, None);
    let again = scratch.run(smart(&Log::default())).report;
    assert_eq!(again.self_agreement, calm.self_agreement);
    assert_eq!(again.cost(), calm.cost());
}

/// A deadline is one line with a runtime's timer; the clock is paused, so nothing waits.
#[tokio::test(start_paused = true)]
async fn a_deadline_is_a_stop() {
    let model = |name: &str, usd| {
        let backend = smart_core::from_fn(|item: &u64| {
            let item = *item;
            async move {
                tokio::time::sleep(Duration::from_millis(10 + item % 5)).await;
                Ok(Completion::new(item))
            }
        });
        Model::new(name, backend).with_pricing(price(usd))
    };
    let smart = |deadline: Duration| {
        let roster = Roster::new(model("large", 1.0), [model("small", 0.05)]).unwrap();
        Smart::new(roster, Plain, Target::new(0.9, 0.9).unwrap())
            .with_stop(Stop::when(tokio::time::sleep(deadline)))
    };
    for (millis, early) in [(35, true), (300, true), (100_000, false)] {
        let outcome = smart(Duration::from_millis(millis)).run(&items()).await.unwrap();
        let answered = outcome.report.delivered.answered();
        assert!(answered > 0 && outcome.report.cut_short == early, "{millis}: {}", outcome.report);
        assert_eq!(answered < ITEMS, early);
    }
}

/// Runs that are watched for a stop can be spawned like others.
#[test]
fn runs_can_be_sent() {
    fn sent<F: Future + Send>(_: F) {}
    let (smart, items) = (PLAIN.smart(&Log::default()), items());
    sent(smart.run(&items));
    sent(smart.profile(&items));
    sent(smart.try_run_each(&items, |_| Err(Full)));
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct Full;

#[test]
fn an_error_on_an_answer_ends_the_run_gracefully() {
    let calm = block_on(PLAIN.smart(&Log::default()).run(&items())).unwrap();
    for (fail_at, in_order) in [(0, false), (300, false), (300, true), (ITEMS - 1, true)] {
        let (scratch, log) = (Scratch::new(), Log::default());
        let finished = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&finished);
        let mut smart = PLAIN.smart(&log).with_journal(scratch.journal()).with_observer(
            move |event: &Event<'_>| {
                if let Event::Finished { report } = event {
                    *seen.lock().unwrap() = Some((*report).clone());
                }
            },
        );
        if in_order {
            smart = smart.with_answers_in_order(30);
        }
        let mut told = 0;
        let ended = block_on(smart.try_run_each(&items(), |_| {
            told += 1;
            if told == fail_at + 1 { Err(Full) } else { Ok(()) }
        }));
        let Err(RunError::Caller(error)) = ended else { panic!("{ended:?}") };
        assert_eq!(error.to_string(), "the disk is full");
        assert!(error.downcast_ref::<Full>().is_some());
        assert_eq!(told, fail_at + 1, "nothing is handed over after the error");
        drop(smart);
        let made = log.count();
        assert_eq!(made, scratch.records(), "what was under way is written down");
        assert!(!log.stop.is_stopped(), "other runs under the same stop go on");
        let report = finished.lock().unwrap().take().unwrap();
        assert!(report.cut_short && report.cost() <= calm.report.cost());
        let again = scratch.run(PLAIN.smart(&log));
        assert_eq!(again.answers, calm.answers);
        assert_eq!(again.report.cost(), calm.report.cost());
        assert_eq!(log.count(), scratch.records());
    }
    // What does not fail is the run as ever.
    let mut told = 0;
    let log = Log::default();
    let fine = block_on(PLAIN.smart(&log).try_run_each(&items(), |_| {
        told += 1;
        Ok::<(), Full>(())
    }));
    assert_eq!((told, fine.unwrap()), (ITEMS, calm.report));
}

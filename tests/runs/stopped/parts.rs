//! Streams, profiles and stretches that the caller stops: they end with what is under way, and others, or
//! a later run, go on from there.
#![cfg(feature = "json")]

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;

use super::harness::{CASES, Case, ITEMS, Log, PLAIN, Scratch, items};
use futures::executor::block_on;
use futures::{StreamExt, stream};
use smart_core::{Answer, Profile, StopReason};

/// The plan of a run that is not stopped.
fn planned(case: Case) -> smart_core::Plan {
    block_on(case.smart(&Log::default()).profile(&items())).unwrap().profile.plan().unwrap()
}

#[test]
fn a_stream_delivers_what_is_under_way_and_ends() {
    let plan = planned(PLAIN);
    for in_order in [false, true] {
        let log = Log::stopping_at(100);
        let mut smart = PLAIN.smart(&log);
        if in_order {
            smart = smart.with_answers_in_order(12);
        }
        let executor = smart.executor(plan.clone(), BTreeMap::new()).unwrap();
        // A source that never ends by itself.
        let endless = stream::iter(0..ITEMS - 1).chain(stream::pending());
        let answers: Vec<_> = block_on(executor.execute(endless).collect());
        let answers: Vec<Answer<u64>> = answers.into_iter().map(Result::unwrap).collect();
        let (before, after) = log.items();
        assert!(after.is_subset(&before));
        let delivered: BTreeSet<u64> = answers.iter().map(|answer| answer.index).collect();
        assert_eq!(delivered, before, "what was begun is delivered, and nothing else is named");
        assert!(answers.iter().all(Answer::is_answered));
        if in_order {
            assert!(answers.iter().map(|answer| answer.index).eq(0..answers.len() as u64));
        }
        let report = executor.finish().unwrap();
        assert!(report.cut_short && report.delivered.stopped == 0 && !report.is_whole());
        // A later stream of the same executor begins nothing.
        assert_eq!(block_on(executor.execute(stream::iter(0..9_u64)).count()), 0);

        // Another worker answers the others.
        let others = Log::default();
        let second = PLAIN.smart(&others).executor(plan.clone(), BTreeMap::new()).unwrap();
        let rest =
            (0..ITEMS).filter(|index| !delivered.contains(index)).map(|index| (index, index));
        let rest: Vec<_> = rest.collect();
        let (some, rest) = rest.split_at(50);
        let part = |part: &[(u64, u64)]| stream::iter(part.to_vec());
        assert_eq!(block_on(second.execute_indexed(part(some)).count()), 50);
        let merged = report.clone().merge(&second.report()).unwrap();
        assert_eq!(merged, second.report().merge(&report).unwrap());
        let answered = merged.delivered.answered();
        let line = format!("Stopped    by the caller; {answered} of {ITEMS} items answered");
        assert!(merged.to_string().contains(&line), "{merged}");
        block_on(second.execute_indexed(part(rest)).count());
        let whole = report.merge(&second.finish().unwrap()).unwrap();
        assert!(whole.is_whole() && whole.cut_short && !whole.to_string().contains("Stopped"));
    }
}

/// Nothing is under way and the source is silent: only the stop itself can wake the stream.
#[test]
fn a_stream_that_waits_for_items_is_woken_from_another_thread() {
    let log = Log::default();
    let executor = PLAIN.smart(&log).executor(planned(PLAIN), BTreeMap::new()).unwrap();
    let mut answers = executor.execute(stream::iter(0..10_u64).chain(stream::pending()));
    block_on(async {
        for _ in 0..10 {
            assert!(answers.next().await.unwrap().unwrap().is_answered());
        }
        let hand = log.stop.clone();
        let other = std::thread::spawn(move || hand.stop());
        assert!(answers.next().await.is_none());
        other.join().unwrap();
    });
    assert!(executor.report().cut_short);
}

#[test]
fn a_stopped_profile_is_the_profile_so_far() {
    for case in CASES {
        let calm = block_on(case.smart(&Log::default()).profile(&items())).unwrap().profile;
        for at in [1, 17, 40] {
            let (scratch, log) = (Scratch::new(), Log::stopping_at(at));
            let profile = |log: &Log| {
                let smart = case.smart(log).with_journal(scratch.journal());
                block_on(smart.profile(&items())).unwrap()
            };
            let stopped = profile(&log);
            let so_far = &stopped.profile;
            assert_eq!(so_far.stopped, StopReason::Caller);
            assert_eq!(so_far.evidence, calm.evidence[..so_far.evidence.len()], "{case:?} at {at}");
            assert!(so_far.late.is_empty(), "all that was under way is evidence");
            let asked = log.items().0.len();
            assert_eq!((so_far.evidence.len(), stopped.answers.len()), (asked, asked));
            let plan = so_far.plan().unwrap();
            assert_eq!(plan.asked, asked as u64);
            let report = stopped.report().unwrap().to_string();
            assert!(report.contains("the caller ended it"), "{report}");
            // It can be stored, and gone on from.
            let stored: Profile =
                serde_json::from_str(&serde_json::to_string(so_far).unwrap()).unwrap();
            assert_eq!(stored.plan().unwrap(), plan);
            let whole = profile(&Log::default()).profile;
            assert_eq!((&whole.evidence, whole.stopped), (&calm.evidence, calm.stopped));
            assert_eq!(whole.plan().unwrap(), calm.plan().unwrap());
        }
    }
}

#[test]
fn a_stopped_stretch_is_shorter() {
    let log = Log::stopping_at(90);
    let stretch = |log: &Log, ranks| {
        block_on(PLAIN.smart(log).profile_ranks(&items(), ranks, None)).unwrap().stretch
    };
    let first = stretch(&log, 0..200);
    let done = first.len() as u64;
    assert!((1..60).contains(&done), "{done}");
    let rest = stretch(&Log::default(), done..300);
    let folded = Profile::fold([rest, first]).unwrap();
    assert_eq!(folded.plan().unwrap(), planned(PLAIN));
}

#[test]
fn a_stop_while_the_last_items_are_under_way_cuts_nothing_short() {
    let plan = planned(PLAIN);
    // Streams that know how many items are left, and one that does not.
    let run = |log: &Log, ranks: std::ops::Range<u64>, knows: bool| {
        let executor = PLAIN.smart(log).executor(plan.clone(), BTreeMap::new()).unwrap();
        let mut items = ranks.map(|index| (index, index));
        let part = if knows {
            stream::iter(items).boxed()
        } else {
            stream::poll_fn(move |_| Poll::Ready(items.next())).boxed()
        };
        let answers = block_on(executor.execute_indexed(part).count()) as u64;
        (executor.finish().unwrap(), answers)
    };
    for (ranks, knows, cut_short) in [
        (0..ITEMS, true, false),
        (0..ITEMS, false, false),
        (100..400, true, false),
        (100..400, false, true), // nobody knows whether the part had ended
    ] {
        let calm = Log::default();
        run(&calm, ranks.clone(), knows);
        let log = Log::stopping_at(calm.count());
        let items = ranks.end - ranks.start;
        let (report, answers) = run(&log, ranks, knows);
        assert!(log.stop.is_stopped());
        assert_eq!((answers, report.cut_short), (items, cut_short), "{items} {knows}");
        assert_eq!(report.is_whole(), items == ITEMS);
    }
}

//! A run that a budget ended is the same run when it is run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::journal::{Journal, Recorded};
use smart_core::{
    Budget, Completion, Cost, Model, Outcome, Pricing, Roster, Smart, StopReason, Target, Usage,
    from_fn,
};

use super::scratch::Scratch;

const LARGE: Cost = Cost::from_nanos(10_000_000);
const SMALL: Cost = Cost::from_nanos(500_000);
const ITEMS: u64 = 600;

/// Two models whose calls cost half of what they are bound to, so that the money set aside for an item is more
/// than it takes.
fn smart(calls: &Arc<AtomicU64>, cap: Cost, concurrency: usize) -> Smart<u64, u32> {
    let model = |name: &'static str, conformity: f64, bound: Cost| {
        let inner = Simulated::candidate(name, conformity, 9);
        let calls = Arc::clone(calls);
        let backend = from_fn(move |item: &u64| {
            calls.fetch_add(1, Ordering::Relaxed);
            let answer = inner.answer(*item);
            let used = Usage::billed(Cost::from_nanos(bound.as_nanos() / 2));
            async move { Ok(Completion::new(answer).with_usage(used)) }
        });
        Model::new(name, backend).with_pricing(Pricing::per_million(1.0, 1.0).unwrap())
    };
    let roster = Roster::new(model("large", 1.0, LARGE), [model("small", 0.96, SMALL)]).unwrap();
    let budget = Budget::new(cap).with_call_bound("large", LARGE).with_call_bound("small", SMALL);
    Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_concurrency(concurrency)
        .with_budget(budget)
}

#[test]
fn the_plan_and_the_bill_are_those_of_the_first_run() {
    let items: Vec<u64> = (0..ITEMS).collect();
    let mut ended = 0;
    for share in 1..=24 {
        let scratch = Scratch::new(&format!("ended-again-{share}"));
        let cap = Cost::from_nanos(LARGE.as_nanos() * share / 8);
        let calls = Arc::new(AtomicU64::new(0));
        let run = |cap, concurrency| -> Outcome<u32> {
            let smart = smart(&calls, cap, concurrency).with_journal(scratch.open());
            block_on(smart.run(&items)).unwrap()
        };
        let first = run(cap, 16);
        let made = calls.load(Ordering::Relaxed);
        // With less money now, or other timing, too: all that was asked is paid for.
        for (cap, concurrency) in [(cap, 16), (cap, 1), (cap, 64), (Cost::ZERO, 16)] {
            let again = run(cap, concurrency);
            assert_eq!(calls.load(Ordering::Relaxed), made, "{share} eighths: nothing is asked");
            assert_eq!(again.report.plan, first.report.plan, "{share} at {concurrency}");
            assert_eq!(again.report.cost(), first.report.cost());
            assert_eq!(again.answers, first.answers);
        }
        let mut ends = Vec::new();
        let mut read = |record: smart_core::journal::Record| {
            if let Recorded::Unaffordable { cap } = record.outcome {
                ends.push((record.index, cap));
            }
            Ok(())
        };
        scratch.open().read(&mut read).unwrap();
        let plan = &first.report.plan;
        let money = first.report.stopped == StopReason::Budget;
        assert!(ends.len() <= 1 && (money || ends.is_empty()), "{share}: {ends:?}");
        for end in ends {
            ended += 1;
            assert_eq!(end, (plan.order.index(plan.asked), cap));
            // With more money than then, profiling goes on.
            let more = run(LARGE.times(2 * ITEMS), 16);
            assert!(more.report.plan.asked > plan.asked, "{share}");
            assert_eq!(more.report.delivered.unaffordable, 0);
        }
    }
    assert!(ended >= 15, "{ended} runs ended so");
}

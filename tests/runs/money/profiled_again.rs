//! A profile taken up again over its journal hands on all that it paid for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use futures::{StreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::plan::Policy;
use smart_core::{
    BackendError, Budget, Completion, Cost, Families, Model, Pricing, ProfileSettings, Roster,
    Smart, Target, Usage, from_fn,
};

use super::scratch::Scratch;
use crate::turns::wait;

fn usd(amount: f64) -> Cost {
    Cost::from_usd(amount).unwrap()
}

/// How often each model was asked about each item.
type Asked = Arc<Mutex<BTreeMap<(&'static str, u64), u64>>>;

/// Two models, of which the small one errs now and then, with many items under way.
fn many_under_way(asked: &Asked) -> Smart<u64, u64> {
    let model = |name: &'static str, dollars: f64| {
        let asked = Arc::clone(asked);
        let backend = from_fn(move |item: &u64| {
            let item = *item;
            *asked.lock().unwrap().entry((name, item)).or_default() += 1;
            async move {
                wait(1 + item % 7).await;
                let errs = name == "small" && item.is_multiple_of(20);
                Ok(Completion::new(item + u64::from(errs)))
            }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(dollars).unwrap())
    };
    let roster = Roster::new(model("large", 1.0), [model("small", 0.3)]).unwrap();
    let budget = Budget::new(usd(5_000.0));
    Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap())
        .with_concurrency(64)
        .with_settings(ProfileSettings::default().with_families(Families::Single))
        .with_budget(budget.with_call_bound("large", usd(1.0)).with_call_bound("small", usd(0.3)))
}

fn bills(asked: &Asked) -> Cost {
    let price = |name: &str| usd(if name == "large" { 1.0 } else { 0.3 });
    asked.lock().unwrap().iter().map(|((name, _), times)| price(name).times(*times)).sum()
}

#[test]
fn items_that_came_too_late_are_handed_on_again() {
    let (asked, scratch) = (Asked::default(), Scratch::new("profiled-again-late"));
    let items: Vec<u64> = (0..2_000).collect();
    let profile =
        || block_on(many_under_way(&asked).with_journal(scratch.open()).profile(&items)).unwrap();
    let first = profile();
    let late = first.profile.late.len();
    assert!(late > 5, "{late}");
    assert_eq!(first.report().unwrap().cost(), bills(&asked));
    // The process died before the workers began.
    let again = profile();
    assert_eq!(again.profile, first.profile);
    let mut report = again.report().unwrap();
    assert_eq!((report.cost(), report.overshoot), (bills(&asked), late as u64));
    // A worker without that journal pays for nothing again, and the cap is still one.
    let plan = again.profile.plan().unwrap();
    let executor = many_under_way(&asked).executor(plan, again).unwrap();
    block_on(executor.execute(stream::iter(items)).count());
    report = report.merge(&executor.finish().unwrap()).unwrap();
    assert_eq!(report.cost(), bills(&asked));
    assert!(asked.lock().unwrap().values().all(|times| *times == 1));
}

#[test]
fn an_item_that_was_half_asked_is_handed_on_without_a_call() {
    let (asked, scratch) = (Asked::default(), Scratch::new("profiled-again-half"));
    let items: Vec<u64> = (0..2_000).collect();
    let profile =
        || block_on(many_under_way(&asked).with_journal(scratch.open()).profile(&items)).unwrap();
    let first = profile();
    // The journal lost the last record, which is about an item that came too late.
    let text = std::fs::read_to_string(&scratch.0).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (lost, kept) = lines.split_last().unwrap();
    let index = |line: &str| -> u64 {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["index"].as_u64().unwrap()
    };
    let lost_item = index(lost);
    assert!(first.profile.late.iter().any(|late| late.index == lost_item), "{lost}");
    assert_eq!(kept.iter().skip(1).filter(|line| index(line) == lost_item).count(), 1);
    std::fs::write(&scratch.0, kept.join("\n") + "\n").unwrap();
    let before = bills(&asked);
    let again = profile();
    assert_eq!(bills(&asked), before, "nothing is asked");
    let missing = first.report().unwrap().cost().saturating_sub(again.report().unwrap().cost());
    assert!(missing == usd(1.0) || missing == usd(0.3), "{missing}");
    assert_eq!(again.profile.late.len() + 1, first.profile.late.len());
}

#[test]
fn what_was_taken_to_be_spent_is_still_taken() {
    let (scratch, items) = (Scratch::new("profiled-again-taken"), (0..400).collect::<Vec<u64>>());
    // A reference that gives no answer in time to every third item: such a call counts at its bound.
    let smart = || {
        let large = from_fn(|item: &u64| {
            let item = *item;
            async move {
                if item.is_multiple_of(3) {
                    return Err(BackendError::timeout("no answer in time"));
                }
                Ok(Completion::new(item).with_usage(Usage::tokens(1_000_000, 0)))
            }
        });
        let small = from_fn(|item: &u64| {
            let item = *item;
            async move { Ok(Completion::new(item).with_usage(Usage::tokens(1_000, 0))) }
        });
        let price = Pricing::per_million(1.0, 0.0).unwrap();
        let small = Model::new("small", small).with_pricing(price);
        let roster = Roster::new(Model::new("large", large).with_pricing(price), [small]);
        let budget = Budget::new(usd(200.0));
        let budget = budget.with_call_bound("large", usd(1.0));
        Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.9).unwrap())
            .with_budget(budget.with_call_bound("small", usd(0.001)))
    };
    let mut spent = Vec::new();
    for journal in [false, true] {
        for _ in 0..2 {
            let profiling = smart().with_journal(scratch.open());
            let profiled = block_on(profiling.profile(&items)).unwrap();
            drop(profiling);
            let first = profiled.report().unwrap();
            let mut plan = profiled.profile.plan().unwrap();
            plan.policy = Policy::Reference; // so that all is spent that may be
            let executing = if journal { smart().with_journal(scratch.open()) } else { smart() };
            let executor = executing.executor(plan, profiled).unwrap();
            block_on(executor.execute(stream::iter(items.clone())).count());
            let second = executor.report();
            let silent = first.profiling[0].unbilled + second.execution[0].unbilled;
            let known = first.cost() + executor.spent();
            assert!(known + usd(1.0).times(silent) <= usd(200.0), "{known} and {silent} silent");
            spent.push(known);
        }
    }
    assert!(spent.iter().all(|known| *known == spent[0]), "{spent:?}");
}

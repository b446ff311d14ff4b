//! Answers in the order of their items: the same answers, in bounded memory, whatever is slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::{StreamExt, stream};
use proptest::prelude::*;
use smart_core::equivalence::Exact;
use smart_core::{Completion, Model, Pricing, Roster, Smart, Target, Usage, from_fn};

use crate::items::counted;

const ITEMS: u64 = 600;

/// Both answer alike, after as many milliseconds as the item says.
fn smart(slow: impl Fn(u64) -> u64 + Send + Sync + Copy + 'static) -> Smart<u64, u64> {
    let model = |name: &str, price: f64| {
        let backend = from_fn(move |item: &u64| {
            let (item, wait) = (*item, Duration::from_millis(slow(*item)));
            async move {
                tokio::time::sleep(wait).await;
                Ok(Completion::new(item * 3).with_usage(Usage::default()))
            }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(price).unwrap())
    };
    let roster = Roster::new(model("large", 0.01), [model("small", 0.0005)]).unwrap();
    Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap()).with_seed(3).with_concurrency(8)
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any part, in any order, items repeated: the answers come as the items went in, and no more
    /// are waited for than may be.
    #[test]
    fn a_stream_keeps_its_order(
        indices in proptest::collection::vec(0..ITEMS, 1..200),
        waiting in 1_usize..40,
        scale in 1_u64..1000,
    ) {
        let slow = move |item: u64| item.wrapping_mul(scale) % 97;
        let smart = smart(slow).with_answers_in_order(waiting);
        paused().block_on(async {
            let profiled = smart.profile(&counted(ITEMS)).await.unwrap();
            let plan = profiled.profile.plan().unwrap();
            let executor = smart.executor(plan, profiled.answers).unwrap();
            let (taken, given) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (counter, delivered) = (Arc::clone(&taken), Arc::clone(&given));
            let items = stream::iter(indices.clone()).map(move |index| {
                let under_way = counter.fetch_add(1, Relaxed) - delivered.load(Relaxed);
                assert!(under_way < waiting as u64, "{under_way} are waited for already");
                (index, index)
            });
            let mut answers = executor.execute_indexed(items);
            let mut order = Vec::new();
            while let Some(answer) = answers.next().await {
                let answer = answer.unwrap();
                given.fetch_add(1, Relaxed);
                assert_eq!(answer.output, Some(answer.index * 3));
                order.push(answer.index);
            }
            assert_eq!(order, indices);
            assert_eq!(taken.load(Relaxed), order.len() as u64);
        });
    }
}

#[test]
fn a_whole_run_in_order_is_the_run_as_it_comes() {
    let slow = |item: u64| if item.is_multiple_of(50) { 5_000 } else { item % 7 };
    let items = counted(ITEMS);
    paused().block_on(async {
        let whole = smart(slow).run(&items).await.unwrap();
        let (mut as_they_come, mut in_order) = (Vec::new(), Vec::new());
        let report =
            smart(slow).run_each(&items, |answer| as_they_come.push(answer)).await.unwrap();
        assert_eq!(report, whole.report);
        let ordered = smart(slow).with_answers_in_order(32);
        let report = ordered.run_each(&items, |answer| in_order.push(answer)).await.unwrap();
        assert_eq!(report, whole.report);
        assert_eq!(in_order, whole.answers);
        assert_ne!(as_they_come, in_order, "slow items come late");
        let sorted: BTreeMap<u64, _> = as_they_come.into_iter().map(|a| (a.index, a)).collect();
        assert_eq!(sorted.into_values().collect::<Vec<_>>(), in_order);
    });
}

#[test]
fn an_error_ends_an_ordered_stream() {
    let slow = |_| 1;
    let smart = smart(slow).with_answers_in_order(16);
    paused().block_on(async {
        let profiled = smart.profile(&counted(ITEMS)).await.unwrap();
        let plan = profiled.profile.plan().unwrap();
        let executor = smart.executor(plan, profiled.answers).unwrap();
        let one_too_many = stream::iter(0..=ITEMS);
        let answers: Vec<_> = executor.execute(one_too_many).collect().await;
        let (last, before) = answers.split_last().unwrap();
        assert!(last.is_err());
        let order: Vec<u64> = before.iter().map(|answer| answer.as_ref().unwrap().index).collect();
        assert_eq!(order, (0..order.len() as u64).collect::<Vec<_>>());
    });
}

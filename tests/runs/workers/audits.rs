//! Audits on many workers that do not talk: one promise over all of them.

use futures::executor::block_on;
use futures::{StreamExt, stream};
use proptest::prelude::*;
use smart_core::stats::{Probability, max_caught};
use smart_core::{
    Audit, BackendError, Completion, Executor, LlmBackend, Model, Part, Plan, Pricing, Reason,
    Report, Roster, Smart, Target, Usage, async_trait, equivalence::Exact,
};

use crate::items::counted;

const ITEMS: u64 = 2_000;
const SHARE: f64 = 0.1;

/// Wrong from some item on; the reference never is.
struct WrongFrom(u64);

#[async_trait]
impl LlmBackend<u64> for WrongFrom {
    type Output = bool;
    async fn complete(&self, item: &u64) -> Result<Completion<bool>, BackendError> {
        super::dawdle(*item).await;
        Ok(Completion::new(*item < self.0).with_usage(Usage::tokens(100, 1)))
    }
}

fn smart(wrong_from: u64, seed: u64, part: Part) -> Smart<u64, bool> {
    let price = |p| Pricing::per_million(p, p).unwrap();
    let large = Model::new("large", WrongFrom(u64::MAX)).with_pricing(price(10.0));
    let small = Model::new("small", WrongFrom(wrong_from)).with_pricing(price(0.1));
    let audit = Audit::new(SHARE).unwrap().with_part(part);
    Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.9, 0.9).unwrap())
        .with_seed(seed)
        .with_audit(audit)
}

/// Yesterday's plan, made while the candidate was right.
fn plan() -> Plan {
    let items = counted(ITEMS);
    let profiled = block_on(smart(u64::MAX, 1, Part::WHOLE).profile(&items)).unwrap();
    let plan = profiled.profile.plan().unwrap();
    assert_ne!(plan.policy.family(), "reference");
    plan
}

/// Wrong answers delivered, and the report.
fn deliver(executor: &Executor<u64, bool>, items: impl Iterator<Item = u64>) -> (u64, Report) {
    let items: Vec<(u64, u64)> = items.map(|i| (i, i)).collect();
    let wrong = executor.execute_indexed(stream::iter(items)).map(Result::unwrap);
    let wrong = block_on(wrong.filter(|a| std::future::ready(a.output == Some(false))).count());
    (wrong as u64, executor.finish().unwrap())
}

proptest! {
    #[test]
    fn parts_never_come_to_more_than_the_whole(
        whole in prop_oneof![0..200_u64, any::<u64>()],
        of in prop_oneof![1..60_u64, 1..u64::MAX],
        cuts in proptest::collection::vec(any::<u64>(), 0..9),
        left_out in any::<u16>(),
    ) {
        let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut % of).collect();
        cuts.extend([0, of]);
        cuts.sort_unstable();
        cuts.dedup();
        let parts: Vec<Part> =
            cuts.windows(2).map(|ends| Part::new(ends[0], ends[1], of).unwrap()).collect();
        let shares = || parts.iter().map(|part| u128::from(part.share(whole)));
        prop_assert_eq!(shares().sum::<u128>(), u128::from(whole));
        let some = shares().enumerate().filter(|(i, _)| left_out & (1 << (i % 16)) == 0);
        prop_assert!(some.map(|(_, share)| share).sum::<u128>() <= u128::from(whole));
        prop_assert_eq!(Part::WHOLE.share(whole), whole);
    }
}

#[test]
fn parts_that_are_none_are_refused() {
    assert!(Part::new(3, 3, 9).is_err() && Part::new(3, 10, 9).is_err());
    assert!(Part::even(2, 2).is_err() && Part::even(0, 0).is_err());
    assert!(Part::new(5, 4, 9).unwrap_err().to_string().contains("got 5 to 4 of 9"));
}

#[test]
fn the_promise_holds_over_all_workers_together() {
    let plan = plan();
    let allowed = plan.target.allowance(ITEMS);
    let (q, alpha) = (Probability::new(SHARE).unwrap(), Probability::new(0.1).unwrap());
    let limit = max_caught(allowed, q, alpha).unwrap();
    // Fast workers and slow ones, and a candidate that is wrong everywhere, or on some of them.
    let layouts: [&[u64]; 3] =
        [&[0, 500, 1_000, 1_500, 2_000], &[0, 100, 1_900, 2_000], &[0, 2_000]];
    for layout in layouts {
        for wrong_from in [0, 1_000] {
            let (runs, mut missed, mut used) = (200, 0, 0);
            for seed in 0..runs {
                let mut all: Option<Report> = None;
                let mut wrong = 0;
                for ends in layout.windows(2) {
                    let part = Part::new(ends[0], ends[1], ITEMS).unwrap();
                    let executor = smart(wrong_from, seed, part).apply(&plan, Some(ITEMS)).unwrap();
                    let (some, report) = deliver(&executor, ends[0]..ends[1]);
                    wrong += some;
                    all = Some(match all {
                        Some(all) => all.merge(&report).unwrap(),
                        None => report,
                    });
                }
                let report = all.unwrap();
                let audited = report.audit.unwrap();
                assert_eq!(audited.limit, Some(limit), "all of it is dealt out");
                assert_eq!(audited.workers, layout.len() as u64 - 1);
                assert_eq!(audited.switched, audited.workers_switched == audited.workers);
                assert!(report.is_whole());
                missed += u64::from(wrong > allowed);
                used += wrong;
            }
            // P(Bin(200, 0.1) > 34) < 0.001.
            assert!(missed <= 34, "{layout:?} {wrong_from}: {missed} of {runs}");
            assert!(used > runs * 40, "{layout:?} {wrong_from}: the candidate is used: {used}");
        }
    }
}

/// The figures of `docs/workers.md`.
#[test]
fn sharing_catches_leaves_more_of_them_than_sharing_allowance_and_error() {
    let q = Probability::new(0.05).unwrap();
    let catches = |allowance: u64, alpha: f64| {
        max_caught(allowance, q, Probability::new(alpha).unwrap()).map_or(0, |limit| limit + 1)
    };
    let whole = catches(2_500, 0.05);
    let shared = |workers: u64| -> u64 {
        (0..workers).map(|worker| Part::even(worker, workers).unwrap().share(whole)).sum()
    };
    let union = |workers: u32| {
        u64::from(workers) * catches(2_500 / u64::from(workers), 0.05 / f64::from(workers))
    };
    assert_eq!(whole, 113);
    assert_eq!([1, 4, 10, 20, 100].map(shared), [113; 5]);
    assert_eq!([1, 4, 10, 20, 100].map(union), [113, 84, 50, 20, 0]);
}

#[test]
fn a_worker_too_small_for_a_catch_asks_no_candidate() {
    let plan = plan();
    let sliver = Part::new(0, 1, ITEMS).unwrap();
    let executor = smart(u64::MAX, 4, sliver).apply(&plan, Some(ITEMS)).unwrap();
    let (wrong, report) = deliver(&executor, 0..1);
    assert_eq!((wrong, report.audit.unwrap().limit), (0, None));
    assert_eq!(report.delivered.by_model, [1, 0]);
    assert!(report.audit.unwrap().switched);
}

#[test]
fn how_long_a_stream_warms_up_is_known_beforehand() {
    let plan = plan();
    for part in [Part::WHOLE, Part::even(1, 2).unwrap()] {
        let executor = smart(u64::MAX, 2, part).with_concurrency(1).apply(&plan, None).unwrap();
        let answers = executor.execute(stream::iter(0..3 * ITEMS)).map(Result::unwrap);
        let before = answers.take_while(|a| std::future::ready(a.reason == Reason::Reference));
        let audit = Audit::new(SHARE).unwrap().with_part(part);
        assert_eq!(audit.warm_up(plan.target), Some(block_on(before.count()) as u64));
    }
    // The table in its documentation.
    let table = [
        (0.02, [2_229, 2_787, 4_459, 11_149]),
        (0.05, [869, 1_087, 1_739, 4_349]),
        (0.1, [419, 524, 839, 2_099]),
        (0.2, [189, 237, 379, 949]),
    ];
    for (share, items) in table {
        for (agreement, items) in [0.9, 0.92, 0.95, 0.98].into_iter().zip(items) {
            let target = Target::new(agreement, 0.95).unwrap();
            assert_eq!(Audit::new(share).unwrap().warm_up(target), Some(items));
        }
    }
}

#[test]
fn a_stream_of_unknown_length_takes_its_part_of_the_error() {
    let plan = plan();
    // The first candidate's answer delivered by a worker that sees nothing wrong.
    let begins = |part: Part| {
        let executor = smart(u64::MAX, 2, part).apply(&plan, None).unwrap();
        let answers = executor.execute(stream::iter(0..3 * ITEMS)).map(Result::unwrap);
        let before = answers.take_while(|a| std::future::ready(a.reason != Reason::Accepted));
        block_on(before.count())
    };
    let (whole, half) = (begins(Part::WHOLE), begins(Part::even(1, 2).unwrap()));
    assert!(half > whole && half < 3_000, "{whole} {half}");
    let executor = smart(u64::MAX, 2, Part::even(1, 2).unwrap()).apply(&plan, None).unwrap();
    let (_, report) = deliver(&executor, 0..3 * ITEMS);
    let (said, saving) = (report.to_string(), report.summary().saving.unwrap());
    assert!(said.contains(&format!("on {} items so far, against about ", 3 * ITEMS)), "{said}");
    assert!(
        said.contains(&format!(" for the reference alone: {saving:.2} times cheaper\n")),
        "{said}"
    );
    let executor = smart(u64::MAX, 2, Part::even(1, 2).unwrap()).apply(&plan, None).unwrap();
    let (_, report) = deliver(&executor, 0..10);
    let said = report.to_string();
    assert!(
        said.contains("over a stream, at any time") && said.contains("on 10 items so far"),
        "{said}"
    );
}

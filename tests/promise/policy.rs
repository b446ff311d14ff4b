//! Planning and execution must agree on every policy: what planning reads off recorded evidence is
//! what execution, which learns one call at a time, asks, accepts and delivers.

use proptest::prelude::*;
use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::plan::{Chain, Heard, Key, Known, Mark, Move, Scored};
use smart_core::{Confidence, ModelId};

const FIRST: ModelId = ModelId::new(1);
const SECOND: ModelId = ModelId::new(2);

fn fitted() -> Key {
    // Weights: intercept, score, missing score, agreement.
    let fit = r#"{"score":{"mean_and_sd":[0.5,0.25]},"weights":[-0.3,1.1,-0.4,0.9]}"#;
    Key::Fitted(serde_json::from_str(fit).unwrap())
}

fn chains() -> impl Strategy<Value = Chain> {
    let two = |key| Chain { first: FIRST, second: Some(SECOND), key };
    prop_oneof![
        Just(Chain::single(FIRST)),
        Just(Chain::cascade(FIRST)),
        Just(Chain { first: FIRST, second: None, key: Key::Router }),
        Just(Chain::consensus(FIRST, SECOND)),
        Just(two(fitted())),
        (0.0..1.0_f64).prop_map(|gate| Chain::relay(FIRST, SECOND, gate)),
        (0.0..=1.0_f64).prop_map(|share| Chain::split(FIRST, SECOND, share)),
    ]
}

fn record() -> impl Strategy<Value = CandidateRecord> {
    let agreement =
        prop_oneof![Just(Agreement::Agrees), Just(Agreement::Differs), Just(Agreement::NoAnswer)];
    (agreement, proptest::option::of(0.0..1.0_f64)).prop_map(|(agreement, score)| {
        CandidateRecord::new(agreement, None).with_score(score.and_then(Confidence::new))
    })
}

fn items() -> impl Strategy<Value = ItemEvidence> {
    let router = proptest::option::of(0.0..1.0_f64);
    (record(), record(), any::<bool>(), router).prop_map(|(first, second, alike, router)| {
        let mut item = ItemEvidence::new(0, true, None);
        let differ = [first, second].iter().any(|r| r.agreement == Agreement::Differs);
        if alike && differ && first.agreement.is_answer() && second.agreement.is_answer() {
            item.pairs.push((FIRST, SECOND));
        }
        item.candidates = vec![Some(first), Some(second)];
        item.router = router.and_then(Confidence::new);
        item
    })
}

/// What execution would do: learns from the evidence only what the policy asks for.
fn execute(chain: &Chain, threshold: &Mark, item: &ItemEvidence, coin: u64, rated: bool) -> Move {
    let router = item.router.map(Confidence::as_f64);
    let mut known = Known { coin, router, ..Known::default() };
    let heard = |id| match item.candidate(id) {
        Some(record) if record.agreement.is_answer() && rated => {
            Heard::Answer { score: Scored::Unrated }
        }
        Some(record) if record.agreement.is_answer() => {
            Heard::Answer { score: Scored::Known(record.score.map(Confidence::as_f64)) }
        }
        _ => Heard::NoAnswer,
    };
    let score = |id| {
        let score = item.candidate(id).and_then(|record| record.score);
        Heard::Answer { score: Scored::Known(score.map(Confidence::as_f64)) }
    };
    for _ in 0..8 {
        match chain.next(threshold, &known) {
            // Under a split the one model that is asked fills the first place.
            Move::Ask(id) if id == FIRST || matches!(chain.key, Key::Split { .. }) => {
                assert_eq!(known.first, Heard::Nothing, "asked twice");
                known.first = heard(id);
            }
            Move::Ask(id) => {
                assert_eq!(known.second, Heard::Nothing, "asked twice");
                known.second = heard(id);
            }
            Move::Rate(id) if id == FIRST => known.first = score(id),
            Move::Rate(id) => known.second = score(id),
            Move::Compare(a, b) => {
                assert_eq!(known.agree, None, "compared twice");
                known.agree = Some(item.consensus(a, b));
            }
            end @ (Move::Accept(_) | Move::Escalate) => return end,
        }
    }
    panic!("the policy does not end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn execution_does_what_planning_counted(
        chain in chains(),
        item in items(),
        other in items(),
        (coin, other_coin) in (any::<u64>(), any::<u64>()),
        rated in any::<bool>(),
    ) {
        // A threshold that means something: another item's place, or this one's own.
        let marks = [
            chain.trial(&other, other_coin).map(|trial| trial.mark),
            chain.trial(&item, coin).map(|trial| trial.mark),
            chain.trial(&item, coin).map(|trial| trial.mark.just_above()),
            Some(Mark::LOWEST),
            Some(Mark::HIGHEST),
        ];
        for threshold in marks.into_iter().flatten() {
            let expected = match chain.trial(&item, coin) {
                Some(trial) if trial.mark >= threshold => Move::Accept(trial.model),
                _ => Move::Escalate,
            };
            prop_assert_eq!(execute(&chain, &threshold, &item, coin, rated), expected);
        }
    }

    #[test]
    fn lower_thresholds_only_add_failures(chain in chains(), item in items(), coin in any::<u64>()) {
        // What would be delivered must not depend on the threshold: that is what makes it a chain.
        if let Some(trial) = chain.trial(&item, coin) {
            let below = [trial.mark, Mark::LOWEST];
            for threshold in below {
                let done = execute(&chain, &threshold, &item, coin, false);
                prop_assert_eq!(done, Move::Accept(trial.model));
            }
        }
    }

    #[test]
    fn just_above_is_the_next_mark(tier in 0..=2_u8, value in -1e3..1e3_f64, coin in any::<u64>()) {
        let mark = Mark::new(tier, Some(value), coin);
        let above = mark.just_above();
        prop_assert!(above > mark);
        if coin < u64::MAX {
            prop_assert_eq!(above, Mark { coin: coin + 1, ..mark });
        }
    }
}

#[test]
fn a_split_gives_each_model_its_share_whatever_the_threshold() {
    let chain = Chain::split(FIRST, SECOND, 0.3);
    let order = smart_core::Order::new(100_000, 5);
    // Items that a mix of a half keeps, by their private coin, and those of them that the first answers.
    let half = Mark { tier: 0, value: 0.0, coin: u64::MAX / 2 };
    let (mut kept, mut first) = (0_u32, 0_u32);
    for index in 0..100_000 {
        let known = Known { coin: order.coin(index), ..Known::default() };
        match chain.next(&half, &known) {
            Move::Ask(id) => (kept, first) = (kept + 1, first + u32::from(id == FIRST)),
            other => assert_eq!(other, Move::Escalate),
        }
    }
    // Five standard deviations of a count of 50,000, and of 15,000 in it.
    assert!(kept.abs_diff(50_000) < 800, "{kept}");
    assert!((f64::from(first) - 0.3 * f64::from(kept)).abs() < 520.0, "{first} of {kept}");
}

#[test]
fn the_last_marks_have_successors_or_none() {
    let top = Mark { tier: 0, value: f64::MAX, coin: u64::MAX };
    assert_eq!(top.just_above(), Mark { tier: 1, value: f64::MIN, coin: 0 });
    assert_eq!(Mark::HIGHEST.just_above(), Mark::HIGHEST);
}

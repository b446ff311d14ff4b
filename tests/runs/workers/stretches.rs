//! Profiles made in parts fold into the profile of one worker.

use futures::executor::block_on;
use proptest::prelude::*;
use smart_core::profile::Stretch;
use smart_core::{Families, Profile, StopReason};

use super::Setting;
use crate::items::{Counted, counted};

const ITEMS: u64 = 1_500;

fn items() -> Counted {
    counted(ITEMS)
}

fn families() -> impl Strategy<Value = Families> {
    prop_oneof![
        Just(Families::Auto),
        Just(Families::Single),
        Just(Families::Cascade),
        Just(Families::Consensus),
    ]
}

/// The ranks of a worker each, cut at these places.
fn cut(mut places: Vec<u64>, end: u64) -> Vec<std::ops::Range<u64>> {
    places.retain(|place| *place > 0 && *place < end);
    places.extend([0, end]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|ends| ends[0]..ends[1]).collect()
}

fn stretch(setting: Setting, ranks: std::ops::Range<u64>, after: Option<&Profile>) -> Stretch {
    let found = block_on(setting.smart().profile_ranks(&items(), ranks, after)).unwrap();
    // Sent over the wire.
    let text = serde_json::to_string(&found.stretch).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Everything but what was under way when one worker stopped.
fn same(folded: &Profile, one: &Profile) {
    assert_eq!(folded.evidence, one.evidence);
    assert_eq!(folded.asked, one.asked);
    assert_eq!(folded.stopped, one.stopped);
    assert_eq!(folded.plan().unwrap(), one.plan().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn stretches_fold_into_the_profile_of_one_worker(
        seed in 0..60_u64,
        families in families(),
        judge in any::<bool>(),
        broken_every in prop_oneof![Just(0_u64), Just(11)],
        unrated_every in prop_oneof![Just(0_u64), Just(1), Just(7)],
        concurrency in 1..9_usize,
        places in proptest::collection::vec(0..400_u64, 0..5),
        rotate in 0..6_usize,
        spare in 0..40_u64,
    ) {
        let setting =
            Setting { seed, families, judge, broken_every, unrated_every, concurrency };
        let one = block_on(setting.smart().profile(&items())).unwrap().profile;
        let ranks = cut(places, (one.asked + spare).min(ITEMS));
        let mut stretches: Vec<Stretch> =
            ranks.into_iter().map(|ranks| stretch(setting, ranks, None)).collect();
        let by = rotate % stretches.len();
        stretches.rotate_left(by);
        same(&Profile::fold(stretches).unwrap(), &one);
    }
}

#[test]
fn a_second_round_asks_only_what_is_still_wanted() {
    let mut narrowed = 0;
    for seed in 0..12 {
        let setting = Setting { judge: true, ..Setting::new(seed) };
        let one = block_on(setting.smart().profile(&items())).unwrap().profile;
        let first = Profile::fold([stretch(setting, 0..40, None)]).unwrap();
        let ranks = 40..one.asked.max(41);
        let wide = stretch(setting, ranks.clone(), None);
        let narrow = stretch(setting, ranks, Some(&first));
        let calls = |stretch: &Stretch| {
            serde_json::to_string(stretch).unwrap().matches("\"agreement\":\"").count()
        };
        if first.stopped == StopReason::Caller {
            assert!(calls(&narrow) <= calls(&wide));
            narrowed += u64::from(calls(&narrow) < calls(&wide));
        } else {
            assert!(narrow.is_empty(), "profiling had ended");
        }
        same(&Profile::fold([Stretch::from(first), narrow]).unwrap(), &one);
    }
    assert!(narrowed > 2, "{narrowed}");
}

#[test]
fn a_gap_ends_the_profile_where_it_is() {
    let setting = Setting::new(7);
    let far = stretch(setting, 40..200, None);
    let near = stretch(setting, 0..25, None);
    let profile = Profile::fold([far.clone(), near.clone()]).unwrap();
    assert_eq!((profile.asked, profile.stopped), (25, StopReason::Caller));
    assert_eq!(profile.evidence.len(), 25);
    let middle = stretch(setting, 25..40, None);
    let profile = Profile::fold([far, middle, near]).unwrap();
    assert!(profile.asked > 40);
    profile.plan().unwrap();
}

#[test]
fn stretches_of_different_runs_are_kept_apart() {
    let of =
        |seed, families, ranks| stretch(Setting { families, ..Setting::new(seed) }, ranks, None);
    let say = |a, b| Profile::fold([a, b]).unwrap_err().to_string();
    let first = of(1, Families::Auto, 0..5);
    let said = say(first.clone(), of(2, Families::Auto, 5..9));
    assert!(said.contains("not of one seed"), "{said}");
    let said = say(first.clone(), of(1, Families::Single, 5..9));
    assert!(said.contains("not of one settings"), "{said}");
    let said = say(first, of(1, Families::Auto, 4..9));
    assert!(said.contains("was profiled twice"), "{said}");
    assert!(Profile::fold([]).is_err());
    let profile = Profile::fold([of(1, Families::Auto, 0..5)]).unwrap();
    let other = Setting::new(2).smart();
    assert!(block_on(other.profile_ranks(&items(), 5..9, Some(&profile))).is_err());
}

//! What is stored belongs to its items, and whoever follows it is watched as a run is.

use std::collections::BTreeMap;

use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt, stream};
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::progress::{Phase, Progress};
use smart_core::{
    Audit, Budget, Completion, Cost, Event, Handed, Model, Objective, Plan, Pricing, Profile,
    ProfileSettings, Profiled, Roster, RunError, SettingsError, Smart, Target, Usage, from_fn,
};

type Run = Smart<u64, u32>;

fn roster() -> Roster<u64, u32> {
    let price = |usd| Pricing::per_request(usd).unwrap();
    Roster::new(
        Model::new("large", Simulated::reference(7)).with_pricing(price(0.01)),
        [Model::new("small", Simulated::candidate("small", 0.97, 7)).with_pricing(price(0.0005))],
    )
    .unwrap()
}

fn smart() -> Run {
    Smart::new(roster(), Exact, Target::new(0.9, 0.95).unwrap()).with_seed(1)
}

fn keyed() -> Run {
    smart().with_item_key(|item: &u64| *item)
}

fn profiled(smart: &Run) -> Profiled<u32> {
    let items: Vec<u64> = (0..2_000).collect();
    block_on(smart.profile(&items)).unwrap()
}

fn follow(
    smart: &Run,
    plan: &Plan,
    handed: Option<&Profiled<u32>>,
    first: u64,
) -> Result<usize, RunError> {
    let executor = match handed {
        Some(profiled) => smart.executor(plan.clone(), profiled.clone())?,
        None => smart.executor(plan.clone(), BTreeMap::new())?,
    };
    let answers = executor.execute(stream::iter(first..first + 2_000));
    Ok(block_on(answers.try_collect::<Vec<_>>())?.len())
}

#[test]
fn yesterdays_answers_are_not_delivered_for_todays_items() {
    let smart = keyed();
    let yesterday = profiled(&smart);
    // As it is stored, and read back.
    let text = serde_json::to_string(&yesterday.profile).unwrap();
    let read: Profile = serde_json::from_str(&text).unwrap();
    let plan = read.plan().unwrap();
    assert_eq!(plan.items.len(), 16);
    let text = serde_json::to_string(&plan).unwrap();
    let plan: Plan = serde_json::from_str(&text).unwrap();
    for handed in [Some(&yesterday), None] {
        assert_eq!(follow(&smart, &plan, handed, 0).unwrap(), 2_000);
        let error = follow(&smart, &plan, handed, 1).unwrap_err();
        assert!(matches!(error, RunError::Mismatch { .. }), "{error}");
        let words = error.to_string();
        assert!(words.contains("is not the item that was profiled under this index"), "{words}");
    }
    // New items have a way of their own.
    let audited = keyed().with_audit(Audit::new(0.1).unwrap());
    let executor = audited.apply(&plan, Some(500)).unwrap();
    let answers = block_on(executor.execute(stream::iter(5_000..5_500_u64)).count());
    assert_eq!(answers, 500);
}

#[test]
fn a_journal_is_a_key_as_well() {
    let path = std::env::temp_dir().join(format!("smart-core-stored-{}.jsonl", std::process::id()));
    let journal = smart_core::journal::FileJournal::open(&path).unwrap();
    let yesterday = profiled(&smart().with_journal(journal));
    let plan = yesterday.profile.plan().unwrap();
    assert!(follow(&keyed(), &plan, Some(&yesterday), 0).is_ok());
    assert!(follow(&keyed(), &plan, Some(&yesterday), 1).is_err());
    // Without a key here nobody can tell: so it is documented.
    assert_eq!(follow(&smart(), &plan, Some(&yesterday), 1).unwrap(), 2_000);
    std::fs::remove_file(path).unwrap();
}

/// Evidence that was filtered is no random sample, however it looks.
#[test]
fn a_profile_without_some_of_its_rows_certifies_nothing() {
    let profile = profiled(&smart()).profile;
    let stored = || serde_json::to_value(&profile).unwrap();
    let plan = |stored| serde_json::from_value::<Profile>(stored).unwrap().plan();
    assert!(plan(stored()).unwrap().certificate.is_some());
    let differs = |row: &serde_json::Value| row["candidates"][0]["agreement"] != "agrees";
    let rows = |stored: &serde_json::Value| stored["evidence"].as_array().unwrap().clone();
    let failing = rows(&stored()).iter().position(differs).unwrap();
    let (mut thinned, mut moved, mut cut) = (stored(), stored(), stored());
    thinned["evidence"].as_array_mut().unwrap().retain(|row| !differs(row));
    moved["evidence"].as_array_mut().unwrap().swap(failing, failing + 1);
    cut["evidence"].as_array_mut().unwrap().pop();
    for damaged in [thinned, moved] {
        let error = plan(damaged).unwrap_err();
        assert!(matches!(error, RunError::Mismatch { what: "the stored profile", .. }), "{error}");
        let words = format!("row {failing} of its evidence is about item");
        assert!(error.to_string().contains(&words), "{error}");
    }
    let error = plan(cut).unwrap_err();
    assert!(error.to_string().contains("rows and should have"), "{error}");
}

/// What was profiled with other models, in another order or on other items is not this plan's.
#[test]
fn a_plan_is_not_followed_with_what_another_run_profiled() {
    let refused = |smart: &Run, plan: &Plan, handed: Profiled<u32>, why: &str| {
        let error = smart.executor(plan.clone(), handed).unwrap_err();
        assert!(matches!(error, RunError::Mismatch { what: "the stored profile", .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let smart = keyed();
    let own = profiled(&smart);
    let plan = own.profile.plan().unwrap();
    refused(&smart, &plan, profiled(&keyed().with_seed(2)), "its seed or population");
    let others: Vec<u64> = (5_000..7_000).collect();
    let others = block_on(smart.profile(&others)).unwrap();
    let why = if others.profile.asked == plan.asked { "its items are not" } else { "number of" };
    refused(&smart, &plan, others, why);

    let versioned = |version: &str| {
        let tagged = |name: &str, conformity: f64, usd: f64| {
            Model::new(name, Simulated::candidate(name, conformity, 7))
                .with_pricing(Pricing::per_request(usd).unwrap())
                .with_version(version)
        };
        let roster = Roster::new(tagged("large", 1.0, 0.01), [tagged("small", 0.97, 0.0005)]);
        Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap())
    };
    let (old, new) = (versioned("1"), versioned("2"));
    let plan = profiled(&new).profile.plan().unwrap();
    refused(&new, &plan, profiled(&old), "version");

    // Another target or other prices are no other run; but no less may be promised than is asked for.
    let lax = Target::new(0.8, 0.9).unwrap();
    let laxer = own.profile.replan(&own.profile.roster, lax, &ProfileSettings::default()).unwrap();
    assert!(smart.executor(laxer.clone(), own.clone()).is_err());
    let asks_less = Smart::new(roster(), Exact, lax).with_item_key(|item: &u64| *item);
    assert!(asks_less.executor(laxer, own).is_ok());
}

/// Items that came too late to be evidence have answers that are paid for, and those are of these items.
#[test]
fn a_late_item_that_is_another_by_now_is_refused() {
    const DAY: u64 = 1_000_000;
    // Answers after some polls with the day of the item.
    let model = |name: &str, slow: bool, usd: f64| {
        let backend = from_fn(move |item: &u64| {
            let (day, mut waits) = (item / DAY, if slow { item % 17 } else { 0 });
            async move {
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    let ready = waits == 0;
                    waits = waits.saturating_sub(1);
                    if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
                Ok(Completion::new(u32::try_from(day).unwrap_or(0)).with_usage(Usage::default()))
            }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(model("large", true, 0.01), [model("small", false, 0.0001)]).unwrap();
    let smart = Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap());
    let smart = smart.with_concurrency(64).with_item_key(|item: &u64| *item);
    let yesterday = profiled(&smart);
    let late: Vec<u64> = yesterday.profile.late.iter().map(|item| item.index).collect();
    assert!(late.len() > 3, "{late:?}");
    let plan = yesterday.profile.plan().unwrap();
    for index in late {
        // With the calls handed over, or handed to another worker.
        let whole = Handed::from(yesterday.clone());
        for handed in [whole.clone(), whole.only(|other| other != index)] {
            let executor = smart.executor(plan.clone(), handed).unwrap();
            let today = stream::iter([(index, index + DAY)]);
            let error = block_on(executor.execute_indexed(today).next()).unwrap().unwrap_err();
            assert!(error.to_string().contains("is not the item that was profiled"), "{error}");
            let same = block_on(executor.execute_indexed(stream::iter([(index, index)])).next());
            assert_eq!(same.unwrap().unwrap().output, Some(0));
        }
    }
}

/// The key that the caller set is the one, with a journal or without; the journal looks at the item itself.
#[test]
fn a_key_is_the_key_with_a_journal_too() {
    let path = std::env::temp_dir().join(format!("smart-core-key-{}.jsonl", std::process::id()));
    let journal = || smart_core::journal::FileJournal::open(&path).unwrap();
    let keyed = || smart().with_item_key(|item: &u64| (item + 1) % 5_000);
    let yesterday = profiled(&keyed().with_journal(journal()));
    let plan = yesterday.profile.plan().unwrap();
    assert_eq!(plan.items, profiled(&keyed()).profile.plan().unwrap().items);
    for handed in [Some(&yesterday), None] {
        assert_eq!(follow(&keyed(), &plan, handed, 0).unwrap(), 2_000);
        assert!(follow(&keyed(), &plan, handed, 1).is_err());
        // By their keys these are the profiled items.
        assert_eq!(follow(&keyed(), &plan, handed, 5_000).unwrap(), 2_000);
    }
    // In a journal each part of a run must be about the very items that are recorded.
    let others: Vec<u64> = (5_000..7_000).collect();
    let error = block_on(keyed().with_journal(journal()).profile(&others)).unwrap_err();
    assert!(error.to_string().contains("are not those of the journal"), "{error}");
    let error = follow(&keyed().with_journal(journal()), &plan, None, 5_000).unwrap_err();
    assert!(error.to_string().contains("is not the item recorded"), "{error}");
    std::fs::remove_file(path).unwrap();
}

/// A reading is a float, and has no hash: the journal goes by the key.
#[test]
fn items_without_a_hash_can_have_a_journal() {
    struct Reading {
        sensor: u64,
        volts: f64,
    }
    let path = std::env::temp_dir().join(format!("smart-core-float-{}.jsonl", std::process::id()));
    let smart = || {
        let model = |name: &str, limit: f64| {
            Model::new(
                name,
                from_fn(move |reading: &Reading| {
                    let high = reading.volts > limit;
                    async move { Ok(Completion::new(high)) }
                }),
            )
        };
        let price = |usd| Pricing::per_request(usd).unwrap();
        let (large, small) = (model("large", 5.0), model("small", 5.1));
        let roster =
            Roster::new(large.with_pricing(price(0.01)), [small.with_pricing(price(0.0001))]);
        let journal = smart_core::journal::FileJournal::open(&path).unwrap();
        Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap())
            .with_keyed_journal(journal, |reading: &Reading| reading.sensor)
    };
    let readings = |from: u64| -> Vec<Reading> {
        let reading = |sensor| Reading { sensor, volts: (sensor % 100) as f64 / 10.0 };
        (from..from + 500).map(reading).collect()
    };
    let first = block_on(smart().run(&readings(0))).unwrap();
    let again = block_on(smart().run(&readings(0))).unwrap();
    assert_eq!(first.answers, again.answers);
    assert_eq!(first.report.cost(), again.report.cost());
    let error = block_on(smart().run(&readings(1))).unwrap_err();
    assert!(error.to_string().contains("are not those of the journal"), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_executor_is_watched_like_a_run() {
    let plan = profiled(&smart()).profile.plan().unwrap();
    let progress = Progress::new();
    let watched = smart().with_observer(progress.clone());
    let executor = watched.executor(plan.clone(), BTreeMap::new()).unwrap();
    assert_eq!((progress.snapshot().phase, progress.snapshot().items), (Phase::Answering, 2_000));
    block_on(executor.execute(stream::iter(0..2_000_u64)).count());
    let report = executor.finish().unwrap();
    let end = progress.snapshot();
    assert_eq!((end.phase, end.answered, end.spent), (Phase::Finished, 2_000, report.cost()));
    assert!(end.to_string().starts_with("finished 2000 of 2000 items, "), "{end}");

    let audited = watched.with_audit(Audit::new(0.1).unwrap());
    let executor = audited.apply(&plan, None).unwrap();
    block_on(executor.execute(stream::iter(0..700_u64)).count());
    let words = progress.snapshot().to_string();
    assert!(words.starts_with("answering 700 items of a stream, "), "{words}");
    assert!(!words.contains("forecast"), "{words}");
    let report = executor.finish().unwrap();
    assert_eq!(progress.snapshot().phase, Phase::Finished);
    let words = report.to_string();
    let planned = "Planned    without a forecast: nobody knows how long the stream is";
    assert!(words.lines().any(|line| line == planned), "{words}");
    assert!(words.contains("an item (the reference: $0.0100)"), "{words}");
}

#[test]
fn every_event_of_an_executor_lies_between_started_and_finished() {
    let plan = profiled(&smart()).profile.plan().unwrap();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = seen.clone();
    let watched = smart().with_observer(move |event: &Event<'_>| {
        let word = match event {
            Event::Started { items, .. } => format!("started {items}"),
            Event::Planned { .. } => "planned".to_owned(),
            Event::Finished { report } => format!("finished {}", report.delivered.items()),
            _ => return,
        };
        told.lock().unwrap().push(word);
    });
    let executor = watched.executor(plan, BTreeMap::new()).unwrap();
    block_on(executor.execute(stream::iter(0..50_u64)).count());
    executor.finish().unwrap();
    assert_eq!(*seen.lock().unwrap(), ["started 2000", "planned", "finished 50"]);
}

#[test]
fn a_forecast_knows_what_is_asked_for_and_what_is_unknown() {
    let tokens = |name: &str, usd: f64| {
        Model::new(name, Simulated::candidate(name, 0.97, 7))
            .with_pricing(Pricing::per_million(usd, 3.0 * usd).unwrap())
    };
    let run = |settings: &ProfileSettings| {
        let roster = Roster::new(tokens("large", 10.0), [tokens("small", 0.3)]).unwrap();
        let target = Target::new(0.92, 0.95).unwrap();
        Smart::new(roster, Exact, target).with_settings(settings.clone())
    };
    let (item, usd) = (Usage::tokens(400, 20), |usd| Cost::from_usd(usd).unwrap());
    let plain = ProfileSettings::default();
    let error = run(&plain).forecast(5_000, Usage::default()).unwrap_err();
    assert!(matches!(error, SettingsError::UnknownUsage { .. }));
    let words = "the prices of `large` need token counts, but its expected usage gives none";
    assert_eq!(error.to_string(), words);

    let least = run(&plain).forecast(5_000, item).unwrap();
    let alone = least.reference_cost;
    assert!(least.cost < usd(17.0) && alone == usd(23.0), "{least}");
    // A sum to be spent is spent: one larger than the least, up to what the reference alone costs.
    let best = |usd: f64| {
        let within = Cost::from_usd(usd).unwrap();
        let settings = plain.clone().with_objective(Objective::BestAgreement { within });
        run(&settings).forecast(5_000, item).unwrap()
    };
    let twenty = best(20.0);
    assert!(twenty.low < twenty.cost && twenty.cost <= usd(20.0) && usd(20.0) < twenty.high);
    assert_eq!(best(0.01).cost, least.cost);
    assert_eq!(best(50.0).cost, alone);
    // A cap is a cap.
    let capped = run(&plain).with_budget(Budget::new(usd(0.5))).forecast(5_000, item).unwrap();
    assert_eq!((capped.cost, capped.high), (usd(0.5), usd(0.5)));

    // However good the guess, a look at few items may be unlucky.
    for guess in [0.5, 0.9, 0.99, 1.0] {
        let sure = plain.clone().with_prior("small", guess);
        let forecast = run(&sure).forecast(5_000, item).unwrap();
        assert!(forecast.low <= forecast.cost && forecast.cost < forecast.high, "{forecast}");
    }
}

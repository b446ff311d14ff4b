//! What was considered, what it came to, and the same in figures.

use super::*;

/// Two candidates that give scores, the second better and dearer: relays are among the chains considered.
fn scored(budget: Option<Cost>) -> Report {
    let model = |name: &str, agreement, usd| {
        let backend = Simulated::candidate(name, agreement, 3).with_confidence(0.8);
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let large = Model::new("large", Simulated::reference(3));
    let large = large.with_pricing(Pricing::per_request(0.01).unwrap());
    let roster = Roster::new(large, [model("small", 0.8, 0.0003), model("medium", 0.88, 0.0012)]);
    let run = Smart::new(roster.unwrap(), Exact, Target::new(0.95, 0.95).unwrap());
    let run = match budget {
        Some(budget) => run.with_budget(budget),
        None => run,
    };
    let items = counted(4_000);
    futures::executor::block_on(run.run(&items)).unwrap().report
}

#[test]
fn the_table_of_what_was_considered_explains_the_choice() {
    for budget in [None, Some(Cost::from_usd(9.0).unwrap())] {
        let report = scored(budget);
        let considered = &report.plan.considered;
        assert!(considered.len() > 3, "{report}");
        let names: std::collections::BTreeSet<&str> =
            considered.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), considered.len(), "no two rows are worded alike\n{report}");
        let chosen = considered.iter().find(|row| row.chosen).expect("a policy is certified");
        assert_eq!(chosen.name, report.plan.policy.describe(&report.plan.roster));
        let share = |outcome: &str| {
            let (before, _) = outcome.split_once(" % of the reference's cost")?;
            before.rsplit(' ').next()?.parse::<f64>().ok()
        };
        let best = share(&chosen.outcome).expect("what was expected of the one chosen");
        assert!(chosen.outcome.starts_with("chosen, expected at "), "{}", chosen.outcome);
        let mut shares = Vec::new();
        for row in considered.iter().filter(|row| !row.chosen) {
            assert!(row.outcome.contains("not tested: "), "{}", row.outcome);
            if let Some(share) = share(&row.outcome) {
                assert!(share >= best && row.cost_per_item.is_some(), "{report}");
                shares.push(share);
            }
        }
        shares.dedup();
        assert!(shares.len() > 1, "a cap makes no two chains alike\n{report}");
        let line = format!(" * {}, {}: chosen", chosen.name, chosen.cost_per_item.unwrap());
        assert!(report.to_string().contains(&line), "{report}");
    }
}

#[test]
fn a_plan_on_other_items_is_set_against_what_the_reference_costs_for_those() {
    let large = Model::new("large", Simulated::reference(7));
    let small = Model::new("small", Simulated::candidate("small", 0.97, 7));
    let roster = Roster::new(
        large.with_pricing(Pricing::per_request(0.01).unwrap()),
        [small.with_pricing(Pricing::per_request(0.0005).unwrap())],
    );
    let run = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    let run = run.with_audit(Audit::new(0.1).unwrap());
    let items = counted(2_000);
    futures::executor::block_on(async {
        let plan = run.profile(&items).await.unwrap().profile.plan().unwrap();
        for known in [Some(500), None] {
            let executor = run.apply(&plan, known).unwrap();
            executor.execute(futures::stream::iter(0..500)).count().await;
            let report = executor.report();
            let five = Cost::from_usd(5.0).unwrap();
            assert_eq!(report.delivered.answered(), 500);
            assert_eq!(report.reference_cost, if known.is_some() { five } else { Cost::ZERO });
            // Of a stream the items so far are a share of nobody knows how many.
            assert_eq!(report.reference_cost_of_answered(), five, "{report}");
            assert!((1.0..20.0).contains(&report.saving()), "{report}");
        }
    });
}

/// Two candidates without scores: only whether they agree tells a right answer from a wrong one.
#[test]
fn a_consensus_that_asks_nobody_says_so() {
    let hash = |a: u64, b: u64| {
        let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
        for _ in 0..3 {
            x ^= x >> 31;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 29;
        }
        (x >> 11) as f64 / (1_u64 << 53) as f64
    };
    let model = |name: &str, salt: u64, fails: f64, usd: f64| {
        let backend = from_fn(move |item: &u64| {
            let luck = hash(*item, salt + 9);
            let kind = 1 + [0.25, 0.5, 0.75].iter().filter(|part| luck >= **part).count();
            let answer = if hash(*item, salt) < fails { kind } else { 0 };
            async move { Ok(Completion::new(answer).with_usage(Usage::default())) }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let consensus = ProfileSettings::default().with_families(Families::Consensus);
    let items = counted(5_000);
    let mut seen = [false; 2];
    for seed in 0..8 {
        let cheap = [model("small", 6, 0.1, 0.0005), model("tiny", 4, 0.2, 0.0001)];
        let roster = Roster::new(model("large", 5, 0.0, 0.01), cheap);
        let run = Smart::new(roster.unwrap(), Exact, Target::new(0.92, 0.95).unwrap());
        let run = run.with_seed(seed).with_settings(consensus.clone());
        let outcome = futures::executor::block_on(run.run(&items)).unwrap();
        let plan = &outcome.report.plan;
        let words = plan.policy.describe(&plan.roster);
        let kept = outcome.answers.iter().filter(|answer| answer.reason == Reason::Accepted);
        let alone = kept.filter(|answer| answer.asked.len() == 1).count() as f64;
        let rest = (5_000 - plan.asked) as f64;
        match words.split_once(" % of the items by coin, else where ") {
            Some((before, second)) => {
                let share: f64 = before.rsplit(' ').next().unwrap().parse().unwrap();
                assert!((alone / rest - share / 100.0).abs() < 0.03, "{words}: {alone} of {rest}");
                assert!(second.ends_with(" agrees"), "{words}");
                seen[0] = true;
            }
            None if words.contains("agrees") => {
                assert!(alone == 0.0, "{words}: {alone} of {rest}");
                seen[1] = true;
            }
            None => {}
        }
    }
    assert!(seen[0], "no seed keeps answers without asking the second");
}

#[test]
fn where_nothing_ever_cost_anything_nothing_is_planned() {
    let dead = |name: &str, usd: f64| {
        let refuses = from_fn(|_: &u64| async {
            Err::<Completion<u32>, _>(BackendError::from_status(401, None, "no key"))
        });
        Model::new(name, refuses).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(dead("large", 0.01), [dead("small", 0.0001)]).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items = counted(500);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    assert_eq!((report.cost(), report.plan.forecast.is_known()), (Cost::ZERO, false));
    let said = report.to_string();
    let reason = "nothing is known of what the reference costs";
    says(&said, &format!("Planned    without a forecast: {reason}"));
    says(&said, "Spent      $0.00, and no item was answered");
}

/// Says the same of everything, but fails on every tenth item.
struct Moody;

#[async_trait]
impl Equivalence<u64, u32> for Moody {
    async fn compare(&self, item: &u64, a: &u32, b: &u32) -> Result<EqualOrNot, BackendError> {
        if item.is_multiple_of(10) {
            return Err(BackendError::refused("maybe"));
        }
        Ok(EqualOrNot::new(a == b))
    }
}

#[test]
fn failures_that_are_the_judges_are_told_apart() {
    let model = |name: &str, usd| {
        let answer = from_fn(|_: &u64| async { Ok(Completion::new(1)) });
        Model::new(name, answer).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let report = |agreement| {
        let roster = Roster::new(model("large", 0.01), [model("small", 0.0005)]).unwrap();
        let run = Smart::new(roster, Moody, Target::new(agreement, 0.95).unwrap());
        let items = counted(2_000);
        futures::executor::block_on(run.run(&items)).unwrap().report
    };
    let lax = report(0.8);
    let certificate = lax.plan.certificate.as_ref().expect("nine in ten agree");
    assert!(certificate.failures > 0, "{lax}");
    assert_eq!(certificate.unjudged, certificate.failures, "{lax}");
    let count = certificate.failures;
    assert!(
        lax.to_string().contains(&format!("({count} of them comparisons that failed), at most"))
    );
    let json = serde_json::to_string(&lax).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), lax);
}

#[test]
fn the_summary_says_what_the_report_comes_to() {
    let report = simulated(0.97, 2_000, |run| run);
    let json = serde_json::to_value(&report).unwrap();
    let summary = &json["summary"];
    assert_eq!(summary["cost"], report.cost().as_usd());
    assert_eq!((&summary["reference_cost"], &summary["items"]), (&20.0.into(), &2_000.into()));
    assert_eq!(summary["saving"], report.saving());
    assert_eq!(summary["models"][1]["name"], "small");
    assert_eq!(summary["unit"], "USD, or the unit of the prices");
    assert_eq!(serde_json::from_value::<Report>(json.clone()).unwrap(), report);
    // It is worked out, and not believed; and nothing that is unknown is let in beside it.
    let mut other = json.clone();
    other["summary"]["cost"] = 1e6.into();
    assert_eq!(serde_json::from_value::<Report>(other).unwrap(), report);
    let mut strange = json;
    strange["sumary"] = 1.into();
    assert!(serde_json::from_value::<Report>(strange).is_err());
}

#[test]
fn names_are_set_by_their_characters() {
    let model = |name: &str, usd| {
        let answer = from_fn(|_: &u64| async { Ok(Completion::new(1)) });
        Model::new(name, answer).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = Roster::new(model("großes Modell", 0.01), [model("小", 0.0005)]).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items = counted(300);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report.to_string();
    let table = report.lines().skip_while(|line| !line.starts_with("model ")).take(3);
    let widths: Vec<usize> = table.map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{report}");
    assert!(report.contains("\nmodel            answers"), "{report}");
}

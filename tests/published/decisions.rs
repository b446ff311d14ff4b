//! Every decision of the released code on recorded outcomes of its own simulation, against ours.

use serde_json::Value;
use smart_core::published::expected::Forecast;
use smart_core::published::outcome::{Cause, ModelTally, Status};
use smart_core::published::{
    Agreements, Column, Demand, ItemCosts, Method, Options, Outcome, OutcomeMatrix, run,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MODELS: [(&str, f64); 5] = [
    ("babbage-002", 0.4),
    ("gpt-3.5-turbo-1106", 1.0),
    ("gpt-3.5-turbo-instruct", 1.5),
    ("davinci-002", 2.0),
    ("gpt-4", 30.0),
];

const METHODS: [Method; 4] =
    [Method::AllReference, Method::ProfileAll, Method::ProfileSmart, Method::ModelMix];

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a count")).expect("a small count")
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(read).collect()
}

fn golden() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../data/published/decisions.json"))?)
}

fn bits(value: &Value, items: usize) -> Result<Agreements> {
    let Some(hex) = value.as_str() else {
        return Ok(Agreements::all(items));
    };
    let bytes = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16))
        .collect::<std::result::Result<Vec<u8>, _>>()?;
    Ok(Agreements::from_le_bytes(&bytes, items))
}

fn matrix(record: &Value) -> Result<OutcomeMatrix> {
    let items = count(&record["items"]);
    let mut columns = Vec::new();
    for (at, (name, price)) in MODELS.into_iter().enumerate() {
        let cost = count(&record["costs"][at]) as u64;
        columns.push(Column::new(
            name,
            price,
            ItemCosts::same(cost),
            bits(&record["bits"][at], items)?,
        ));
    }
    Ok(OutcomeMatrix::new(columns, "gpt-4")?)
}

/// Runs `check` on every case with its matrix.
fn cases(mut check: impl FnMut(&Value, &OutcomeMatrix) -> Result) -> Result<usize> {
    let golden = golden()?;
    let matrices = list(&golden["matrices"], |record| {
        ((record["setting"].clone(), record["seed"].clone()), matrix(record).expect("a matrix"))
    });
    let cases = golden["cases"].as_array().expect("cases");
    for case in cases {
        let key = (case["setting"].clone(), case["seed"].clone());
        let (_, matrix) = matrices.iter().find(|(other, _)| *other == key).expect("its matrix");
        check(case, matrix)?;
    }
    Ok(cases.len())
}

fn demand(case: &Value) -> Result<Demand> {
    Ok(Demand::new(number(&case["delta"]), number(&case["confidence"]))?)
}

fn close(got: f64, want: f64, relative: f64) -> bool {
    (got - want).abs() <= relative * want.abs()
}

fn usd(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

#[test]
fn every_decision() -> Result {
    let mut runs = 0;
    let cases = cases(|case, matrix| {
        let demand = demand(case)?;
        let options = Options::new(demand).with_forecasts(true);
        for (method, want) in METHODS.into_iter().zip(case["methods"].as_array().expect("methods"))
        {
            let got = run(matrix, method, &options);
            let which =
                format!("{} {} {} {method:?}", case["setting"], case["seed"], case["delta"]);
            assert!(close(usd(got.cost), number(&want["cost"]), 1e-9), "{which}: {}", got.cost);
            assert_eq!(got.failures, count(&want["failures"]), "{which}");
            assert_eq!(got.meets(demand), want["meets"].as_bool().expect("a verdict"), "{which}");
            let answered: Vec<usize> = got.models.iter().map(ModelTally::answered).collect();
            assert_eq!(answered, list(&want["answered"], count), "{which}");
            if method != Method::AllReference {
                profile(&got, want, &which);
            }
            mix(&got, want, &which);
            // Deciding without recording decides the same.
            let quick = run(matrix, method, &Options::new(demand));
            assert_eq!((&quick.models, &quick.events), (&got.models, &got.events), "{which}");
            runs += 1;
        }
        Ok(())
    })?;
    assert_eq!((cases, runs), (36, 144));
    Ok(())
}

/// What the profile saw and decided.
fn profile(got: &Outcome, want: &Value, which: &str) {
    assert!(close(usd(got.profile_cost), number(&want["profile_cost"]), 1e-9), "{which}");
    assert_eq!(got.profiled, count(&want["profiled"]), "{which}");
    assert_eq!(got.smallest, count(&want["smallest"]), "{which}");
    let word = |status| match status {
        Status::Unknown => "unknown",
        Status::Invalid => "invalid",
        Status::Satisfied => "satisfied",
    };
    let events: Vec<Value> = got
        .events
        .iter()
        .map(|event| {
            let cause = match event.cause {
                Cause::Interval => "ci",
                Cause::ExpectedCost => "expected",
            };
            serde_json::json!([event.profiled, event.model, word(event.status), cause])
        })
        .collect();
    assert_eq!(Value::from(events), want["events"], "{which}");
    for (at, model) in got.models.iter().enumerate() {
        assert_eq!(word(model.status), want["status"][at], "{which}");
        assert_eq!(model.profiled, count(&want["profiled_items"][at]), "{which}");
        assert_eq!(model.agreed, count(&want["agreed"][at]), "{which}");
        if !want["assigned"].is_null() {
            assert_eq!(model.assigned, count(&want["assigned"][at]), "{which}");
        }
    }
    if !want["forecasts"].is_null() {
        forecasts(&got.forecasts, &want["forecasts"], which);
    }
}

/// The least expected cost and its horizon at every look.
fn forecasts(got: &[Forecast], want: &Value, which: &str) {
    let want = want.as_array().expect("forecasts");
    assert_eq!(got.len(), want.len(), "{which}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.profiled, 100 + 10 * at, "{which}");
        assert!(close(got.stopping * 1e-9, number(&want[2]), 1e-9), "{which}: {got:?} {want}");
        match (got.best, want[0].as_f64()) {
            (Some((horizon, cost)), Some(least)) => {
                assert!(close(cost * 1e-9, least, 1e-7), "{which}: {got:?} {want}");
                assert_eq!(horizon, count(&want[1]), "{which}: {got:?} {want}");
            }
            (got, want) => assert_eq!((got, want), (None, None), "{which}"),
        }
    }
}

/// The shares of the mix, and what they were computed from.
fn mix(got: &Outcome, want: &Value, which: &str) {
    let want = &want["mix"];
    let Some(mix) = &got.mix else {
        assert!(want.is_null(), "{which}");
        return;
    };
    assert!((mix.target - number(&want["target"])).abs() < 1e-13, "{which}: {mix:?}");
    assert!(close(mix.cost * 1e-9, number(&want["cost"]), 1e-9), "{which}: {mix:?}");
    for (at, (share, level)) in mix.shares.iter().zip(&mix.levels).enumerate() {
        assert!((share - number(&want["shares"][at])).abs() < 1e-9, "{which}: {mix:?}");
        // Levels are decided where two models share the items; see the tests of the formulas.
        if *share > 0.0 && *share < 1.0 {
            assert!(
                (level.confidence - number(&want["levels"][at][0])).abs() < 1e-12,
                "{which}: {mix:?}"
            );
            assert!(
                (level.agreement - number(&want["levels"][at][1])).abs() < 1e-12,
                "{which}: {mix:?}"
            );
        }
    }
}

//! The published algorithm's formulas against values from the untouched released code.

use serde_json::Value;
use smart_core::published::expected::{Contender, Forecaster, Situation};
use smart_core::published::interval::{clopper_pearson, further_agreements, least_satisfying};
use smart_core::published::mix::{Ingredient, best_mix, remaining_target, split};
use smart_core::published::{Demand, Repairs};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn golden(section: &str) -> Result<Vec<Value>> {
    let mut all: Value = serde_json::from_str(include_str!("../data/published/math.json"))?;
    Ok(serde_json::from_value(all[section].take())?)
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a count")).expect("a small count")
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(read).collect()
}

fn demand(case: &Value) -> Result<Demand> {
    Ok(Demand::new(number(&case["delta"]), number(&case["confidence"]))?)
}

fn close(got: f64, want: f64, relative: f64) -> bool {
    (got - want).abs() <= relative * want.abs()
}

#[test]
fn intervals() -> Result {
    for case in golden("interval")? {
        let (k, n, confidence) = (count(&case[0]), count(&case[1]), number(&case[2]));
        let interval = clopper_pearson(k, n, confidence);
        assert!(close(interval.low, number(&case[3]), 1e-12), "{case}: {interval:?}");
        // The released code asks for the quantile of 1 - alpha/2, which rounds away part of a small alpha.
        assert!(
            (interval.high - case[4].as_f64().unwrap_or(1.0)).abs() < 1e-13,
            "{case}: {interval:?}"
        );
    }
    Ok(())
}

#[test]
fn thresholds() -> Result {
    for case in golden("threshold")? {
        let (agreed, trials) = (count(&case[0]), count(&case[1]));
        let demand = Demand::new(number(&case[2]), number(&case[3]))?;
        assert_eq!(
            further_agreements(agreed, agreed, trials - agreed, demand),
            count(&case[4]),
            "{case}"
        );
        let least = least_satisfying(trials, demand);
        assert!(least > trials || clopper_pearson(least, trials, 0.95).low >= demand.agreement());
        assert!(least == 0 || clopper_pearson(least - 1, trials, 0.95).low < demand.agreement());
    }
    Ok(())
}

#[test]
fn probabilities() -> Result {
    let mut worst: f64 = 0.0;
    for case in golden("probability")? {
        let (agreed, profiled, horizon) = (count(&case[0]), count(&case[1]), count(&case[2]));
        let demand = Demand::new(number(&case[3]), number(&case[4]))?;
        assert_eq!(
            further_agreements(agreed, profiled, horizon, demand),
            count(&case[5]),
            "{case}"
        );
        let mut forecaster = Forecaster::new(demand, Repairs::NONE);
        let got = forecaster.success_probability(agreed, profiled, horizon.ilog2());
        match (got, case[6].as_f64()) {
            (Some(got), Some(want)) => {
                worst = worst.max((got - want).abs());
            }
            (got, want) => assert_eq!((got, want), (None, None), "{case}"),
        }
    }
    assert!(worst < 1e-7, "{worst:e}");
    Ok(())
}

#[test]
fn expected_costs() -> Result {
    for section in ["expected", "forecast"] {
        for case in golden(section)? {
            let contenders = list(&case["contenders"], |contender| Contender {
                agreed: count(&contender[0]),
                unit_cost: number(&contender[1]),
            });
            let situation = Situation {
                contenders: &contenders,
                reference_cost: number(&case["reference_cost"]),
                satisfied_cost: number(&case["satisfied_cost"]),
                profiled: count(&case["profiled"]),
                items: count(&case["items"]),
            };
            let mut forecaster = Forecaster::new(demand(&case)?, Repairs::NONE);
            let total = number(&case["total"]);
            let horizon = count(&case["horizon"]);
            if section == "expected" {
                let got = forecaster.expected_cost(&situation, horizon.ilog2()).expect("a number");
                assert!(close(got.profiling, number(&case["profiling"]), 1e-14), "{case}: {got:?}");
                assert!(close(got.applying, number(&case["applying"]), 1e-8), "{case}: {got:?}");
                assert!(close(got.total(), total, 1e-8), "{case}: {got:?}");
            } else {
                let got = forecaster.forecast(&situation);
                let (best, cost) = got.best.expect("a number");
                assert_eq!(best, horizon, "{case}");
                assert!(close(cost, total, 1e-8), "{case}: {got:?}");
                assert!(close(got.stopping, number(&case["stopping"]), 1e-14), "{case}: {got:?}");
                assert_eq!(
                    got.is_pruned(),
                    case["pruned"].as_bool().expect("a decision"),
                    "{case}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn mixes() -> Result {
    // Prices of a prompt and a completion token, in USD.
    let prices = [(0.4e-6, 0.4e-6), (1e-6, 2e-6), (1.5e-6, 2e-6), (2e-6, 2e-6), (30e-6, 60e-6)];
    for case in golden("mix")? {
        let (profiled, items) = (count(&case["profiled"]), count(&case["items"]));
        let rest = (items - profiled) as f64;
        let models = case["models"].as_array().expect("models");
        let ingredients: Vec<Ingredient> = models
            .iter()
            .zip(prices)
            .map(|(model, (prompt, completion))| Ingredient {
                answered: count(&model[0]),
                agreed: count(&model[1]),
                cost: Some(
                    (number(&model[2]) * prompt + number(&model[3]) * completion) / profiled as f64
                        * rest,
                ),
            })
            .collect();
        let demand = demand(&case)?;
        let target = remaining_target(profiled, items, demand);
        assert!((target - number(&case["target"])).abs() < 1e-14, "{case}: {target}");
        let mix = best_mix(&ingredients, 4, target, demand.confidence()).expect("a mix");
        for (got, want) in mix.shares.iter().zip(list(&case["shares"], number)) {
            assert!((got - want).abs() < 1e-9, "{case}: {mix:?}");
        }
        assert!(close(mix.cost, number(&case["cost"]), 1e-9), "{case}: {mix:?}");
        // Where one model takes everything, many choices of levels cost the same, and the released code
        // takes the one its solver's rounding makes cheapest. Where two share, their levels are decided.
        for ((got, share), want) in mix
            .levels
            .iter()
            .zip(&mix.shares)
            .zip(list(&case["levels"], |level| list(level, number)))
        {
            if *share > 0.0 && *share < 1.0 {
                assert!((got.confidence - want[0]).abs() < 1e-12, "{case}: {mix:?}");
                assert!((got.agreement - want[1]).abs() < 1e-12, "{case}: {mix:?}");
            }
        }
        assert_eq!(split(items - profiled, &mix.shares)?, list(&case["parts"], count), "{case}");
    }
    Ok(())
}

#[test]
fn splits() -> Result {
    for case in golden("split")? {
        assert_eq!(
            split(count(&case[0]), &list(&case[1], number))?,
            list(&case[2], count),
            "{case}"
        );
    }
    assert!(split(3, &[0.0, 0.0]).is_err());
    assert!(split(3, &[0.5, -0.5]).is_err());
    Ok(())
}

//! The certificates against numbers and enumerations made by other means.
//!
//! `data/certificate.json` was made by an independent prototype in Python (exact rational arithmetic
//! for the enumerations, item-by-item dynamic programmes for the designs), `data/certificate_tails.json`
//! by Python's `fractions` and `math.comb`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use smart_core::stats::{
    Boundary, Design, EProcess, Looks, Probability, hypergeometric_cdf, p_value, single_look_limit,
};

fn golden() -> Value {
    serde_json::from_str(include_str!("../data/certificate.json")).unwrap()
}

fn probability(x: f64) -> Probability {
    Probability::new(x).unwrap()
}

/// splitmix64: named, portable, and enough for a simulation of a hundred thousand draws.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// P(certified although more than F would be delivered), item by item with the plain transition
/// probabilities of sampling without replacement: no windows, no transforms.
fn naive_error(boundary: &Boundary, n: u64, allowance: u64, failing: u64) -> f64 {
    let size = usize::try_from(failing).unwrap() + 1;
    let mut alive = vec![0.0_f64; size];
    alive[0] = 1.0;
    let mut error = 0.0;
    for k in 1..=n {
        for f in (0..size).rev() {
            let left = (n - k + 1) as f64;
            let p = |f: usize| (failing as f64 - f as f64) / left;
            let stay = alive[f] * (1.0 - p(f)).max(0.0);
            alive[f] = if f > 0 { stay + alive[f - 1] * p(f - 1) } else { stay };
        }
        if !boundary.looks().as_slice().contains(&k) {
            continue;
        }
        for (f, mass) in (0_u64..).zip(alive.iter_mut()) {
            if boundary.certifies(k, f) && failing - f > allowance {
                error += *mass;
                *mass = 0.0;
            }
        }
    }
    error
}

#[test]
fn tails_match_exact_rational_arithmetic() {
    for row in golden()["hyper_cdf"].as_array().unwrap() {
        let count = |name: &str| row[name].as_u64().unwrap();
        let got = hypergeometric_cdf(count("N"), count("w"), count("k"), count("f")).unwrap();
        // `cdf` is scipy's, good to ten digits; `mine` the prototype's.
        let want = row["cdf"].as_f64().unwrap();
        assert!((got / want - 1.0).abs() < 2e-10, "{row}: {got}");
    }
    let rows: Value = serde_json::from_str(include_str!("../data/certificate_tails.json")).unwrap();
    for row in rows.as_array().unwrap() {
        let [n, w, k, f] = [0, 1, 2, 3].map(|i| row[i].as_u64().unwrap());
        let got = hypergeometric_cdf(n, w, k, f).unwrap();
        let want = row[4].as_f64().unwrap();
        assert!((got / want - 1.0).abs() < 1e-11, "{row}: {got}");
    }
}

#[test]
fn p_values_are_probabilities_and_grow_with_failures() {
    for (n, allowance) in
        [(1, 0), (10, 0), (14, 3), (100, 99), (1_000, 50), (1_000_000_000, 50_000_000)]
    {
        let design = Design::finite(n, allowance).unwrap();
        for k in [0, 1, 5, 13, 90, 500, n - 1, n, n + 5] {
            let mut last = 0.0;
            for f in 0..40 {
                let p = p_value(design, k, f);
                assert!((0.0..=1.0).contains(&p), "{n} {allowance} {k} {f}: {p}");
                assert!(
                    p >= last - 1e-14 || k >= n - allowance,
                    "{n} {allowance} {k} {f}: {p} < {last}"
                );
                last = p;
            }
        }
    }
}

#[test]
fn one_look_limits_match() {
    for (name, n, allowance, k) in [
        ("onelook_50000_2500_800", 50_000, 2_500, 800),
        ("onelook_50000_1000_1600", 50_000, 1_000, 1_600),
        ("onelook_5574_278_300", 5_574, 278, 300),
    ] {
        let want = &golden()[name];
        let design = Design::finite(n, allowance).unwrap();
        let boundary = Boundary::single_look(design, probability(0.05), k).unwrap();
        assert_eq!(boundary.limit_at_look(0), want["b"].as_u64());
        assert!((boundary.error() / want["p"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn one_look_limits_are_the_largest_for_every_small_design() {
    for n in [1, 2, 7, 14, 40, 90] {
        for allowance in (0..n).step_by(3) {
            let design = Design::finite(n, allowance).unwrap();
            for alpha in [0.001, 0.05, 0.4, 0.95] {
                for k in 0..n - allowance {
                    let want = (0..=k).rev().find(|&f| p_value(design, k, f) <= alpha);
                    let got = single_look_limit(design, k, probability(alpha));
                    assert_eq!(got, want, "N {n} F {allowance} k {k} alpha {alpha}");
                }
            }
        }
    }
}

#[test]
fn all_subsets_of_fourteen_items() {
    // The golden boundary was made at level 0.25 over all looks; take its limits as they are.
    let golden = &golden()["bruteforce_N14_F3_c0.25"];
    let limits: Vec<Option<u64>> =
        golden["b"].as_array().unwrap().iter().map(Value::as_u64).collect();
    let design = Design::finite(14, 3).unwrap();
    for (k, want) in (0_u64..).zip(&limits).take(11) {
        assert_eq!(single_look_limit(design, k, probability(0.25)), *want, "k = {k}");
    }
    // All arrangements of W failing items among 14 ranks, for every W.
    let mut wrong = [0_u32; 15];
    let mut total = [0_u32; 15];
    for ranks in 0_u32..1 << 14 {
        let failing = ranks.count_ones();
        let index = usize::try_from(failing).unwrap();
        total[index] += 1;
        wrong[index] += u32::from((1..=10_u32).any(|k| {
            let seen = (ranks & ((1 << k) - 1)).count_ones();
            let limit = limits[usize::try_from(k).unwrap()];
            limit.is_some_and(|b| u64::from(seen) <= b) && failing - seen > 3
        }));
    }
    for row in golden["W_errFirstCross_errAny_DP"].as_array().unwrap() {
        let failing = row[0].as_u64().unwrap();
        let index = usize::try_from(failing).unwrap();
        let exact = f64::from(wrong[index]) / f64::from(total[index]);
        assert!((exact - row[3].as_f64().unwrap()).abs() < 1e-12);
    }
}

#[test]
fn all_orders_of_eight_items_in_a_chain() {
    // The calibrated boundary of every small chain, against all 8! orders.
    let mut orders = vec![vec![]];
    for _ in 0..8 {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<u64>| {
                (0..8)
                    .filter(|x| !order.contains(x))
                    .map(|x| [order.clone(), vec![x]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    for (allowance, alpha) in [(0, 0.4), (1, 0.4), (2, 0.35), (2, 0.6), (4, 0.3)] {
        let design = Design::finite(8, allowance).unwrap();
        let looks = Looks::explicit(design, (1..8 - allowance).collect()).unwrap();
        let boundary = Boundary::chain(design, probability(alpha), &looks).unwrap();
        // ranks[i] is the rank of the i-th failing item in chain order.
        let wrong = orders
            .iter()
            .filter(|ranks| {
                looks.as_slice().iter().zip(boundary.limits()).any(|(&k, limit)| {
                    limit.is_some_and(|b| {
                        let listed = usize::try_from(allowance + 1 + b).unwrap();
                        listed <= 8
                            && ranks[..listed].iter().filter(|&&rank| rank < k).count() as u64 <= b
                    })
                })
            })
            .count();
        let exact = wrong as f64 / orders.len() as f64;
        assert!(exact <= alpha);
        assert!(
            (boundary.error() - exact).abs() < 1e-6,
            "{allowance} {alpha}: {} {exact}",
            boundary.error()
        );
    }
}

#[test]
fn the_error_is_within_alpha_for_every_number_of_failing_items() {
    let mut worst = 0.0_f64;
    for (n, allowance) in [
        (12, 0),
        (14, 3),
        (20, 1),
        (33, 16),
        (40, 2),
        (57, 5),
        (80, 4),
        (100, 1),
        (120, 24),
        (200, 10),
        (300, 3),
    ] {
        for alpha in [0.01, 0.05, 0.2, 0.5] {
            let design = Design::finite(n, allowance).unwrap();
            let dense = Boundary::single_policy(design, probability(alpha)).unwrap();
            // Every item a look: the hardest schedule.
            let looks = Looks::explicit(design, (1..n - allowance).collect()).unwrap();
            let every = Boundary::single_policy_at(design, probability(alpha), &looks).unwrap();
            for boundary in [dense, every] {
                for failing in allowance + 1..=n {
                    let error = naive_error(&boundary, n, allowance, failing);
                    assert!(
                        error <= boundary.error() + 1e-12,
                        "N {n} F {allowance} alpha {alpha} W {failing}: {error}"
                    );
                    let got = boundary.error_at(failing).unwrap();
                    assert!((got - error).abs() < 1e-5 * alpha, "{got} {error}");
                    worst = worst.max(error / alpha);
                }
            }
        }
    }
    assert!(worst > 0.97 && worst <= 0.995, "the level is used: {worst}");
}

#[test]
fn every_population_of_a_thousand_holds_and_the_prototype_agrees() {
    let boundary =
        Boundary::single_policy(Design::finite(1_000, 50).unwrap(), probability(0.05)).unwrap();
    for failing in 51..=1_000 {
        let error = boundary.error_at(failing).unwrap();
        assert!(error <= boundary.error(), "{failing}: {error}");
    }
    for (name, n, allowance, alpha) in [
        ("design_1000_0.05_0.05", 1_000, 50, 0.05),
        ("design_5574_0.05_0.05", 5_574, 278, 0.05),
        ("design_50000_0.05_0.05", 50_000, 2_500, 0.05),
        ("design_50000_0.02_0.025", 50_000, 1_000, 0.025),
    ] {
        let golden = &golden()[name];
        let boundary =
            Boundary::single_policy(Design::finite(n, allowance).unwrap(), probability(alpha))
                .unwrap();
        let want = golden["c"].as_f64().unwrap();
        assert!(
            (boundary.level() / want - 1.0).abs() < 0.015,
            "{name}: {} {want}",
            boundary.level()
        );
        for pair in golden["first_looks"].as_array().unwrap() {
            let (k, b) = (pair[0].as_u64().unwrap(), pair[1].as_u64());
            assert!(boundary.is_look(k), "{name}: {k}");
            let got = boundary.carried(k).map_or(-1, u64::cast_signed);
            assert!((got - b.map_or(-1, u64::cast_signed)).abs() <= 1, "{name} at {k}");
        }
        for pair in golden["late"].as_array().unwrap() {
            let (k, b) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
            assert!(
                boundary.is_look(k) || boundary.is_look(k + 1) || boundary.is_look(k - 1),
                "{name}: {k}"
            );
            let got = boundary.carried(k + 1).unwrap();
            assert!(got.abs_diff(b) <= 1 + b / 200, "{name} at {k}: {got} {b}");
        }
    }
}

#[test]
fn the_table_of_levels_in_the_design() {
    for (n, row) in [
        (1_000, [0.0332, 0.0230, 0.0172]),
        (10_000, [0.0202, 0.0138, 0.0100]),
        (100_000, [0.0117, 0.0081, 0.0065]),
    ] {
        for (per_cent, want) in [1, 5, 20].into_iter().zip(row) {
            let design = Design::finite(n, n * per_cent / 100).unwrap();
            let boundary = Boundary::single_policy(design, probability(0.05)).unwrap();
            let got = boundary.level();
            assert!((got / want - 1.0).abs() < 0.03, "N {n} delta {per_cent} %: {got} {want}");
        }
    }
}

/// Simulated orders, drawn item by item; judged by an exact binomial bound.
#[test]
fn simulated_orders_break_the_promise_no_more_often_than_promised() {
    const RUNS: u64 = 20_000;
    let (n, allowance) = (2_000, 100);
    let design = Design::finite(n, allowance).unwrap();
    let single = Boundary::single_policy(design, probability(0.05)).unwrap();
    let worst = (allowance + 1..allowance + 120)
        .max_by(|a, b| single.error_at(*a).unwrap().total_cmp(&single.error_at(*b).unwrap()))
        .unwrap();
    let mut random = SplitMix(0x5EED);
    let mut misses = 0_u64;
    for _ in 0..RUNS {
        let mut failures = 0;
        for k in 1..=n - allowance {
            failures += u64::from(random.below(n - k + 1) < worst - failures);
            if worst - failures <= allowance {
                break;
            }
            if single.certifies(k, failures) {
                misses += 1;
                break;
            }
        }
    }
    let rate = smart_core::stats::two_sided_rate(RUNS, misses, probability(1e-4)).unwrap();
    let exact = single.error_at(worst).unwrap();
    assert!(rate.0 <= exact && exact <= rate.1, "{misses} misses of {RUNS}, exact {exact}");
    // And the promise itself: no evidence against "at most 5 %".
    assert!(rate.0 <= 0.05);
}

#[test]
fn the_boundary_of_a_stream_holds_at_its_rate() {
    let (delta, alpha) = (probability(0.1), probability(0.1));
    let looks = Looks::schedule_until(Design::unbounded(delta), alpha, 400);
    let boundary = Boundary::single_policy_at(Design::unbounded(delta), alpha, &looks).unwrap();
    // Item by item with independent failures.
    let error = |rate: f64| {
        let mut alive = vec![0.0_f64; 402];
        alive[0] = 1.0;
        let mut error = 0.0;
        for k in 1..=400 {
            for f in (0..=400).rev() {
                let stay = alive[f] * (1.0 - rate);
                alive[f] = if f > 0 { stay + alive[f - 1] * rate } else { stay };
            }
            for (f, mass) in (0_u64..).zip(alive.iter_mut()) {
                if f <= k && boundary.certifies(k, f) {
                    error += *mass;
                    *mass = 0.0;
                }
            }
        }
        error
    };
    assert!((error(0.1) - boundary.error()).abs() < 1e-6);
    assert!(error(0.11) < error(0.1) && boundary.error() <= 0.1 && boundary.error() > 0.09);
}

#[test]
fn nothing_panics_on_the_edges() {
    for n in 1..30 {
        for allowance in 0..n {
            let design = Design::finite(n, allowance).unwrap();
            for alpha in [1e-12, 0.3, 0.999] {
                let alpha = probability(alpha);
                let single = Boundary::single_policy(design, alpha).unwrap();
                assert!(single.certifies(n - allowance, 0) && single.error() <= alpha.get());
                assert!(!single.certifies(5, 6));
                let looks = Looks::sparse(design, alpha, 1.2).unwrap();
                let chain = Boundary::chain(design, alpha, &looks).unwrap();
                assert!(chain.next_look(0).is_some() && chain.next_look(n).is_none());
                assert!(chain.carried(0).is_none() || n == allowance);
                let mut process = EProcess::new(design);
                for _ in 0..2 * n {
                    process.push(true);
                    assert!(!process.log_evidence().is_nan());
                }
            }
        }
    }
    let huge = Design::finite(1_000_000_000, 0).unwrap();
    assert!(Boundary::single_policy(huge, probability(0.05)).is_ok());
}

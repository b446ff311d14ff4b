//! What a chain would cost at each tolerated failure rate, estimated from a few items.

use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Mark, Till};

/// Cost per item against failure rate, piecewise linear between the thresholds that the items
/// distinguish: just above the first failing item, just above the second, and so on.
///
/// With `n` items the threshold just above the `j`-th failing one has a failure rate of about
/// `(j - 1/2) / (n + 1)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CostCurve {
    /// Failure rate and cost in nano-units, rates increasing.
    points: Vec<(f64, f64)>,
}

impl CostCurve {
    pub(super) fn new(chain: &Chain, items: &[(&ItemEvidence, u64)], till: &Till<'_>) -> Self {
        let mut failing: Vec<Mark> = items
            .iter()
            .filter_map(|(item, coin)| chain.trial(item, *coin))
            .filter(|trial| trial.fails)
            .map(|trial| trial.mark)
            .collect();
        failing.sort_by(|a, b| b.cmp(a));
        let count = items.len().max(1) as f64;
        let cost = |threshold: &Mark| {
            items.iter().map(|(i, c)| till.walk(chain, threshold, i, *c)).sum::<f64>() / count
        };
        let rate = |position: usize| (position as f64 + 0.5) / (count + 1.0);
        let mut points = vec![(0.0, cost(&Mark::HIGHEST))];
        let above = failing.iter().enumerate();
        points.extend(above.map(|(j, mark)| (rate(j), cost(&mark.just_above()))));
        points.push((rate(failing.len()), cost(&Mark::LOWEST)));
        // A stricter policy is certified along with a more liberal one: never pay for less.
        let mut cheapest = f64::INFINITY;
        for (_, cost) in &mut points {
            cheapest = cheapest.min(*cost);
            *cost = cheapest;
        }
        Self { points }
    }

    /// The cost per item at a tolerated failure rate.
    pub(super) fn at(&self, rate: f64) -> f64 {
        let after = self.points.partition_point(|(r, _)| *r <= rate);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some((r0, c0)), Some((r1, c1))) => c0 + (c1 - c0) * (rate - r0) / (r1 - r0),
            (Some((_, cost)), None) | (None, Some((_, cost))) => *cost,
            (None, None) => 0.0,
        }
    }
}

//! Boundaries worked out before: calibration takes up to seconds, and a run over many seeds, or a
//! plan made anew, asks for the same one again.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::stats::{Boundary, BoundaryKind, Design, Looks, Population, Probability, StatsError};

/// How many boundaries are kept; a dense one of a large population holds some thousand looks.
const KEPT: usize = 64;

static FOUND: Mutex<VecDeque<Boundary>> = Mutex::new(VecDeque::new());

/// The boundary of one policy over dense looks, remembered.
///
/// The looks end where there is little left to save, at three fifths of a small population or of a
/// strict target, earlier else: the calibration of looks near the end is slow and may fail. What is
/// not looked at cannot certify, so leaving looks out is always valid.
pub(super) fn single_policy(design: Design, alpha: Probability) -> Result<Boundary, StatsError> {
    let population = match design.population() {
        Population::Finite(population) => population as f64,
        Population::Unbounded => return Boundary::single_policy(design, alpha),
    };
    let until = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let looks = Looks::schedule_until(design, alpha, (population * share) as u64);
        let slice = looks.as_slice().to_vec();
        let same = move |b: &Boundary| is(b, BoundaryKind::SinglePolicy, design, alpha, &slice);
        remembered(same, || Boundary::single_policy_at(design, alpha, &looks))
    };
    let large = population >= 4_000.0;
    let share = if large { (0.04 / design.rate().max(1e-9)).clamp(0.2, 0.6) } else { 0.6 };
    let boundary = until(share)?;
    if boundary.level() > 0.0 { Ok(boundary) } else { until(0.2) }
}

/// [`Boundary::chain`] over these looks, remembered.
pub(super) fn chain(
    design: Design,
    alpha: Probability,
    looks: &[u64],
) -> Result<Boundary, StatsError> {
    let same = |b: &Boundary| is(b, BoundaryKind::Chain, design, alpha, looks);
    remembered(same, || Boundary::chain(design, alpha, &Looks::explicit(design, looks.to_vec())?))
}

fn is(b: &Boundary, kind: BoundaryKind, design: Design, alpha: Probability, looks: &[u64]) -> bool {
    b.kind() == kind && b.design() == design && b.alpha() == alpha && b.looks().as_slice() == looks
}

fn remembered(
    same: impl Fn(&Boundary) -> bool,
    make: impl FnOnce() -> Result<Boundary, StatsError>,
) -> Result<Boundary, StatsError> {
    // Should another thread have panicked, the boundaries it stored are complete all the same.
    let known = || FOUND.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(boundary) = known().iter().find(|b| same(b)) {
        return Ok(boundary.clone());
    }
    let boundary = make()?;
    let mut found = known();
    if found.len() >= KEPT {
        found.pop_front();
    }
    found.push_back(boundary.clone());
    Ok(boundary)
}

//! Boundaries worked out before: calibration takes up to seconds, and a run over many seeds, or a
//! plan made anew, asks for the same one again.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::stats::{Boundary, BoundaryKind, Design, Looks, Probability, StatsError};

/// How many boundaries are kept; a dense one of a large population holds some thousand looks.
const KEPT: usize = 64;

static FOUND: Mutex<VecDeque<Boundary>> = Mutex::new(VecDeque::new());

/// [`Boundary::single_policy`], a pure function, remembered.
pub(super) fn single_policy(design: Design, alpha: Probability) -> Result<Boundary, StatsError> {
    single_policy_at(design, alpha, Looks::schedule(design, alpha).as_slice())
}

/// [`Boundary::single_policy_at`] these looks, remembered.
pub(super) fn single_policy_at(
    design: Design,
    alpha: Probability,
    looks: &[u64],
) -> Result<Boundary, StatsError> {
    let same = |b: &Boundary| is(b, BoundaryKind::SinglePolicy, design, alpha, looks);
    let looks = || Looks::explicit(design, looks.to_vec());
    remembered(same, || Boundary::single_policy_at(design, alpha, &looks()?))
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

//! A cache of calibrated boundaries.
//!
//! A calibration takes 3 ms at `N = 100,000` and some 0.2 s at `10^9`, and the same one is needed again and
//! again: planning reruns the profiler over stored evidence, and a simulation runs a thousand seeds of one
//! design. So the process keeps the last few. This global state is harmless, because a boundary is a pure
//! function of its key and the whole key is compared: a hit changes nothing but time. A cache inside the
//! machine would have to be passed on to every profile, plan and replay, and could not be stored with them.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::locks::lock;
use crate::stats::{Boundary, BoundaryKind, Design, Looks, Probability, StatsError};

/// How many boundaries are kept; a dense one for a large population has about a thousand looks.
const KEPT: usize = 64;

static FOUND: Mutex<VecDeque<Boundary>> = Mutex::new(VecDeque::new());

/// [`Boundary::single_policy`], from the cache if possible.
pub(super) fn single_policy(design: Design, alpha: Probability) -> Result<Boundary, StatsError> {
    single_policy_at(design, alpha, Looks::schedule(design, alpha).as_slice())
}

/// [`Boundary::single_policy_at`] these looks, from the cache if possible.
pub(super) fn single_policy_at(
    design: Design,
    alpha: Probability,
    looks: &[u64],
) -> Result<Boundary, StatsError> {
    let same = |b: &Boundary| is(b, BoundaryKind::SinglePolicy, design, alpha, looks);
    let looks = || Looks::explicit(design, looks.to_vec());
    remembered(same, || Boundary::single_policy_at(design, alpha, &looks()?))
}

/// [`Boundary::chain`] over these looks, from the cache if possible.
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
    // Boundaries are stored whole, so they are usable even if another thread panicked.
    let known = || lock(&FOUND);
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

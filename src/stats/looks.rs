//! When evidence is judged: looks fixed in advance from the design alone.
//!
//! Every look costs some of the level, and every missing look delays a certificate. So one policy has a dense
//! schedule and a chain a sparse one. A [`Boundary`](super::Boundary) is calibrated over the whole schedule.

use serde::{Deserialize, Serialize};

use super::{Design, Population, Probability, StatsError, last_true, p_value};

/// The dense schedule begins here and grows by 5 %: `20 / 1.05^14`, so that it passes through 20.
const FIRST: f64 = 10.101_359_078_969_36;
const GROWTH: f64 = 0.05;
/// No step of the dense schedule exceeds this part of the population.
const FINEST_PART: f64 = 256.0;
/// The default end of a stream's schedule.
const STREAM_END: u64 = 100_000;
/// The end of a sparse schedule: nobody profiles more for a chain, and calibration time grows with the
/// last look.
const SPARSE_END: u64 = 2_000_000;

/// The sample sizes at which a boundary may certify, strictly increasing.
///
/// They must not depend on the data. Whether to *go on* between looks may depend on anything.
///
/// # Example
/// ```
/// use smart_core::stats::{Design, Looks, Probability};
/// let looks = Looks::schedule(Design::finite(50_000, 2_500)?, Probability::new(0.05)?);
/// assert_eq!(&looks.as_slice()[..3], &[59, 61, 65]);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Looks(Vec<u64>);

impl From<Looks> for Vec<u64> {
    fn from(looks: Looks) -> Self {
        looks.0
    }
}

/// Checks what holds for looks of every design, since the design is not known here.
impl TryFrom<Vec<u64>> for Looks {
    type Error = StatsError;
    fn try_from(looks: Vec<u64>) -> Result<Self, StatsError> {
        Self::below(super::MAX_POPULATION + 1, looks)
    }
}

impl Looks {
    /// The dense schedule for one policy.
    ///
    /// It starts at the first look at which a flawless sample could certify at level `alpha`. Steps are
    /// 5 % of `k`, never more than `N / 256`, up to `N - F - 1` (from `N - F` on everything certifies).
    /// For a stream, steps are 5 % up to 100,000 items. The schedule may be empty: a population too
    /// small for any test certifies at `N - F` alone.
    pub fn schedule(design: Design, alpha: Probability) -> Self {
        Self::schedule_until(design, alpha, u64::MAX)
    }

    /// As [`Looks::schedule`], but with no look after `last` items.
    ///
    /// For a stream `last` replaces the default end of 100,000, and `u64::MAX` stands for that default.
    pub fn schedule_until(design: Design, alpha: Probability, last: u64) -> Self {
        let (last, widest) = match design.population() {
            Population::Finite(n) => (last.min(design.exhausted_at() - 1), n as f64 / FINEST_PART),
            Population::Unbounded if last == u64::MAX => (STREAM_END, f64::INFINITY),
            Population::Unbounded => (last.min(super::MAX_POPULATION), f64::INFINITY),
        };
        let first = if last < 20 { 1.0 } else { FIRST };
        Self::grown(design, alpha, first, last, |at| (GROWTH * at).min(widest))
    }

    /// A sparse schedule for chains, where every look costs level.
    ///
    /// Each look is `ratio` times the last, up to about `N / 10` and at most two million (for a stream:
    /// 100,000).
    ///
    /// # Errors
    /// [`StatsError::Ratio`] unless `1 < ratio <= 100`; 1.2 to 1.3 is sensible.
    pub fn sparse(design: Design, alpha: Probability, ratio: f64) -> Result<Self, StatsError> {
        if !(ratio > 1.0 && ratio <= 100.0) {
            return Err(StatsError::Ratio(ratio));
        }
        let last = match design.population() {
            Population::Finite(n) => (n / 10).min(design.exhausted_at() - 1).min(SPARSE_END),
            Population::Unbounded => STREAM_END,
        };
        let first = first_affordable(design, alpha, last) as f64;
        Ok(Self::grown(design, alpha, first, last, |at| (ratio - 1.0) * at))
    }

    /// Looks chosen by the caller without knowledge of the data.
    ///
    /// # Errors
    /// [`StatsError::Looks`] unless they are positive, strictly increasing and below `N - F` (for a
    /// stream: at most [`super::MAX_POPULATION`]).
    pub fn explicit(design: Design, looks: Vec<u64>) -> Result<Self, StatsError> {
        Self::below(design.exhausted_at().min(super::MAX_POPULATION + 1), looks)
    }

    fn below(limit: u64, looks: Vec<u64>) -> Result<Self, StatsError> {
        let mut previous = 0;
        for &look in &looks {
            if look <= previous || look >= limit {
                return Err(StatsError::Looks { look, limit });
            }
            previous = look;
        }
        Ok(Self(looks))
    }

    /// The looks, in increasing order.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// How many looks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no look at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn grown(
        design: Design,
        alpha: Probability,
        first: f64,
        last: u64,
        step: impl Fn(f64) -> f64,
    ) -> Self {
        let mut looks = Vec::new();
        let (mut at, mut previous, mut affordable) = (first.max(1.0), 0, false);
        loop {
            let look = rounded(at);
            if look > last {
                break;
            }
            // Once a flawless sample certifies, every larger flawless sample does.
            affordable = affordable || p_value(design, look, 0) <= alpha.get();
            if look > previous && affordable {
                looks.push(look);
                previous = look;
            }
            at += step(at).max(1e-3);
        }
        Self(looks)
    }
}

/// The least `k` with `p(k, 0) <= alpha`, or `last + 1` if there is none up to `last`.
fn first_affordable(design: Design, alpha: Probability, last: u64) -> u64 {
    let too_few = |draws| p_value(design, draws, 0) > alpha.get();
    last_true(0, last.saturating_add(1), too_few) + 1
}

/// To the nearest whole number, halves up.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "looks are positive and far below 2^53"
)]
fn rounded(at: f64) -> u64 {
    (at + 0.5).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alpha() -> Probability {
        Probability::new(0.05).unwrap()
    }

    #[test]
    fn dense_steps_are_five_per_cent_then_a_256th() {
        let looks = Looks::schedule(Design::finite(50_000, 2_500).unwrap(), alpha());
        let looks = looks.as_slice();
        for want in [95, 100, 105, 110, 116, 122, 128, 134, 141, 148] {
            assert!(looks.contains(&want), "{want}");
        }
        for pair in looks.windows(2) {
            assert!(pair[1] > pair[0] && pair[1] - pair[0] <= 196);
        }
        let last = *looks.last().unwrap();
        assert!(last < 47_500 && last > 47_300);
    }

    #[test]
    fn a_stream_ends_somewhere() {
        let stream = Design::unbounded(alpha());
        assert!(*Looks::schedule(stream, alpha()).as_slice().last().unwrap() <= 100_000);
        assert!(*Looks::schedule_until(stream, alpha(), 500).as_slice().last().unwrap() <= 500);
    }

    #[test]
    fn sparse_looks_start_where_a_flawless_sample_certifies() {
        let design = Design::finite(50_000, 2_500).unwrap();
        let looks = Looks::sparse(design, alpha(), 1.25).unwrap();
        assert_eq!(looks.as_slice()[0], 59);
        assert!(looks.len() < 30);
        assert!(Looks::sparse(design, alpha(), 1.0).is_err());
        assert!(Looks::sparse(design, alpha(), f64::NAN).is_err());
    }

    #[test]
    fn stored_looks_are_checked() {
        use serde::de::IntoDeserializer as _;
        use serde::de::value::{Error, SeqDeserializer};
        let read = |looks: &[u64]| {
            let stored: SeqDeserializer<_, Error> = looks.to_vec().into_deserializer();
            Looks::deserialize(stored)
        };
        assert_eq!(read(&[3, 7, 20]).unwrap().as_slice(), [3, 7, 20]);
        for bad in [&[0][..], &[3, 3], &[7, 3], &[u64::MAX]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn explicit_looks_are_checked() {
        let design = Design::finite(100, 5).unwrap();
        assert!(Looks::explicit(design, vec![10, 10]).is_err());
        assert!(Looks::explicit(design, vec![0]).is_err());
        assert!(Looks::explicit(design, vec![95]).is_err());
        assert!(Looks::explicit(design, vec![40, 94]).is_ok());
    }

    #[test]
    fn tiny_populations_do_not_panic() {
        for n in 1..40 {
            for f in 0..n {
                let looks = Looks::schedule(Design::finite(n, f).unwrap(), alpha());
                assert!(looks.as_slice().iter().all(|&k| k < n - f));
            }
        }
    }
}

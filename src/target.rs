//! What the caller asks for: an agreement target and a confidence.
//!
//! A [`Target`] fixes the two numbers of the promise, and with the population the allowance `F` that
//! every test and report uses. Shares are integers inside, so the allowance is exact.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Billionths in a whole; integer shares make `floor(delta N)` exact.
const WHOLE: u64 = 1_000_000_000;

/// A target that is not a probability strictly between 0 and 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The agreement target is out of range.
    #[error("agreement target must lie in (0, 1), got {0}{hint}", hint = agreement_hint(*.0))]
    Agreement(f64),
    /// The confidence is out of range.
    #[error("confidence must lie in (0, 1), got {0}{hint}", hint = share_hint(*.0))]
    Confidence(f64),
}

/// What a share that was given in per cent should have been; nothing for other numbers.
pub(crate) fn share_hint(got: f64) -> String {
    if !(2.0..100.0).contains(&got) {
        return String::new();
    }
    let share = format!("{:.9}", got / 100.0);
    format!(" ({} for {got} %)", share.trim_end_matches('0'))
}

/// The same for an agreement; and if that is to be complete, who gives it.
fn agreement_hint(got: f64) -> String {
    if got.total_cmp(&1.0).is_eq() {
        return " (if no answer may differ, the reference has to give them all)".to_owned();
    }
    share_hint(got)
}

/// A share strictly between 0 and 1, stored in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Share(u64);

impl Share {
    /// A share rounded to a billionth; `None` unless the result lies strictly between 0 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    pub fn new(share: f64) -> Option<Self> {
        if !(share > 0.0 && share < 1.0) {
            return None;
        }
        Self::from_billionths((share * WHOLE as f64).round() as u64)
    }

    /// A share that is promised, and therefore rounded up to a billionth.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    fn at_least(share: f64) -> Option<Self> {
        if !(share > 0.0 && share < 1.0) {
            return None;
        }
        let parts = share * WHOLE as f64;
        // The rounding error of a binary fraction, times a billion, stays below a ten-millionth.
        Self::from_billionths((parts - 1e-3).ceil() as u64)
    }

    /// A share in billionths; `None` unless strictly between nothing and the whole.
    pub const fn from_billionths(parts: u64) -> Option<Self> {
        if parts == 0 || parts >= WHOLE { None } else { Some(Self(parts)) }
    }

    /// The share in billionths.
    pub const fn billionths(self) -> u64 {
        self.0
    }

    /// The share as a number.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / WHOLE as f64
    }

    /// One minus the share, as a number.
    pub fn complement(self) -> f64 {
        (WHOLE - self.0) as f64 / WHOLE as f64
    }
}

impl TryFrom<u64> for Share {
    type Error = String;
    fn try_from(parts: u64) -> Result<Self, String> {
        Self::from_billionths(parts)
            .ok_or_else(|| format!("a share of {parts} billionths is not strictly between 0 and 1"))
    }
}

impl From<Share> for u64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.as_f64() * 100.0;
        let text = format!("{percent:.4}");
        write!(f, "{} %", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The promise asked for: at least `agreement` of the delivered answers are equivalent to the
/// reference's, with probability at least `confidence`.
///
/// ```
/// use smart_core::Target;
/// let target = Target::new(0.95, 0.95)?;
/// assert_eq!(target.allowance(50_000), 2_500);
/// assert!(Target::new(1.2, 0.95).is_err());
/// # Ok::<(), smart_core::TargetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    agreement: Share,
    confidence: Share,
}

impl Target {
    /// An agreement target `1 - delta` and a confidence `1 - alpha`, both in `(0, 1)`, rounded up to a
    /// billionth.
    ///
    /// # Errors
    /// [`TargetError`] if either is not strictly between 0 and 1, before or after rounding (NaN included).
    pub fn new(agreement: f64, confidence: f64) -> Result<Self, TargetError> {
        Ok(Self {
            agreement: Share::at_least(agreement).ok_or(TargetError::Agreement(agreement))?,
            confidence: Share::at_least(confidence).ok_or(TargetError::Confidence(confidence))?,
        })
    }

    /// The same confidence, with an agreement at which `allowance` of `population` answers may fail.
    ///
    /// `None` if that agreement does not lie strictly between 0 and 1.
    #[allow(clippy::cast_possible_truncation, reason = "at most a whole")]
    pub(crate) fn with_allowance(self, allowance: u64, population: u64) -> Option<Self> {
        let parts = u128::from(allowance) * u128::from(WHOLE);
        let delta = parts.div_ceil(u128::from(population.max(1))).min(u128::from(WHOLE)) as u64;
        let agreement = Share::from_billionths(WHOLE - delta)?;
        Some(Self { agreement, ..self })
    }

    /// The agreement asked for, `1 - delta`.
    pub const fn agreement(self) -> Share {
        self.agreement
    }

    /// The confidence asked for, `1 - alpha`.
    pub const fn confidence(self) -> Share {
        self.confidence
    }

    /// The tolerated share of failures, `delta`.
    pub fn delta(self) -> f64 {
        self.agreement.complement()
    }

    /// The tolerated probability that the promise is broken, `alpha`.
    pub fn alpha(self) -> f64 {
        self.confidence.complement()
    }

    /// The allowance `F = floor(delta N)`: how many of `population` answers may fail, computed exactly.
    #[allow(clippy::cast_possible_truncation, reason = "at most `population`")]
    pub fn allowance(self, population: u64) -> u64 {
        let delta = u128::from(WHOLE - self.agreement.0);
        (u128::from(population) * delta / u128::from(WHOLE)) as u64
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at least {} agreement with {} confidence", self.agreement, self.confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_makes_the_target_it_comes_from() {
        let target = Target::new(0.9, 0.95).unwrap();
        for population in [7, 300, 1_816, 127_600, 999_999_937] {
            for allowance in [1, 2, population / 100, population / 10] {
                let made = target.with_allowance(allowance.max(1), population).unwrap();
                assert_eq!(made.allowance(population), allowance.max(1));
                assert_eq!(made.confidence(), target.confidence());
            }
        }
        assert_eq!(target.with_allowance(0, 100), None);
    }

    #[test]
    fn out_of_range_is_an_error_that_explains() {
        for bad in [0.0, 1.0, -0.1, 1.2, f64::NAN, f64::INFINITY] {
            assert!(Target::new(bad, 0.95).is_err(), "{bad}");
            assert!(Target::new(0.95, bad).is_err(), "{bad}");
        }
        let said = Target::new(1.2, 0.95).unwrap_err().to_string();
        assert_eq!(said, "agreement target must lie in (0, 1), got 1.2");
        let said = Target::new(1.0, 0.9).unwrap_err().to_string();
        assert!(
            said.ends_with("got 1 (if no answer may differ, the reference has to give them all)")
        );
    }

    #[test]
    fn the_allowance_is_exact_where_floats_are_not() {
        // 1 - 0.9 is below 0.1 in binary: a float product would give 99.
        assert_eq!(Target::new(0.9, 0.95).unwrap().allowance(1_000), 100);
        assert_eq!(Target::new(0.95, 0.95).unwrap().allowance(5_574), 278);
        assert_eq!(Target::new(0.95, 0.95).unwrap().allowance(19), 0);
    }

    #[test]
    fn no_less_is_promised_than_was_asked_for() {
        let target = |agreement, confidence| Target::new(agreement, confidence);
        let asked = target(0.950_000_000_1, 0.999_999_998_2).unwrap();
        assert_eq!(asked.agreement().billionths(), 950_000_001);
        assert_eq!(asked.confidence().billionths(), 999_999_999);
        assert!(target(0.95, 0.999_999_999_4).is_err(), "more than a share can say");
        for thousandth in 1..1000_u32 {
            let share = f64::from(thousandth) / 1000.0;
            let read = target(share, share).unwrap();
            assert_eq!(read.agreement().billionths(), u64::from(thousandth) * 1_000_000);
        }
    }

    #[test]
    fn shares_read_back() {
        let target = Target::new(0.935, 0.99).unwrap();
        let text = serde_json::to_string(&target).unwrap();
        assert_eq!(text, r#"{"agreement":935000000,"confidence":990000000}"#);
        assert_eq!(serde_json::from_str::<Target>(&text).unwrap(), target);
        assert!(serde_json::from_str::<Target>(r#"{"agreement":0,"confidence":1}"#).is_err());
        assert_eq!(target.to_string(), "at least 93.5 % agreement with 99 % confidence");
    }
}

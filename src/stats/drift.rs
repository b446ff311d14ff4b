//! An alarm for drift during audited execution: a Shiryaev–Roberts e-detector.
//!
//! It raises the question of a new profile; it is no part of any certificate.

use serde::{Deserialize, Serialize};

use super::{Probability, StatsError};

/// The alternatives tested for, as multiples of the tolerated rate's odds.
const ODDS: [f64; 4] = [1.5, 2.0, 4.0, 8.0];

/// Watches audited answers and raises an alarm when they fail more often than tolerated.
///
/// ```text
/// R_t = mean over alternatives p1 of R_t(p1),   R_t(p1) = (1 + R_{t-1}(p1)) L_t(p1),   R_0 = 0,
/// L_t = p1 / p0 after a failure,  (1 - p1) / (1 - p0) after a success
/// ```
///
/// Here `p0` is the tolerated failure rate, and the alternatives have 1.5, 2, 4 and 8 times its odds. As
/// long as the failure rate, given whatever came before, is at most `p0`, the mean run to a false alarm
/// at `R_t >= threshold` is at least `threshold` audits (Shin, Ramdas and Rinaldo 2024, "E-detectors",
/// theorem 2.4; Shiryaev 1963, Roberts 1966). A run is counted in audits, not items.
///
/// # Example
/// ```
/// use smart_core::stats::{DriftDetector, Probability};
/// let mut detector = DriftDetector::new(Probability::new(0.05)?, 10_000.0)?;
/// for _ in 0..1_000 {
///     detector.push(false);
/// }
/// assert!(!detector.is_alarmed());
/// for _ in 0..20 {
///     detector.push(true);
/// }
/// assert!(detector.is_alarmed());
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "DetectorWire")]
pub struct DriftDetector {
    tolerated: Probability,
    #[serde(with = "crate::exact")]
    threshold: f64,
    #[serde(with = "crate::exact")]
    evidence: [f64; ODDS.len()],
    audits: u64,
    alarmed: bool,
}

impl DriftDetector {
    /// A detector of failure rates above `tolerated`, with a mean run to a false alarm of at least
    /// `mean_run` audits.
    ///
    /// # Errors
    /// [`StatsError::MeanRun`] unless `mean_run` is finite and above 1.
    pub fn new(tolerated: Probability, mean_run: f64) -> Result<Self, StatsError> {
        if !(mean_run > 1.0 && mean_run.is_finite()) {
            return Err(StatsError::MeanRun(mean_run));
        }
        Ok(Self {
            tolerated,
            threshold: mean_run,
            evidence: [0.0; ODDS.len()],
            audits: 0,
            alarmed: false,
        })
    }

    /// Takes in one audit; returns whether the alarm stands.
    pub fn push(&mut self, failed: bool) -> bool {
        let p0 = self.tolerated.get();
        for (evidence, odds) in self.evidence.iter_mut().zip(ODDS) {
            // p1 / p0 = odds / (1 + p0 (odds - 1)); a success multiplies by that over `odds`.
            let success = 1.0 / (1.0 + p0 * (odds - 1.0));
            let factor = if failed { odds * success } else { success };
            *evidence = ((1.0 + *evidence) * factor).min(f64::MAX / 16.0);
        }
        self.audits = self.audits.saturating_add(1);
        self.alarmed |= self.evidence() >= self.threshold;
        self.alarmed
    }

    /// The detector's value `R_t`, to compare with the tolerated mean run.
    pub fn evidence(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / ODDS.len() as f64
    }

    /// Whether the threshold has ever been reached.
    pub fn is_alarmed(&self) -> bool {
        self.alarmed
    }

    /// Audits taken in.
    pub fn audits(&self) -> u64 {
        self.audits
    }

    /// The tolerated failure rate.
    pub fn tolerated(&self) -> Probability {
        self.tolerated
    }

    /// Starts again, for instance after a new profile.
    pub fn reset(&mut self) {
        self.evidence = [0.0; ODDS.len()];
        self.audits = 0;
        self.alarmed = false;
    }
}

#[derive(Deserialize)]
struct DetectorWire {
    tolerated: Probability,
    #[serde(with = "crate::exact")]
    threshold: f64,
    #[serde(with = "crate::exact")]
    evidence: [f64; ODDS.len()],
    audits: u64,
    alarmed: bool,
}

impl TryFrom<DetectorWire> for DriftDetector {
    type Error = StatsError;
    fn try_from(wire: DetectorWire) -> Result<Self, StatsError> {
        let DetectorWire { tolerated, threshold, evidence, audits, alarmed } = wire;
        if !evidence.iter().all(|x| *x >= 0.0 && x.is_finite()) {
            return Err(StatsError::Inconsistent("the evidence for drift must be nonnegative"));
        }
        Ok(Self { evidence, audits, alarmed, ..Self::new(tolerated, threshold)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_is_an_e_value() {
        for p0 in [0.001, 0.05, 0.5, 0.99] {
            let start = DriftDetector::new(Probability::new(p0).unwrap(), 100.0).unwrap();
            let (mut good, mut bad) = (start.clone(), start);
            good.push(false);
            bad.push(true);
            let mean = p0 * bad.evidence() + (1.0 - p0) * good.evidence();
            assert!((mean - 1.0).abs() < 1e-12);
            assert!(bad.evidence() > 1.0 && good.evidence() < 1.0);
        }
    }

    #[test]
    fn false_alarms_are_rare_and_drift_is_seen() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut runs = 0_u64;
        for _ in 0..200 {
            let mut detector = DriftDetector::new(Probability::new(0.1).unwrap(), 500.0).unwrap();
            while !detector.push(uniform() < 0.1) {}
            runs += detector.audits();
        }
        // The mean is at least 500; runs are about exponential, so 200 of them average within 20 %.
        assert!(runs > 200 * 400, "{runs}");
        let mut detector = DriftDetector::new(Probability::new(0.1).unwrap(), 500.0).unwrap();
        while !detector.push(uniform() < 0.3) {}
        assert!(detector.audits() < 150);
    }

    #[test]
    fn bad_runs_are_refused_and_state_round_trips() {
        let p0 = Probability::new(0.1).unwrap();
        for bad in [0.0, 1.0, f64::NAN, f64::INFINITY] {
            assert!(DriftDetector::new(p0, bad).is_err());
        }
        let mut detector = DriftDetector::new(p0, 500.0).unwrap();
        detector.push(true);
        let text = serde_json::to_string(&detector).unwrap();
        assert_eq!(serde_json::from_str::<DriftDetector>(&text).unwrap(), detector);
    }
}

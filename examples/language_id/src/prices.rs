//! What a call costs: CPU time, measured before the run.
//!
//! The unit of currency is one second of CPU time, so the crate's integer nano-units are
//! nanoseconds. A classifier takes a time that grows with the text: a fee for each call and a price
//! for each byte, fitted to a calibration pass. They are measured once, so that within a run the
//! same calls always cost the same.

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ThreadTime;
use smart_core::{PriceError, Pricing};

use crate::classifiers::Classifier;

/// Texts timed together: a single one is too short for the clock.
const BATCH: usize = 25;
/// Batches of the calibration pass.
const BATCHES: usize = 80;
/// Passes; the fastest time of each batch counts, for the machine does other work too.
const PASSES: usize = 5;

/// What one classifier takes.
pub struct Speed {
    /// Nanoseconds for each call.
    pub per_call: f64,
    /// Nanoseconds for each byte of text.
    pub per_byte: f64,
}

impl Speed {
    /// Times a classifier over a sample of the texts.
    pub fn measure(classifier: &Classifier, texts: &[&str]) -> Self {
        let step = (texts.len() / (BATCH * BATCHES)).max(1);
        let mut sample: Vec<&str> = texts.iter().copied().step_by(step).collect();
        // By length, so that batches differ in their mean length and a line can be fitted.
        sample.sort_unstable_by_key(|text| text.len());
        let mut fastest = vec![f64::INFINITY; sample.chunks(BATCH).len()];
        for _ in 0..PASSES {
            for (fastest, batch) in fastest.iter_mut().zip(sample.chunks(BATCH)) {
                let clock = ThreadTime::now();
                for text in batch {
                    black_box(classifier.guess(black_box(text)));
                }
                *fastest = fastest.min(nanoseconds(clock.elapsed()) / batch.len() as f64);
            }
        }
        let mean_bytes = |batch: &[&str]| {
            batch.iter().map(|text| text.len() as f64).sum::<f64>() / batch.len() as f64
        };
        Self::fit(sample.chunks(BATCH).map(mean_bytes).zip(fastest).collect())
    }

    /// The least-squares line through (bytes, nanoseconds), without negative prices.
    fn fit(points: Vec<(f64, f64)>) -> Self {
        let count = points.len() as f64;
        let (bytes, time) =
            points.iter().fold((0.0, 0.0), |(b, t), point| (b + point.0, t + point.1));
        let (bytes, time) = (bytes / count, time / count);
        let (mut shared, mut spread) = (0.0, 0.0);
        for (b, t) in points {
            shared += (b - bytes) * (t - time);
            spread += (b - bytes) * (b - bytes);
        }
        let slope = if spread > 0.0 { (shared / spread).clamp(0.0, time / bytes) } else { 0.0 };
        Self { per_call: time - slope * bytes, per_byte: slope }
    }

    /// The same as a price list, in seconds of CPU time.
    pub fn pricing(&self) -> Result<Pricing, PriceError> {
        Pricing::per_million(self.per_byte * 1e-3, 0.0)?.with_request_fee(self.per_call * 1e-9)
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

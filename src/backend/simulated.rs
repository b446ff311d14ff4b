//! Models of known behaviour, for examples and tests: [`Simulated`].
//!
//! A promise about agreement can only be tried out where the true agreement is known. A simulated model's
//! answers, scores and latencies are all computed from a seed, so a test knows what the profiler should find.

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use statrs::function::erf::erf_inv;

use super::{BackendError, Completion, LlmBackend, Rating, Scoring};
use crate::order::{keyed, mix};
use crate::pricing::Usage;
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// The longest simulated call; it cuts off heavy tails.
const LONGEST: Duration = Duration::from_secs(3600);

// The purposes a hash is drawn for: one stream each, so that two properties of an item are independent.
const TRUTH: u64 = 1;
const RIGHT: u64 = 2;
const WRONG: u64 = 3;
const SHARED: u64 = 4;
const SCORE: u64 = 5;
const SPREAD: u64 = 6;
const LATENCY: u64 = 7;

/// How long the calls of a simulated model take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Latency {
    /// No time at all: the call is ready when first polled.
    #[default]
    None,
    /// Always the same.
    Constant(Duration),
    /// Log-normal: most calls near the median, some several times slower.
    LogNormal {
        /// The median.
        median: Duration,
        /// The standard deviation of the logarithm; 0.5 to 1 is usual.
        sigma: f64,
    },
    /// Pareto: never below `least`, with a tail as heavy as `1/t^shape`.
    Pareto {
        /// The shortest call.
        least: Duration,
        /// The tail's exponent; at 1 and below the mean is infinite.
        shape: f64,
    },
}

/// A model whose agreement with the reference is known because it was chosen.
///
/// Items are numbers and answers are labels `0..labels`. The reference answers every item's true label.
/// A candidate answers the same with probability `conformity`, and otherwise another label. Everything
/// is a keyed hash of seed, model name and item, so the same item always gets the same answer, no table
/// is kept, and a million items cost no memory. Models of one seed share the true labels. Probabilities
/// outside `[0, 1]` are clamped, and NaN counts as 0.
///
/// ```
/// use smart_core::backend::Simulated;
/// use smart_core::{LlmBackend, Usage};
///
/// # futures::executor::block_on(async {
/// let reference = Simulated::reference(7);
/// let small = Simulated::candidate("small", 0.95, 7)
///     .with_usage(Usage::tokens(300, 2))
///     .with_confidence(0.8);
/// let (right, answer) = (reference.complete(&42).await?, small.complete(&42).await?);
/// assert_eq!(answer.output == right.output, small.agrees(42));
/// # Ok::<(), smart_core::BackendError>(())
/// # })?;
/// # Ok::<(), smart_core::BackendError>(())
/// ```
#[derive(Clone)]
pub struct Simulated {
    name: String,
    seed: u64,
    /// The seed mixed with the name: the key of everything that differs between models.
    key: u64,
    conformity: f64,
    labels: u32,
    same_errors: bool,
    correlation: f64,
    /// How far apart the scores of right and wrong answers lie, in standard deviations.
    separation: Option<f64>,
    rating: Option<Usage>,
    usage: Option<Usage>,
    latency: Latency,
    slow_errors: u32,
    sleeper: SharedSleeper,
}

impl Simulated {
    /// The reference model, which is right by definition.
    pub fn reference(seed: u64) -> Self {
        Self::candidate("reference", 1.0, seed)
    }

    /// A model that agrees with the reference of the same seed on a share `conformity` of items.
    pub fn candidate(name: impl Into<String>, conformity: f64, seed: u64) -> Self {
        let name = name.into();
        let key = name.bytes().fold(mix(seed), |key, byte| keyed(key, u64::from(byte)));
        Self {
            name,
            seed,
            key,
            conformity: probability(conformity),
            labels: 10,
            same_errors: false,
            correlation: 0.0,
            separation: None,
            rating: None,
            usage: None,
            latency: Latency::None,
            slow_errors: 1,
            sleeper: shared(),
        }
    }

    /// Sets how many labels there are: 10 unless set, and at least 2. Give every model the same number.
    /// With two labels, models that are both wrong agree with each other.
    #[must_use]
    pub fn with_labels(mut self, labels: u32) -> Self {
        self.labels = labels.max(2);
        self
    }

    /// Makes every wrong answer the *same* wrong label, whichever model gives it: the worst case
    /// for a policy that trusts two models because they agree.
    #[must_use]
    pub const fn with_same_errors(mut self) -> Self {
        self.same_errors = true;
        self
    }

    /// Makes some items hard for every model: on a share `correlation` of the items all models toss one
    /// common coin. Between models of equal conformity, `correlation` is the correlation of their errors.
    #[must_use]
    pub fn with_error_correlation(mut self, correlation: f64) -> Self {
        self.correlation = probability(correlation);
        self
    }

    /// Adds a confidence score. Scores are normal, with a higher mean where the answer is right, so that
    /// a right answer scores above a wrong one with probability `auc`, in `[0.5, 0.9999]`.
    #[must_use]
    pub fn with_confidence(mut self, auc: f64) -> Self {
        // AUC = Phi(d / sqrt 2) for unit variances, so d = 2 erf_inv(2 AUC - 1).
        let auc = if auc >= 0.5 { auc.min(0.9999) } else { 0.5 };
        self.separation = Some(2.0 * erf_inv(2.0 * auc - 1.0));
        self
    }

    /// Gives the score in a second call with this usage, instead of with the answer.
    #[must_use]
    pub const fn with_second_call(mut self, usage: Usage) -> Self {
        self.rating = Some(usage);
        self
    }

    /// Sets what every answering call uses; unreported unless set.
    #[must_use]
    pub const fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Sets how long calls take.
    #[must_use]
    pub const fn with_latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Makes disagreeing answers this many times slower, as answers to hard items are.
    #[must_use]
    pub const fn with_slow_errors(mut self, factor: u32) -> Self {
        self.slow_errors = factor;
        self
    }

    /// Sets the sleeper on which calls take their time.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The item's true label: what the reference of this seed answers.
    pub fn truth(&self, item: u64) -> u32 {
        below(self.common(TRUTH, item), self.labels)
    }

    /// Whether this model answers the true label.
    pub fn agrees(&self, item: u64) -> bool {
        let shared = unit(self.common(SHARED, item)) < self.correlation;
        let coin = if shared { self.common(RIGHT, item) } else { self.own(RIGHT, item) };
        unit(coin) < self.conformity
    }

    /// What this model answers.
    pub fn answer(&self, item: u64) -> u32 {
        let truth = self.truth(item);
        if self.agrees(item) {
            return truth;
        }
        let others = self.labels - 1;
        let step = if self.same_errors { 0 } else { below(self.own(WRONG, item), others) };
        // `truth` and `1 + step` are both at most `others`: add them modulo the number of labels.
        if step < others - truth { truth + 1 + step } else { step - (others - truth) }
    }

    /// How long the call for an item takes.
    pub fn latency(&self, item: u64) -> Duration {
        let scaled = |base: Duration, by: f64| {
            let seconds = (base.as_secs_f64() * by).min(LONGEST.as_secs_f64());
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST)
        };
        let time = match self.latency {
            Latency::None => return Duration::ZERO,
            Latency::Constant(time) => time,
            Latency::LogNormal { median, sigma } => {
                scaled(median, (sigma * self.normal(LATENCY, item)).exp())
            }
            Latency::Pareto { least, shape } => {
                scaled(least, unit_above_zero(self.own(LATENCY, item)).powf(-1.0 / shape))
            }
        };
        let slower = if self.agrees(item) { 1 } else { self.slow_errors };
        time.saturating_mul(slower).min(LONGEST)
    }

    fn score(&self, item: u64) -> Option<f64> {
        let shift = if self.agrees(item) { self.separation? } else { 0.0 };
        self.separation.map(|_| shift + self.normal(SCORE, item))
    }

    async fn take_time(&self, item: u64) {
        if self.latency != Latency::None {
            self.sleeper.sleep(self.latency(item)).await;
        }
    }

    /// A hash of the item that all models of the seed share.
    const fn common(&self, purpose: u64, item: u64) -> u64 {
        keyed(mix(self.seed ^ mix(purpose)), item)
    }

    /// A hash of the item that is this model's own.
    const fn own(&self, purpose: u64, item: u64) -> u64 {
        keyed(self.key ^ mix(purpose), item)
    }

    /// A standard normal (Box and Muller 1958).
    fn normal(&self, purpose: u64, item: u64) -> f64 {
        let radius = (-2.0 * unit_above_zero(self.own(purpose, item)).ln()).sqrt();
        radius * (TAU * unit(self.own(purpose ^ mix(SPREAD), item))).cos()
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated")
            .field("name", &self.name)
            .field("seed", &self.seed)
            .field("conformity", &self.conformity)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LlmBackend<u64> for Simulated {
    type Output = u32;

    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        self.take_time(*item).await;
        let mut answer = Completion::new(self.answer(*item));
        answer.usage = self.usage;
        Ok(match self.score(*item) {
            Some(score) if self.rating.is_none() => answer.with_confidence(score),
            _ => answer,
        })
    }

    fn scoring(&self) -> Scoring {
        if self.rating.is_some() { Scoring::SecondCall } else { Scoring::WithAnswer }
    }

    async fn rate(&self, item: &u64, _output: &u32) -> Result<Rating, BackendError> {
        self.take_time(*item).await;
        let mut rating = self.score(*item).map_or_else(Rating::default, Rating::new);
        rating.usage = self.rating;
        Ok(rating)
    }
}

/// Clamps a probability to `[0, 1]`; NaN counts as 0.
fn probability(p: f64) -> f64 {
    if p >= 0.0 { p.min(1.0) } else { 0.0 }
}

/// Maps a hash to a number in `[0, 1)`, with 53 bits.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Maps a hash to a number in `(0, 1]`.
fn unit_above_zero(hash: u64) -> f64 {
    1.0 - unit(hash)
}

/// Scales a hash to `0..side`.
#[allow(clippy::cast_possible_truncation, reason = "the high half of a product below 2^64")]
const fn below(hash: u64, side: u32) -> u32 {
    (((hash >> 32) * side as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: u64 = 20_000;

    fn share(event: impl Fn(u64) -> bool) -> f64 {
        (0..ITEMS).filter(|item| event(*item)).count() as f64 / ITEMS as f64
    }

    #[test]
    fn conformity_is_what_was_asked_for() {
        // The standard error is at most 0.0036; the seeds are fixed.
        for (name, conformity) in [("a", 0.0), ("b", 0.3), ("c", 0.95), ("d", 1.0)] {
            let model = Simulated::candidate(name, conformity, 5);
            let reference = Simulated::reference(5);
            let seen = share(|item| model.answer(item) == reference.answer(item));
            assert!((seen - conformity).abs() < 0.012, "{name}: {seen}");
            assert!((0..ITEMS).all(|item| model.answer(item) < 10));
        }
    }

    #[test]
    fn errors_meet_or_part_as_told() {
        let pair = |make: fn(Simulated) -> Simulated| {
            let a = make(Simulated::candidate("a", 0.6, 1));
            let b = make(Simulated::candidate("b", 0.6, 1));
            let both = share(|i| !a.agrees(i) && !b.agrees(i));
            let same = share(|i| !a.agrees(i) && !b.agrees(i) && a.answer(i) == b.answer(i));
            (both, same / both)
        };
        let (both, same) = pair(|m| m);
        assert!((both - 0.16).abs() < 0.01 && (same - 1.0 / 9.0).abs() < 0.03, "{both} {same}");
        let (_, same) = pair(Simulated::with_same_errors);
        assert!((same - 1.0).abs() < 1e-12);
        let (_, same) = pair(|m| m.with_labels(2));
        assert!((same - 1.0).abs() < 1e-12);
        // Correlation 0.5 adds 0.5 * 0.6 * 0.4 to the product.
        let (both, _) = pair(|m| m.with_error_correlation(0.5));
        assert!((both - 0.28).abs() < 0.012, "{both}");
    }

    #[test]
    fn scores_are_as_informative_as_asked() {
        let model = Simulated::candidate("m", 0.5, 2).with_confidence(0.8);
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for item in 0..ITEMS {
            let score = model.score(item).unwrap();
            if model.agrees(item) { right.push(score) } else { wrong.push(score) }
        }
        wrong.sort_by(f64::total_cmp);
        let above: usize = right.iter().map(|r| wrong.partition_point(|w| w < r)).sum();
        let auc = above as f64 / (right.len() as f64 * wrong.len() as f64);
        assert!((auc - 0.8).abs() < 0.01, "{auc}");
    }

    #[test]
    fn latencies_follow_their_law() {
        let second = Duration::from_secs(1);
        let log_normal = Latency::LogNormal { median: second, sigma: 0.7 };
        let model = Simulated::candidate("m", 0.5, 2).with_latency(log_normal);
        assert!((share(|item| model.latency(item) < second) - 0.5).abs() < 0.012);
        let model = model.with_latency(Latency::Pareto { least: second, shape: 1.5 });
        assert!((0..ITEMS).all(|item| model.latency(item) >= second));
        let tail = share(|item| model.latency(item) > 4 * second);
        assert!((tail - 0.125).abs() < 0.01, "{tail}");
        let model = model.with_latency(Latency::Constant(second)).with_slow_errors(3);
        assert!((share(|item| model.latency(item) == 3 * second) - 0.5).abs() < 0.012);
    }

    /// Value stability: examples and other tests rely on these answers.
    #[test]
    fn answers_are_pinned() {
        let model = Simulated::candidate("small", 0.8, 1);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|item| model.truth(item)), PINNED_TRUTH);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|item| model.answer(item)), PINNED_ANSWERS);
    }
    const PINNED_TRUTH: [u32; 6] = [8, 2, 3, 2, 3, 6];
    const PINNED_ANSWERS: [u32; 6] = [9, 1, 3, 2, 3, 6];
}

//! One worker's part of the items: [`Part`].

use std::fmt;

use crate::error::SettingsError;

/// One worker's part of the items: those from `from` up to but without `to`, of `of` in all.
///
/// When an execution is spread over workers that do not communicate, each limited quantity, such as the
/// failures that audits may catch, is split by these parts. Each worker takes the share of its part, and
/// parts that do not overlap never take more than the whole.
///
/// ```
/// use smart_core::execute::Part;
/// let parts: Vec<Part> = (0..3).map(|worker| Part::even(worker, 3)).collect::<Result<_, _>>()?;
/// assert_eq!(parts.iter().map(|part| part.share(113)).sum::<u64>(), 113);
/// assert_eq!(Part::new(0, 400, 1_000)?.share(113), 45); // the first 400 of 1,000 items
/// # Ok::<(), smart_core::SettingsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    from: u64,
    to: u64,
    of: u64,
}

impl Part {
    /// Everything, for one worker alone.
    pub const WHOLE: Self = Self { from: 0, to: 1, of: 1 };

    /// The items from `from` up to but without `to`, of `of` items in all. Any unit will do (items,
    /// files, partitions), if all workers use the same.
    ///
    /// # Errors
    /// [`SettingsError::Part`] unless `from < to <= of`.
    pub const fn new(from: u64, to: u64, of: u64) -> Result<Self, SettingsError> {
        if from < to && to <= of {
            Ok(Self { from, to, of })
        } else {
            Err(SettingsError::Part { from, to, of })
        }
    }

    /// The part of one of `workers` equal workers, counted from 0.
    ///
    /// # Errors
    /// [`SettingsError::Part`] unless `worker < workers`.
    pub const fn even(worker: u64, workers: u64) -> Result<Self, SettingsError> {
        Self::new(worker, worker.saturating_add(1), workers)
    }

    /// This part's share of `whole` indivisible things. Parts that do not overlap take at most the whole
    /// together, and exactly the whole if they cover everything.
    #[allow(clippy::cast_possible_truncation, reason = "at most `whole`")]
    pub fn share(self, whole: u64) -> u64 {
        // The things below the end, less those below the start: neighbouring parts agree on their boundary.
        let up_to = |end| (u128::from(whole) * u128::from(end) / u128::from(self.of)) as u64;
        up_to(self.to) - up_to(self.from)
    }

    /// This part as a fraction of the whole.
    pub fn fraction(self) -> f64 {
        (self.to - self.from) as f64 / self.of as f64
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} of {}", self.from, self.to, self.of)
    }
}

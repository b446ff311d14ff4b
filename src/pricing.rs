//! What calls cost: [`Usage`], [`Pricing`] and [`Cost`].
//!
//! Money is an integer inside: nano-units of the caller's currency (US dollars in every example). So
//! sums are exact, in any order, on any machine. Floating point appears only where a person types a
//! price or reads a total. Backends report a [`Usage`], the roster's [`Pricing`] turns it into a
//! [`Cost`], and plans and reports add costs up.

mod usage;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

pub use usage::Usage;

/// Nano-units in one unit of currency.
const NANOS: f64 = 1e9;
/// The largest price or total accepted: a billion units. More is most likely a misplaced decimal point.
const ABSURD: f64 = 1e9;

/// A price or an amount that cannot be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Negative, NaN or infinite.
    #[error("{what} must be a finite number of at least 0, got {value}")]
    NotAPrice {
        /// Which price.
        what: &'static str,
        /// What was given, in units of currency.
        value: f64,
    },
    /// Larger than a billion units.
    #[error("{what} of {value} is too large: the limit is {ABSURD} units")]
    Absurd {
        /// Which price.
        what: &'static str,
        /// What was given, in units of currency.
        value: f64,
    },
    /// More than nothing, and too little to be counted.
    #[error(
        "{what} of {value} is less than a billionth of a unit and would count as nothing; count in a smaller unit"
    )]
    TooSmall {
        /// Which price.
        what: &'static str,
        /// What was given, in units of currency.
        value: f64,
    },
    /// A discount outside `[0, 1)`.
    #[error("batch discount must lie in [0, 1), got {value}")]
    Discount {
        /// What was given, as a share of the price.
        value: f64,
    },
}

/// An amount of money in integer nano-units of the caller's currency.
///
/// Only printing assumes dollars: `{:#}` prints the bare number, for prices in another unit (euros,
/// seconds of CPU time). The same holds for a [`Pricing`], a [`Forecast`](crate::plan::Forecast) and a
/// [`Report`](crate::Report).
///
/// ```
/// use smart_core::Cost;
/// let cost = Cost::from_usd(0.25)? + Cost::from_nanos(1);
/// assert_eq!(cost.as_nanos(), 250_000_001);
/// assert_eq!(Cost::from_usd(1.5)?.to_string(), "$1.50");
/// assert_eq!(format!("{:#} s", Cost::from_usd(1.5)?), "1.50 s");
/// # Ok::<(), smart_core::PriceError>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cost(u64);

impl Cost {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount; sums saturate here.
    pub const MAX: Self = Self(u64::MAX);

    /// An amount computed in nano-units, such as a forecast; negative ones become zero.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    pub(crate) const fn estimated(nanos: f64) -> Self {
        Self(nanos.max(0.0) as u64)
    }

    /// An amount given in nano-units.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// An amount in US dollars (or whatever unit the prices are in), rounded to the nano-unit.
    ///
    /// # Errors
    /// [`PriceError`] when `usd` is negative, not finite, or above a billion.
    pub fn from_usd(usd: f64) -> Result<Self, PriceError> {
        Self::checked("amount", usd)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    fn checked(what: &'static str, value: f64) -> Result<Self, PriceError> {
        if !(value.is_finite() && value >= 0.0) {
            return Err(PriceError::NotAPrice { what, value });
        }
        if value > ABSURD {
            return Err(PriceError::Absurd { what, value });
        }
        Ok(Self((value * NANOS).round() as u64))
    }

    /// A price, which is refused if it would be stored as nothing.
    fn price(what: &'static str, value: f64) -> Result<Self, PriceError> {
        let price = Self::checked(what, value)?;
        if price == Self::ZERO && value > 0.0 {
            return Err(PriceError::TooSmall { what, value });
        }
        Ok(price)
    }

    /// The amount in nano-units.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The amount in units of currency, for printing and plotting.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / NANOS
    }

    /// Formats the amount with a dollar sign, or as a bare number.
    pub(crate) fn said(self, bare: bool) -> String {
        if bare { format!("{self:#}") } else { self.to_string() }
    }

    /// The difference, or zero if `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This amount `times` over, saturating.
    #[must_use]
    pub const fn times(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<T: Iterator<Item = Self>>(iter: T) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usd = self.as_usd();
        let digits = match usd {
            0.0 => 2,
            x if x >= 1.0 => 2,
            x if x >= 0.01 => 4,
            _ => 7,
        };
        let sign = if f.alternate() { "" } else { "$" };
        write!(f, "{sign}{usd:.digits$}")
    }
}

/// The price list of one model.
///
/// ```
/// use smart_core::{Pricing, Usage};
/// // 0.15 per million tokens in, 0.60 out, cached input at half price.
/// let pricing = Pricing::per_million(0.15, 0.60)?.with_cached_input(0.075)?;
/// let cost = pricing.cost(Some(&Usage::tokens(2_000, 100).with_cached_input(1_000)));
/// assert_eq!(cost.as_nanos(), 150_000 + 75_000 + 60_000);
/// # Ok::<(), smart_core::PriceError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pricing {
    /// Nano-units per million input tokens.
    input: Cost,
    /// Nano-units per million cached input tokens; the input price if unset.
    #[serde(default)]
    cached_input: Option<Cost>,
    /// Nano-units per million output tokens.
    output: Cost,
    /// Nano-units per call.
    #[serde(default)]
    request: Cost,
    /// Discount in millionths of the price.
    #[serde(default)]
    discount_ppm: u32,
}

impl Pricing {
    /// No prices: a call costs what its backend says it was billed.
    pub(crate) const NONE: Self = Self {
        input: Cost::ZERO,
        cached_input: None,
        output: Cost::ZERO,
        request: Cost::ZERO,
        discount_ppm: 0,
    };

    /// Prices per million input and output tokens, in units of currency.
    ///
    /// # Errors
    /// [`PriceError`] when a price is negative, not finite, above a billion, or too small to count.
    pub fn per_million(input: f64, output: f64) -> Result<Self, PriceError> {
        Ok(Self {
            input: Cost::price("input price per million tokens", input)?,
            output: Cost::price("output price per million tokens", output)?,
            ..Self::default()
        })
    }

    /// One price per call, whatever its length.
    ///
    /// # Errors
    /// [`PriceError`] when the price is negative, not finite, above a billion, or too small to count.
    pub fn per_request(price: f64) -> Result<Self, PriceError> {
        Self::default().with_request_fee(price)
    }

    /// Sets the price of cached input tokens, per million.
    ///
    /// # Errors
    /// [`PriceError`] when the price is negative, not finite, above a billion, or too small to count.
    pub fn with_cached_input(mut self, price: f64) -> Result<Self, PriceError> {
        self.cached_input = Some(Cost::price("cached input price per million tokens", price)?);
        Ok(self)
    }

    /// Adds a fee for each call.
    ///
    /// # Errors
    /// [`PriceError`] when the fee is negative, not finite, above a billion, or too small to count.
    pub fn with_request_fee(mut self, price: f64) -> Result<Self, PriceError> {
        self.request = Cost::price("price per request", price)?;
        Ok(self)
    }

    /// Takes a share off every price, as batch interfaces do (0.5 for half price).
    ///
    /// # Errors
    /// [`PriceError::Discount`] unless `0 <= share < 1`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    pub fn with_batch_discount(mut self, share: f64) -> Result<Self, PriceError> {
        if !(0.0..1.0).contains(&share) {
            return Err(PriceError::Discount { value: share });
        }
        // A discount is stored in millionths and is never the whole price.
        self.discount_ppm = ((share * 1e6).round() as u32).min(999_999);
        Ok(self)
    }

    /// What a call costs: the backend's own bill if it gave one, else tokens times prices.
    ///
    /// Unknown counts cost nothing here; [`Pricing::is_metered`] says whether that hides money. Each
    /// attempt that did not report its cost ([`Usage::unbilled`]) costs the fee of a request.
    #[allow(clippy::cast_possible_truncation, reason = "clamped to u64 first")]
    pub fn cost(&self, usage: Option<&Usage>) -> Cost {
        let usage = usage.unwrap_or(&Usage::UNKNOWN);
        let beside = usage.beside.unwrap_or_default();
        if let Some(bill) = usage.cost {
            let fees = match usage.unbilled {
                0 => Cost::ZERO,
                requests => self.fees(requests),
            };
            return bill + beside + fees;
        }
        let input = usage.input_tokens.unwrap_or(0);
        let cached = usage.cached_input_tokens.unwrap_or(0).min(input);
        let part = |tokens: u64, price: Cost| u128::from(tokens) * u128::from(price.0);
        let requests = usage.requests.unwrap_or(1).saturating_add(usage.unbilled);
        let requests = u128::from(requests) * 1_000_000;
        let micro_nanos = part(input - cached, self.input)
            .saturating_add(part(cached, self.cached_input.unwrap_or(self.input)))
            .saturating_add(part(usage.output_tokens.unwrap_or(0), self.output))
            .saturating_add(u128::from(self.request.0).saturating_mul(requests));
        if let (0, Ok(micro)) = (self.discount_ppm, u64::try_from(micro_nanos)) {
            // The same quotient without a 128-bit division, which would cost more than all the rest.
            return Cost(micro / 1_000_000 + u64::from(micro % 1_000_000 >= 500_000)) + beside;
        }
        let kept = u128::from(1_000_000 - self.discount_ppm.min(1_000_000));
        let nanos =
            micro_nanos.saturating_mul(kept).saturating_add(500_000_000_000) / 1_000_000_000_000;
        Cost(nanos.min(u128::from(u64::MAX)) as u64) + beside
    }

    /// The fees of this many requests.
    #[cold]
    fn fees(&self, requests: u64) -> Cost {
        let Self { request, discount_ppm, .. } = *self;
        let alone = Self { request, discount_ppm, ..Self::NONE };
        alone.cost(Some(&Usage::default().with_requests(requests)))
    }

    /// What a call costs, failed or not. A failed call without usage cost nothing. (If it may have been
    /// billed, [`ErrorKind::used`](crate::ErrorKind) has given it a usage that says so.)
    pub(crate) fn call(&self, usage: Option<&Usage>, failed: bool) -> Cost {
        if failed && usage.is_none() { Cost::ZERO } else { self.cost(usage) }
    }

    /// Whether `usage` holds every count these prices need to bill the call, with all its attempts.
    ///
    /// An attempt that did not report its cost is metered only if tokens cost nothing, so that each
    /// request has one price, and no other attempt reported a bill of its own.
    pub fn is_metered(&self, usage: Option<&Usage>) -> bool {
        let needs = |price: Cost, count: Option<u64>| price == Cost::ZERO || count.is_some();
        match usage {
            Some(usage) if usage.unbilled > 0 => {
                self.is_by_request() && usage.cost.is_none() && usage.beside.is_none()
            }
            Some(usage) if usage.cost.is_some() => true,
            Some(usage) => {
                needs(self.input, usage.input_tokens) && needs(self.output, usage.output_tokens)
            }
            None => self.is_by_request(),
        }
    }

    /// Whether tokens cost nothing, so that a request has one price.
    fn is_by_request(&self) -> bool {
        self.input == Cost::ZERO && self.output == Cost::ZERO
    }

    /// What each request costs, if that is all that is paid for.
    pub(crate) fn fee_alone(&self) -> Option<Cost> {
        let fee = self.cost(None);
        (self.is_by_request() && fee > Cost::ZERO).then_some(fee)
    }

    /// Whether there are no prices: such a model is free, or its backend reports the bills.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_by_request() && self.request == Cost::ZERO
    }
}

/// Lists the prices in words, each only if it is set: `$0.15 in and $0.60 out per million tokens`;
/// `{:#}` leaves out the currency.
impl fmt::Display for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |cost: Cost| cost.said(f.alternate());
        let mut parts = Vec::new();
        if self.input > Cost::ZERO || self.output > Cost::ZERO {
            let cached = |cost: Cost| format!(" ({} cached)", said(cost));
            let cached = self.cached_input.map_or_else(String::new, cached);
            let (input, output) = (said(self.input), said(self.output));
            parts.push(format!("{input} in{cached} and {output} out per million tokens"));
        }
        if self.request > Cost::ZERO {
            parts.push(format!("{} per call", said(self.request)));
        }
        if parts.is_empty() {
            return f.write_str("free, or as billed");
        }
        f.write_str(&parts.join(", "))?;
        if self.discount_ppm > 0 {
            write!(f, ", less {} %", f64::from(self.discount_ppm) / 1e4)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_reject_what_cannot_be_meant() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 2e9] {
            assert!(Pricing::per_million(bad, 1.0).is_err(), "{bad}");
            assert!(Pricing::per_million(1.0, bad).is_err(), "{bad}");
            assert!(Pricing::per_request(bad).is_err(), "{bad}");
            assert!(Cost::from_usd(bad).is_err(), "{bad}");
        }
        for bad in [-0.1, 1.0, f64::NAN] {
            assert!(Pricing::default().with_batch_discount(bad).is_err(), "{bad}");
        }
        let said = Pricing::per_million(-1.0, 0.0).unwrap_err().to_string();
        assert_eq!(
            said,
            "input price per million tokens must be a finite number of at least 0, got -1"
        );
    }

    #[test]
    fn bills_are_exact() {
        let pricing = Pricing::per_million(30.0, 60.0).unwrap();
        assert_eq!(pricing.cost(Some(&Usage::tokens(316, 1))).as_nanos(), 9_540_000);
        let half = pricing.with_batch_discount(0.5).unwrap();
        assert_eq!(half.cost(Some(&Usage::tokens(316, 1))).as_nanos(), 4_770_000);
        let own = Usage::billed(Cost::from_nanos(7));
        assert_eq!(pricing.cost(Some(&own)).as_nanos(), 7);
        assert_eq!(pricing.cost(None), Cost::ZERO);
        assert!(!pricing.is_metered(None));
        assert!(pricing.is_metered(Some(&own)));
    }

    #[test]
    fn attempts_are_billed_each_in_its_way() {
        let pricing = Pricing::per_million(1.0, 2.0).unwrap().with_request_fee(0.5).unwrap();
        let (counted, billed) = (Usage::tokens(1_000_000, 0), Usage::billed(Cost::from_nanos(3)));
        let cost = |usage: Usage| pricing.cost(Some(&usage)).as_nanos();
        assert_eq!(cost(counted), 1_500_000_000);
        assert_eq!(cost(counted.plus(counted)), 3_000_000_000);
        assert_eq!(cost(billed.plus(billed)), 6);
        for mixed in [counted.plus(billed), billed.plus(counted)] {
            assert_eq!(cost(mixed), 1_500_000_003);
            assert!(pricing.is_metered(Some(&mixed)));
            assert_eq!(cost(mixed.plus(counted)), 3_000_000_003);
            assert_eq!(cost(billed.plus(mixed)), 1_500_000_006);
        }
        assert!(!pricing.is_metered(Some(&billed.plus(Usage::default()))), "one did not say");
        let both = Usage { beside: Some(Cost::from_nanos(4)), ..billed };
        assert_eq!(cost(counted.plus(both)), 1_500_000_007);
    }

    #[test]
    fn an_attempt_that_said_nothing_costs_a_request_and_is_not_known() {
        let tokens = Pricing::per_million(1.0, 2.0).unwrap().with_request_fee(0.5).unwrap();
        let fee = Pricing::per_request(0.5).unwrap();
        let (counted, billed) = (Usage::tokens(1_000_000, 0), Usage::billed(Cost::from_nanos(3)));
        let silent = Usage::UNBILLED;
        let cost = |pricing: Pricing, usage: Usage| pricing.cost(Some(&usage)).as_nanos();
        assert_eq!(cost(tokens, silent), 500_000_000);
        assert_eq!(silent.plus(silent).unbilled, 2);
        for both in [counted.plus(silent), silent.plus(counted)] {
            assert_eq!(both, counted.with_unbilled(1));
            assert_eq!(cost(tokens, both), 2_000_000_000);
            assert!(!tokens.is_metered(Some(&both)) && fee.is_metered(Some(&both)));
        }
        for both in [billed.plus(silent), silent.plus(billed)] {
            assert_eq!(both, billed.with_unbilled(1));
            assert_eq!(cost(fee, both), 500_000_003);
            assert!(!fee.is_metered(Some(&both)) && !Pricing::NONE.is_metered(Some(&both)));
            assert_eq!(both.plus(counted).unbilled, 1);
        }
        let half = fee.with_batch_discount(0.5).unwrap();
        assert_eq!(cost(half, billed.with_unbilled(2)), 500_000_003);
    }

    #[test]
    fn no_discount_is_the_whole_price() {
        let nearly =
            Pricing::per_request(1000.0).unwrap().with_batch_discount(0.999_999_9).unwrap();
        assert_eq!(nearly.cost(None), Cost::from_usd(0.001).unwrap());
    }

    #[test]
    fn huge_counts_saturate() {
        let pricing = Pricing::per_million(1e9, 1e9).unwrap();
        assert_eq!(pricing.cost(Some(&Usage::tokens(u64::MAX, u64::MAX))), Cost::MAX);
        assert_eq!(Cost::MAX + Cost::from_nanos(1), Cost::MAX);
        let most = Pricing { input: Cost::MAX, output: Cost::MAX, request: Cost::MAX, ..pricing };
        let usage = Usage { requests: Some(u64::MAX), ..Usage::tokens(u64::MAX, u64::MAX) };
        assert_eq!(most.cost(Some(&usage)), Cost::MAX);
    }

    #[test]
    fn more_cached_than_read_is_capped() {
        let pricing = Pricing::per_million(1.0, 0.0).unwrap().with_cached_input(0.0).unwrap();
        assert_eq!(pricing.cost(Some(&Usage::tokens(5, 0).with_cached_input(9))), Cost::ZERO);
    }
}

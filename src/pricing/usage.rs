//! What a call used: [`Usage`].

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::Cost;

/// What one call used, as the backend reports it; `None` means *unknown*, never zero.
///
/// `input_tokens` **includes** the cached tokens, as most APIs count; `cached_input_tokens` says how many of
/// them were billed at the cached price. Tokens written to a cache at a price of their own are input tokens
/// too: put what they cost beyond the input price in [`beside`](Self::beside), or report the bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read, cached ones included.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// How many of the `input_tokens` were served from a cache.
    #[serde(default)]
    pub cached_input_tokens: Option<u64>,
    /// Tokens written, hidden reasoning tokens included if they are billed.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// The bill itself, if the backend knows it; it then overrides every price.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// How many requests the prices apply to, if there were several attempts; `None` means one.
    #[serde(default)]
    pub requests: Option<u64>,
    /// What was billed in addition to what the prices come to, if some attempts reported bills and
    /// others counts.
    #[serde(default)]
    pub beside: Option<Cost>,
    /// Further attempts that may have been billed and did not say so, such as time-outs
    /// ([`ErrorKind::may_have_been_billed`](crate::ErrorKind::may_have_been_billed)). Each is priced at
    /// the fee of a request; if tokens have a price, the cost of the call is not known.
    #[serde(default)]
    pub unbilled: u64,
}

/// In a format for people, such as a journal's, what is unknown is left out: most of it usually is. Others tell
/// fields apart by their order, so there every field is written.
impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { input_tokens, cached_input_tokens, output_tokens, .. } = *self;
        let Self { cost, requests, beside, unbilled, .. } = *self;
        let all = !to.is_human_readable();
        let counts = [input_tokens, cached_input_tokens, output_tokens, requests];
        let (counts, bills) = (counts.iter().flatten().count(), [cost, beside]);
        let known = counts + bills.iter().flatten().count() + usize::from(unbilled > 0);
        let mut fields = to.serialize_struct("Usage", if all { 7 } else { known })?;
        write(&mut fields, "input_tokens", &input_tokens, all || input_tokens.is_some())?;
        let cached = cached_input_tokens;
        write(&mut fields, "cached_input_tokens", &cached, all || cached.is_some())?;
        write(&mut fields, "output_tokens", &output_tokens, all || output_tokens.is_some())?;
        write(&mut fields, "cost", &cost, all || cost.is_some())?;
        write(&mut fields, "requests", &requests, all || requests.is_some())?;
        write(&mut fields, "beside", &beside, all || beside.is_some())?;
        write(&mut fields, "unbilled", &unbilled, all || unbilled > 0)?;
        fields.end()
    }
}

/// Writes a field, or leaves it out.
fn write<S: SerializeStruct>(
    to: &mut S,
    name: &'static str,
    value: &impl Serialize,
    known: bool,
) -> Result<(), S::Error> {
    if known { to.serialize_field(name, value) } else { to.skip_field(name) }
}

impl Usage {
    /// Usage of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        input_tokens: None,
        cached_input_tokens: None,
        output_tokens: None,
        cost: None,
        requests: None,
        beside: None,
        unbilled: 0,
    };
    /// A single attempt that may have been billed, and nothing else.
    pub(crate) const UNBILLED: Self = Self { requests: Some(0), unbilled: 1, ..Self::UNKNOWN };

    /// A number of tokens read and a number of tokens written.
    pub const fn tokens(input: u64, output: u64) -> Self {
        Self { input_tokens: Some(input), output_tokens: Some(output), ..Self::UNKNOWN }
    }

    /// Tokens read, how many of them were cached, and tokens written, in a client's own integer type and
    /// each possibly missing. A negative count is unknown.
    ///
    /// ```
    /// use smart_core::Usage;
    /// assert_eq!(Usage::reported(Some(300_i32), None, Some(2)), Usage::tokens(300, 2));
    /// assert_eq!(Usage::reported(None, None, Some(-1_i32)), Usage::default());
    /// ```
    pub fn reported<T: TryInto<u64>>(
        input: Option<T>,
        cached_input: Option<T>,
        output: Option<T>,
    ) -> Self {
        let count = |tokens: Option<T>| tokens.and_then(|tokens| tokens.try_into().ok());
        Self {
            input_tokens: count(input),
            cached_input_tokens: count(cached_input),
            output_tokens: count(output),
            ..Self::UNKNOWN
        }
    }

    /// A bill without token counts.
    pub const fn billed(cost: Cost) -> Self {
        Self { cost: Some(cost), ..Self::UNKNOWN }
    }

    /// Sets how many of the input tokens were cached.
    #[must_use]
    pub const fn with_cached_input(mut self, cached: u64) -> Self {
        self.cached_input_tokens = Some(cached);
        self
    }

    /// Sets how many requests the counts cover, if there were several attempts.
    #[must_use]
    pub const fn with_requests(mut self, requests: u64) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Adds what was billed in addition to what the prices come to.
    #[must_use]
    pub const fn with_beside(mut self, cost: Cost) -> Self {
        self.beside = Some(cost);
        self
    }

    /// Sets how many further attempts may have been billed and did not say so.
    #[must_use]
    pub const fn with_unbilled(mut self, attempts: u64) -> Self {
        self.unbilled = attempts;
        self
    }

    /// The most tokens that one call can plausibly use: many times the largest context there is. A run
    /// does not believe larger counts, and books such a call as if its usage were unknown.
    pub const MOST_TOKENS: u64 = 100_000_000;

    /// Whether no count is above [`MOST_TOKENS`](Self::MOST_TOKENS).
    pub fn is_plausible(&self) -> bool {
        // Each count is tested in place: gathered into a list, all of them would have to be waited for.
        let plausible = |count: Option<u64>| count.is_none_or(|count| count <= Self::MOST_TOKENS);
        plausible(self.input_tokens)
            && plausible(self.cached_input_tokens)
            && plausible(self.output_tokens)
    }

    /// One of so many equal parts, the `at`-th from 0. Together they are the whole: no token, request or
    /// nano-unit is lost or added.
    pub(crate) fn part(self, at: u64, of: u64) -> Self {
        let up_to = |whole: u64, parts: u64| {
            let sum = u128::from(whole) * u128::from(parts) / u128::from(of.max(1));
            u64::try_from(sum).unwrap_or(u64::MAX)
        };
        let cut = |whole: u64| up_to(whole, at + 1).saturating_sub(up_to(whole, at));
        let money = |whole: Cost| Cost::from_nanos(cut(whole.as_nanos()));
        // Cut apart, because a part must not have more cached tokens than tokens.
        let cached = self.cached_input_tokens.unwrap_or(0);
        let input = |all: u64| cut(cached.min(all)) + cut(all.saturating_sub(cached));
        Self {
            input_tokens: self.input_tokens.map(input),
            cached_input_tokens: self.cached_input_tokens.map(cut),
            output_tokens: self.output_tokens.map(cut),
            cost: self.cost.map(money),
            requests: Some(cut(self.requests.unwrap_or(1))),
            beside: self.beside.map(money),
            unbilled: cut(self.unbilled),
        }
    }

    /// The bill alone, without any counts.
    pub(crate) const fn without_counts(self) -> Self {
        let Self { cost, requests, beside, unbilled, .. } = self;
        Self { cost, requests, beside, unbilled, ..Self::UNKNOWN }
    }

    /// The counts of tokens, without bills, attempts, or what was cached.
    pub(crate) const fn tokens_alone(self) -> Self {
        let Self { input_tokens, output_tokens, .. } = self;
        Self { input_tokens, output_tokens, ..Self::UNKNOWN }
    }

    /// Whether unreported attempts are all there is.
    fn says_nothing_else(&self) -> bool {
        Self { unbilled: 1, ..*self } == Self::UNBILLED
    }

    /// The usage of both calls together; a count is unknown only if both are.
    ///
    /// If one call was billed and the other only counted, the bill is put in [`beside`](Self::beside),
    /// and the prices apply to the counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        let both = |a: Option<Cost>, b: Option<Cost>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or_default() + b.unwrap_or_default()),
        };
        let unbilled = self.unbilled.saturating_add(other.unbilled);
        if self.says_nothing_else() {
            return Self { unbilled, ..other };
        } else if other.says_nothing_else() {
            return Self { unbilled, ..self };
        }
        match (self.cost, other.cost) {
            (Some(_), None) => other.plus(self),
            (None, Some(bill)) => {
                let more = both(Some(bill), other.beside);
                Self { beside: both(self.beside, more), unbilled, ..self }
            }
            (cost, more) => Self {
                input_tokens: add(self.input_tokens, other.input_tokens),
                cached_input_tokens: add(self.cached_input_tokens, other.cached_input_tokens),
                output_tokens: add(self.output_tokens, other.output_tokens),
                cost: both(cost, more),
                requests: add(Some(self.requests.unwrap_or(1)), Some(other.requests.unwrap_or(1))),
                beside: both(self.beside, other.beside),
                unbilled,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_to_the_whole() {
        let whole = Usage {
            input_tokens: Some(13),
            cached_input_tokens: Some(8),
            output_tokens: Some(2),
            cost: Some(Cost::from_nanos(u64::MAX)),
            requests: None,
            beside: Some(Cost::from_nanos(6)),
            unbilled: 4,
        };
        for of in [1, 2, 5, 20] {
            let parts: Vec<Usage> = (0..of).map(|at| whole.part(at, of)).collect();
            assert!(parts.iter().all(|part| part.cached_input_tokens <= part.input_tokens));
            let costs = parts.iter().filter_map(|part| part.cost).map(Cost::as_nanos);
            assert!(costs.clone().max().unwrap() - costs.min().unwrap() <= 1, "parts are equal");
            let sum = parts.into_iter().reduce(Usage::plus).unwrap();
            assert_eq!(sum, whole.with_requests(1), "in {of} parts");
        }
        assert_eq!(Usage::UNKNOWN.part(0, 1), Usage::UNKNOWN.with_requests(1));
    }
}

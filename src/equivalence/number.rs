//! Equivalence of numbers, exact or within a tolerance: [`Numeric`].

use std::borrow::Cow;
use std::cmp::Ordering;

use async_trait::async_trait;

use super::decimal::Decimal;
use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The same number, or one of a tolerance you name.
///
/// Without a tolerance, two numbers are the same if their values are, digit by digit, or if they differ as
/// one number printed twice may: by less than one in the last place of the one written with fewer places,
/// and by no more than a relative `1e-9`. So `3` is `3.00` and `0.3` is `0.30000000000000004`, but integers
/// of any length (phone numbers, times, identifiers) are told apart, and so are amounts that are all given to
/// the cent.
///
/// With a tolerance, absolute or relative or the wider of both, it alone decides.
///
/// An answer is read as the number it *is* (with thousands separators, a percent sign, and one currency sign
/// `$`, `€` or `£` before or after it), not as the first number it mentions. Amounts in two currencies are
/// not equivalent; an amount is equivalent to the same number without a currency. Text that is not a number
/// is equivalent only to the same text, up to outer white space.
///
/// Commas are accepted only between groups of three digits, as in `1,234.50`. `1,2` and `12,34` are not
/// numbers, because the comma may be meant as a decimal comma. If your answers have decimal commas, turn
/// them into points in the backend: `1,234` is read as one thousand two hundred and thirty-four.
///
/// ```
/// use smart_core::equivalence::Numeric;
/// let cents = Numeric::default().with_absolute(0.005);
/// assert!(cents.same("$1,234.50", "1234.501"));
/// assert!(!cents.same("1234", "1235"));
/// let exact = Numeric::default();
/// assert!(!exact.same("2125551234", "2125551235") && exact.same("1,234", "1234.0"));
/// assert!(!exact.same("1,2", "12") && exact.same("1,2", "1,2"));
/// assert!(!exact.same("$5", "€5") && exact.same("€5", "5"));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Numeric {
    /// The caller's, if one was named.
    tolerance: Option<Tolerance>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Tolerance {
    absolute: f64,
    relative: f64,
}

/// The share by which one number printed twice may differ.
const ROUNDING: f64 = 1e-9;

/// Integers up to this, 2⁵³, are floating-point numbers of their own.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Numeric {
    /// Accepts a difference of up to `tolerance`; below 0 or NaN, it counts as none.
    #[must_use]
    pub fn with_absolute(mut self, tolerance: f64) -> Self {
        self.tolerance.get_or_insert_default().absolute = tolerance.max(0.0);
        self
    }

    /// Accepts a difference of up to `share` of the larger magnitude; below 0 or NaN, it counts as none.
    #[must_use]
    pub fn with_relative(mut self, share: f64) -> Self {
        self.tolerance.get_or_insert_default().relative = share.max(0.0);
        self
    }

    /// Whether two texts are the same number.
    pub fn same(&self, a: &str, b: &str) -> bool {
        match (Amount::read(a), Amount::read(b)) {
            (Some(a), Some(b)) => {
                let one = a.currency.zip(b.currency).is_none_or(|(a, b)| a == b);
                one && (a.exact == b.exact || self.near(&a, &b))
            }
            _ => a.trim() == b.trim(),
        }
    }

    /// Whether two different numbers differ by no more than they may.
    fn near(&self, a: &Amount, b: &Amount) -> bool {
        let larger = a.value.abs().max(b.value.abs());
        // Of numbers too long to subtract, it is known that they differ.
        let about = || (a.value - b.value).abs().max(larger * f64::EPSILON);
        let distance = a.exact.distance(&b.exact).unwrap_or_else(about);
        let printed = self.tolerance.is_some() || distance < a.exact.unit(&b.exact);
        printed && distance <= self.allowed(larger)
    }

    /// How far numbers of this magnitude may be apart.
    fn allowed(&self, larger: f64) -> f64 {
        self.tolerance.map_or(ROUNDING * larger, |of| of.absolute.max(of.relative * larger))
    }

    /// Whether two numbers are the same, for answers that are numbers already: within the tolerance or, if
    /// there is none, within a relative `1e-9`, integers up to 2⁵³ exactly. An infinity is equivalent only to
    /// itself, and NaN to nothing.
    ///
    /// ```
    /// use smart_core::equivalence::{Numeric, equivalent};
    /// let cents = Numeric::default().with_absolute(0.005);
    /// let same_total = equivalent(move |_page: &str, a: &f64, b: &f64| cents.close(*a, *b))
    ///     .named("total within half a cent");
    /// # fn takes(_: impl smart_core::Equivalence<str, f64>) {}
    /// # takes(same_total);
    /// ```
    pub fn close(&self, a: f64, b: f64) -> bool {
        if !(a.is_finite() && b.is_finite()) {
            // No tolerance bridges an infinite distance, and one infinity minus itself is NaN.
            return a.partial_cmp(&b).is_some_and(Ordering::is_eq);
        }
        let (distance, larger) = ((a - b).abs(), a.abs().max(b.abs()));
        let whole = larger <= EXACT && a.fract() == 0.0 && b.fract() == 0.0;
        if self.tolerance.is_none() && whole {
            return distance < 1.0;
        }
        distance <= self.allowed(larger)
    }
}

/// A text that is a number.
struct Amount {
    exact: Decimal,
    value: f64,
    currency: Option<char>,
}

impl Amount {
    /// Reads a text as a number, if it is one.
    fn read(text: &str) -> Option<Self> {
        const CURRENCIES: [char; 3] = ['$', '€', '£'];
        let text = text.trim().trim_end_matches('.').trim_end();
        // A sign may stand before the currency, as in `-$5`, or after it, but not on both sides.
        let signed = text.strip_prefix(['+', '-']).filter(|rest| rest.starts_with(CURRENCIES));
        let (sign, text) = text.split_at(usize::from(signed.is_some()));
        let (front, text) = match text.strip_prefix(CURRENCIES) {
            Some(rest) => (text.chars().next(), rest.trim_start()),
            None => (None, text),
        };
        let (back, text) = match text.strip_suffix(CURRENCIES) {
            Some(rest) => (text.chars().next_back(), rest.trim_end()),
            None => (None, text),
        };
        if front.is_some() && back.is_some() {
            return None;
        }
        let (text, percent) = match text.strip_suffix('%') {
            Some(rest) => (rest.trim_end(), true),
            None => (text, false),
        };
        let text = format!("{sign}{text}");
        let number = ungrouped(&text)?;
        let (exact, value) = (Decimal::read(&number)?, number.parse::<f64>().ok()?);
        let (exact, value) =
            if percent { (exact.percent(), value / 100.0) } else { (exact, value) };
        value.is_finite().then_some(Self { exact, value, currency: front.or(back) })
    }
}

/// The text without its commas, or `None` if they are not thousands separators.
fn ungrouped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(',') {
        return Some(Cow::Borrowed(text));
    }
    let (whole, fraction) = text.find(['.', 'e', 'E']).map_or((text, ""), |at| text.split_at(at));
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.trim_start_matches(['+', '-']).split(',');
    let leads = groups.next().is_some_and(|group| matches!(group.len(), 1..=3) && digits(group));
    let grouped = leads && groups.all(|group| group.len() == 3 && digits(group));
    (grouped && !fraction.contains(',')).then(|| Cow::Owned(text.replace(',', "")))
}

#[async_trait]
impl<I: ?Sized + Sync, O: ?Sized + Sync + AsRef<str>> Equivalence<I, O> for Numeric {
    async fn compare(&self, _item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(self.same(a.as_ref(), b.as_ref())))
    }
    fn name(&self) -> Cow<'static, str> {
        let Some(Tolerance { absolute, relative }) = self.tolerance else {
            return Cow::Borrowed("numeric");
        };
        Cow::Owned(format!("numeric within {absolute:e} or {relative:e} of it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let n = Numeric::default();
        assert!(n.same("1,000", "1000.0"));
        assert!(n.same("-3", " -3. "));
        assert!(n.same("50%", "0.5"));
        assert!(!n.same("3", "-3"));
        assert!(n.same("none", "none ") && !n.same("none", "0"));
        assert!(!n.same("NaN", "0") && n.same("NaN", "NaN"));
        assert!(!Numeric::default().with_absolute(f64::NAN).same("1", "2"));
    }

    #[test]
    fn numbers_are_exact_unless_a_tolerance_is_named() {
        let n = Numeric::default();
        for (a, b) in [
            ("2125551234", "2125551235"),
            ("1700000000", "1700000001"),
            ("1700000000.0", "1700000001"),
            ("123456789012", "123456789100"),
            ("9007199254740993", "9007199254740992.0"),
            ("$12,345,678.90", "$12,345,678.91"),
        ] {
            assert!(!n.same(a, b) && !n.same(b, a) && n.same(a, a), "{a} / {b}");
            assert!(n.with_relative(1e-8).same(a, b), "{a} / {b}");
        }
        let long = "1".repeat(60);
        let other = format!("{}2", "1".repeat(59));
        assert!(!n.same(&long, &other) && n.same(&long, &format!("+{long}.00")));
        assert!(
            !n.with_absolute(2.0).same(&long, &other) && n.with_relative(0.1).same(&long, &other)
        );
        // A tolerance of the caller's is the only one.
        let cents = n.with_absolute(0.005);
        assert!(
            !cents.same("2125551234", "2125551235") && !cents.close(12_345_678.9, 12_345_678.91)
        );
        assert!(!cents.same("9007199254740993", "9007199254740992"));
        assert!(n.with_absolute(0.1).same("1.1", "1.0") && n.with_absolute(1.0).same("3", "4"));
        for (a, b) in [
            ("3", "3.0"),
            ("3.00", "3"),
            ("0.3", "0.30000000000000004"),
            ("0.333333333333", "0.33333333333333333333333333333333333333333333"),
            ("66.666666666666", "66.66666666666667"),
            ("1e3", "1000"),
        ] {
            assert!(n.same(a, b) && n.same(b, a), "{a} / {b}");
        }
        assert!(
            n.close(0.1 + 0.2, 0.3) && n.close(3.0, 3.0) && n.close(2e300, 2e300 * (1.0 + 1e-12))
        );
        assert!(!n.close(1_700_000_000.0, 1_700_000_001.0));
        let name = |numeric: Numeric| Equivalence::<str, str>::name(&numeric).into_owned();
        assert_eq!(name(n), "numeric");
        assert_eq!(name(cents), "numeric within 5e-3 or 0e0 of it");
    }

    #[test]
    fn a_currency_stands_at_either_end_and_is_not_another() {
        let n = Numeric::default();
        for (text, number) in [
            ("$5", "5"),
            ("5€.", "5"),
            ("5 €", "€ 5"),
            ("-£5", "-5"),
            ("€-5", "-5"),
            ("+$1,000", "$1000.0"),
            ("5%€", "0.05"),
        ] {
            assert!(n.same(text, number), "{text} / {number}");
        }
        for (text, number) in [
            ("1€50", "150"),
            ("3$4", "34"),
            ("$5", "€5"),
            ("5£", "€5"),
            ("-$5", "$5"),
            ("-$-5", "5"),
            ("$5€", "5"),
            ("$$5", "5"),
            ("$", "0"),
            ("$%", "0"),
        ] {
            assert!(!n.same(text, number) && n.same(text, text), "{text} / {number}");
        }
    }

    #[test]
    fn an_infinity_is_close_to_itself_alone() {
        let n = Numeric::default().with_absolute(f64::INFINITY);
        assert!(n.close(f64::INFINITY, f64::INFINITY) && n.close(1.0, 2.0));
        assert!(!n.close(f64::INFINITY, 5.0) && !n.close(f64::INFINITY, f64::NEG_INFINITY));
        assert!(!n.close(f64::NAN, f64::NAN));
    }

    #[test]
    fn commas_are_read_between_groups_of_three_digits() {
        let n = Numeric::default();
        for (text, number) in [
            ("1,234,567", "1234567"),
            ("-$12,345.60", "-12345.6"),
            ("$-1,234", "-1234"),
            ("+100,000%", "1000"),
            ("1,000e3", "1000000"),
        ] {
            assert!(n.same(text, number), "{text}");
        }
        for (text, number) in [
            ("1,2", "12"),
            ("1,23", "123"),
            ("12,34", "1234"),
            ("1234,567", "1234567"),
            ("1,,234", "1234"),
            (",123", "123"),
            ("1,234,", "1234"),
            ("1.5,000", "1.5"),
        ] {
            assert!(!n.same(text, number) && n.same(text, text), "{text}");
        }
    }
}

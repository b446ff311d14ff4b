//! Equivalence of numbers within a tolerance: [`Numeric`].

use std::borrow::Cow;
use std::cmp::Ordering;

use async_trait::async_trait;

use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The same number, within an absolute or a relative tolerance, whichever is wider.
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
/// assert!(!cents.same("1,2", "12") && cents.same("1,2", "1,2"));
/// assert!(!cents.same("$5", "€5") && cents.same("€5", "5"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numeric {
    absolute: f64,
    relative: f64,
}

impl Default for Numeric {
    /// Equal up to the rounding of printing: a relative `1e-9`.
    fn default() -> Self {
        Self { absolute: 0.0, relative: 1e-9 }
    }
}

impl Numeric {
    /// Accepts a difference of up to `tolerance`; below 0 or NaN, it counts as none.
    #[must_use]
    pub fn with_absolute(mut self, tolerance: f64) -> Self {
        self.absolute = tolerance.max(0.0);
        self
    }

    /// Accepts a difference of up to `share` of the larger magnitude; below 0 or NaN, it counts as none.
    #[must_use]
    pub fn with_relative(mut self, share: f64) -> Self {
        self.relative = share.max(0.0);
        self
    }

    /// Whether two texts are the same number.
    pub fn same(&self, a: &str, b: &str) -> bool {
        match (read(a), read(b)) {
            (Some((a, unit)), Some((b, other))) => {
                let one = unit.zip(other).is_none_or(|(unit, other)| unit == other);
                one && self.close(a, b)
            }
            _ => a.trim() == b.trim(),
        }
    }

    /// Whether two numbers are the same within the tolerance, for answers that are numbers already. An
    /// infinity is equivalent only to itself, and NaN to nothing.
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
        (a - b).abs() <= self.absolute.max(self.relative * a.abs().max(b.abs()))
    }
}

/// Reads a text as a number, if it is one, and its currency.
fn read(text: &str) -> Option<(f64, Option<char>)> {
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
    let (text, scale) = match text.strip_suffix('%') {
        Some(rest) => (rest.trim_end(), 0.01),
        None => (text, 1.0),
    };
    let number = ungrouped(&format!("{sign}{text}"))?.parse::<f64>().ok()?;
    number.is_finite().then_some((number * scale, front.or(back)))
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
        Cow::Owned(format!("numeric within {:e} or {:e} of it", self.absolute, self.relative))
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

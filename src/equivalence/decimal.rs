//! Numbers as their decimal text says them: [`Decimal`].

/// A number with all its digits, however many there are.
///
/// Two are equal if their values are: `3`, `3.00` and `0.3e1` are one number.
#[derive(Debug, Clone)]
pub(super) struct Decimal {
    negative: bool,
    /// From the first that is not 0; none for zero.
    digits: String,
    /// How many of the digits stand after the point; below 0, how many zeros are missing before it.
    places: i64,
}

impl Decimal {
    /// Reads digits with a sign, a point and an exponent where there are any, as in `-1.50e3`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let negative = number.starts_with('-');
        let number = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let places = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        Some(Self { negative, digits: digits.trim_start_matches('0').to_owned(), places })
    }

    /// So many hundredths: 50 becomes 0.50.
    pub(super) fn percent(self) -> Self {
        Self { places: self.places + 2, ..self }
    }

    /// The difference of two numbers, rounded once; `None` if it takes more than 38 digits to find.
    pub(super) fn distance(&self, other: &Self) -> Option<f64> {
        let places = self.places.max(other.places);
        let units = self.units(places)?.abs_diff(other.units(places)?);
        format!("{units}e{}", -places).parse().ok()
    }

    /// One in the last place of the number that is written with fewer places.
    pub(super) fn unit(&self, other: &Self) -> f64 {
        format!("1e{}", -self.places.min(other.places)).parse().unwrap_or(0.0)
    }

    /// The number in units of a place no coarser than its last, if they fit.
    fn units(&self, places: i64) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let scale = 10_i128.checked_pow(u32::try_from(places - self.places).ok()?)?;
        let units = self.digits.parse::<i128>().ok()?.checked_mul(scale)?;
        Some(if self.negative { -units } else { units })
    }

    /// Sign, digits and places, without the zeros at the end.
    fn value(&self) -> (bool, &str, i64) {
        let digits = self.digits.trim_end_matches('0');
        if digits.is_empty() {
            return (false, "", 0);
        }
        let zeros = i64::try_from(self.digits.len() - digits.len()).unwrap_or(i64::MAX);
        (self.negative, digits, self.places.saturating_sub(zeros))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::read(text).unwrap()
    }

    #[test]
    fn values_are_equal_however_they_are_written() {
        for (a, b) in [
            ("3", "3.00"),
            ("3", "+003."),
            (".5", "0.5"),
            ("-1.50e3", "-1500"),
            ("2E-2", "0.02"),
            ("0", "-0.0e7"),
            ("1e400", "10e399"),
        ] {
            assert_eq!(read(a), read(b), "{a} / {b}");
        }
        assert_eq!(read("50").percent(), read("0.5"));
        for (a, b) in [
            ("3", "-3"),
            ("3", "30"),
            ("9007199254740993", "9007199254740992.0"),
            ("123456789012345678901", "123456789012345678902"),
            ("0.1234567890123456789", "0.1234567890123456788"),
            ("1e-400", "0"),
        ] {
            assert_ne!(read(a), read(b), "{a} / {b}");
        }
        for text in
            ["", ".", "-", "+-3", "1.2.3", "1,000", "e5", "1e", "1e2.5", "NaN", "inf", " 3", "٣"]
        {
            assert!(Decimal::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn distances_are_exact() {
        for (a, b, distance, unit) in [
            ("1.1", "1.0", 0.1, 0.1),
            ("12345678.90", "12345678.91", 0.01, 0.01),
            ("9007199254740993", "9007199254740992.0", 1.0, 1.0),
            ("5", "-5.25", 10.25, 1.0),
            ("1e3", "1001", 1.0, 1000.0),
            ("0", "1e-320", 1e-320, 1.0),
        ] {
            let (a, b) = (read(a), read(b));
            assert_eq!((a.distance(&b), a.unit(&b)), (Some(distance), unit), "{a:?} / {b:?}");
            assert_eq!((b.distance(&a), b.unit(&a)), (Some(distance), unit), "{a:?} / {b:?}");
        }
        assert_eq!(read(&"9".repeat(39)).distance(&read("1")), None);
        assert_eq!(read("1").distance(&read("1e-39")), None);
    }
}

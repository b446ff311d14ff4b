//! Numbers as people read them, for pages and pictures.

/// A count with separated thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in per cent, to about three digits.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    let text = match value.abs() {
        v if v < 1.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(127_600), "127,600");
        assert_eq!(percent(0.9), "90 %");
        assert_eq!(percent(0.046_25), "4.6 %");
        assert_eq!(percent(0.000_5), "0.05 %");
        assert_eq!(percent(1.0), "100 %");
    }
}

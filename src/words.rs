//! Numbers of things in words, for reports, errors and logs.

/// A number of things, with the noun in the number that fits: `1 failure`, `2 catches`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    match (number, noun.ends_with("ch")) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_not_many() {
        let said = [(0, "call"), (1, "call"), (2, "call"), (1, "catch"), (3, "catch")];
        let said = said.map(|(number, noun)| counted(number, noun));
        assert_eq!(said, ["0 calls", "1 call", "2 calls", "1 catch", "3 catches"]);
    }
}

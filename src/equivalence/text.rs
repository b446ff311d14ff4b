//! Equivalences of text: [`Exact`] and [`Normalized`].

use std::borrow::Cow;

use async_trait::async_trait;

use super::mark::is_mark;
use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// Equal values by `==`, for any type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exact;

#[async_trait]
impl<I: ?Sized + Sync, O: ?Sized + Sync + PartialEq> Equivalence<I, O> for Exact {
    async fn compare(&self, _item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(a == b))
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("exact")
    }
}

/// Equal text after folding case and white space, and dropping what surrounds words.
///
/// A word here is what stands between white space, from its first letter or digit to its last and the
/// combining marks on that: accents, tone marks, vowel signs. Around it, **every** other character is
/// dropped: punctuation, brackets, bullets, emoji. Kept are
///
/// * before a number, touching it or apart: minus, currency and comparison signs (`-$5`, `>= 5`, `€ 5`), and
///   the points that touch it (`.5`); a plus sign there is dropped;
/// * after a word: `+`, `#`, a dash, and the signs of music and charge (`C++`, `F♯`, `A-`), where they touch
///   it; percent and currency signs (`5 %`, `5€`), touching it or, after a number, apart.
///
/// Inside words everything is kept. A text without any word is compared as it is, but for case and white
/// space. So `👍` is not `👎`, but `Yes 👍` is `Yes`, and `a < b` is `a > b`, where no number follows.
///
/// Characters whose compatibility form is ASCII and needs no table (full-width letters, typographic
/// quotes, dashes and spaces) count as that form. A letter with its accent in one character (NFC) is **not**
/// the same as in two (NFD). For full Unicode NFC or NFKC, normalise in the backend.
///
/// ```
/// use smart_core::equivalence::Normalized;
/// let normalized = Normalized::default();
/// assert_eq!(normalized.normalize("  The  Eiffel-Tower! "), "the eiffel-tower");
/// assert_eq!(normalized.normalize("(about −$5.)"), "about -$5");
/// let questions = Normalized::default().without_articles();
/// assert_eq!(questions.normalize("The Eiffel Tower."), "eiffel tower");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Normalized {
    drop_articles: bool,
    drop_punctuation: bool,
}

impl Normalized {
    /// Also drops the English articles, as is usual in scoring question answering. A text of nothing but
    /// articles keeps them.
    #[must_use]
    pub const fn without_articles(mut self) -> Self {
        self.drop_articles = true;
        self
    }

    /// Also drops all that is no letter, digit or mark on one inside words: `don't` is `dont`.
    ///
    /// Kept is what tells numbers apart: whatever stands between two digits (`3.5`, `1/2`), except a comma
    /// before a group of three; and currency and comparison signs before a digit (`x<5`).
    #[must_use]
    pub const fn without_punctuation(mut self) -> Self {
        self.drop_punctuation = true;
        self
    }

    /// The form in which texts are compared.
    pub fn normalize(&self, text: &str) -> String {
        self.normalize_with(text, Signs { lone: true, dash: true })
    }

    pub(super) fn normalize_with(self, text: &str, signs: Signs) -> String {
        let plain = plain(text);
        let words = words(&plain, signs, self.drop_punctuation);
        let article = |word: &&String| matches!(word.as_str(), "a" | "an" | "the");
        if words.is_empty() {
            return plain;
        }
        if !self.drop_articles || words.iter().all(|word| article(&word)) {
            return words.join(" ");
        }
        let kept: Vec<&str> = words.iter().filter(|w| !article(w)).map(String::as_str).collect();
        kept.join(" ")
    }
}

/// The text with case, white space and simple compatibility forms folded, and nothing dropped.
pub(super) fn plain(text: &str) -> String {
    let folded: String = text.chars().map(fold).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = folded.split_whitespace().collect();
    words.join(" ").replace("!=", "≠").replace("=\u{338}", "≠")
}

/// Which signs around words count, beside those that always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signs {
    /// Signs that stand apart belong to the number beside them.
    pub(super) lone: bool,
    /// A dash that ends a word belongs to it.
    pub(super) dash: bool,
}

/// The words of a plain text, with the signs that belong to them.
fn words(plain: &str, signs: Signs, drop_punctuation: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    // Signs that stand apart, until the next word shows whether they belong to a number.
    let mut apart = String::new();
    for text in plain.split_whitespace() {
        let Some((before, core, after)) = parts(text) else {
            match words.last_mut().filter(|word| word.ends_with(char::is_numeric)) {
                _ if !signs.lone => {}
                Some(number) if apart.is_empty() && text.starts_with(is_unit) => {
                    number.extend(text.chars().filter(|c| is_unit(*c)));
                }
                _ => apart.extend(text.chars().filter(|c| is_sign(*c))),
            }
            continue;
        };
        let mut word = std::mem::take(&mut apart);
        if core.starts_with(char::is_numeric) {
            let other = before.trim_end_matches(|c| c == '.' || is_sign(c));
            let touching = before.strip_prefix(other).unwrap_or_default();
            word.extend(other.chars().filter(|c| is_sign(*c)));
            word.push_str(touching);
        } else {
            word.clear();
        }
        if drop_punctuation {
            push_inner(&mut word, core);
        } else {
            word.push_str(core);
        }
        let rest = after.trim_start_matches(|c| is_ending(c) && (signs.dash || c != '-'));
        word.push_str(after.strip_suffix(rest).unwrap_or_default());
        word.extend(rest.chars().filter(|c| is_unit(*c)));
        words.push(word);
    }
    words
}

/// What stands before a word, the word with the marks that end it, and what stands after it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let first = text.find(char::is_alphanumeric)?;
    let (before, rest) = text.split_at(first);
    let last = rest.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
    let after = rest.get(last..)?.trim_start_matches(is_mark);
    Some((before, rest.strip_suffix(after)?, after))
}

/// Adds a word to `word`, without the punctuation inside that does not tell numbers apart.
fn push_inner(word: &mut String, core: &str) {
    let mut rest = core;
    // What is left begins with a letter or digit, so every mark up to there is on one.
    while let Some(at) = rest.find(|c: char| !c.is_alphanumeric() && !is_mark(c)) {
        let (before, more) = rest.split_at(at);
        word.push_str(before);
        let after = more.trim_start_matches(|c: char| !c.is_alphanumeric());
        let between = more.strip_suffix(after).unwrap_or_default();
        let digits = after.chars().take_while(|c| c.is_numeric()).count();
        if digits > 0 && word.trim_end_matches(is_mark).ends_with(char::is_numeric) {
            let groups = between == "," && digits == 3;
            word.push_str(if groups { "" } else { between });
        } else if digits > 0 {
            // A dash after a letter is a hyphen.
            let from = between.find(|c| c != '-' && is_sign(c)).unwrap_or(between.len());
            word.push_str(between.split_at(from).1);
        }
        rest = after;
    }
    word.push_str(rest);
}

/// Whether a number depends on this sign before it.
const fn is_sign(c: char) -> bool {
    matches!(c, '-' | '<' | '>' | '=' | '~' | '±' | '¬' | '\u{2200}'..='\u{22ff}' | '⩽' | '⩾')
        || is_currency(c)
}

const fn is_currency(c: char) -> bool {
    matches!(c, '$' | '¢' | '£' | '¥' | '\u{20a0}'..='\u{20cf}')
}

/// Whether a number depends on this sign after it.
const fn is_unit(c: char) -> bool {
    matches!(c, '%' | '‰' | '‱') || is_currency(c)
}

/// Whether a word depends on this sign, if it ends with it.
const fn is_ending(c: char) -> bool {
    matches!(c, '+' | '#' | '-' | '\u{266d}'..='\u{266f}' | '⁺' | '⁻')
}

/// The plain form of a character, if it has a simple one.
fn fold(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{ffe0}' => '¢',
        '\u{ffe1}' => '£',
        '\u{ffe5}' => '¥',
        '\u{ffe6}' => '₩',
        '\u{2018}' | '\u{2019}' | '\u{02bc}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{00a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ' ',
        // Its lower case would be `i` and a mark.
        'İ' => 'i',
        other => other,
    }
}

#[async_trait]
impl<I: ?Sized + Sync, O: ?Sized + Sync + AsRef<str>> Equivalence<I, O> for Normalized {
    async fn compare(&self, _item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(self.normalize(a.as_ref()) == self.normalize(b.as_ref())))
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match (self.drop_articles, self.drop_punctuation) {
            (false, false) => "normalized",
            (true, false) => "normalized without articles",
            (false, true) => "normalized without punctuation",
            (true, true) => "normalized without articles and punctuation",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalising_folds_what_people_do_not_see() {
        let same = |a: &str, b: &str| {
            let n = Normalized::default();
            assert_eq!(n.normalize(a), n.normalize(b), "{a} / {b}");
        };
        same("“Yes”", "yes");
        same("\u{ff39}\u{ff25}\u{ff33}", "yes");
        same("a\u{00a0}b", "A  b.");
        let n = Normalized::default();
        assert_ne!(n.normalize("-3"), n.normalize("3"));
        assert_ne!(n.normalize(".5"), n.normalize("5"));
        assert_eq!(n.normalize("(-3)"), "-3");
        assert_eq!((n.normalize("..."), n.normalize(" ")), ("...".to_owned(), String::new()));
    }

    #[test]
    fn different_values_stay_different() {
        let n = Normalized::default();
        let all = n.without_articles().without_punctuation();
        for (a, b) in [
            ("-$5", "$5"),
            ("−$5", "$5"),
            ("-€5", "€5"),
            ("-.5", ".5"),
            ("- 5", "5"),
            ("(-)5", "5"),
            ("< 5", "> 5"),
            ("<5", ">5"),
            (">=5", ">5"),
            ("!=5", "=5"),
            ("=\u{338}5", "=5"),
            ("≥5", "≤5"),
            ("$5", "€5"),
            ("€ 5", "£ 5"),
            ("5€", "5£"),
            ("5 €", "5 £"),
            ("5 %", "5"),
            ("C++", "C#"),
            ("A-", "A"),
            ("F♯", "F♭"),
            ("+", "-"),
            ("👍", "👎"),
            ("👍", ""),
            ("x<5", "x>5"),
            ("3.5", "35"),
            ("1/2", "12"),
        ] {
            for form in [n, all] {
                assert_ne!(form.normalize(a), form.normalize(b), "{a} / {b}");
            }
        }
        // An answer that is an article only is not dropped.
        assert_ne!(all.normalize("A"), all.normalize("the"));
        assert_eq!(all.normalize("A."), all.normalize("a"));
    }

    #[test]
    fn marks_on_a_word_belong_to_it() {
        let n = Normalized::default();
        let all = n.without_articles().without_punctuation();
        for (a, b) in [
            ("ไม่", "ไม้"), // Thai: not, wood
            ("ใช่", "ใช้"), // Thai: yes, use
            ("ไม่มี", "ไม้มี"),
            ("ba\u{300}", "ba\u{301}"), // Vietnamese: grandmother, three
            ("pa\u{302}te\u{301}", "pa\u{302}te"),
            ("ba\u{323}\u{302}", "ba\u{323}"),
            ("का", "कि"),
            ("क्", "क"),
            ("1\u{20e3}", "1"),
        ] {
            for form in [n, all] {
                assert_ne!(form.normalize(a), form.normalize(b), "{a} / {b}");
                assert_eq!(form.normalize(&format!("“{a}”!")), form.normalize(a), "{a}");
            }
        }
        // A mark on nothing, or on what is dropped, is dropped as well.
        assert_eq!(n.normalize("\u{301}yes ❤\u{fe0f} !\u{301}"), "yes");
        assert_eq!(n.normalize("KEDİ"), n.normalize("kedi"));
        // Composed and decomposed forms differ, inside words and at their ends.
        assert_ne!(n.normalize("pâté"), n.normalize("pa\u{302}te\u{301}"));
    }

    #[test]
    fn what_surrounds_words_is_dropped() {
        let n = Normalized::default();
        for (text, form) in [
            ("**Yes**, 👍 - (no)!", "yes no"),
            ("- “Paris”…", "paris"),
            ("+5 and #7", "5 and 7"),
            ("= -$ 5.", "=-$5"),
            ("5 %, then $7", "5% then $7"),
            ("C++, C# or C?", "c++ c# or c"),
            ("covid-19", "covid-19"),
        ] {
            assert_eq!(n.normalize(text), form, "{text}");
        }
        let all = n.without_punctuation();
        for (text, form) in [
            ("Don't; the U.S. did", "dont the us did"),
            ("covid-19", "covid19"),
            ("1,234,567.50", "1234567.50"),
            ("1,5", "1,5"),
            ("x<=-5", "x<=-5"),
            ("US$5", "us$5"),
        ] {
            assert_eq!(all.normalize(text), form, "{text}");
        }
    }
}

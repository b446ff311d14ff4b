//! Equivalences of text: [`Exact`], [`Normalized`] and by [`Label`].

use std::borrow::Cow;
use std::cmp::Reverse;

use async_trait::async_trait;

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

/// Equal text after folding case and white space and dropping punctuation around words.
///
/// Characters whose compatibility form is ASCII and needs no table (full-width letters, typographic
/// quotes, dashes and spaces) count as that form. For full Unicode NFKC, normalise in the backend.
///
/// ```
/// use smart_core::equivalence::Normalized;
/// let normalized = Normalized::default();
/// assert_eq!(normalized.normalize("  The  Eiffel-Tower! "), "the eiffel-tower");
/// let questions = Normalized::default().without_articles();
/// assert_eq!(questions.normalize("The Eiffel Tower."), "eiffel tower");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Normalized {
    drop_articles: bool,
    drop_punctuation: bool,
}

impl Normalized {
    /// Also drops the English articles, as is usual in scoring question answering.
    #[must_use]
    pub const fn without_articles(mut self) -> Self {
        self.drop_articles = true;
        self
    }

    /// Also drops punctuation inside words.
    #[must_use]
    pub const fn without_punctuation(mut self) -> Self {
        self.drop_punctuation = true;
        self
    }

    /// The form in which texts are compared.
    pub fn normalize(&self, text: &str) -> String {
        let plain: String = text.chars().map(fold).flat_map(char::to_lowercase).collect();
        let mut words = Vec::new();
        for word in plain.split_whitespace() {
            let word: Cow<'_, str> = if self.drop_punctuation {
                word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().into()
            } else {
                trim(word).into()
            };
            let article = self.drop_articles && matches!(word.as_ref(), "a" | "an" | "the");
            if !word.is_empty() && !article {
                words.push(word.into_owned());
            }
        }
        words.join(" ")
    }
}

/// Drops punctuation around a word, but keeps a sign or a decimal point that belongs to a number.
fn trim(word: &str) -> &str {
    let end = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '%');
    let start = end.trim_start_matches(|c: char| !c.is_alphanumeric());
    let dropped = end.strip_suffix(start).unwrap_or_default();
    let sign = dropped.chars().next_back().filter(|c| matches!(c, '-' | '.' | '$'));
    match sign {
        Some(sign) if start.starts_with(|c: char| c.is_ascii_digit()) => {
            end.get(dropped.len() - sign.len_utf8()..).unwrap_or(start)
        }
        _ => start,
    }
}

/// The plain form of a character, if it has a simple one.
fn fold(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2018}' | '\u{2019}' | '\u{02bc}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{00a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ' ',
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

/// The same label from a fixed list: the one that occurs in each answer as whole words.
///
/// An answer that holds no label, or two different ones, is equivalent only to an equal text.
///
/// ```
/// use smart_core::equivalence::Label;
/// let sentiment = Label::new(["positive", "negative"]);
/// assert_eq!(sentiment.extract("The review is Positive."), Some("positive"));
/// assert_eq!(sentiment.extract("positive or negative"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    labels: Vec<(String, String)>,
}

impl Label {
    /// Sets the labels to look for; case, white space and outer punctuation do not matter.
    pub fn new<L: Into<String>>(labels: impl IntoIterator<Item = L>) -> Self {
        let form = |label: String| (Normalized::default().normalize(&label), label);
        Self { labels: labels.into_iter().map(|label| form(label.into())).collect() }
    }

    /// The one label that an answer holds, or `None` if it holds none or several.
    pub fn extract(&self, answer: &str) -> Option<&str> {
        let mut rest = format!(" {} ", Normalized::default().normalize(answer));
        // A label may occur inside another, as "neutral" in "not neutral". So the longest goes first, and
        // is struck out where it occurs.
        let mut labels: Vec<_> = self.labels.iter().collect();
        labels.sort_by_key(|(form, _)| Reverse(form.len()));
        let mut found = None;
        for (form, label) in labels {
            let words = format!(" {form} ");
            let occurs = rest.contains(&words);
            if occurs && found.replace(label.as_str()).is_some() {
                return None;
            }
            // Neighbours share a space, so one pass may leave every other occurrence.
            while rest.contains(&words) {
                rest = rest.replace(&words, " \0 ");
            }
        }
        found
    }
}

#[async_trait]
impl<I: ?Sized + Sync, O: ?Sized + Sync + AsRef<str>> Equivalence<I, O> for Label {
    async fn compare(&self, _item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        let (a, b) = (a.as_ref(), b.as_ref());
        Ok(Verdict::new(match (self.extract(a), self.extract(b)) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a == b,
            _ => false,
        }))
    }
    fn name(&self) -> Cow<'static, str> {
        let labels: Vec<&str> = self.labels.iter().map(|(_, label)| label.as_str()).collect();
        Cow::Owned(format!("label: {}", labels.join(" | ")))
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
        assert_eq!(n.normalize("..."), "");
    }

    #[test]
    fn labels_are_whole_words_and_unambiguous() {
        let stance = Label::new(["neutral", "not neutral", "against"]);
        assert_eq!(stance.extract("It is NOT neutral!"), Some("not neutral"));
        assert_eq!(stance.extract("neutral"), Some("neutral"));
        assert_eq!(stance.extract("neutrality"), None);
        assert_eq!(stance.extract("neutral, or against"), None);
        assert_eq!(stance.extract("not neutral. Not neutral!"), Some("not neutral"));
        assert_eq!(stance.extract("neutral or not neutral"), None);
        let scale = Label::new(["1", "10"]);
        assert_eq!(scale.extract("10"), Some("10"));
        assert_eq!(scale.extract("1 or 10"), None);
        assert_eq!(Label::new(["Yes", "yes"]).extract("yes, yes, yes"), Some("Yes"));
    }
}

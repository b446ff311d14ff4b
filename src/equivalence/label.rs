//! Equivalence by a label from a fixed list: [`Label`].

use std::borrow::Cow;
use std::cmp::Reverse;

use async_trait::async_trait;

use super::mark::is_mark;
use super::text::{Normalized, Signs, plain};
use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The same label from a fixed list: the one that occurs in each answer as whole words.
///
/// Labels and answers are compared as [`Normalized`] text: case, white space and what surrounds words do
/// not matter. If that would take two labels for one, or leave a label without any word (`+` and `-`, `👍`
/// and `👎`, `(i)` and `[i]`), the labels of the list are instead compared character by character, but for
/// case and white space. Then nothing but punctuation may touch a label.
///
/// An answer that holds no label, or two different ones, is equivalent only to an equal text.
///
/// It compares answers and changes none: what is delivered is the text that the model gave. To be delivered
/// labels, let your backend return what [`extract`](Self::extract) finds.
///
/// ```
/// use smart_core::equivalence::Label;
/// let sentiment = Label::new(["positive", "negative"]);
/// assert_eq!(sentiment.extract("The review is Positive."), Some("positive"));
/// assert_eq!(sentiment.extract("positive or negative"), None);
/// let thumbs = Label::new(["👍", "👎"]);
/// assert_eq!(thumbs.extract("My verdict: 👎."), Some("👎"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What to look for, and the label as it was given.
    labels: Vec<(String, String)>,
    /// How answers are normalised; `None` if labels are looked for character by character.
    signs: Option<Signs>,
}

impl Label {
    /// Sets the labels to look for. Labels that differ in case and white space only are one label; without any,
    /// only equal texts are equivalent.
    pub fn new<L: Into<String>>(labels: impl IntoIterator<Item = L>) -> Self {
        let given: Vec<String> = labels.into_iter().map(Into::into).collect();
        let form = |label: &String| (Normalized::default().normalize(label), label.clone());
        let normal: Vec<_> = given.iter().map(form).collect();
        let exact: Vec<_> = given.iter().map(|label| (plain(label), label.clone())).collect();
        // A text without any word is left as it is by normalising.
        let wordless = |form: &str| !form.is_empty() && !form.contains(char::is_alphanumeric);
        let both = || normal.iter().zip(&exact);
        let collide = both().any(|((form, _), (text, _))| {
            both().any(|((other, _), (own, _))| form == other && text != own)
        });
        if collide || normal.iter().any(|(form, _)| wordless(form)) {
            return Self { labels: exact, signs: None };
        }
        // Where no label has such signs, they are punctuation: `positive - sure`, `Rating - 5`.
        let words = || normal.iter().flat_map(|(form, _)| form.split(' '));
        let ending = |c: char| !c.is_alphanumeric() && c != '-';
        let dash = words().any(|word| word.trim_end_matches(ending).ends_with('-'));
        let bare = |word: &str| {
            let last = word.trim_end_matches(['-', '+', '#']);
            let last = last.trim_end_matches(is_mark);
            word.starts_with(char::is_alphanumeric) && last.ends_with(char::is_alphanumeric)
        };
        let lone = words().any(|word| !bare(word));
        Self { signs: Some(Signs { lone, dash }), labels: normal }
    }

    /// The one label that an answer holds, or `None` if it holds none or several.
    pub fn extract(&self, answer: &str) -> Option<&str> {
        let mut rest = match self.signs {
            Some(signs) => format!(" {} ", Normalized::default().normalize_with(answer, signs)),
            None => plain(answer),
        };
        // A label may occur inside another, as "neutral" in "not neutral". So the longest goes first, and
        // is struck out where it occurs.
        let mut labels: Vec<_> = self.labels.iter().filter(|(form, _)| !form.is_empty()).collect();
        labels.sort_by_key(|(form, _)| Reverse(form.len()));
        let mut found = None;
        for (form, label) in labels {
            let occurs = match self.signs {
                Some(_) => strike_words(&mut rest, form),
                None => strike_exact(&mut rest, form),
            };
            if occurs && found.replace(label.as_str()).is_some() {
                return None;
            }
        }
        found
    }
}

/// Strikes out a label where it occurs as whole words, and says whether it does.
fn strike_words(rest: &mut String, form: &str) -> bool {
    let words = format!(" {form} ");
    let occurs = rest.contains(&words);
    // Neighbours share a space, so one pass may leave every other occurrence.
    while rest.contains(&words) {
        *rest = rest.replace(&words, " \0 ");
    }
    occurs
}

/// Strikes out a label where it occurs by itself, and says whether it does.
fn strike_exact(rest: &mut String, label: &str) -> bool {
    let (first, last) = (label.chars().next(), label.chars().next_back());
    let (mut occurs, mut from) = (false, 0);
    while let Some(at) = rest.get(from..).and_then(|more| more.find(label)) {
        let (start, end) = (from + at, from + at + label.len());
        let before = rest.get(..start).unwrap_or_default().chars().rev();
        let after = rest.get(end..).unwrap_or_default().chars();
        if is_apart(before, first) && is_apart(after, last) {
            rest.replace_range(start..end, "\0");
            (occurs, from) = (true, start + 1);
        } else {
            from = start + first.map_or(1, char::len_utf8);
        }
    }
    occurs
}

/// Whether only punctuation touches a label on one side, and none that would make it longer: `**` is not
/// twice the label `*`.
fn is_apart(side: impl Iterator<Item = char>, edge: Option<char>) -> bool {
    let touching = |c: &char| !c.is_whitespace();
    side.take_while(touching).all(|c| is_punctuation(c) && Some(c) != edge)
}

/// Whether a character carries no meaning beside a label.
const fn is_punctuation(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '`' | '*' | '_' | '(' | ')' | '[' | ']'
    ) || matches!(c, '{' | '}' | '…' | '«' | '»' | '¡' | '¿' | '\u{3001}'..='\u{3011}')
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

    #[test]
    fn every_label_is_recognised_as_itself() {
        for labels in [
            &["C", "C++", "C#"][..],
            &["A+", "A", "A-", "Not A"],
            &["+", "-"],
            &["👍", "👎", "👍 👎"],
            &["👍 good", "👎 good"],
            &["*", "**", "***"],
            &["<", "<=", "=", ">=", ">", "!="],
            &["-1", "0", "1", "$1", "1 %"],
            &["(i)", "[i]"],
            &["yes", "yes."],
            &["", "yes"],
        ] {
            let list = Label::new(labels.iter().copied());
            for label in labels.iter().copied().filter(|label| !label.is_empty()) {
                assert_eq!(list.extract(label), Some(label), "{labels:?}");
                let chatty = format!("My answer: {}, of course", label.to_uppercase());
                let found = list.extract(&chatty);
                assert!(found.is_none_or(|found| found == label), "{chatty}: {found:?}");
            }
            assert_eq!((list.extract(""), list.extract("nothing of it")), (None, None));
        }
    }

    #[test]
    fn what_is_near_a_label_is_not_the_label() {
        let languages = Label::new(["C++", "Java"]);
        assert_eq!((languages.extract("C"), languages.extract("C#")), (None, None));
        assert_eq!(languages.extract("It is **C++**."), Some("C++"));
        let thumbs = Label::new(["👍", "👎"]);
        assert_eq!(thumbs.extract("good 👍!"), Some("👍"));
        assert_eq!((thumbs.extract("👍 or 👎"), thumbs.extract("👍🏽")), (None, None));
        let stars = Label::new(["*", "**"]);
        assert_eq!((stars.extract("***"), stars.extract("(**)")), (None, Some("**")));
        let scale = Label::new(["-1", "0", "1"]);
        assert_eq!((scale.extract("- 1"), scale.extract("<1")), (Some("-1"), None));
    }

    #[test]
    fn labels_that_differ_in_a_mark_are_two() {
        let answers = Label::new(["ใช่", "ไม่"]);
        assert_eq!((answers.extract("ใช่!"), answers.extract("(ไม่)")), (Some("ใช่"), Some("ไม่")));
        assert_eq!((answers.extract("ใช้"), answers.extract("ไม้")), (None, None));
        let scale = Label::new(["ไม่", "2"]);
        assert_eq!(scale.extract("Rating - 2"), Some("2"));
    }

    #[test]
    fn dashes_beside_ordinary_labels_are_punctuation() {
        let scale = Label::new(["1", "2"]);
        assert_eq!(scale.extract("Rating - 2"), Some("2"));
        assert_eq!(scale.extract("Rating: -2"), None);
        let sentiment = Label::new(["positive", "negative"]);
        assert_eq!(sentiment.extract("Positive- the actors shine"), Some("positive"));
    }
}

//! The texts: real sentences, word pairs and words in sixteen languages.
//!
//! They were collected from newspapers and the web by the makers of lingua, to measure its
//! accuracy, and ship inside its language model crates. Which language a text was collected under
//! is not used: what counts here is what the reference says.

use std::str::FromStr;

/// Which texts to take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole sentences, about a hundred bytes each.
    Sentences,
    /// Two words: much harder.
    Pairs,
    /// Sentences, word pairs and single words in equal parts.
    All,
}

impl Kind {
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Sentences => &["sentences.txt"],
            Self::Pairs => &["word-pairs.txt"],
            Self::All => &["sentences.txt", "word-pairs.txt", "single-words.txt"],
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "sentences" => Self::Sentences,
            "pairs" => Self::Pairs,
            "all" => Self::All,
            other => return Err(format!("unknown texts {other}: sentences, pairs or all")),
        })
    }
}

/// Every text of a kind, languages taking turns, so that any beginning of the list is balanced.
pub fn texts(kind: Kind) -> Vec<&'static str> {
    let lists: Vec<Vec<&str>> =
        files(kind).into_iter().map(|file| file.lines().collect()).collect();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|line| lists.iter().map(move |list| list.get(line)));
    turns.flatten().map(|text| text.trim()).filter(|text| !text.is_empty()).collect()
}

/// The files of a kind, of every language.
fn files(kind: Kind) -> Vec<&'static str> {
    macro_rules! files {
        ($($language:ident :: $texts:ident),+ $(,)?) => {
            kind.files().iter().flat_map(|name| [
                $($language::$texts.get_file(name).and_then(|file| file.contents_utf8())),+
            ]).flatten().collect()
        };
    }
    files![
        lingua_arabic_language_model::ARABIC_TESTDATA_DIRECTORY,
        lingua_chinese_language_model::CHINESE_TESTDATA_DIRECTORY,
        lingua_dutch_language_model::DUTCH_TESTDATA_DIRECTORY,
        lingua_english_language_model::ENGLISH_TESTDATA_DIRECTORY,
        lingua_french_language_model::FRENCH_TESTDATA_DIRECTORY,
        lingua_german_language_model::GERMAN_TESTDATA_DIRECTORY,
        lingua_hindi_language_model::HINDI_TESTDATA_DIRECTORY,
        lingua_italian_language_model::ITALIAN_TESTDATA_DIRECTORY,
        lingua_japanese_language_model::JAPANESE_TESTDATA_DIRECTORY,
        lingua_korean_language_model::KOREAN_TESTDATA_DIRECTORY,
        lingua_portuguese_language_model::PORTUGUESE_TESTDATA_DIRECTORY,
        lingua_russian_language_model::RUSSIAN_TESTDATA_DIRECTORY,
        lingua_spanish_language_model::SPANISH_TESTDATA_DIRECTORY,
        lingua_swedish_language_model::SWEDISH_TESTDATA_DIRECTORY,
        lingua_turkish_language_model::TURKISH_TESTDATA_DIRECTORY,
        lingua_vietnamese_language_model::VIETNAMESE_TESTDATA_DIRECTORY,
    ]
}

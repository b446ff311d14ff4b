//! The models: four ways of telling a language, behind one backend.

use lingua::{IsoCode639_3, LanguageDetector, LanguageDetectorBuilder};
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

/// A language as its ISO 639-3 code, and how sure the classifier is, if it says.
pub struct Guess {
    pub language: String,
    pub confidence: Option<f64>,
}

/// What stands where your client would.
pub enum Classifier {
    /// Every n-gram of one to five letters: the most accurate, and the slowest.
    Lingua(LanguageDetector),
    /// The same with trigrams alone.
    LinguaLow(LanguageDetector),
    /// Trigram ranks of seventy languages, of which these sixteen are allowed.
    Whatlang(whatlang::Detector),
    /// A linear model of hashed n-grams; it gives no score.
    Whichlang,
}

impl Classifier {
    pub fn lingua() -> Self {
        Self::Lingua(detector().with_preloaded_language_models().build())
    }

    pub fn lingua_low() -> Self {
        let mut low = detector();
        Self::LinguaLow(low.with_low_accuracy_mode().with_preloaded_language_models().build())
    }

    pub fn whatlang() -> Self {
        let code =
            |language: &whichlang::Lang| whatlang::Lang::from_code(language.three_letter_code());
        let allowed = whichlang::LANGUAGES.iter().filter_map(code).collect();
        Self::Whatlang(whatlang::Detector::with_allowlist(allowed))
    }

    /// Tells the language of a text.
    pub fn guess(&self, text: &str) -> Guess {
        match self {
            Self::Lingua(detector) => {
                let language = detector.detect_language_of(text);
                Guess { language: code(language), confidence: None }
            }
            Self::LinguaLow(detector) => {
                let best = detector.compute_language_confidence_values(text).into_iter().next();
                let (language, confidence) = best.unzip();
                Guess { language: code(language), confidence }
            }
            Self::Whatlang(detector) => {
                let info = detector.detect(text);
                let language = info.as_ref().map_or("und", |info| info.lang().code());
                Guess { language: language.into(), confidence: info.map(|info| info.confidence()) }
            }
            Self::Whichlang => {
                let language = whichlang::detect_language(text).three_letter_code();
                Guess { language: language.into(), confidence: None }
            }
        }
    }
}

fn detector() -> LanguageDetectorBuilder {
    // The sixteen languages of the crate's features are all that were compiled in.
    LanguageDetectorBuilder::from_all_languages()
}

/// lingua's languages under the codes of the others; `und` where it would not say.
fn code(language: Option<lingua::Language>) -> String {
    match language.map(|language| language.iso_code_639_3()) {
        None => "und".into(),
        Some(IsoCode639_3::ZHO) => "cmn".into(),
        Some(code) => code.to_string().to_lowercase(),
    }
}

#[async_trait]
impl LlmBackend<str> for Classifier {
    type Output = String;

    async fn complete(&self, text: &str) -> Result<Completion<String>, BackendError> {
        let Guess { language, confidence } = self.guess(text);
        // Prices are per byte here, so bytes are the tokens.
        let answer = Completion::new(language).with_usage(Usage::tokens(text.len() as u64, 0));
        // `with_confidence` takes a score that is not finite for none.
        Ok(answer.with_confidence(confidence.unwrap_or(f64::NAN)))
    }
}

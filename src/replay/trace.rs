//! The trace file and the meta file beside it, as they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::value::{mended, money, number, output, tokens, verdict};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::RosterError;

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The trace cannot be read.
    #[error("the trace {path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The meta file is there and cannot be read.
    #[error("the trace's meta file {path} cannot be read")]
    ReadMeta {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A line is not a trace item.
    #[error("{path}, line {line}: not a trace item: {reason}")]
    Line {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// The reason, with the model and the field where they are known.
        reason: String,
    },
    /// The meta file is not valid.
    #[error("{path}: not a trace's meta file")]
    Meta {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// Neither the meta file nor the caller names the equivalence or the reference.
    #[error("the {missing} must be named: {place}")]
    Unnamed {
        /// What is not named.
        missing: &'static str,
        /// Where it would be.
        place: String,
    },
    /// There is no equivalence of this name.
    #[error(
        "there is no equivalence `{0}`: it is one of `exact`, `normalized`, `numeric` and `judge`"
    )]
    NoSuchEquivalence(String),
    /// There are no items.
    #[error("{0} holds no items")]
    Empty(String),
    /// A model that the caller named is not in the trace.
    #[error("the trace has no model named `{0}`")]
    NoSuchModel(String),
    /// The caller named the reference as a candidate.
    #[error("`{0}` is the reference and cannot be a candidate")]
    ReferenceAsCandidate(String),
    /// The caller named another reference than the one with which a judge compared the answers.
    #[error(
        "`{asked}` cannot be the reference: the recorded verdicts (`judge_vs_reference`) compare answers with \
         those of `{judged}`, and there are none that compare with `{asked}`"
    )]
    JudgedAgainst {
        /// The reference of the recorded verdicts: the meta file's.
        judged: String,
        /// The reference that the caller named.
        asked: String,
    },
    /// The cost of a model is not known.
    #[error(
        "the cost of `{0}` is not known: no answer in the trace has a `cost_usd`, or token counts and a \
         price; give a cost per item for it"
    )]
    NoCost(String),
    /// The outcomes do not make a matrix for the published algorithm.
    #[error(transparent)]
    Outcomes(#[from] crate::published::PublishedError),
    /// The names do not make a valid roster.
    #[error("the models do not form a valid roster")]
    Roster(#[from] RosterError),
}

/// A trace in memory.
#[derive(Debug, Clone)]
pub struct Trace {
    pub(super) lines: Vec<Line>,
    pub(super) meta: Meta,
    /// Where the meta file is, or should be.
    place: String,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) models: BTreeMap<String, Recorded>,
}

#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) output: Option<String>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) cost_usd: Option<Cost>,
    pub(super) confidence: Option<f64>,
    pub(super) confidence_call_cost_usd: Option<Cost>,
    pub(super) judge_vs_reference: Option<bool>,
}

#[derive(Deserialize)]
struct WrittenLine<'a> {
    #[serde(borrow)]
    models: &'a RawValue,
}

/// The fields as they are written, of whatever type.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    prompt_tokens: Option<&'a RawValue>,
    completion_tokens: Option<&'a RawValue>,
    cost_usd: Option<&'a RawValue>,
    confidence: Option<&'a RawValue>,
    confidence_call_cost_usd: Option<&'a RawValue>,
    judge_vs_reference: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) reference: Option<String>,
    #[serde(default)]
    equivalence: Option<String>,
    #[serde(default)]
    pricing: Option<BTreeMap<String, Option<Price>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Exact,
    Normalized,
    Numeric,
    Judge,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Price {
    #[serde(default, deserialize_with = "price")]
    prompt_per_mtok: Option<f64>,
    #[serde(default, deserialize_with = "price")]
    completion_per_mtok: Option<f64>,
}

impl Trace {
    /// Reads `NAME.jsonl`, gzipped or not, and `NAME.meta.json` beside it, if there is one. Several gzip files
    /// put together are one file.
    ///
    /// # Errors
    /// [`ReplayError`], naming the file and the line that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReplayError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let unreadable = |source| ReplayError::Read { path: shown.clone(), source };
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let gzip = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let meta_path = meta_beside(path);
        let meta_shown = meta_path.display().to_string();
        let (meta, place) = match std::fs::read(&meta_path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let invalid = |source| ReplayError::Meta { path: meta_shown.clone(), source };
                (meta(&text).map_err(invalid)?, format!("{meta_shown} does not say"))
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                (Meta::default(), format!("there is no meta file {meta_shown}"))
            }
            Err(source) => return Err(ReplayError::ReadMeta { path: meta_shown, source }),
        };
        let reader: Box<dyn Read> =
            if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Self::parse(BufReader::new(reader), meta, &shown).map(|trace| Self { place, ..trace })
    }

    /// Parses the lines of a trace; errors name its `path`.
    pub(super) fn parse(
        mut lines: impl BufRead,
        meta: Meta,
        path: &str,
    ) -> Result<Self, ReplayError> {
        let unreadable = |source| ReplayError::Read { path: path.to_owned(), source };
        let bad = |line, reason| ReplayError::Line { path: path.to_owned(), line, reason };
        let (mut items, mut bytes, mut number) = (Vec::new(), Vec::new(), 0);
        while lines.read_until(b'\n', &mut bytes).map_err(unreadable)? > 0 {
            number += 1;
            let whole = items.is_empty() && first(&bytes) == Some(b'[');
            if whole {
                lines.read_to_end(&mut bytes).map_err(unreadable)?;
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = if number == 1 { unmarked(&text) } else { &text };
            if whole {
                items = array(text).map_err(|(line, reason)| bad(number + line, reason))?;
            } else if !text.trim().is_empty() {
                items.push(Line::read(text.trim()).map_err(|reason| bad(number, reason))?);
            }
            bytes.clear();
        }
        if items.is_empty() {
            return Err(ReplayError::Empty(path.to_owned()));
        }
        Ok(Self { lines: items, meta, place: "the meta file does not say".to_owned() })
    }

    /// Compares answers by the equivalence of this name, whatever the meta file says.
    ///
    /// # Errors
    /// [`ReplayError::NoSuchEquivalence`].
    pub fn with_equivalence(mut self, name: &str) -> Result<Self, ReplayError> {
        Relation::named(name)?;
        self.meta.equivalence = Some(name.to_owned());
        Ok(self)
    }

    /// The reference that the caller or else the meta file names, and the equivalence.
    pub(super) fn named(&self, asked: Option<&str>) -> Result<(String, Relation), ReplayError> {
        let missing = match (asked.or(self.meta.reference.as_deref()), &self.meta.equivalence) {
            (Some(reference), Some(name)) => {
                return Ok((reference.to_owned(), Relation::named(name)?));
            }
            (Some(_), None) => "equivalence",
            (None, Some(_)) => "reference",
            (None, None) => "equivalence and the reference",
        };
        Err(ReplayError::Unnamed { missing, place: self.place.clone() })
    }

    /// The names of all models in the trace.
    pub fn models(&self) -> BTreeSet<String> {
        self.lines.iter().flat_map(|line| line.models.keys().cloned()).collect()
    }

    /// What so many tokens cost, if every price that this takes is known.
    pub(super) fn priced(&self, name: &str, prompt: u64, completion: u64) -> Option<Cost> {
        let price = self.meta.pricing.as_ref()?.get(name)?.as_ref()?;
        let side = |price: Option<f64>, tokens: u64| price.or((tokens == 0).then_some(0.0));
        let (input, output) =
            (side(price.prompt_per_mtok, prompt)?, side(price.completion_per_mtok, completion)?);
        let pricing = Pricing::per_million(input, output).ok()?;
        Some(pricing.cost(Some(&Usage::tokens(prompt, completion))))
    }
}

impl Line {
    /// Reads one item, or says what is wrong with it.
    fn read(text: &str) -> Result<Self, String> {
        Self::strict(text).or_else(|reason| match mended(text) {
            Some(text) => Self::strict(&text),
            None => Err(reason),
        })
    }

    fn strict(text: &str) -> Result<Self, String> {
        let line: WrittenLine = object(text)?;
        let models: Option<BTreeMap<String, &RawValue>> =
            serde_json::from_str(line.models.get())
                .map_err(|error| format!("`models`: {}", said(&error)))?;
        let mut recorded = BTreeMap::new();
        for (name, written) in models.unwrap_or_default() {
            if written.get() != "null" {
                let answer = Recorded::read(written.get());
                let answer = answer.map_err(|reason| format!("model `{name}`: {reason}"))?;
                recorded.insert(name, answer);
            }
        }
        Ok(Self { models: recorded })
    }
}

impl Recorded {
    fn read(text: &str) -> Result<Self, String> {
        let written: Written = object(text)?;
        let output = written.output.map(output).transpose();
        let cost = |name: &str, raw: Option<&RawValue>| {
            let cost = raw.map(money).transpose().map_err(|error| format!("`{name}`: {error}"));
            cost.map(Option::flatten)
        };
        Ok(Self {
            output: output.map_err(|error| format!("`output`: {}", said(&error)))?,
            prompt_tokens: written.prompt_tokens.and_then(tokens),
            completion_tokens: written.completion_tokens.and_then(tokens),
            cost_usd: cost("cost_usd", written.cost_usd)?,
            confidence: written.confidence.and_then(number),
            confidence_call_cost_usd: cost(
                "confidence_call_cost_usd",
                written.confidence_call_cost_usd,
            )?,
            judge_vs_reference: written.judge_vs_reference.and_then(verdict),
        })
    }
}

impl Relation {
    fn named(name: &str) -> Result<Self, ReplayError> {
        Ok(match name.trim().to_lowercase().as_str() {
            "exact" => Self::Exact,
            "normalized" | "normalised" => Self::Normalized,
            "numeric" => Self::Numeric,
            "judge" => Self::Judge,
            _ => return Err(ReplayError::NoSuchEquivalence(name.to_owned())),
        })
    }
}

/// Reads the meta file's text.
pub(super) fn meta(text: &str) -> Result<Meta, serde_json::Error> {
    let text = unmarked(text);
    serde_json::from_str(text).or_else(|error| match mended(text) {
        Some(text) => serde_json::from_str(&text),
        None => Err(error),
    })
}

/// Reads a file that is one array of items, or says which line (counted from 0) is wrong.
fn array(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mended = mended(text);
    let text = mended.as_deref().unwrap_or(text);
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let reason = "a trace is JSON Lines (one object in each line) or one array of objects";
        (error.line().saturating_sub(1), format!("{reason}: {}", said(&error)))
    })?;
    let read = |item: &RawValue| {
        Line::read(item.get()).map_err(|reason| {
            let before = item.get().as_ptr().addr() - text.as_ptr().addr();
            (text.bytes().take(before).filter(|byte| *byte == b'\n').count(), reason)
        })
    };
    items.into_iter().map(read).collect()
}

/// Reads an object. (Serde takes an array of fields for one as well.)
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    match serde_json::from_str(text) {
        Err(error) if !error.is_data() => Err(said(&error)),
        _ if !text.starts_with('{') => Err("it is not an object".to_owned()),
        read => read.map_err(|error| said(&error)),
    }
}

/// What serde says. Its line is that of the value and not of the file; its column helps where JSON is broken.
fn said(error: &serde_json::Error) -> String {
    let (place, text) =
        (format!(" at line {} column {}", error.line(), error.column()), error.to_string());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    if error.is_data() { text.to_owned() } else { format!("{text} at column {}", error.column()) }
}

/// The text without the byte order mark that some programs put before it.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The first byte that counts.
fn first(bytes: &[u8]) -> Option<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Reads a price, or `None` for an unknown one.
fn price<'de, D: Deserializer<'de>>(price: D) -> Result<Option<f64>, D::Error> {
    Ok(Option::<Box<RawValue>>::deserialize(price)?.and_then(|raw| number(&raw)))
}

pub(super) fn meta_beside(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
    path.with_file_name(format!("{stem}.meta.json"))
}

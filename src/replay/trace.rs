//! The trace file and the meta file beside it, as they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Deserializer, de};

use crate::pricing::{Cost, Pricing};
use crate::roster::RosterError;

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The trace or its meta file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A line is not a trace item.
    #[error("{path}, line {line}: not a trace item")]
    Line {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// The reason.
        #[source]
        source: serde_json::Error,
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
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    #[serde(deserialize_with = "recorded")]
    pub(super) models: BTreeMap<String, Recorded>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Recorded {
    #[serde(default)]
    pub(super) output: Option<String>,
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "usd")]
    pub(super) cost_usd: Option<Cost>,
    #[serde(default)]
    pub(super) confidence: Option<f64>,
    #[serde(default, deserialize_with = "usd")]
    pub(super) confidence_call_cost_usd: Option<Cost>,
    #[serde(default)]
    pub(super) judge_vs_reference: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Meta {
    pub(super) reference: String,
    pub(super) equivalence: Relation,
    #[serde(default)]
    pricing: BTreeMap<String, Price>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Relation {
    Exact,
    Normalized,
    Numeric,
    Judge,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Price {
    prompt_per_mtok: f64,
    completion_per_mtok: f64,
}

impl Trace {
    /// Reads `NAME.jsonl` or `NAME.jsonl.gz`, and `NAME.meta.json` beside it. Several gzip files put together
    /// are one file.
    ///
    /// # Errors
    /// [`ReplayError`], naming the file and the line that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReplayError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let meta_path = meta_beside(path);
        let meta_shown = meta_path.display().to_string();
        let unreadable = |path: String| move |source| ReplayError::Read { path, source };
        let text = std::fs::read_to_string(&meta_path).map_err(unreadable(meta_shown.clone()))?;
        let meta = serde_json::from_str(&text)
            .map_err(|source| ReplayError::Meta { path: meta_shown, source })?;
        let file = File::open(path).map_err(unreadable(shown.clone()))?;
        let reader: Box<dyn Read> = if path.extension().is_some_and(|ext| ext == "gz") {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Self::parse(BufReader::new(reader), meta, &shown)
    }

    /// Parses the lines of a trace; errors name its `path`.
    pub(super) fn parse(lines: impl BufRead, meta: Meta, path: &str) -> Result<Self, ReplayError> {
        let mut items = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let line =
                line.map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
            if line.trim().is_empty() {
                continue;
            }
            items.push(serde_json::from_str(&line).map_err(|source| ReplayError::Line {
                path: path.to_owned(),
                line: number + 1,
                source,
            })?);
        }
        if items.is_empty() {
            return Err(ReplayError::Empty(path.to_owned()));
        }
        Ok(Self { lines: items, meta })
    }

    /// The names of all models in the trace.
    pub fn models(&self) -> BTreeSet<String> {
        self.lines.iter().flat_map(|line| line.models.keys().cloned()).collect()
    }

    pub(super) fn pricing(&self, name: &str) -> Option<Pricing> {
        let price = self.meta.pricing.get(name)?;
        Pricing::per_million(price.prompt_per_mtok, price.completion_per_mtok).ok()
    }
}

/// Reads the models of an item; a model that is `null` recorded nothing.
fn recorded<'de, D: Deserializer<'de>>(models: D) -> Result<BTreeMap<String, Recorded>, D::Error> {
    let models = BTreeMap::<String, Option<Recorded>>::deserialize(models)?;
    Ok(models.into_iter().filter_map(|(name, recorded)| Some((name, recorded?))).collect())
}

/// Reads an amount of money, or `null` for an unknown one.
fn usd<'de, D: Deserializer<'de>>(amount: D) -> Result<Option<Cost>, D::Error> {
    let amount = Option::<f64>::deserialize(amount)?;
    amount.map(Cost::from_usd).transpose().map_err(de::Error::custom)
}

pub(super) fn meta_beside(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
    path.with_file_name(format!("{stem}.meta.json"))
}

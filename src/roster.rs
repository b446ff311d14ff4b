//! The models of a run: [`Model`], [`Roster`], and [`RosterSpec`].
//!
//! A caller puts a name, a backend and prices together in a [`Model`], and one reference and any number
//! of candidates in a checked [`Roster`]. The decision core and every stored artefact see only its
//! [`RosterSpec`]: names, versions and prices, without the backends.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backend::{LlmBackend, Scoring};
use crate::pricing::Pricing;

/// The most models one roster holds, because sets of models are kept in 64 bits.
pub const MAX_MODELS: usize = 64;

/// A model of a roster, by position: the reference is 0, candidates follow in the order given.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct ModelId(u8);

impl From<ModelId> for u8 {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

impl TryFrom<u8> for ModelId {
    type Error = RosterError;

    /// The model at a position, if a roster can have it.
    fn try_from(position: u8) -> Result<Self, RosterError> {
        let fits = usize::from(position) < MAX_MODELS;
        if fits { Ok(Self(position)) } else { Err(RosterError::TooMany) }
    }
}

impl ModelId {
    /// The reference model.
    pub const REFERENCE: Self = Self(0);

    /// The model at a position.
    pub const fn new(position: u8) -> Self {
        Self(position)
    }

    /// The position, 0 for the reference.
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    /// Whether this is the reference.
    pub const fn is_reference(self) -> bool {
        self.0 == 0
    }
}

/// Why a list of models is not a valid roster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// Two models share a name.
    #[error("two models are named `{0}`: names tell models apart in reports and files")]
    DuplicateName(String),
    /// A name has a control character, which could break the lines of reports and files.
    #[error("the name {0:?} of a model has a control character")]
    ControlCharacter(String),
    /// A model has no name.
    #[error("a model has an empty name")]
    EmptyName,
    /// There are more models than a roster holds.
    #[error("a roster holds at most {MAX_MODELS} models")]
    TooMany,
}

/// What the decision core knows about one model; stored in every artefact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelSpec {
    /// The name, unique in the roster.
    pub name: String,
    /// The caller's tag for prompt, parameters and parsing; evidence is bound to it.
    #[serde(default)]
    pub version: Option<String>,
    /// The prices; they may change between a profile and a plan.
    pub pricing: Pricing,
    /// Where confidence scores come from.
    #[serde(default)]
    pub scoring: Scoring,
}

impl ModelSpec {
    /// Makes a model with this name, free of charge until priced.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            pricing: Pricing::default(),
            scoring: Scoring::WithAnswer,
        }
    }

    /// Sets the prices.
    #[must_use]
    pub const fn with_pricing(mut self, pricing: Pricing) -> Self {
        self.pricing = pricing;
        self
    }

    /// Sets the tag for prompt, parameters and parsing.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets where confidence scores come from.
    #[must_use]
    pub const fn with_scoring(mut self, scoring: Scoring) -> Self {
        self.scoring = scoring;
        self
    }
}

/// The models of a run without their backends: names, versions, prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ModelSpec>", into = "Vec<ModelSpec>")]
pub struct RosterSpec {
    models: Vec<ModelSpec>,
}

impl RosterSpec {
    /// Checks a list of models, the reference first.
    ///
    /// # Errors
    /// [`RosterError`] for empty or repeated names, for names with control characters, or for too many
    /// models.
    pub fn new(models: Vec<ModelSpec>) -> Result<Self, RosterError> {
        if models.len() > MAX_MODELS {
            return Err(RosterError::TooMany);
        }
        for (position, model) in models.iter().enumerate() {
            if model.name.trim().is_empty() {
                return Err(RosterError::EmptyName);
            }
            if model.name.chars().any(char::is_control) {
                return Err(RosterError::ControlCharacter(model.name.clone()));
            }
            if models.iter().take(position).any(|other| other.name == model.name) {
                return Err(RosterError::DuplicateName(model.name.clone()));
            }
        }
        Ok(Self { models })
    }

    /// All models, the reference first.
    pub fn models(&self) -> &[ModelSpec] {
        &self.models
    }

    /// How many candidates there are.
    pub fn candidate_count(&self) -> usize {
        self.models.len().saturating_sub(1)
    }

    /// The candidates' ids.
    #[allow(clippy::cast_possible_truncation, reason = "at most 64 models")]
    pub fn candidates(&self) -> impl DoubleEndedIterator<Item = ModelId> + use<> {
        (1..self.models.len()).map(|position| ModelId(position as u8))
    }

    /// The ids of all models, the reference first.
    #[allow(clippy::cast_possible_truncation, reason = "at most 64 models")]
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ModelId> + use<> {
        (0..self.models.len()).map(|position| ModelId(position as u8))
    }

    /// Whether a model's scores take a second call.
    pub(crate) fn rates(&self, id: ModelId) -> bool {
        self.model(id).is_some_and(|model| model.scoring == Scoring::SecondCall)
    }

    /// What is known about a model.
    pub fn model(&self, id: ModelId) -> Option<&ModelSpec> {
        self.models.get(id.position())
    }

    /// A model's name, `?` if the roster has no such model.
    pub fn name(&self, id: ModelId) -> &str {
        self.model(id).map_or("?", |model| model.name.as_str())
    }

    /// The id of the model with this name.
    pub fn find(&self, name: &str) -> Option<ModelId> {
        self.ids().find(|id| self.name(*id) == name)
    }

    /// What differs between two rosters apart from prices, in a sentence that names every model
    /// concerned; `None` if nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut found = Vec::new();
        for (id, was) in self.ids().zip(&self.models) {
            let name = &was.name;
            let Some(now) = other.find(name) else {
                // If a model that was not there before is in its place, it took that place.
                let heir = other.model(id).filter(|heir| self.find(&heir.name).is_none());
                let role = if id.is_reference() { "the reference" } else { "a candidate" };
                found.push(match heir {
                    Some(heir) => format!("{role} was `{name}` and is now `{}`", heir.name),
                    None => format!("`{name}` is missing"),
                });
                continue;
            };
            if now != id {
                found.push(format!("the position of `{name}` in the roster has changed"));
            }
            let Some(is) = other.model(now) else { continue };
            if was.version != is.version {
                let tag = |v: &Option<String>| v.clone().unwrap_or_else(|| "none".into());
                let (was, is) = (tag(&was.version), tag(&is.version));
                found.push(format!("the version of `{name}` was `{was}` and is now `{is}`"));
            }
            if was.scoring != is.scoring {
                found.push(format!("the source of `{name}`'s confidence scores has changed"));
            }
        }
        let more = other.models.iter().skip(self.models.len());
        let new = more.filter(|model| self.find(&model.name).is_none());
        found.extend(new.map(|model| format!("`{}` is new", model.name)));
        (!found.is_empty()).then(|| found.join("; "))
    }
}

impl TryFrom<Vec<ModelSpec>> for RosterSpec {
    type Error = RosterError;
    fn try_from(models: Vec<ModelSpec>) -> Result<Self, RosterError> {
        Self::new(models)
    }
}

impl From<RosterSpec> for Vec<ModelSpec> {
    fn from(roster: RosterSpec) -> Self {
        roster.models
    }
}

/// A backend, as a roster holds it.
pub type SharedBackend<I, O> = Arc<dyn LlmBackend<I, Output = O>>;

/// One model: a name, a backend, prices, and a version tag.
pub struct Model<I: ?Sized + Sync, O> {
    spec: ModelSpec,
    backend: SharedBackend<I, O>,
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Model<I, O> {
    /// Makes a model with this name and this backend, free of charge until priced.
    pub fn new(name: impl Into<String>, backend: impl LlmBackend<I, Output = O> + 'static) -> Self {
        let spec = ModelSpec::new(name).with_scoring(backend.scoring());
        Self { spec, backend: Arc::new(backend) }
    }

    /// Sets the prices.
    #[must_use]
    pub fn with_pricing(mut self, pricing: Pricing) -> Self {
        self.spec.pricing = pricing;
        self
    }

    /// Sets the tag for prompt, parameters and parsing. Stored evidence is refused under another tag,
    /// and another tag gives another random order ([`Order::of`](crate::Order::of)).
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.spec.version = Some(version.into());
        self
    }
}

impl<I: ?Sized + Sync, O> Model<I, O> {
    /// What the decision core knows about the model.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The backend.
    pub fn backend(&self) -> &SharedBackend<I, O> {
        &self.backend
    }
}

impl<I: ?Sized + Sync, O> fmt::Debug for Model<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// The reference model and the candidates of a run, checked.
///
/// A roster without candidates is valid: every item then goes to the reference, and the report says so.
/// A candidate dearer than the reference is valid, too, but is never chosen.
///
/// ```
/// use smart_core::{Completion, Model, Pricing, Roster, from_fn};
/// let fake = |label: &'static str| from_fn(move |_: &str| async move { Ok(Completion::new(label)) });
/// let roster = Roster::new(
///     Model::new("large", fake("yes")).with_pricing(Pricing::per_million(30.0, 60.0)?),
///     [Model::new("small", fake("yes")).with_pricing(Pricing::per_million(0.5, 1.5)?)],
/// )?;
/// assert_eq!(roster.spec().candidate_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Roster<I: ?Sized + Sync, O> {
    spec: RosterSpec,
    backends: Vec<SharedBackend<I, O>>,
}

impl<I: ?Sized + Sync, O> Roster<I, O> {
    /// Checks a reference and its candidates.
    ///
    /// # Errors
    /// [`RosterError`] for empty or repeated names, for names with control characters, or for more than
    /// [`MAX_MODELS`] models.
    pub fn new(
        reference: Model<I, O>,
        candidates: impl IntoIterator<Item = Model<I, O>>,
    ) -> Result<Self, RosterError> {
        let models = std::iter::once(reference).chain(candidates);
        let (specs, backends) = models.map(|model| (model.spec, model.backend)).unzip();
        Ok(Self { spec: RosterSpec::new(specs)?, backends })
    }

    /// Names, versions and prices.
    pub fn spec(&self) -> &RosterSpec {
        &self.spec
    }

    /// The backend of a model.
    pub fn backend(&self, id: ModelId) -> Option<&SharedBackend<I, O>> {
        self.backends.get(id.position())
    }
}

impl<I: ?Sized + Sync, O> Clone for Roster<I, O> {
    fn clone(&self) -> Self {
        Self { spec: self.spec.clone(), backends: self.backends.clone() }
    }
}

impl<I: ?Sized + Sync, O> fmt::Debug for Roster<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").field("spec", &self.spec).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> ModelSpec {
        ModelSpec::new(name)
    }

    #[test]
    fn rosters_are_checked() {
        let roster = |names: &[&str]| RosterSpec::new(names.iter().map(|n| spec(n)).collect());
        assert_eq!(roster(&["a", "a"]).unwrap_err(), RosterError::DuplicateName("a".into()));
        assert_eq!(roster(&["a", " "]).unwrap_err(), RosterError::EmptyName);
        for name in ["a\nb", "\u{1b}[31mred", "tab\there"] {
            let error = roster(&["large", name]).unwrap_err();
            assert_eq!(error, RosterError::ControlCharacter(name.into()));
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        assert_eq!(roster(&["a"]).unwrap().candidate_count(), 0);
        let many: Vec<_> = (0..65).map(|i| spec(&i.to_string())).collect();
        assert_eq!(RosterSpec::new(many).unwrap_err(), RosterError::TooMany);
    }

    #[test]
    fn differences_are_told_in_a_sentence() {
        let a = RosterSpec::new(vec![spec("big"), spec("small")]).unwrap();
        let mut other = spec("small");
        other.version = Some("v2".into());
        let b = RosterSpec::new(vec![spec("big"), other]).unwrap();
        assert_eq!(a.difference(&a), None);
        let said = a.difference(&b).unwrap();
        assert_eq!(said, "the version of `small` was `none` and is now `v2`");
        let c = RosterSpec::new(vec![spec("big")]).unwrap();
        assert_eq!(a.difference(&c).unwrap(), "`small` is missing");
        assert_eq!(c.difference(&a).unwrap(), "`small` is new");
        let mut changed = spec("big");
        changed.version = Some("2".into());
        let d = RosterSpec::new(vec![spec("small"), changed]).unwrap();
        let said = a.difference(&d).unwrap();
        assert_eq!(said.matches("the position of").count(), 2);
        assert!(said.contains("the version of `big` was `none` and is now `2`"), "{said}");
    }
}

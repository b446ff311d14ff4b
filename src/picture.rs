//! Pictures of a run: a page for a browser, and its figures as SVG.
//!
//! The last step of a run is its report, which says what happened but not how it came to that. A
//! [`Recorder`] is an [`Observer`] that keeps what a [`Report`] does not say: what each profiled item
//! showed, and how every chain stood at every look. From both it draws:
//!
//! - **cost and agreement**: what every considered chain would cost at every agreement it could
//!   deliver, and where the plan lies;
//! - **the certificate's path**: failures as items were tested, against the most that certify;
//! - **calls and money** by model.
//!
//! [`Recorder::html`] puts them on one page with the promise, the verdict, the tables and the provenance. The
//! page is a single file: it loads nothing from the network, runs no script, adapts to light and dark, to a
//! phone and to paper, and contains no prompt and no answer. The same run gives the same bytes.
//!
//! ```
//! use smart_core::backend::Simulated;
//! use smart_core::equivalence::Exact;
//! use smart_core::picture::Recorder;
//! use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
//!
//! # futures::executor::block_on(async {
//! let price = |usd| Pricing::per_request(usd);
//! let roster = Roster::new(
//!     Model::new("large", Simulated::reference(1)).with_pricing(price(0.01)?),
//!     [Model::new("small", Simulated::candidate("small", 0.98, 1)).with_pricing(price(0.001)?)],
//! )?;
//! let recorder = Recorder::new();
//! let smart = Smart::new(roster, Exact, Target::new(0.95, 0.95)?).with_observer(recorder.clone());
//! let outcome = smart.run(&Generated::new(5_000, |index| index)).await?;
//!
//! let page = recorder.html(&outcome.report);
//! assert!(page.contains("times cheaper"));
//! let figure = recorder.cost_agreement_svg(&outcome.report);
//! assert!(figure.starts_with("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//! To keep them, `std::fs::write("report.html", page)?`.

mod certificate;
mod cost_agreement;
mod money;
mod page;
mod scene;
mod svg;
mod words;

use std::sync::{Arc, Mutex, MutexGuard};

use crate::evidence::ItemEvidence;
use crate::locks::lock;
use crate::observe::{Event, Observer};
use crate::profile::Profile;
use crate::report::Report;

use scene::Scene;

/// Keeps what the pictures need of one run.
///
/// Clones share what they keep, so give one to the run. A recorder listens to profiling only, so answering
/// the remaining items costs nothing extra. It keeps a few hundred bytes for each profiled item.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    record: Arc<Mutex<Record>>,
}

/// What a recorder has seen.
#[derive(Debug, Clone, Default)]
struct Record {
    /// What the profiled items showed, in rank order.
    evidence: Vec<ItemEvidence>,
    looks: Vec<Look>,
}

/// How one chain stood at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    chain: String,
    tested: u64,
    failures: u64,
    limit: Option<u64>,
}

impl Recorder {
    /// Makes a recorder that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a recorder from a stored profile, for a report whose run was not watched. The looks on the
    /// way are missing, so the certificate's path shows only the last one.
    pub fn of_profile(profile: &Profile) -> Self {
        let record = Record { evidence: profile.evidence.clone(), looks: Vec::new() };
        Self { record: Arc::new(Mutex::new(record)) }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// The whole report as one HTML file.
    pub fn html(&self, report: &Report) -> String {
        page::draw(&Scene::new(report, &self.lock()))
    }

    /// What every considered chain costs at the agreement it could deliver, as an SVG file.
    pub fn cost_agreement_svg(&self, report: &Report) -> String {
        cost_agreement::draw(&Scene::new(report, &self.lock()), true)
    }

    /// The failures as items were tested, against the most that certify, as an SVG file.
    pub fn certificate_svg(&self, report: &Report) -> String {
        certificate::draw(&Scene::new(report, &self.lock()), true)
    }

    /// Money by model, in profiling and in execution, as an SVG file.
    pub fn money_svg(&self, report: &Report) -> String {
        money::draw(&Scene::new(report, &self.lock()), true)
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Started { .. } => *self.lock() = Record::default(),
            Event::Profiled { evidence, .. } => self.lock().evidence.push((*evidence).clone()),
            Event::Look { chains, .. } => {
                let look = |chain: &crate::observe::ChainStanding<'_>| Look {
                    chain: chain.name.to_owned(),
                    tested: chain.tested,
                    failures: chain.failures,
                    limit: chain.limit,
                };
                self.lock().looks.extend(chains.iter().map(look));
            }
            _ => {}
        }
    }
}

impl Report {
    /// The report as one HTML file: see [`picture`](crate::picture). With a [`Recorder`] that watched
    /// the run, [`Recorder::html`] draws more.
    pub fn to_html(&self) -> String {
        Recorder::new().html(self)
    }
}

//! The page: promise, verdict, pictures, tables and provenance.

use std::fmt::Write;

use crate::ModelId;
use crate::plan::{Policy, Verdict};
use crate::report::{Basis, compared};
use crate::target::Share;
use crate::words::counted;

use super::scene::{Scene, Sketch};
use super::svg::{PALETTE, escape};
use super::words::{count, percent};
use super::{certificate, cost_agreement, money};

const STYLE: &str = include_str!("page.css");
/// The page may load nothing and run nothing, whatever text a name in it holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// How many chains the page lists openly, and how many more behind a fold.
const OPEN: usize = 12;
const LISTED: usize = 200;

/// A page that is being written.
#[derive(Debug, Default)]
struct Page {
    out: String,
}

impl Page {
    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(arguments);
        self.out.push('\n');
    }

    /// Adds a term and its description; the description is markup.
    fn entry(&mut self, term: &str, description: &str) {
        let term = escape(term);
        self.put(format_args!("<dt>{term}</dt><dd>{description}</dd>"));
    }

    fn fact(&mut self, term: &str, value: &str, note: &str) {
        let (term, value, note) = (escape(term), escape(value), escape(note));
        self.put(format_args!("<div><dt>{term}</dt><dd>{value}<small>{note}</small></dd></div>"));
    }

    fn open_card(&mut self, title: &str) {
        self.put(format_args!("<section class=\"card\"><h2>{}</h2>", escape(title)));
    }

    fn close_card(&mut self) {
        self.put(format_args!("</section>"));
    }

    fn figure(&mut self, picture: &str, caption: &str) {
        let caption = escape(caption);
        self.put(format_args!(
            "<figure class=\"drawn\">{picture}<figcaption>{caption}</figcaption></figure>"
        ));
    }
}

/// A name as markup, isolated so that it cannot change the direction of the text around it.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(text))
}

/// Draws the whole page.
pub(super) fn draw(scene: &Scene<'_>) -> String {
    let mut page = Page::default();
    let title = headline(scene);
    let escaped = escape(&title);
    page.put(format_args!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{escaped}</title>\n<style>\n{PALETTE}{STYLE}</style>\n</head>\n<body>\n<main>"
    ));
    head(&mut page, scene, &title);
    notices(&mut page, scene);
    pictures(&mut page, scene);
    models(&mut page, scene);
    considered(&mut page, scene);
    provenance(&mut page, scene);
    page.put(format_args!(
        "<footer>Drawn by smart-core {}. This page is one file: it loads nothing, runs no script, \
         and holds no prompt and no answer.</footer>\n</main>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    ));
    page.out
}

fn reference<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.report.plan.roster.name(ModelId::REFERENCE)
}

fn headline(scene: &Scene<'_>) -> String {
    let reference = reference(scene);
    match &scene.report.plan.verdict {
        Verdict::DoesNotPay(_) => match scene.report.plan.policy {
            Policy::Last { items, .. } => {
                let items = counted(items, "item");
                format!("No test pays: {reference} answers all but {items} that may fail")
            }
            _ => format!("Does not pay: {reference} answers every item"),
        },
        Verdict::Undecided(_) => {
            format!("Undecided whether anything is cheaper than {reference} alone")
        }
        Verdict::MoneySuffices => format!("The money is enough for {reference} alone"),
        Verdict::Pays if scene.is_priced() => {
            format!("{} than {reference} alone", compared(scene.report.saving()))
        }
        Verdict::Pays => format!("Candidates stand in for {reference}"),
    }
}

fn head(page: &mut Page, scene: &Scene<'_>, title: &str) {
    let (report, plan) = (scene.report, &scene.report.plan);
    let items = plan.order.population();
    let class = if plan.verdict == Verdict::Pays { "pays" } else { "quiet" };
    page.put(format_args!("<p class=\"eyebrow\">Report of a run over {} items</p>", count(items)));
    page.put(format_args!("<h1 class=\"{class}\">{}</h1>", escape(title)));
    // Keeps a number and its sign on one line.
    let whole = |share: Share| share.to_string().replace(' ', "\u{a0}");
    page.put(format_args!(
        "<p class=\"lead\">Promised: with {} confidence, at least {} of the answers are \
         equivalent to {}’s; at most {} of {} may differ.</p>",
        whole(plan.target.confidence()),
        whole(plan.target.agreement()),
        name(reference(scene)),
        count(report.allowance()),
        count(items)
    ));
    if let Some(loss) = report.loss() {
        page.put(format_args!("<p class=\"lead\">Verdict: {loss}.</p>"));
    }
    if let Verdict::DoesNotPay(reason) = &plan.verdict {
        page.put(format_args!("<p class=\"lead\">Why it does not pay: {}.</p>", escape(reason)));
    }
    if let Verdict::Undecided(reason) = &plan.verdict {
        page.put(format_args!("<p class=\"lead\">Why it is undecided: {}.</p>", escape(reason)));
    }
    if let Some(objective) = report.objective(false) {
        page.put(format_args!("<p class=\"lead\">Objective: {}.</p>", escape(&objective)));
    }
    page.put(format_args!("<dl class=\"facts\">"));
    let planned = report.forecast().map_or_else(
        || "planned: unknown".to_owned(),
        |forecast| format!("planned {} ({} to {})", forecast.cost, forecast.low, forecast.high),
    );
    page.fact("Spent", &report.cost().to_string(), &planned);
    let (cost, reference) = (report.cost(), report.reference_cost_of_answered());
    let note = match report.delivered.answered() {
        answered if answered < items => {
            format!("estimated, for the {} items answered", count(answered))
        }
        _ => "estimated from the profiled items".to_owned(),
    };
    if !report.is_reference_cost_known() {
        page.fact("The reference alone", "not known", "it answered nothing at a known cost");
    } else if cost > reference {
        page.fact("The reference alone", &reference.to_string(), &note);
        let extra = cost.saturating_sub(reference).to_string();
        page.fact("Spent beyond that", &extra, "the price of finding out");
    } else {
        page.fact("The reference alone", &reference.to_string(), &note);
        let saved = reference.saturating_sub(cost);
        let share = saved.as_usd() / reference.as_usd().max(f64::MIN_POSITIVE);
        let alone = if report.is_profiling_included() { "" } else { ", without profiling" };
        let note = format!("{} of the reference’s bill{alone}", percent(share));
        page.fact("Saved", &saved.to_string(), &note);
    }
    let profiled = format!("{} items", count(report.profiled));
    let note = if report.is_profiling_included() {
        format!("for {}; {}", report.profiling_cost(), report.stopped)
    } else {
        "in another run; what that cost is not included".to_owned()
    };
    page.fact("Profiled", &profiled, &note);
    page.put(format_args!("</dl>"));
    let policy = name(&plan.policy.describe(&plan.roster));
    let basis = escape(&report.basis().sentence());
    let bars = if scene.is_priced() { money::beside_reference(scene) } else { String::new() };
    page.put(format_args!(
        "<section class=\"card beside\"><div><h2>The plan: {policy}</h2>\n<p>{basis}</p></div>\n\
         <figure class=\"bars\">{bars}</figure></section>"
    ));
}

fn notices(page: &mut Page, scene: &Scene<'_>) {
    let report = scene.report;
    let delivered = &report.delivered;
    if let Some(stopped) = report.stopped_early() {
        page.put(format_args!("<p class=\"notice\">The run was stopped {stopped}.</p>"));
    }
    if delivered.unanswered() > 0 {
        page.put(format_args!(
            "<p class=\"notice\">{} items have no answer: {}.</p>",
            count(delivered.unanswered()),
            delivered.why_unanswered()
        ));
    }
    for line in report.unknown_costs() {
        page.put(format_args!("<p class=\"notice\">{line}.</p>"));
    }
    for fault in &report.faults {
        // The backend's message is only in the stored report: pages are passed on to others.
        let model = name(fault.model.map_or(report.judge(), |id| report.name(id)));
        let (calls, what) = (count(fault.calls), fault.what());
        page.put(format_args!(
            "<p class=\"notice\">{model}: {calls} calls failed for good, {what}.</p>"
        ));
    }
}

fn pictures(page: &mut Page, scene: &Scene<'_>) {
    page.put(format_args!("<div class=\"pair\">"));
    page.open_card("Cost and agreement");
    page.figure(
        &cost_agreement::draw(scene, false),
        "Each line runs from the reference alone, top right, to giving every item to that chain. \
         Estimates from the profiled items; whiskers are 95 % intervals of each one by itself, \
         and the certificate does not use them.",
    );
    page.close_card();
    page.open_card("The certificate’s path");
    page.figure(
        &certificate::draw(scene, false),
        "Failures as items were tested, in the random order. A plan is certified at a predeclared \
         look, where its failures are few enough.",
    );
    certified(page, scene);
    page.close_card();
    page.put(format_args!("</div>"));
}

fn models(page: &mut Page, scene: &Scene<'_>) {
    let (report, roster) = (scene.report, &scene.report.plan.roster);
    page.open_card("Calls and money by model");
    page.put(format_args!("<div class=\"beside\">"));
    page.figure(&money::draw(scene, false), "What earlier runs paid for is included.");
    delivered(page, scene);
    page.put(format_args!(
        "</div><div class=\"scroll\"><table>\n<thead><tr>\
         <th>model</th><th class=\"n\">answers</th><th class=\"n wide\">calls</th>\
         <th class=\"n wide\">failed</th><th class=\"n wide\">tokens in</th>\
         <th class=\"n wide\">tokens out</th>\
         <th class=\"n\">agrees, profiled</th><th class=\"n\">cost</th></tr></thead>\n<tbody>"
    ));
    for id in roster.ids() {
        let spent = report.spending(id);
        let answers = report.delivered.by_model.get(id.position()).copied().unwrap_or(0);
        let agreement = if id.is_reference() {
            "by definition".to_owned()
        } else {
            scene.agreement(id).map_or_else(String::new, |place| {
                let (low, high) = place.interval;
                let [agreement, low, high] = [place.agreement, low, high].map(percent);
                format!("{agreement} ({low} to {high})").replace(" %", "\u{a0}%")
            })
        };
        page.put(format_args!(
            "<tr><td class=\"name\">{}</td><td class=\"n\">{}</td><td class=\"n wide\">{}</td>\
             <td class=\"n wide\">{}</td><td class=\"n wide\">{}</td><td class=\"n wide\">{}</td>\
             <td class=\"n folds\">{agreement}</td><td class=\"n\">{}</td></tr>",
            name(roster.name(id)),
            count(answers),
            count(spent.calls()),
            count(spent.failures),
            count(spent.input_tokens),
            count(spent.output_tokens),
            spent.cost
        ));
    }
    let judging = report.judging;
    if judging.calls() > 0 {
        page.put(format_args!(
            "<tr><td class=\"name\">{}</td><td class=\"n\"></td><td class=\"n wide\">{}</td>\
             <td class=\"n wide\">{}</td><td class=\"n wide\">{}</td><td class=\"n wide\">{}</td>\
             <td class=\"n\"></td><td class=\"n\">{}</td></tr>",
            report.judge(),
            count(judging.calls()),
            count(judging.failures),
            count(judging.input_tokens),
            count(judging.output_tokens),
            judging.cost
        ));
    }
    page.put(format_args!("</tbody></table></div></section>"));
}

/// Lists how the items came to their answers.
fn delivered(page: &mut Page, scene: &Scene<'_>) {
    let delivered = &scene.report.delivered;
    page.put(format_args!("<div><h3>How the items were answered</h3>\n<dl class=\"list\">"));
    let reference = name(reference(scene));
    page.entry("in profiling", &format!("{}, by {reference}", count(delivered.profiled)));
    page.entry("by a candidate", &format!("{}, its answer kept", count(delivered.accepted)));
    let straight = "without asking a candidate";
    page.entry("by the reference", &format!("{}, {straight}", count(delivered.routed)));
    let failed = match delivered.candidate_failures {
        0 => String::new(),
        failures => format!(", {} of them because a candidate failed", count(failures)),
    };
    page.entry("escalated to it", &format!("{}{failed}", count(delivered.escalated)));
    if delivered.audited > 0 {
        page.entry("audited", &format!("{}, by {reference}", count(delivered.audited)));
    }
    page.entry("not at all", &count(delivered.unanswered()));
    page.put(format_args!("</dl></div>"));
}

fn considered(page: &mut Page, scene: &Scene<'_>) {
    let sketches: Vec<&Sketch<'_>> =
        scene.sketches.iter().filter(|sketch| sketch.considered.is_some()).collect();
    if sketches.is_empty() {
        return;
    }
    page.put(format_args!("<section class=\"card\"><h2>Considered</h2>"));
    let (first, rest) = sketches.split_at(sketches.len().min(OPEN));
    chains(page, scene, first);
    let (listed, dropped) = rest.split_at(rest.len().min(LISTED));
    if !listed.is_empty() {
        page.put(format_args!("<details><summary>{} more</summary>", count(rest.len() as u64)));
        chains(page, scene, listed);
        if !dropped.is_empty() {
            let more = count(dropped.len() as u64);
            page.put(format_args!("<p>and {more} more, in the stored report</p>"));
        }
        page.put(format_args!("</details>"));
    }
    page.put(format_args!("</section>"));
}

fn chains(page: &mut Page, scene: &Scene<'_>, sketches: &[&Sketch<'_>]) {
    page.put(format_args!(
        "<div class=\"scroll\"><table class=\"told\">\n<thead><tr><th class=\"n\"></th><th>chain</th>\
         <th class=\"n\">an item on target</th><th class=\"n wide\">tested</th>\
         <th class=\"n wide\">failures</th></tr></thead>\n<tbody>"
    ));
    for sketch in sketches {
        let Some(chain) = sketch.considered else { continue };
        let label = sketch.number.map_or_else(String::new, |number| number.to_string());
        let class = if sketch.chosen { " class=\"chosen\"" } else { "" };
        let cost = scene.cost_on_target(sketch).map_or_else(String::new, |cost| cost.to_string());
        let (tested, failures) = match chain.tested {
            0 => (String::new(), String::new()),
            tested => (count(tested), count(chain.failures)),
        };
        page.put(format_args!(
            "<tr{class}><td class=\"n\">{label}</td><td class=\"name\">{}</td>\
             <td class=\"n\">{cost}</td><td class=\"n wide\">{tested}</td>\
             <td class=\"n wide\">{failures}</td></tr>\n\
             <tr class=\"quiet\"><td></td><td colspan=\"4\">{}</td></tr>",
            name(&chain.name),
            escape(&chain.outcome)
        ));
    }
    page.put(format_args!("</tbody></table></div>"));
}

fn certified(page: &mut Page, scene: &Scene<'_>) {
    page.put(format_args!("<dl class=\"list numbers\">"));
    match scene.report.basis() {
        Basis::Certificate(certificate) => {
            page.entry("items tested", &count(certificate.tested));
            page.entry("failures", &count(certificate.failures));
            page.entry("at most", &count(certificate.limit));
            page.entry("population", &count(certificate.population));
            page.entry("pilot before it", &count(certificate.pilot));
            page.entry("allowance", &count(certificate.allowance));
            page.entry("looks", &count(certificate.looks));
            page.entry("level", &format!("{:.4}", certificate.level));
            page.entry("proven error", &format!("{:.4} at most", certificate.error));
        }
        Basis::Reference => page.entry("certificate", "none: every answer is the reference’s"),
        Basis::Last(items) => {
            let most = counted(items, "answer");
            page.entry(
                "certificate",
                &format!("none: candidates give {most}, and as many may fail"),
            );
        }
        Basis::Audits(_) => page.entry("certificate", "none: these items are audited instead"),
    }
    page.put(format_args!("</dl>"));
}

fn provenance(page: &mut Page, scene: &Scene<'_>) {
    let (report, plan) = (scene.report, &scene.report.plan);
    page.put(format_args!("<section class=\"card\"><h2>Provenance</h2>\n<dl class=\"list\">"));
    page.entry("target", &escape(&plan.target.to_string()));
    page.entry("seed", &plan.order.seed().to_string());
    page.entry("items", &count(plan.order.population()));
    page.entry("equivalence", &name(&plan.equivalence));
    page.entry("profiling ended", &escape(&report.stopped.to_string()));
    for (id, model) in plan.roster.ids().zip(plan.roster.models()) {
        let role = if id.is_reference() { "reference" } else { "candidate" };
        let version = model
            .version
            .as_ref()
            .map_or_else(String::new, |tag| format!(", version <bdi>{}</bdi>", escape(tag)));
        let prices = escape(&model.pricing.to_string());
        page.entry(role, &format!("{}{version}: {prices}", name(&model.name)));
    }
    page.entry("library", concat!("smart-core ", env!("CARGO_PKG_VERSION")));
    page.entry("report format", &report.version.to_string());
    page.put(format_args!("</dl></section>"));
}

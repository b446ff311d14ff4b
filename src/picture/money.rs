//! Money by model, in profiling and in execution.

use crate::ledger::Spending;
use crate::pricing::Cost;

use super::scene::Scene;
use super::svg::{Anchor, Canvas, WIDTH, shorten};
use super::words::count;

const LEFT: f64 = 4.0;
const RIGHT: f64 = WIDTH - 4.0;
const ROW: f64 = 40.0;

/// Draws the picture, alone or as part of a page.
pub(super) fn draw(scene: &Scene<'_>, alone: bool) -> String {
    let (report, roster) = (scene.report, &scene.report.plan.roster);
    let at = |list: &[Spending], position: usize| list.get(position).copied().unwrap_or_default();
    let mut rows: Vec<(String, Spending, Spending)> = roster
        .ids()
        .map(|id| {
            let early = at(&report.profiling, id.position());
            let late = at(&report.execution, id.position());
            (roster.name(id).to_owned(), early, late)
        })
        .collect();
    if report.judging.calls() > 0 {
        rows.push((report.judge().to_owned(), Spending::default(), report.judging));
    }
    let most = rows.iter().map(|(_, early, late)| early.cost + late.cost).max();
    let most = most.unwrap_or(Cost::ZERO).as_usd();

    let mut canvas = Canvas::default();
    let mut top = 16.0;
    for (name, early, late) in &rows {
        let (cost, calls) = (early.cost + late.cost, early.calls() + late.calls());
        let words = format!(
            "{}: {calls} calls, {} in profiling and {} in execution",
            name, early.cost, late.cost
        );
        canvas.titled(&words, |canvas| {
            let label = format!("{} · {} calls", shorten(name, 36), count(calls));
            canvas.text("", (LEFT, top), Anchor::Start, &label);
            canvas.text("sc-bold", (RIGHT, top), Anchor::End, &cost.to_string());
            let width = |cost: Cost| {
                if most > 0.0 { cost.as_usd() / most * (RIGHT - LEFT) } else { 0.0 }
            };
            let y = top + 6.0;
            canvas.line("sc-grid", (LEFT, y + 10.0), (RIGHT, y + 10.0));
            canvas.rect("sc-bar-early", (LEFT, y), (width(early.cost), 10.0));
            canvas.rect("sc-bar", (LEFT + width(early.cost), y), (width(late.cost), 10.0));
        });
        top += ROW;
    }
    top += 4.0;
    canvas.rect("sc-bar-early", (LEFT, top - 9.0), (12.0, 10.0));
    canvas.text("sc-small sc-muted", (LEFT + 18.0, top), Anchor::Start, "in profiling");
    canvas.rect("sc-bar", (LEFT + 100.0, top - 9.0), (12.0, 10.0));
    canvas.text("sc-small sc-muted", (LEFT + 118.0, top), Anchor::Start, "in execution");
    let label = format!("Money by model; {} in all.", report.cost());
    canvas.finish(top + 10.0, &label, alone)
}

/// What was spent beside what the reference alone would have cost, for the head of the page.
pub(super) fn beside_reference(scene: &Scene<'_>) -> String {
    let report = scene.report;
    let (spent, reference) = (report.cost(), report.reference_cost_of_answered());
    let unanswered = report.delivered.answered() < report.plan.order.population();
    let most = spent.max(reference).as_usd();
    let mut canvas = Canvas::default();
    let mut bar = |top: f64, class: &str, name: &str, cost: Cost| {
        let width = if most > 0.0 { cost.as_usd() / most * (RIGHT - LEFT) } else { 0.0 };
        canvas.text("", (LEFT, top), Anchor::Start, name);
        canvas.text("sc-bold", (RIGHT, top), Anchor::End, &cost.to_string());
        canvas.rect(class, (LEFT, top + 6.0), (width.max(1.5), 12.0));
    };
    bar(14.0, "sc-bar", "spent, profiling included", spent);
    let which = if unanswered { "every item answered" } else { "every item" };
    bar(58.0, "sc-bar-reference", &format!("the reference alone, for {which}"), reference);
    let label = format!("Spent {spent} against {reference} for the reference alone.");
    canvas.finish(80.0, &label, false)
}

//! The certificate's path: failures as items were tested, against the most that would certify.

use crate::plan::{Mark, Policy};
use crate::report::Basis;

use super::scene::Scene;
use super::svg::{Anchor, Canvas, Point, Scale, WIDTH, shorten};
use super::words::count;

const LEFT: f64 = 54.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 258.0;
/// The most points drawn of one path.
const POINTS: usize = 400;

/// One chain's failures after 0, 1, 2 … tested items.
struct Path {
    name: String,
    failures: Vec<(u64, u64)>,
    chosen: bool,
}

/// Draws the picture, alone or as part of a page.
pub(super) fn draw(scene: &Scene<'_>, alone: bool) -> String {
    let mut canvas = Canvas::default();
    let paths = paths(scene);
    let limits = limits(scene);
    let tested = paths.iter().filter_map(|path| path.failures.last()).map(|(k, _)| *k);
    let end = tested.chain(limits.iter().map(|(k, _)| *k)).max().unwrap_or(0);
    if end == 0 {
        let why = match scene.report.basis() {
            Basis::Audits(_) => "No chain was tested on these items: they are audited instead.",
            _ => "No chain was tested: the plan needs no certificate.",
        };
        canvas.text("sc-muted", (LEFT, 40.0), Anchor::Start, why);
        return canvas.finish(64.0, why, alone);
    }
    let (x, y) = scales(scene, &paths, &limits, end);
    axes(&mut canvas, scene, &x, &y);
    boundary(&mut canvas, &limits, &x, &y);
    for path in paths.iter().rev() {
        let class = if path.chosen { "sc-chosen" } else { "sc-other" };
        let points = steps(&path.failures, &x, &y);
        canvas.titled(&path.name, |canvas| canvas.polyline(class, &points));
    }
    let label = match &scene.report.plan.certificate {
        Some(certificate) => {
            let at = (x.at(certificate.tested as f64), y.at(certificate.failures as f64));
            canvas.circle("sc-mark", at, 6.0);
            format!("The certificate's path. {certificate}.")
        }
        None if matches!(scene.report.basis(), Basis::Last(_)) => {
            "Failures of the chains tested; the plan follows none of them and needs no test."
                .to_owned()
        }
        None => "Failures of the chains tested; none of them was certified.".to_owned(),
    };
    let height = legend(&mut canvas, &paths, !limits.is_empty());
    canvas.finish(height, &label, alone)
}

fn paths(scene: &Scene<'_>) -> Vec<Path> {
    let plan = &scene.report.plan;
    let mut paths = Vec::new();
    if let (Policy::Chain { chain, threshold }, Some(certificate)) =
        (&plan.policy, &plan.certificate)
    {
        let tested = certificate.tested;
        let walked = scene.path(chain, threshold, tested);
        let failures = if walked.len() as u64 > tested {
            (0..).zip(walked).collect()
        } else {
            vec![(0, 0), (tested, certificate.failures)]
        };
        paths.push(Path { name: plan.policy.describe(&plan.roster), failures, chosen: true });
        if *threshold > Mark::LOWEST {
            let name = "the same chain, had every item been given to it".to_owned();
            let walked = scene.path(chain, &Mark::LOWEST, tested);
            let failures = (0..).zip(walked).collect();
            paths.push(Path { name, failures, chosen: false });
        }
    }
    for considered in plan.considered.iter().filter(|c| !c.chosen && c.tested > 0) {
        let Some(chain) = &considered.chain else { continue };
        let walked = scene.path(chain, &Mark::LOWEST, considered.tested);
        let failures = (0..).zip(walked).collect();
        paths.push(Path { name: considered.name.clone(), failures, chosen: false });
    }
    paths.retain(|path| path.failures.len() > 1);
    paths
}

/// The most failures that certify, at each look that was reached.
fn limits(scene: &Scene<'_>) -> Vec<(u64, u64)> {
    let plan = &scene.report.plan;
    let chosen = plan.considered.iter().find(|c| c.chosen).map(|c| c.name.as_str());
    let longest = || plan.considered.iter().max_by_key(|c| c.tested).map(|c| c.name.as_str());
    let name = chosen.or_else(longest);
    let looks = scene.looks.iter().filter(|look| Some(look.chain.as_str()) == name);
    let mut limits: Vec<(u64, u64)> =
        looks.filter_map(|look| Some((look.tested, look.limit?))).collect();
    if let Some(certificate) = &plan.certificate {
        limits.push((certificate.tested, certificate.limit));
    }
    limits.sort_unstable();
    limits.dedup();
    limits
}

fn scales(scene: &Scene<'_>, paths: &[Path], limits: &[(u64, u64)], end: u64) -> (Scale, Scale) {
    let end = end as f64;
    let limit = limits.iter().map(|(_, limit)| *limit).max().unwrap_or(0) as f64;
    let chosen = paths.iter().filter(|path| path.chosen || paths.len() == 1);
    let path = chosen.filter_map(|path| path.failures.last()).map(|(_, f)| *f).max().unwrap_or(0);
    let top = (limit * 1.35).max(path as f64 * 1.1).max(end * scene.delta() * 1.15).max(4.0);
    let x = Scale { low: 0.0, high: end * 1.04, from: LEFT, to: RIGHT, logarithmic: false };
    let y = Scale { low: 0.0, high: top, from: BOTTOM, to: TOP, logarithmic: false };
    (x, y)
}

fn axes(canvas: &mut Canvas, scene: &Scene<'_>, x: &Scale, y: &Scale) {
    canvas.text("sc-small sc-muted", (4.0, 12.0), Anchor::Start, "failures");
    let whole = |tick: &f64| (tick - tick.round()).abs() < 1e-9;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and small")]
    let words = |tick: f64| count(tick.round() as u64);
    for tick in y.ticks(5.0).into_iter().filter(whole) {
        let at = y.at(tick);
        canvas.line("sc-grid", (LEFT, at), (RIGHT, at));
        canvas.text("sc-small sc-muted", (LEFT - 6.0, at + 4.0), Anchor::End, &words(tick));
    }
    for tick in x.ticks(5.0).into_iter().filter(whole) {
        canvas.text("sc-small sc-muted", (x.at(tick), BOTTOM + 16.0), Anchor::Middle, &words(tick));
    }
    canvas.line("sc-axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    canvas.text("sc-small sc-muted", (RIGHT, BOTTOM + 32.0), Anchor::End, "items tested");
    // The line of failing at exactly the tolerated rate.
    let last = x.high.min(y.high / scene.delta());
    canvas.line("sc-target", (x.at(0.0), y.at(0.0)), (x.at(last), y.at(last * scene.delta())));
}

/// Draws gates if looks are few, and a boundary if they are many.
fn boundary(canvas: &mut Canvas, limits: &[(u64, u64)], x: &Scale, y: &Scale) {
    if limits.len() <= 6 {
        for (tested, limit) in limits {
            let (at, top) = (x.at(*tested as f64), y.at(*limit as f64));
            let words = format!("look after {tested} items: at most {limit} failures certify");
            canvas.titled(&words, |canvas| {
                canvas.rect("sc-gate", (at - 5.0, top), (10.0, BOTTOM - top));
                canvas.line("sc-gate-edge", (at - 9.0, top), (at + 9.0, top));
            });
            let words = format!("at most {limit}");
            canvas.text("sc-small", (at - 13.0, top - 5.0), Anchor::End, &words);
        }
        return;
    }
    let edge = steps(limits, x, y);
    let mut area = edge.clone();
    area.extend(edge.last().map(|(at, _)| (*at, BOTTOM)));
    area.extend(edge.first().map(|(at, _)| (*at, BOTTOM)));
    canvas.polygon("sc-gate", &area);
    canvas.polyline("sc-gate-edge", &edge);
}

/// A path as stairs, thinned if it has more steps than can be seen.
fn steps(path: &[(u64, u64)], x: &Scale, y: &Scale) -> Vec<Point> {
    let each = path.len().div_ceil(POINTS).max(1);
    let mut points: Vec<Point> = Vec::new();
    let mut before = None;
    let last = path.len().saturating_sub(1);
    for (position, (tested, failures)) in path.iter().enumerate() {
        let moved = before.is_none_or(|b| b != *failures);
        if !(position == last || (moved && position % each == 0)) {
            continue;
        }
        let at = x.at(*tested as f64);
        if *failures as f64 > y.high {
            // The path leaves the picture here.
            points.extend(before.map(|before| (at, y.at(before as f64))));
            points.push((at, y.at(y.high)));
            break;
        }
        if let Some(before) = before {
            points.push((at, y.at(before as f64)));
        }
        if moved {
            points.push((at, y.at(*failures as f64)));
        }
        before = Some(*failures);
    }
    points
}

fn legend(canvas: &mut Canvas, paths: &[Path], looked: bool) -> f64 {
    let mut at = 308.0;
    let mut row = |canvas: &mut Canvas, class: &str, gate: bool, name: &str| {
        if gate {
            canvas.rect(class, (5.0, at - 10.0), (18.0, 12.0));
        } else {
            canvas.line(class, (4.0, at - 4.0), (24.0, at - 4.0));
        }
        let words = shorten(name, 58);
        let draw = |canvas: &mut Canvas| canvas.text("", (32.0, at), Anchor::Start, &words);
        if words == name {
            draw(canvas);
        } else {
            canvas.titled(name, draw);
        }
        at += 18.0;
    };
    let others = paths.iter().filter(|path| !path.chosen).count();
    for path in paths.iter().filter(|path| path.chosen || others == 1) {
        row(canvas, if path.chosen { "sc-chosen" } else { "sc-other" }, false, &path.name);
    }
    if others > 1 {
        let words = format!("{others} chains under test, had every item been given to them");
        row(canvas, "sc-other", false, &words);
    }
    if looked {
        row(canvas, "sc-gate", true, "certifies: few enough failures, at a look");
    }
    row(canvas, "sc-target", false, "failing at just the rate the target tolerates");
    at - 8.0
}

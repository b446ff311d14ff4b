//! Cost against agreement: every considered chain, from the reference alone to all items given to it.

use super::scene::{Place, Scene, Sketch};
use super::svg::{Anchor, Canvas, Point, Scale, WIDTH, shorten};
use super::words::percent;

const LEFT: f64 = 54.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 258.0;
const LEGEND: f64 = 308.0;
const ROW: f64 = 18.0;
/// Round bounds for the cost axis.
const BOUNDS: [f64; 10] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];

/// Draws the picture, alone or as part of a page.
pub(super) fn draw(scene: &Scene<'_>, alone: bool) -> String {
    let mut canvas = Canvas::default();
    let shown: Vec<&Sketch<'_>> = scene.sketches.iter().filter(|s| s.whole.is_some()).collect();
    if !scene.is_priced() || shown.is_empty() {
        let why = if scene.is_priced() {
            "No candidate was tried."
        } else {
            "The models have no prices: there is no cost to draw."
        };
        canvas.text("sc-muted", (LEFT, 40.0), Anchor::Start, why);
        return canvas.finish(64.0, why, alone);
    }
    let (x, y) = scales(scene, &shown);
    axes(&mut canvas, scene, &x, &y);

    for place in shown.iter().filter(|s| s.number.is_none()).filter_map(|s| s.whole) {
        if place.agreement > y.low {
            canvas.circle("sc-speck", (x.at(place.cost), y.at(place.agreement)), 1.6);
        }
    }
    for sketch in shown.iter().filter(|sketch| !sketch.curve.is_empty()).rev() {
        let points: Vec<Point> = sketch.curve.iter().map(|(c, a)| (x.at(*c), y.at(*a))).collect();
        let class = if sketch.chosen { "sc-chosen" } else { "sc-faint" };
        canvas.titled(&sketch.name, |canvas| canvas.polyline(class, &points));
    }
    canvas.titled(&format!("{}, alone", reference(scene)), |canvas| {
        canvas.circle("sc-dot", (x.at(1.0), y.at(1.0)), 4.5);
    });

    let mut badges = Badges::default();
    badges.taken.push((x.at(1.0), y.at(1.0)));
    let plan = scene.plan_place();
    if let Some(place) = plan {
        badges.taken.push((x.at(place.cost), y.at(place.agreement)));
    }
    let points = numbered(&shown).filter_map(|(_, sketch)| sketch.whole);
    badges.taken.extend(points.map(|place| (x.at(place.cost), y.at(place.agreement))));
    for (number, sketch) in numbered(&shown) {
        let Some(place) = sketch.whole else { continue };
        whisker(&mut canvas, &place, &x, &y, "sc-faint");
        let at = (x.at(place.cost), y.at(place.agreement));
        canvas.titled(&said(&sketch.name, &place), |canvas| canvas.circle("sc-dot", at, 3.5));
        badges.put(&mut canvas, at, number, sketch.chosen);
    }
    if let Some(place) = plan {
        whisker(&mut canvas, &place, &x, &y, "sc-whisker");
        let at = (x.at(place.cost), y.at(place.agreement));
        let words = said("the plan", &place);
        canvas.titled(&words, |canvas| canvas.circle("sc-mark", at, 6.5));
    }
    let height = legend(&mut canvas, scene, &shown, plan.as_ref());
    canvas.finish(height, &label(scene, plan.as_ref()), alone)
}

fn numbered<'a, 'b>(
    shown: &'b [&'a Sketch<'a>],
) -> impl Iterator<Item = (usize, &'b &'a Sketch<'a>)> {
    shown.iter().filter_map(|sketch| Some((sketch.number?, sketch)))
}

fn reference<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.report.plan.roster.name(crate::ModelId::REFERENCE)
}

fn said(name: &str, place: &Place) -> String {
    format!("{name}: agrees on {} at {} of the cost", percent(place.agreement), percent(place.cost))
}

fn label(scene: &Scene<'_>, plan: Option<&Place>) -> String {
    let target = scene.report.plan.target.agreement();
    match plan {
        Some(place) => {
            format!("Cost against agreement. {}; the target is {target}.", said("The plan", place))
        }
        None => format!(
            "Cost against agreement of the chains considered; the target is {target}. The plan: {}.",
            scene.planned()
        ),
    }
}

/// The axes' ranges, as wide as anything useful needs and no wider.
fn scales(scene: &Scene<'_>, shown: &[&Sketch<'_>]) -> (Scale, Scale) {
    let places = || shown.iter().filter_map(|sketch| sketch.whole);
    let cheapest = places().map(|place| place.cost).fold(1.0, f64::min);
    let dearest = places().map(|place| place.cost).fold(1.0, f64::max);
    let low = BOUNDS.into_iter().find(|bound| *bound <= cheapest * 0.92).unwrap_or(0.0005);
    let numbered = shown.iter().filter(|sketch| sketch.number.is_some());
    let worst = numbered
        .filter_map(|sketch| sketch.whole)
        .filter(|place| place.agreement >= 0.5)
        .map(|place| 1.0 - place.agreement)
        .fold(0.0, f64::max);
    let depth = (worst * 1.2).max(scene.delta() * 2.0).clamp(0.02, 1.0);
    let x = Scale { low, high: dearest.min(5.0), from: LEFT, to: RIGHT - 6.0, logarithmic: true };
    let y = Scale { low: 1.0 - depth, high: 1.0, from: BOTTOM, to: TOP, logarithmic: false };
    (x, y)
}

fn axes(canvas: &mut Canvas, scene: &Scene<'_>, x: &Scale, y: &Scale) {
    canvas.text("sc-small sc-muted", (4.0, 12.0), Anchor::Start, "agreement with the reference");
    let target = y.at(1.0 - scene.delta());
    for tick in y.ticks(5.0) {
        let at = y.at(tick);
        if (at - target).abs() < 11.0 {
            continue;
        }
        canvas.line("sc-grid", (LEFT, at), (RIGHT, at));
        canvas.text("sc-small sc-muted", (LEFT - 6.0, at + 4.0), Anchor::End, &percent(tick));
    }
    for tick in x.ticks(6.0) {
        let at = x.at(tick);
        canvas.line("sc-grid", (at, TOP), (at, BOTTOM));
        canvas.text("sc-small sc-muted", (at, BOTTOM + 16.0), Anchor::Middle, &percent(tick));
    }
    canvas.line("sc-axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    let words = "cost of an item, as a share of the reference's (logarithmic)";
    canvas.text("sc-small sc-muted", (RIGHT, BOTTOM + 32.0), Anchor::End, words);
    canvas.line("sc-target", (LEFT, target), (RIGHT, target));
    let words = percent(1.0 - scene.delta());
    let at = (LEFT - 6.0, target + 4.0);
    canvas.text("sc-small sc-bold sc-target-text", at, Anchor::End, &words);
}

fn whisker(canvas: &mut Canvas, place: &Place, x: &Scale, y: &Scale, class: &str) {
    let at = x.at(place.cost);
    let (low, high) = (y.at(place.interval.0), y.at(place.interval.1));
    if place.interval.1 <= y.low {
        // The point lies below the picture: an arrow says so.
        let arrow = [(at - 4.0, BOTTOM - 12.0), (at + 4.0, BOTTOM - 12.0), (at, BOTTOM - 5.0)];
        canvas.polygon("sc-dot", &arrow);
        return;
    }
    canvas.line(class, (at, low), (at, high));
    canvas.line(class, (at - 3.0, high), (at + 3.0, high));
    if place.interval.0 > y.low {
        canvas.line(class, (at - 3.0, low), (at + 3.0, low));
    }
}

/// Numbers beside points, kept apart from each other and from what is already drawn.
#[derive(Debug, Default)]
struct Badges {
    taken: Vec<Point>,
}

impl Badges {
    fn put(&mut self, canvas: &mut Canvas, point: Point, number: usize, chosen: bool) {
        const PLACES: [Point; 12] = [
            (-15.0, 0.0),
            (15.0, 0.0),
            (0.0, 17.0),
            (0.0, -17.0),
            (-15.0, 16.0),
            (15.0, 16.0),
            (-15.0, -16.0),
            (15.0, -16.0),
            (-33.0, 0.0),
            (33.0, 0.0),
            (0.0, 36.0),
            (0.0, -36.0),
        ];
        let free = |(dx, dy): &Point| {
            let (x, y) = (point.0 + dx, point.1 + dy);
            let inside = x > LEFT + 8.0 && x < RIGHT - 6.0 && y > TOP + 2.0 && y < BOTTOM - 8.0;
            let clear = |(tx, ty): &Point| (tx - x).hypot(ty - y) >= 16.5;
            inside && self.taken.iter().all(clear)
        };
        let (dx, dy) = PLACES.into_iter().find(free).unwrap_or((-15.0, 0.0));
        let at = (point.0 + dx, point.1 + dy);
        if dx.hypot(dy) > 25.0 {
            canvas.line("sc-faint", point, at);
        }
        self.taken.push(at);
        badge(canvas, at, number, chosen);
    }
}

fn badge(canvas: &mut Canvas, at: Point, number: usize, chosen: bool) {
    let (ring, ink) =
        if chosen { ("sc-badge-chosen", "sc-badge-text") } else { ("sc-badge", "sc-muted") };
    canvas.circle(ring, at, 8.0);
    let class = format!("sc-small {ink}");
    canvas.text(&class, (at.0, at.1 + 4.0), Anchor::Middle, &number.to_string());
}

/// Draws what the numbers mean; returns where the legend ends.
fn legend(
    canvas: &mut Canvas,
    scene: &Scene<'_>,
    shown: &[&Sketch<'_>],
    plan: Option<&Place>,
) -> f64 {
    let mut at = LEGEND;
    let mut row = |canvas: &mut Canvas, name: &str, figures: &str, class: &str| {
        let words = shorten(name, 40);
        let draw = |canvas: &mut Canvas| canvas.text(class, (30.0, at), Anchor::Start, &words);
        if words == name {
            draw(canvas);
        } else {
            canvas.titled(name, draw);
        }
        let class = "sc-small sc-muted";
        canvas.text(class, (RIGHT, at), Anchor::End, figures);
        at += ROW;
        at - ROW
    };
    let figures =
        |place: &Place| format!("{} at {}", percent(place.agreement), percent(place.cost));
    if let Some(place) = plan {
        let here = row(canvas, "the plan", &figures(place), "sc-bold");
        canvas.circle("sc-mark", (14.0, here - 4.0), 6.0);
    } else {
        let words = format!("the plan: {}", scene.planned());
        let figures = scene.place_of_last().map_or_else(
            || "100 % at 100 %".to_owned(),
            |place| format!("at least {}", figures(&place)),
        );
        let here = row(canvas, &words, &figures, "sc-bold");
        canvas.circle("sc-dot", (14.0, here - 4.0), 4.5);
    }
    let here = row(canvas, "the target", &format!("{}", scene.report.plan.target.agreement()), "");
    canvas.line("sc-target", (5.0, here - 4.0), (24.0, here - 4.0));
    for (number, sketch) in numbered(shown) {
        let Some(place) = sketch.whole else { continue };
        let here = row(canvas, &sketch.name, &figures(&place), "");
        badge(canvas, (14.0, here - 4.0), number, sketch.chosen);
    }
    let more = shown.iter().filter(|sketch| sketch.number.is_none()).count();
    if more > 0 {
        let here = row(canvas, &format!("{more} more"), "", "sc-muted");
        canvas.circle("sc-speck", (14.0, here - 4.0), 1.6);
    }
    at - ROW + 10.0
}

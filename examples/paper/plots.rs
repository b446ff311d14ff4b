//! Draws the tables as pictures (SVG).

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use smart_core::Families;

use crate::cases::{Case, Pattern, Tally};
use crate::grid::{Cell, DELTAS};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The methods that are drawn, with the same colour in every picture.
const DRAWN: [(&str, RGBColor); 5] = [
    ("profile-smart", RGBColor(170, 170, 170)),
    ("model-mix", RGBColor(213, 94, 0)),
    ("single", RGBColor(86, 180, 233)),
    ("auto", RGBColor(0, 114, 178)),
    ("auto-correlated", RGBColor(0, 158, 115)),
];
const THEIRS: RGBColor = RGBColor(213, 94, 0);
const OURS: RGBColor = RGBColor(0, 114, 178);
const INK: RGBColor = RGBColor(60, 60, 60);
const PANEL: (u32, u32) = (430, 380);
/// How many random orders are run for each of the hard populations.
const RUNS: u64 = 400;

/// Draws every picture; returns the files.
pub(crate) fn draw(cells: &[Cell], directory: &Path) -> Result<Vec<PathBuf>> {
    let file = |name: &str| directory.join(name);
    panels(cells, &file("savings.svg"), "times cheaper than the reference alone", &Cell::saving)?;
    let profiled = |cell: &Cell| cell.mean(|run| run.profiled);
    panels(cells, &file("profiled.svg"), "items profiled (mean)", &profiled)?;
    misses(&file("misses.svg"))?;
    Ok(["savings.svg", "profiled.svg", "misses.svg"].map(file).into())
}

/// Draws one panel per setting, with a line per method over delta, on a logarithmic scale.
fn panels(cells: &[Cell], file: &Path, what: &str, of: &dyn Fn(&Cell) -> f64) -> Result {
    let settings = crate::settings(cells);
    let width = PANEL.0 * u32::try_from(settings.len())?;
    let root = SVGBackend::new(file, (width, PANEL.1 + 40)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(40);
    legend(&head, &DRAWN)?;
    let drawn = |cell: &&Cell| DRAWN.iter().any(|(method, _)| *method == cell.method);
    let values = || cells.iter().filter(drawn).map(of);
    let low = values().fold(f64::INFINITY, f64::min) * 0.85;
    let high = values().fold(0.0, f64::max) * 1.15;
    for (area, setting) in body.split_evenly((1, settings.len())).iter().zip(&settings) {
        let mut chart = ChartBuilder::on(area)
            .caption(setting, ("sans-serif", 17).into_font().color(&INK))
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(0.015..0.205, (low..high).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("delta: share of answers that may differ")
            .y_desc(what)
            .x_labels(10)
            .x_label_formatter(&|x| format!("{x:.2}"))
            .y_label_formatter(&|y| if *y < 10.0 { format!("{y:.1}") } else { format!("{y:.0}") })
            .axis_style(INK)
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08))
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .draw()?;
        for (method, colour) in DRAWN {
            let own = cells.iter().filter(|cell| cell.setting == *setting && cell.method == method);
            let line: Vec<(f64, f64)> = own.map(|cell| (cell.delta, of(cell))).collect();
            debug_assert_eq!(line.len(), DELTAS.len());
            chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(line.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        }
    }
    root.present()?;
    Ok(())
}

fn legend(area: &Canvas<'_>, entries: &[(&str, RGBColor)]) -> Result {
    let mut x = 70;
    for (name, colour) in entries {
        let line = vec![(x, 22), (x + 24, 22)];
        area.draw(&PathElement::new(line, colour.stroke_width(3)))?;
        let font = ("sans-serif", 15).into_font().color(&INK);
        area.draw(&Text::new((*name).to_owned(), (x + 32, 14), font))?;
        x += 70 + 8 * i32::try_from(name.len())?;
    }
    Ok(())
}

/// Draws our miss rate and the published one on the populations that make the promise hardest to keep.
fn misses(file: &Path) -> Result {
    let hard = [
        ("one candidate just above the allowance", Pattern::JustAbove, Families::Single),
        ("one that fails twice as often as allowed", Pattern::TwiceTheAllowance, Families::Cascade),
        ("two with common errors", Pattern::CommonErrors, Families::Consensus),
        ("four just above the allowance", Pattern::ManyAbove, Families::Single),
    ];
    let mut rows: Vec<(String, Tally, Tally)> = Vec::new();
    for (name, pattern, families) in hard {
        for items in [5574, 50_000] {
            let case = Case { pattern, families, items, delta: 5, within: None };
            let plain = |error: crate::cases::Failure| error as Box<dyn Error>;
            let population = case.population().map_err(plain)?;
            let ours = case.ours(&population, RUNS).map_err(plain)?;
            let theirs = case.published(&population, RUNS).map_err(plain)?;
            rows.push((format!("{name}, {items} items"), ours, theirs));
        }
    }
    let height = 150 + 44 * u32::try_from(rows.len())?;
    let root = SVGBackend::new(file, (900, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(40);
    legend(&head, &[("model-mix, as published", THEIRS), ("this crate", OURS)])?;
    let most = rows.iter().map(|(_, a, b)| a.rate().max(b.rate())).fold(0.1, f64::max) * 1.25;
    let mut chart = ChartBuilder::on(&body)
        .margin(12)
        .margin_right(30)
        .x_label_area_size(44)
        .y_label_area_size(330)
        .build_cartesian_2d(0.0..most, 0.0..rows.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("share of random orders that deliver more failures than allowed (95 % intervals)")
        .x_label_formatter(&|x| format!("{:.0} %", x * 100.0))
        .axis_style(INK)
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.08))
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .draw()?;
    let promised = vec![(0.05, 0.0), (0.05, rows.len() as f64)];
    chart.draw_series([PathElement::new(promised, BLACK.mix(0.6).stroke_width(1))])?;
    for (row, (name, ours, theirs)) in rows.iter().rev().enumerate() {
        for (tally, colour, lift) in [(ours, OURS, 0.36), (theirs, THEIRS, 0.64)] {
            let y = row as f64 + lift;
            let (low, high) = tally.interval().map_err(|error| error as Box<dyn Error>)?;
            let span = vec![(low, y), (high.min(most), y)];
            chart.draw_series([PathElement::new(span, colour.stroke_width(2))])?;
            chart.draw_series([Circle::new((tally.rate(), y), 4, colour.filled())])?;
        }
        let (x, y) = chart.backend_coord(&(0.0, row as f64 + 0.5));
        let font = ("sans-serif", 14).into_font().color(&INK);
        root.draw(&Text::new(name.clone(), (x - 318, y - 7), font))?;
    }
    root.present()?;
    Ok(())
}

//! A canvas for small pictures: shapes by class, text escaped, numbers to a tenth of a unit.

use std::fmt::Write;

/// The colours and fonts of the pictures, for light and dark.
pub(super) const PALETTE: &str = include_str!("palette.css");
/// The width of every picture in its own units; pages scale it.
pub(super) const WIDTH: f64 = 480.0;

/// A point on the canvas.
pub(super) type Point = (f64, f64);

/// Escapes text for HTML and XML, in elements and in quoted attributes. Control characters, which XML
/// does not allow, and marks that turn the reading direction become the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}');
            }
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// The text, cut to `letters` characters.
pub(super) fn shorten(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Which end of a text is at its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that is being drawn.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(arguments);
    }

    pub(super) fn line(&mut self, class: &str, from: Point, to: Point) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn points(&mut self, element: &str, class: &str, points: &[Point]) {
        self.put(format_args!("<{element} class=\"{class}\" points=\""));
        for (position, (x, y)) in points.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            self.put(format_args!("{space}{x:.1},{y:.1}"));
        }
        self.body.push_str("\"/>");
    }

    pub(super) fn polyline(&mut self, class: &str, points: &[Point]) {
        self.points("polyline", class, points);
    }

    pub(super) fn polygon(&mut self, class: &str, points: &[Point]) {
        self.points("polygon", class, points);
    }

    pub(super) fn circle(&mut self, class: &str, at: Point, radius: f64) {
        let (x, y) = at;
        self.put(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>"
        ));
    }

    pub(super) fn rect(&mut self, class: &str, at: Point, size: Point) {
        let ((x, y), (width, height)) = (at, size);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            width.max(0.0),
            height.max(0.0)
        ));
    }

    /// Draws text; `class` is added to the plain one.
    pub(super) fn text(&mut self, class: &str, at: Point, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let ((x, y), text) = (at, escape(text));
        self.put(format_args!(
            "<text class=\"sc-text {class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// Draws what `draw` draws, with a title that shows when the pointer rests on it.
    pub(super) fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let title = escape(title);
        self.put(format_args!("<g><title>{title}</title>"));
        draw(self);
        self.body.push_str("</g>");
    }

    /// The finished picture, `height` units high, with a label for those who cannot see it.
    ///
    /// Alone it carries its colours, its background and its namespace; as part of a page it relies on
    /// the page's.
    pub(super) fn finish(self, height: f64, label: &str, alone: bool) -> String {
        let (label, body) = (escape(label), self.body);
        let head =
            format!("viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\"");
        if alone {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
                 {head}><style>{PALETTE}</style><rect class=\"sc-paper\" width=\"100%\" height=\"100%\"/>{body}</svg>\n"
            )
        } else {
            format!("<svg {head}>{body}</svg>")
        }
    }
}

/// Maps values to positions along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) logarithmic: bool,
}

impl Scale {
    /// The position of a value, clamped to the axis.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values to mark, about `count` of them.
    pub(super) fn ticks(&self, count: f64) -> Vec<f64> {
        if self.logarithmic {
            let decades = (-4..4).flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10.0_f64.powi(e)));
            let slack = 1.0 + 1e-9;
            return decades.filter(|v| *v * slack >= self.low && *v <= self.high * slack).collect();
        }
        let rough = (self.high - self.low) / count;
        let unit = 10.0_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(unit);
        let first = (self.low / step - 1e-9).ceil();
        let at = |position: u32| (first + f64::from(position)) * step;
        (0..50).map(at).take_while(|v| *v <= self.high + step * 1e-9).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_markup_is_text() {
        assert_eq!(escape("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
        assert_eq!(escape("a\u{0}b\u{1b}c\u{202e}d\ne"), "a\u{fffd}b\u{fffd}c\u{fffd}d e");
    }

    #[test]
    fn ticks_are_round_and_within() {
        let scale = Scale { low: 0.0, high: 171.0, from: 0.0, to: 1.0, logarithmic: false };
        assert_eq!(scale.ticks(5.0), [0.0, 50.0, 100.0, 150.0]);
        let scale = Scale { low: 0.02, high: 1.0, from: 0.0, to: 1.0, logarithmic: true };
        assert_eq!(scale.ticks(5.0), [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]);
        assert!((scale.at(1.0) - 1.0).abs() < 1e-12 && scale.at(0.0).abs() < 1e-12);
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        assert_eq!(shorten("ääää", 4), "ääää");
        assert_eq!(shorten("äääää", 4), "äää…");
    }
}

//! Canvas: the few shapes that plots are made of, written as SVG elements.

use std::fmt::Write as _;

/// Width of an average letter, by the height of the font: a generous estimate for sans-serif fonts.
const LETTER_WIDTH: f64 = 0.53;

/// A text's end that stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) is_bold: bool,
    pub(super) colour: &'static str,
}

impl Font {
    /// Headings.
    pub(super) const TITLE: Self = Self { size: 16.0, is_bold: true, colour: "#111111" };
    /// Notes below headings.
    pub(super) const NOTE: Self = Self { size: 12.0, is_bold: false, colour: "#444444" };
    /// Everything along axes and in legends.
    pub(super) const LABEL: Self = Self { size: 12.0, is_bold: false, colour: "#222222" };
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub(super) colour: &'static str,
    pub(super) width: f64,
    pub(super) is_dashed: bool,
}

impl Stroke {
    /// Lines behind the data.
    pub(super) const GRID: Self = Self { colour: "#e2e2e2", width: 1.0, is_dashed: false };
    /// Where an axis begins.
    pub(super) const AXIS: Self = Self { colour: "#666666", width: 1.0, is_dashed: false };
    /// Ends of a spread.
    pub(super) const SPREAD: Self = Self { colour: "#222222", width: 1.2, is_dashed: false };

    /// A value to compare with.
    pub(super) const fn mark(colour: &'static str) -> Self {
        Self { colour, width: 1.5, is_dashed: true }
    }

    /// A series.
    pub(super) const fn series(colour: &'static str) -> Self {
        Self { colour, width: 2.2, is_dashed: false }
    }

    fn attributes(self) -> String {
        let dashes = if self.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        format!("stroke=\"{}\" stroke-width=\"{}\"{dashes} fill=\"none\"", self.colour, self.width)
    }
}

/// A place: from the left, from the top.
pub(super) type Place = (f64, f64);

/// A picture in the making.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    pub(super) fn line(&mut self, from: Place, to: Place, stroke: Stroke) {
        self.path(&[from, to], stroke);
    }

    /// A line through places.
    pub(super) fn path(&mut self, places: &[Place], stroke: Stroke) {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\" {}/>", points.join(" "), stroke.attributes());
    }

    /// A filled area between places.
    pub(super) fn area(&mut self, places: &[Place], colour: &str, opacity: f64) {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            points.join(" ")
        );
    }

    pub(super) fn rect(&mut self, (x, y): Place, width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    pub(super) fn dot(&mut self, (x, y): Place, colour: &str) {
        let _ = writeln!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{colour}\"/>");
    }

    /// A text on its baseline.
    pub(super) fn text(&mut self, (x, y): Place, anchor: Anchor, font: Font, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if font.is_bold { " font-weight=\"600\"" } else { "" };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{}\"{weight} fill=\"{}\">{}</text>",
            font.size,
            font.colour,
            escaped(text)
        );
    }

    /// The picture; `title` is for those who do not see it.
    pub(super) fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escaped(title),
            self.body
        )
    }
}

/// How wide a text will be, or a little less.
pub(super) fn width_of(text: &str, font: Font) -> f64 {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    f64::from(letters) * font.size * LETTER_WIDTH
}

/// A text in lines that are not wider than `width`, words whole.
pub(super) fn wrapped(text: &str, font: Font, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line, font) + width_of(word, font) + font.size / 2.0 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text that is no markup.
pub(in super::super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

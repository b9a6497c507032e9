//! Plots as SVG: pictures that stand alone, in a page as well as in a README.
//!
//! ```text
//!  title, note, legend      (head)
//!  +---------------------+
//!  |  bars  or  lines    |  scale: where a value stands, and which values are labelled
//!  +---------------------+
//! ```
//! Texts are set in whatever sans-serif font the reader has, so widths are estimates, generous ones. The background is white
//! in every theme.

mod bars;
mod canvas;
mod head;
mod lines;
mod scale;

pub(super) use canvas::escaped;

use super::document::{Figure, Plot};

/// Width of every picture. Units: CSS pixels, as everywhere here.
const WIDTH: f64 = 800.0;

/// Room at the left and right edge.
const MARGIN: f64 = 20.0;

/// Colours that people with any colour vision tell apart (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#7f7f7f", "#b8a800"];

/// Colours of the dashed lines to compare with.
const MARK_COLOURS: [&str; 3] = ["#a00000", "#555555", "#7a4fbf"];

/// The colour of a series.
fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// The colour of a mark.
fn mark_colour(index: usize) -> &'static str {
    MARK_COLOURS[index % MARK_COLOURS.len()]
}

/// Draws a figure.
pub(super) fn draw(figure: &Figure) -> String {
    match &figure.plot {
        Plot::Bars(plot) => bars::draw(figure, plot),
        Plot::Lines(plot) => lines::draw(figure, plot),
    }
}

#[cfg(test)]
mod tests;

//! Head: a figure's title, note and legend.

use super::super::document::{Figure, Mark};
use super::canvas::{Anchor, Canvas, Font, Stroke, width_of, wrapped};
use super::{MARGIN, WIDTH, colour, mark_colour};

/// Width of a legend's sample.
const SAMPLE: f64 = 22.0;

/// Distance between legend entries.
const GAP: f64 = 18.0;

/// Height of a line of the legend.
const LINE: f64 = 19.0;

/// Draws title, note and legend; returns where the plot may begin. Series without a name are not in the legend.
pub(super) fn draw(canvas: &mut Canvas, figure: &Figure, series: &[&str], marks: &[Mark]) -> f64 {
    let mut y = 28.0;
    for line in wrapped(&figure.title, Font::TITLE, WIDTH - 2.0 * MARGIN) {
        canvas.text((MARGIN, y), Anchor::Start, Font::TITLE, &line);
        y += 20.0;
    }
    for line in wrapped(&figure.note, Font::NOTE, WIDTH - 2.0 * MARGIN) {
        canvas.text((MARGIN, y), Anchor::Start, Font::NOTE, &line);
        y += 16.0;
    }
    y + legend(canvas, y + 4.0, series, marks)
}

/// Draws the legend; returns its height.
fn legend(canvas: &mut Canvas, top: f64, series: &[&str], marks: &[Mark]) -> f64 {
    let bars = series.iter().enumerate().map(|(index, name)| (*name, colour(index), false));
    let lines = marks.iter().enumerate().map(|(index, mark)| (mark.name.as_str(), mark_colour(index), true));
    let entries: Vec<_> = bars.chain(lines).filter(|(name, ..)| !name.is_empty()).collect();
    if entries.is_empty() {
        return 4.0;
    }
    let (mut x, mut y) = (MARGIN, top + 12.0);
    for (name, colour, is_mark) in entries {
        let width = SAMPLE + 6.0 + width_of(name, Font::LABEL);
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        if is_mark {
            canvas.line((x, y - 4.0), (x + SAMPLE, y - 4.0), Stroke::mark(colour));
        } else {
            canvas.rect((x, y - 10.0), SAMPLE, 11.0, colour);
        }
        canvas.text((x + SAMPLE + 6.0, y), Anchor::Start, Font::LABEL, name);
        x += width + GAP;
    }
    y - top + 12.0
}

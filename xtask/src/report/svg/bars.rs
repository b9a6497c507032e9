//! Bars: horizontal ones, in groups, with their spread and their number; names of any length stand at the left.

use super::super::document::{Bars, Figure, Scale, Value};
use super::canvas::{Anchor, Canvas, Font, Stroke, width_of, wrapped};
use super::scale::{Ruler, compact};
use super::{MARGIN, WIDTH, colour, head, mark_colour};

/// Height of one bar.
const BAR: f64 = 15.0;

/// Distance between bars of one group.
const BAR_GAP: f64 = 2.0;

/// Distance between groups.
const GROUP_GAP: f64 = 12.0;

/// Most that names may take.
const NAMES: f64 = 260.0;

/// Room right of the axis for the number of the longest bar.
const NUMBERS: f64 = 64.0;

/// Height of the axis and its label.
const FOOT: f64 = 48.0;

/// Height of a line of a name.
const NAME_LINE: f64 = 14.0;

/// The area of the bars.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    ruler: Ruler,
}

impl Area {
    fn x(&self, value: f64) -> f64 {
        self.left + self.ruler.share(value) * (self.right - self.left)
    }
}

/// Draws the figure.
pub(super) fn draw(figure: &Figure, plot: &Bars) -> String {
    let mut canvas = Canvas::default();
    let names: Vec<&str> = plot.series.iter().map(|series| series.name.as_str()).collect();
    let top = head::draw(&mut canvas, figure, &names, &plot.marks) + 8.0;
    let widest = plot.categories.iter().map(|name| width_of(name, Font::LABEL)).fold(0.0, f64::max);
    let count = plot.categories.len();
    let values =
        plot.series.iter().flat_map(|series| series.values.iter().flatten().map(|value| value.top()));
    let area = Area {
        left: MARGIN + widest.min(NAMES) + 10.0,
        right: WIDTH - MARGIN - NUMBERS,
        top,
        bottom: top + group_height(plot) * f64::from(u32::try_from(count).unwrap_or(0)),
        ruler: Ruler::new(Scale::Linear, values.chain(plot.marks.iter().map(|mark| mark.value))),
    };
    axis(&mut canvas, &area, &plot.label);
    let mut y = area.top;
    for (index, name) in plot.categories.iter().enumerate() {
        group(&mut canvas, &area, y, name, plot, index);
        y += group_height(plot);
    }
    for (mark, index) in plot.marks.iter().zip(0..) {
        let x = area.x(mark.value);
        canvas.line((x, area.top), (x, area.bottom), Stroke::mark(mark_colour(index)));
    }
    canvas.finish(WIDTH, area.bottom + FOOT, &figure.title)
}

/// Height of the bars of a group.
fn bars_height(plot: &Bars) -> f64 {
    f64::from(u32::try_from(plot.series.len()).unwrap_or(0)) * (BAR + BAR_GAP)
}

/// Height of a group with the distance to the next: names may be longer than the bars are high.
fn group_height(plot: &Bars) -> f64 {
    let lines = plot.categories.iter().map(|name| wrapped(name, Font::LABEL, NAMES).len()).max().unwrap_or(1);
    bars_height(plot).max(f64::from(u32::try_from(lines).unwrap_or(1)) * NAME_LINE) + GROUP_GAP
}

fn axis(canvas: &mut Canvas, area: &Area, label: &str) {
    for tick in area.ruler.ticks() {
        let x = area.x(tick);
        canvas.line((x, area.top), (x, area.bottom), Stroke::GRID);
        canvas.text((x, area.bottom + 16.0), Anchor::Middle, Font::LABEL, &compact(tick));
    }
    canvas.line((area.left, area.top), (area.left, area.bottom), Stroke::AXIS);
    let middle = f64::midpoint(area.left, area.right);
    canvas.text((middle, area.bottom + 36.0), Anchor::Middle, Font::LABEL, label);
}

/// One group: its name, its bars.
fn group(canvas: &mut Canvas, area: &Area, top: f64, name: &str, plot: &Bars, index: usize) {
    let lines = wrapped(name, Font::LABEL, NAMES);
    let height = f64::from(u32::try_from(lines.len()).unwrap_or(1)) * NAME_LINE;
    let middle = top + (group_height(plot)) / 2.0;
    let mut y = middle - height / 2.0 + 11.0;
    for line in lines {
        canvas.text((area.left - 10.0, y), Anchor::End, Font::LABEL, &line);
        y += NAME_LINE;
    }
    let mut y = middle - bars_height(plot) / 2.0;
    for (series, number) in plot.series.iter().zip(0..) {
        if let Some(value) = series.values.get(index).copied().flatten() {
            bar(canvas, area, y, value, colour(number));
        }
        y += BAR + BAR_GAP;
    }
}

/// One bar with its spread, and its number behind both.
fn bar(canvas: &mut Canvas, area: &Area, top: f64, value: Value, colour: &str) {
    let (end, middle) = (area.x(value.middle), top + BAR / 2.0);
    canvas.rect((area.left, top), (end - area.left).max(0.5), BAR, colour);
    if let (Some(low), Some(high)) = (value.low, value.high) {
        let (low, high) = (area.x(low), area.x(high));
        canvas.line((low, middle), (high, middle), Stroke::SPREAD);
        for x in [low, high] {
            canvas.line((x, middle - 4.0), (x, middle + 4.0), Stroke::SPREAD);
        }
    }
    let behind = area.x(value.top()).max(end) + 6.0;
    canvas.text((behind, middle + 4.5), Anchor::Start, Font::LABEL, &compact(value.middle));
}

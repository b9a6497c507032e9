//! Lines: through points, with a band for their spread.

use super::super::document::{Axis, Figure, LineSeries, Lines, Places, Scale};
use super::canvas::{Anchor, Canvas, Font, Place, Stroke, width_of};
use super::scale::{Ruler, compact};
use super::{MARGIN, WIDTH, colour, head, mark_colour};

/// Height of the area of the lines.
const HEIGHT: f64 = 300.0;

/// Room for the numbers along the vertical axis.
const NUMBERS: f64 = 54.0;

/// Height of the vertical axis' label, which stands above the axis.
const LABEL: f64 = 22.0;

/// Height of the horizontal axis and its label.
const FOOT: f64 = 48.0;

/// How far above the highest point a band may reach; beyond that it is cut, so that one wide spread hides no line.
const BAND_REACH: f64 = 1.4;

/// How much of a band's colour shows.
const BAND_OPACITY: f64 = 0.15;

/// The area of the lines.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Ruler,
    y: Ruler,
}

impl Area {
    fn at(&self, x: f64, y: f64) -> Place {
        let left = self.left + self.x.share(x) * (self.right - self.left);
        (left, self.bottom - self.y.share(y) * (self.bottom - self.top))
    }
}

/// Draws the figure.
pub(super) fn draw(figure: &Figure, plot: &Lines) -> String {
    let mut canvas = Canvas::default();
    let names: Vec<&str> = plot.series.iter().map(|series| series.name.as_str()).collect();
    let top = head::draw(&mut canvas, figure, &names, &plot.marks) + LABEL;
    let points = plot.series.iter().flat_map(|series| series.points.iter());
    let highest = points.clone().map(|point| point.y.middle).filter(|y| y.is_finite()).fold(0.0, f64::max);
    let heights = points
        .clone()
        .flat_map(|point| [point.y.bottom(), point.y.middle, point.y.top().min(highest * BAND_REACH)]);
    let area = Area {
        left: MARGIN + NUMBERS,
        right: WIDTH - MARGIN - 24.0,
        top,
        bottom: top + HEIGHT,
        x: Ruler::tight(scale(&plot.x), points.map(|point| point.x)),
        y: Ruler::new(scale(&plot.y), heights.chain(plot.marks.iter().map(|mark| mark.value))),
    };
    axes(&mut canvas, &area, plot);
    for (mark, index) in plot.marks.iter().zip(0..) {
        let (_, y) = area.at(0.0, mark.value);
        canvas.line((area.left, y), (area.right, y), Stroke::mark(mark_colour(index)));
    }
    for (line, index) in plot.series.iter().zip(0..) {
        series(&mut canvas, &area, line, colour(index));
    }
    canvas.finish(WIDTH, area.bottom + FOOT, &figure.title)
}

fn scale(axis: &Axis) -> Scale {
    match axis.places {
        Places::Numbers(scale) => scale,
        Places::Names(_) => Scale::Linear,
    }
}

fn axes(canvas: &mut Canvas, area: &Area, plot: &Lines) {
    for tick in area.y.ticks() {
        let (_, y) = area.at(0.0, tick);
        canvas.line((area.left, y), (area.right, y), Stroke::GRID);
        canvas.text((area.left - 8.0, y + 4.0), Anchor::End, Font::LABEL, &compact(tick));
    }
    canvas.line((area.left, area.top), (area.left, area.bottom), Stroke::AXIS);
    canvas.line((area.left, area.bottom), (area.right, area.bottom), Stroke::AXIS);
    canvas.text((MARGIN, area.top - 10.0), Anchor::Start, Font::LABEL, &plot.y.label);
    for (x, name) in labels(area, plot) {
        canvas.line((x, area.bottom), (x, area.bottom + 4.0), Stroke::AXIS);
        canvas.text((x, area.bottom + 18.0), Anchor::Middle, Font::LABEL, &name);
    }
    let middle = f64::midpoint(area.left, area.right);
    canvas.text((middle, area.bottom + 38.0), Anchor::Middle, Font::LABEL, &plot.x.label);
}

/// Names along the horizontal axis and where they stand: every point's, as far as one does not stand on another.
fn labels(area: &Area, plot: &Lines) -> Vec<(f64, String)> {
    let mut points: Vec<f64> =
        plot.series.iter().flat_map(|series| series.points.iter().map(|point| point.x)).collect();
    points.sort_by(f64::total_cmp);
    points.dedup();
    let mut labels: Vec<(f64, String)> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for (x, name) in points.into_iter().map(|x| (x, name(&plot.x, x))) {
        let (place, _) = area.at(x, 0.0);
        let half = width_of(&name, Font::LABEL) / 2.0;
        if place - half >= end {
            end = place + half + 4.0;
            labels.push((place, name));
        }
    }
    labels
}

/// What stands at a place of the horizontal axis.
fn name(axis: &Axis, x: f64) -> String {
    match &axis.places {
        Places::Numbers(_) => compact(x),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position in a short list"
        )]
        Places::Names(names) => names.get(x.round().max(0.0) as usize).cloned().unwrap_or_default(),
    }
}

fn series(canvas: &mut Canvas, area: &Area, series: &LineSeries, colour: &'static str) {
    let upper = series.points.iter().map(|point| area.at(point.x, point.y.top()));
    let lower = series.points.iter().rev().map(|point| area.at(point.x, point.y.bottom()));
    if series.points.iter().any(|point| point.y.low.is_some() && point.y.high.is_some()) {
        canvas.area(&upper.chain(lower).collect::<Vec<_>>(), colour, BAND_OPACITY);
    }
    let middle: Vec<Place> = series.points.iter().map(|point| area.at(point.x, point.y.middle)).collect();
    canvas.path(&middle, Stroke::series(colour));
    middle.into_iter().for_each(|place| canvas.dot(place, colour));
}

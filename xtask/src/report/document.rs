//! Document: what one command found, and how a page shows it. Plain data, the same in memory and in the JSON file.

use serde::{Deserialize, Serialize};

use super::Environment;

/// What one command found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Document {
    /// The command that found it, one word; it names the file.
    pub(crate) command: String,
    /// The command line to find it again.
    pub(crate) command_line: String,
    /// On what, and under what circumstances.
    pub(crate) environment: Environment,
    /// The picture that says most, if the command has one.
    pub(crate) headline: Option<Headline>,
    /// The command's part of the page.
    pub(crate) sections: Vec<Section>,
    /// Everything measured, in the command's own form.
    pub(crate) raw: serde_json::Value,
}

/// One picture, and what it says in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Headline {
    /// Of the headlines in one folder, the one of the highest rank becomes the picture.
    pub(crate) rank: u32,
    /// What the picture shows, for those who do not see it.
    pub(crate) sentence: String,
    /// The picture.
    pub(crate) figure: Figure,
}

/// A heading with what stands below it: text, then tables, then figures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The heading.
    pub(crate) title: String,
    /// Paragraphs of plain text.
    pub(crate) text: Vec<String>,
    /// Tables.
    pub(crate) tables: Vec<Grid>,
    /// Plots.
    pub(crate) figures: Vec<Figure>,
}

/// A table. The first column names the row and stands left, the others stand right.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Grid {
    /// Headings, with the unit where a column has one.
    pub(crate) columns: Vec<String>,
    /// Rows of as many cells as there are headings.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A plot with its heading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The heading.
    pub(crate) title: String,
    /// What has to be known to read it: one sentence or two. May be empty.
    pub(crate) note: String,
    /// The plot.
    pub(crate) plot: Plot,
}

/// A plot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Plot {
    /// Groups of horizontal bars from zero.
    Bars(Bars),
    /// Lines through points.
    Lines(Lines),
}

/// Groups of horizontal bars: one group per category, in it one bar per series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bars {
    /// What the bars' lengths are, unit included.
    pub(crate) label: String,
    /// The groups, from the top.
    pub(crate) categories: Vec<String>,
    /// The bars of each group, from the top.
    pub(crate) series: Vec<BarSeries>,
    /// Lines across all groups.
    pub(crate) marks: Vec<Mark>,
}

/// One bar in every group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BarSeries {
    /// What it is, in the legend; a single series needs no legend and may have no name.
    pub(crate) name: String,
    /// By category; `None` leaves the place empty.
    pub(crate) values: Vec<Option<Value>>,
}

/// Lines through points.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lines {
    /// From left to right.
    pub(crate) x: Axis,
    /// From the bottom up.
    pub(crate) y: Axis,
    /// The lines.
    pub(crate) series: Vec<LineSeries>,
    /// Horizontal lines over the whole width.
    pub(crate) marks: Vec<Mark>,
}

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LineSeries {
    /// What it is, in the legend.
    pub(crate) name: String,
    /// In ascending order of `x`.
    pub(crate) points: Vec<Point>,
}

/// One point of a line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The place; on an axis of names their position, from 0.
    pub(crate) x: f64,
    /// The height.
    pub(crate) y: Value,
}

/// An axis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Axis {
    /// What is measured along it, unit included.
    pub(crate) label: String,
    /// What stands along it.
    pub(crate) places: Places,
}

/// What stands along an axis.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Places {
    /// Numbers.
    Numbers(Scale),
    /// Names at equal distances; for horizontal axes only.
    Names(Vec<String>),
}

/// How numbers stand along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scale {
    /// From zero, equal steps.
    Linear,
    /// Equal factors; values above zero only.
    Log,
}

/// A number with its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Value {
    /// The number.
    pub(crate) middle: f64,
    /// Lower end of the spread.
    pub(crate) low: Option<f64>,
    /// Upper end of the spread.
    pub(crate) high: Option<f64>,
}

impl Value {
    /// A number without spread.
    pub(crate) const fn exact(middle: f64) -> Self {
        Self { middle, low: None, high: None }
    }

    /// A number between two others.
    pub(crate) const fn spread(low: f64, middle: f64, high: f64) -> Self {
        Self { middle, low: Some(low), high: Some(high) }
    }

    /// The largest of its numbers.
    pub(crate) fn top(self) -> f64 {
        self.high.map_or(self.middle, |high| high.max(self.middle))
    }

    /// The smallest of its numbers.
    pub(crate) fn bottom(self) -> f64 {
        self.low.map_or(self.middle, |low| low.min(self.middle))
    }
}

/// A value to compare with, drawn as a dashed line and named in the legend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// What it is.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) value: f64,
}

//! Reports of what something costs: `bench/results/<machine>-<date>/`, shared by every command that measures.
//!
//! ```text
//!  bench    --> Document --+                    +--> <command>.json   what was measured, and how to show it
//!                          +--> results folder -+--> index.html       all documents of the folder, with plots
//!  compare  --> Document --+                    +--> headline.svg     one picture
//! ```
//! A command describes tables and plots as data ([`document`]) and adds the document to the folder of this machine and day
//! ([`folder`]). The page is made anew from all documents that are there, so commands need not know of each other.
//!
//! Deliberately not here: measuring. [`environment`] reads facts about the machine and nothing else.

pub(crate) mod document;
pub(crate) mod environment;
pub(crate) mod folder;
mod page;
mod render;
mod spread;
mod svg;
mod text;

pub(crate) use document::{
    Axis, BarSeries, Bars, Document, Figure, Grid, Headline, LineSeries, Lines, Mark, Places, Plot, Point,
    Scale, Section, Value,
};
pub(crate) use environment::Environment;
pub(crate) use folder::ResultsFolder;
pub(crate) use render::{ReportArgs, run};
pub(crate) use spread::Spread;
pub(crate) use text::text;

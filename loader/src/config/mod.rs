//! The configuration file: read, checked as a whole, written.
//!
//! ```text
//! text -> tree (syntax, unknown keys) -> draft (types, ranges) -> checks (between values) -> model::Config
//! ```
//! Every step goes on past a fault, so one run reports them all, each with its line, its key path and what would be
//! right. Not in it: anything that the host decides (queues, MTU, routes), but for whether interfaces exist, which the
//! caller may have checked too.

mod checks;
mod draft;
pub mod fault;
mod ids;
pub mod interfaces;
pub mod keys;
pub mod model;
pub mod mss;
pub(crate) mod names;
pub mod outer;
pub mod reference;
mod render;
mod report;
mod section;
mod sequencing;
pub mod spread;
pub(crate) mod suggest;
mod tree;
pub mod tuning;

use std::io;
use std::path::{Path, PathBuf};

pub use fault::{Fault, Faults, Level};
pub(crate) use ids::cookie_from_hex;
pub use interfaces::{InterfaceLookup, SystemInterfaces};
pub use model::{Bridge, Config, Encap, Gateway, Link, Member, Mode, Port, Role, Session, Tunnel, Umem};
pub use reference::reference_markdown;

use report::Report;

/// Outcome of checking one file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The configuration; there exactly when no finding is a fault.
    pub config: Option<Config>,
    /// Faults and notes.
    pub findings: Faults,
}

/// Why a file gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file has faults; the message lists them all.
    #[error("{0}")]
    Faulty(Faults),
}

/// Checks the configuration `text`, called `file` in findings.
///
/// Without `interfaces`, whether the ports' interfaces exist is not looked at.
#[must_use]
pub fn check(file: &str, text: &str, interfaces: Option<&dyn InterfaceLookup>) -> Checked {
    check_with(Report::new(text), file, text, interfaces)
}

/// Checks the file at `path`.
///
/// # Errors
/// When it cannot be read; faults in it are findings.
pub fn check_file(path: &Path, interfaces: Option<&dyn InterfaceLookup>) -> Result<Checked, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    // Bytes that are no text are a fault like any other: what is right around them is checked all the same.
    let text = String::from_utf8_lossy(&bytes);
    let mut report = Report::new(&text);
    if let Err(error) = str::from_utf8(&bytes) {
        let problem = String::from("not TOML: the bytes here are not UTF-8");
        report.fault_at(error.valid_up_to(), "", problem, String::from("write the file in UTF-8"));
    }
    Ok(check_with(report, &path.to_string_lossy(), &text, interfaces))
}

/// Checks `text`, on which there may be findings already.
fn check_with(
    mut report: Report<'_>,
    file: &str,
    text: &str,
    interfaces: Option<&dyn InterfaceLookup>,
) -> Checked {
    let config = tree::parse(text, &mut report).and_then(|tree| {
        tree::check_keys(&tree, &mut report);
        let draft = draft::read(&tree, &mut report);
        checks::run(&draft, interfaces, &mut report);
        if report.has_faults() { None } else { draft.finish() }
    });
    Checked { config, findings: report.finish(file) }
}

/// Reads and checks the file at `path`. The second value holds the notes.
///
/// # Errors
/// When the file cannot be read, or has faults.
pub fn load(path: &Path, interfaces: Option<&dyn InterfaceLookup>) -> Result<(Config, Faults), ConfigError> {
    let checked = check_file(path, interfaces)?;
    checked
        .config
        .map(|config| (config, checked.findings.clone()))
        .ok_or(ConfigError::Faulty(checked.findings))
}

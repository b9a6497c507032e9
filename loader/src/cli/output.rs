//! Writing to standard output and standard error.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::config::ConfigError;

/// The reader of standard output has left, as `head` does: the end of the work, not a failure.
#[derive(Debug)]
pub(super) struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output has left")
    }
}

impl std::error::Error for ReaderLeft {}

/// Writes text to standard output.
///
/// # Errors
/// [`ReaderLeft`], or the system's error when it cannot be written.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderLeft.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Writes a value as indented JSON to standard output.
///
/// # Errors
/// As [`text`].
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes an error with its causes to standard error. The findings of a file stand alone, each with its place in front.
pub(super) fn error(error: &anyhow::Error) {
    match error.downcast_ref::<ConfigError>() {
        Some(ConfigError::Faulty(findings)) => note(&format!("{findings}\n")),
        _ => note(&format!("spanwire: {error:#}\n")),
    }
}

/// Writes text to standard error, if anybody still reads it.
pub(super) fn note(text: &str) {
    // There is no other place to report a fault of standard error to.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

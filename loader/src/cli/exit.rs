//! How the process ends: one code per kind of end.

use std::fmt;
use std::process::ExitCode;

use crate::config::ConfigError;

/// The exit codes, and the whole of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Usage];

    /// The code that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// When it is used, one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "Done: what was asked for has been done or shown; `run` was asked to end and has cleaned up."
            }
            Self::Failed => {
                "Failed: the reason is on standard error; what is wrong lies outside command line and file."
            }
            Self::Usage => {
                "Usage: the command line or a file given to it is wrong; every fault is named and nothing was changed."
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error of what the user typed, not of the world.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The exit that an error leads to.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    let faulty_file = matches!(error.downcast_ref::<ConfigError>(), Some(ConfigError::Faulty(_)));
    if faulty_file || error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
}

//! One line of the report: what was looked at, what it is, whether that is good, and what changes it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::change::Change;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What: "driver", "queues".
    pub thing: &'static str,
    /// What was found, as text.
    pub found: String,
    /// Whether it is good for a gateway.
    pub verdict: Verdict,
    /// What it means; empty where nothing needs to be said.
    pub why: String,
    /// The exact command that changes it, or what else does; `null` when there is nothing to change, or nothing that could be.
    pub command: Option<String>,
    /// Whether `--apply` changes it.
    #[serde(rename = "applies", serialize_with = "are_some")]
    pub changes: Vec<Change>,
}

/// Whether something is good for a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It works, with less.
    CouldBeBetter,
    /// A gateway does not work with it, or not as a rule.
    StandsInTheWay,
    /// The kernel, the driver or a missing right keeps it from being known.
    CannotBeTold,
}

impl Row {
    /// Something that is as it should be.
    pub(super) fn ok(thing: &'static str, found: impl Into<String>) -> Self {
        Self::new(thing, found, Verdict::Ok)
    }

    /// Something that could be better.
    pub(super) fn better(thing: &'static str, found: impl Into<String>) -> Self {
        Self::new(thing, found, Verdict::CouldBeBetter)
    }

    /// Something that stands in the way.
    pub(super) fn obstacle(thing: &'static str, found: impl Into<String>) -> Self {
        Self::new(thing, found, Verdict::StandsInTheWay)
    }

    /// Something that nobody tells.
    pub(super) fn untold(thing: &'static str, why: impl Into<String>) -> Self {
        Self::new(thing, "-", Verdict::CannotBeTold).because(why)
    }

    fn new(thing: &'static str, found: impl Into<String>, verdict: Verdict) -> Self {
        Self { thing, found: found.into(), verdict, why: String::new(), command: None, changes: Vec::new() }
    }

    /// With what it means.
    #[must_use]
    pub(super) fn because(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// With the command that changes it, which is not for `--apply`.
    #[must_use]
    pub(super) fn by_hand(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// With changes that `--apply` makes; their commands, one after the other, are the row's.
    #[must_use]
    pub(super) fn by(self, changes: Vec<Change>) -> Self {
        let command = changes.iter().map(Change::command).collect::<Vec<_>>().join("; ");
        Self { command: (!changes.is_empty()).then_some(command), changes, ..self }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::CouldBeBetter => "could be better",
            Self::StandsInTheWay => "stands in the way",
            Self::CannotBeTold => "cannot be told",
        })
    }
}

fn are_some<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!changes.is_empty())
}

//! What `import` has to say besides the configuration: nothing is dropped silently.

use std::fmt;

use serde::Serialize;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Has an effect that the configuration does not have.
    Untranslated,
    /// A word was wrong, and translated as it was most likely meant.
    Typo,
    /// Has no counterpart, and needs none.
    NotNeeded,
    /// Something to know or to decide.
    Advice,
}

impl NoteKind {
    /// The kind in the words of the printed list.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Untranslated => "not translated",
            Self::Typo => "typo",
            Self::NotNeeded => "not needed",
            Self::Advice => "note",
        }
    }
}

/// One remark on one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The script as the caller named it; empty for a remark on the whole.
    pub file: String,
    /// Line of the command's first word, from 1; 0 for a remark on the whole.
    pub line: usize,
    /// What the remark is about.
    pub kind: NoteKind,
    /// The command as written, continued lines joined; empty for a remark on the whole.
    pub command: String,
    /// The reason, or what was done.
    pub text: String,
}

impl fmt::Display for Note {
    /// `FILE:LINE: KIND: TEXT`, and the command when there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        write!(f, "{}: {}", self.kind.text(), self.text)?;
        if self.command.is_empty() { Ok(()) } else { write!(f, " [{}]", self.command) }
    }
}

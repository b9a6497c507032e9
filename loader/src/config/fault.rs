//! What is wrong with a configuration file: every fault at once, each with its place and what would be right.

use std::fmt;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file cannot be used.
    Fault,
    /// The file can be used, but something in it is probably not meant.
    Note,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, from 1. Units: characters.
    pub column: usize,
    /// Path of the key that is at fault; empty for a syntax error.
    pub key: String,
    /// How much it matters.
    pub level: Level,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if self.level == Level::Note {
            f.write_str("note: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// Every finding of one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// The file as the caller named it.
    pub file: String,
    /// The findings, by line and column.
    pub faults: Vec<Fault>,
}

impl Faults {
    /// Whether there is nothing to say, not even a note.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Number of findings that make the file unusable.
    #[must_use]
    pub fn fault_count(&self) -> usize {
        self.faults.iter().filter(|fault| fault.level == Level::Fault).count()
    }

    /// Number of findings that do not.
    #[must_use]
    pub fn note_count(&self) -> usize {
        self.faults.len() - self.fault_count()
    }
}

impl fmt::Display for Faults {
    /// One line per finding, `FILE:LINE:COLUMN: KEY: PROBLEM; REMEDY`, and a count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{}:{fault}", self.file)?;
        }
        f.write_str(&counted(self.fault_count(), "fault"))?;
        if self.note_count() > 0 {
            write!(f, ", {}", counted(self.note_count(), "note"))?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// `1 fault`, `2 faults`.
fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(level: Level, key: &str) -> Fault {
        Fault {
            line: 3,
            column: 7,
            key: key.into(),
            level,
            problem: "is wrong".into(),
            remedy: "do right".into(),
        }
    }

    #[test]
    fn display_has_one_line_per_finding_and_a_count() {
        let faults = Faults {
            file: "gw.toml".into(),
            faults: vec![fault(Level::Fault, "a.b"), fault(Level::Note, "c"), fault(Level::Fault, "")],
        };
        assert_eq!(
            faults.to_string(),
            "gw.toml:3:7: a.b: is wrong; do right\n\
             gw.toml:3:7: note: c: is wrong; do right\n\
             gw.toml:3:7: is wrong; do right\n\
             2 faults, 1 note"
        );
    }

    #[test]
    fn one_fault_is_counted_in_the_singular() {
        let faults = Faults { file: "x".into(), faults: vec![fault(Level::Fault, "a")] };
        assert!(faults.to_string().ends_with("\n1 fault"));
    }
}

//! Collector of findings while a file is checked: knows where every key stands.
//!
//! A check names a key path; the place is looked up here, or that of the nearest table around it when the key itself
//! is not in the file.

use std::collections::BTreeMap;

use super::fault::{Fault, Faults, Level};

/// Findings so far, and the places of keys.
pub(crate) struct Report<'t> {
    lines: Lines<'t>,
    places: BTreeMap<String, usize>,
    faults: Vec<(usize, Fault)>,
}

impl<'t> Report<'t> {
    /// An empty report on `text`.
    pub(crate) fn new(text: &'t str) -> Self {
        Self { lines: Lines::new(text), places: BTreeMap::new(), faults: Vec::new() }
    }

    /// Remembers that the key at `path` stands at byte `offset`.
    pub(crate) fn place(&mut self, path: String, offset: usize) {
        self.places.entry(path).or_insert(offset);
    }

    /// Whether the file has a key at `path`.
    pub(crate) fn has_place(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// `line N`, for texts that point at another key.
    pub(crate) fn line_of(&self, path: &str) -> String {
        format!("line {}", self.lines.position(self.offset_of(path)).0)
    }

    /// A finding that makes the file unusable.
    pub(crate) fn fault(&mut self, path: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let offset = self.offset_of(path);
        self.push(Level::Fault, offset, path, problem.into(), remedy.into());
    }

    /// The same, at a place that only the caller knows.
    pub(crate) fn fault_at(&mut self, offset: usize, path: &str, problem: String, remedy: String) {
        self.push(Level::Fault, offset, path, problem, remedy);
    }

    /// A finding that leaves the file usable.
    pub(crate) fn note(&mut self, path: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let offset = self.offset_of(path);
        self.push(Level::Note, offset, path, problem.into(), remedy.into());
    }

    /// Whether a finding makes the file unusable.
    pub(crate) fn has_faults(&self) -> bool {
        self.faults.iter().any(|(_, fault)| fault.level == Level::Fault)
    }

    /// The findings in the order of the file.
    pub(crate) fn finish(mut self, file: &str) -> Faults {
        self.faults.sort_by_key(|(offset, _)| *offset);
        Faults { file: file.to_owned(), faults: self.faults.into_iter().map(|(_, fault)| fault).collect() }
    }

    fn push(&mut self, level: Level, offset: usize, path: &str, problem: String, remedy: String) {
        let (line, column) = self.lines.position(offset);
        self.faults.push((offset, Fault { line, column, key: path.to_owned(), level, problem, remedy }));
    }

    fn offset_of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(offset) = self.places.get(path) {
                return *offset;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0,
            }
        }
    }
}

/// A text with the offsets at which its lines begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// Line and column, both from 1, of byte `offset`; the column counts characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let end = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= end);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        (line, self.text[start..end].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let lines = Lines::new("a\n\u{e4}b"); // a, newline, two-byte a-umlaut, b
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(4), (2, 2));
        assert_eq!(lines.position(3), (2, 1), "inside a character: its start");
        assert_eq!(lines.position(99), (2, 3));
    }

    #[test]
    fn a_missing_key_is_placed_at_the_nearest_table() {
        let mut report = Report::new("x\ny\nz");
        report.place("port.eth0".into(), 2);
        report.fault("port.eth0.role", "is missing", "add it");
        report.fault("bridge.br0.members[3]", "no table at all", "-");
        let faults = report.finish("f").faults;
        assert_eq!((faults[0].line, faults[0].key.as_str()), (1, "bridge.br0.members[3]"));
        assert_eq!((faults[1].line, faults[1].key.as_str()), (2, "port.eth0.role"));
    }
}

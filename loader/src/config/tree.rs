//! File text to a tree of keys with places; refuses syntax errors, unknown keys and keys that are no tables where
//! tables belong.

use toml::de::{DeTable, DeValue};

use super::keys::{self, NAME};
use super::names::name_fault;
use super::report::Report;
use super::suggest;

/// One key and its value, with the places of both.
pub(crate) struct Entry<'a, 't> {
    /// The key.
    pub(crate) name: &'a str,
    /// Byte offset of the key.
    pub(crate) key_offset: usize,
    /// The value.
    pub(crate) value: &'a DeValue<'t>,
    /// Byte offset of the value.
    pub(crate) value_offset: usize,
}

/// The entries of a table in the order of the file.
pub(crate) fn entries<'a, 't>(table: &'a DeTable<'t>) -> Vec<Entry<'a, 't>> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            name: key.get_ref().as_ref(),
            key_offset: key.span().start,
            value: value.get_ref(),
            value_offset: value.span().start,
        })
        .collect();
    entries.sort_by_key(|entry| (entry.key_offset, entry.value_offset));
    entries
}

/// Path of `name` in the table at `path`, quoted where TOML would need it.
pub(crate) fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Parses `text`. `None` when its syntax does not let the keys be trusted; the report says where.
pub(crate) fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> Option<DeTable<'t>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let only_duplicates = errors.iter().all(|error| is_duplicate(error.message()));
    for error in &errors {
        let remedy =
            if is_duplicate(error.message()) { "keep one of the two" } else { "see https://toml.io" };
        let offset = error.span().map_or(0, |span| span.start);
        report.fault_at(offset, "", format!("not TOML: {}", error.message()), remedy.to_owned());
    }
    only_duplicates.then(|| tree.into_inner())
}

/// A key that stands twice leaves the rest of the tree whole.
fn is_duplicate(message: &str) -> bool {
    message.contains("duplicate key")
}

/// Records the place of every key and refuses those that [`keys::KEYS`] does not have.
pub(crate) fn check_keys(table: &DeTable<'_>, report: &mut Report<'_>) {
    walk(table, "", "", report);
}

fn walk(table: &DeTable<'_>, path: &str, pattern: &str, report: &mut Report<'_>) {
    let known = keys::children(pattern);
    for entry in entries(table) {
        let path = join(path, entry.name);
        let step = if known == [NAME] { NAME } else { entry.name };
        if !known.contains(&step) {
            let problem = format!("unknown key \"{}\"", entry.name);
            let remedy = suggest::remedy(entry.name, "the keys here are", &known);
            report.fault_at(entry.key_offset, &path, problem, remedy);
            continue;
        }
        let pattern = if pattern.is_empty() { step.to_owned() } else { format!("{pattern}.{step}") };
        descend(&entry, path, &pattern, report);
    }
}

fn descend(entry: &Entry<'_, '_>, path: String, pattern: &str, report: &mut Report<'_>) {
    if !keys::is_table(pattern) {
        report.place(path, entry.value_offset);
        return;
    }
    report.place(path.clone(), entry.key_offset);
    if pattern.ends_with(NAME)
        && let Some(problem) = name_fault(entry.name)
    {
        let remedy = "name it with a letter or digit, then letters, digits, _ and -";
        report.fault(&path, format!("the name {problem}"), remedy);
    }
    match entry.value {
        DeValue::Table(table) => walk(table, &path, pattern, report),
        other => report.fault(
            &path,
            format!("is {}, not a table", article(other.type_str())),
            format!(
                "begin a table with [{}]",
                if keys::children(pattern) == [NAME] { join(&path, NAME) } else { path.clone() }
            ),
        ),
    }
}

/// `a string`, `an integer`.
pub(crate) fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

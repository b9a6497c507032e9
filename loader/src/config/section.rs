//! One table of the file, read key by key: each value comes out with its type and range checked, or not at all.

use std::net::IpAddr;

use toml::de::{DeInteger, DeTable, DeValue};

use super::ids;
use super::keys::{Absent, Key, Kind};
use super::model::Cookie;
use super::report::Report;
use super::suggest;
use super::tree::{article, entries, join};

/// A table of the file at `path`.
pub(crate) struct Section<'a, 't> {
    /// Key path of the table.
    pub(crate) path: String,
    table: &'a DeTable<'t>,
}

impl<'a, 't> Section<'a, 't> {
    /// The whole file.
    pub(crate) fn root(table: &'a DeTable<'t>) -> Self {
        Self { path: String::new(), table }
    }

    /// The sub-table `name`, if it is there and a table.
    pub(crate) fn sub(&self, name: &str) -> Option<Self> {
        match self.table.get(name)?.get_ref() {
            DeValue::Table(table) => Some(Self { path: join(&self.path, name), table }),
            _ => None,
        }
    }

    /// The sub-tables of the sub-table `name`, with their names, in the order of the file.
    pub(crate) fn named(&self, name: &str) -> Vec<(String, Self)> {
        let Some(parent) = self.sub(name) else { return Vec::new() };
        let tables = entries(parent.table).into_iter().filter_map(|entry| {
            let DeValue::Table(table) = entry.value else { return None };
            Some((entry.name.to_owned(), Self { path: join(&parent.path, entry.name), table }))
        });
        tables.collect()
    }

    /// Path of one of this table's keys.
    pub(crate) fn path_of(&self, key: &Key) -> String {
        join(&self.path, key.name())
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: &Key, report: &mut Report<'_>) -> Option<&'a str> {
        match self.value(key, report)? {
            DeValue::String(text) => Some(text.as_ref()),
            other => self.wrong_type(key, other, report),
        }
    }

    /// The value that `words` gives the word at `key`, or at its default.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &Key,
        words: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let find = |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        if let (None, Absent::Word(default)) = (self.table.get(key.name()), key.default) {
            return find(default);
        }
        let word = self.text(key, report)?;
        let found = find(word);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
            let remedy = suggest::remedy(word, "the words here are", &known);
            report.fault(&self.path_of(key), format!("{word:?} is not known"), remedy);
        }
        found
    }

    /// The value that `words` gives the word at `key`, or that `number` makes of the integer there, or of its default.
    pub(crate) fn word_or_integer<T: Copy>(
        &self,
        key: &Key,
        words: &[(&str, T)],
        number: impl Fn(u32) -> Option<T>,
        report: &mut Report<'_>,
    ) -> Option<T> {
        let find = |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        let found = match (self.table.get(key.name()).map(|value| value.get_ref()), key.default) {
            (None, Absent::Word(default)) => return find(default),
            (Some(DeValue::String(word)), _) => (word, find(word.as_ref())),
            _ => return self.integer(key, report).and_then(number),
        };
        let (word, found) = found;
        if found.is_none() {
            report.fault(&self.path_of(key), format!("{word:?} is not known"), give(key));
        }
        found
    }

    /// The flag at `key`, or its default.
    pub(crate) fn boolean(&self, key: &Key, report: &mut Report<'_>) -> Option<bool> {
        if let (None, Absent::Boolean(default)) = (self.table.get(key.name()), key.default) {
            return Some(default);
        }
        match self.value(key, report)? {
            DeValue::Boolean(value) => Some(*value),
            other => self.wrong_type(key, other, report),
        }
    }

    /// The integer at `key`, or its default.
    pub(crate) fn integer(&self, key: &Key, report: &mut Report<'_>) -> Option<u32> {
        if let (None, Absent::Integer(default)) = (self.table.get(key.name()), key.default) {
            return Some(default);
        }
        match self.value(key, report)? {
            DeValue::Integer(integer) => checked_integer(integer, key, &self.path_of(key), report),
            other => self.wrong_type(key, other, report),
        }
    }

    /// The address at `key`.
    pub(crate) fn address(&self, key: &Key, report: &mut Report<'_>) -> Option<IpAddr> {
        let text = self.text(key, report)?;
        let address = text.parse().ok();
        if address.is_none() {
            let with_zone =
                text.split_once('%').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
            let problem =
                if with_zone { "has a zone: it is valid on one link only" } else { "is no IP address" };
            report.fault(&self.path_of(key), format!("{text:?} {problem}"), give(key));
        }
        address
    }

    /// The cookie at `key`; the empty one when the key is absent.
    pub(crate) fn cookie(&self, key: &Key, report: &mut Report<'_>) -> Option<Cookie> {
        if self.table.get(key.name()).is_none() {
            return Some(Cookie::NONE);
        }
        let text = self.text(key, report)?;
        match ids::cookie_from_hex(text) {
            Ok(cookie) => Some(cookie),
            Err(problem) => {
                report.fault(
                    &self.path_of(key),
                    problem,
                    "give 8 or 16 hexadecimal digits, or leave the key out for no cookie",
                );
                None
            }
        }
    }

    /// The integers at `key`, each with its own path; `None` when the key is absent or no list.
    pub(crate) fn integers(&self, key: &Key, report: &mut Report<'_>) -> Option<Vec<u32>> {
        let items = self.items(key, report)?;
        let count = items.len();
        let mut integers = Vec::new();
        for (path, value) in items {
            match value {
                DeValue::Integer(integer) => integers.extend(checked_integer(integer, key, &path, report)),
                other => wrong_item(&path, other, "an integer", report),
            }
        }
        (integers.len() == count).then_some(integers)
    }

    /// The texts at `key`, each with its path; items of other types are reported and left out.
    pub(crate) fn texts(&self, key: &Key, report: &mut Report<'_>) -> Option<Vec<(String, &'a str)>> {
        let mut texts = Vec::new();
        for (path, value) in self.items(key, report)? {
            match value {
                DeValue::String(text) => texts.push((path, text.as_ref())),
                other => wrong_item(&path, other, "a string", report),
            }
        }
        Some(texts)
    }

    fn items(&self, key: &Key, report: &mut Report<'_>) -> Option<Vec<(String, &'a DeValue<'t>)>> {
        let list = match self.value(key, report)? {
            DeValue::Array(list) => list,
            other => return self.wrong_type(key, other, report),
        };
        let items = list.iter().enumerate().map(|(index, item)| {
            let path = format!("{}[{index}]", self.path_of(key));
            report.place(path.clone(), item.span().start);
            (path, item.get_ref())
        });
        Some(items.collect())
    }

    fn value(&self, key: &Key, report: &mut Report<'_>) -> Option<&'a DeValue<'t>> {
        let value = self.table.get(key.name()).map(|value| value.get_ref());
        if value.is_none() && key.default == Absent::Required {
            report.fault(&self.path_of(key), "is missing", give(key));
        }
        value
    }

    fn wrong_type<T>(&self, key: &Key, value: &DeValue<'_>, report: &mut Report<'_>) -> Option<T> {
        report.fault(&self.path_of(key), format!("is {}", article(value.type_str())), give(key));
        None
    }
}

fn wrong_item(path: &str, value: &DeValue<'_>, wanted: &str, report: &mut Report<'_>) {
    report.fault(path, format!("is {}", article(value.type_str())), format!("give {wanted}"));
}

fn checked_integer(integer: &DeInteger<'_>, key: &Key, path: &str, report: &mut Report<'_>) -> Option<u32> {
    let value =
        i128::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|v| u32::try_from(v).ok());
    let right = value.filter(|value| allows(&key.kind, *value));
    if right.is_none() {
        let problem = match (value, &key.kind) {
            (Some(value), Kind::PowerOfTwo { .. }) if !value.is_power_of_two() => "is no power of two",
            _ => "is out of range",
        };
        report.fault(path, format!("{} {problem}", integer_text(integer)), give(key));
    }
    right
}

fn integer_text(integer: &DeInteger<'_>) -> String {
    let prefix = match integer.radix() {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", integer.as_str())
}

fn allows(kind: &Kind, value: u32) -> bool {
    match kind {
        Kind::Integer { min, max }
        | Kind::IntegerList { min, max }
        | Kind::WordOrInteger { min, max, .. } => (*min..=*max).contains(&value),
        Kind::PowerOfTwo { min, max } => (*min..=*max).contains(&value) && value.is_power_of_two(),
        Kind::OneOf(values) => values.contains(&value),
        _ => false,
    }
}

/// `give ...`: what would be right at `key`.
fn give(key: &Key) -> String {
    let what = match &key.kind {
        Kind::Text(rule) => format!("a string: {rule}"),
        Kind::Choice(words) => format!("one of {}", quoted(words)),
        Kind::Address => String::from("an IP address as a string, such as \"192.0.2.1\" or \"2001:db8::1\""),
        Kind::Cookie => String::from("8 or 16 hexadecimal digits as a string"),
        Kind::Boolean => String::from("true or false"),
        Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
        Kind::PowerOfTwo { min, max } => format!("a power of two from {min} to {max}"),
        Kind::OneOf(values) => {
            format!("one of {}", values.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))
        }
        Kind::WordOrInteger { words, min, max } => {
            format!("{} or an integer from {min} to {max}", quoted(words))
        }
        Kind::IntegerList { min, max } => format!("a list of integers from {min} to {max}"),
        Kind::TextList(rule) => format!("a list of strings: {rule}"),
    };
    format!("give {what}")
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

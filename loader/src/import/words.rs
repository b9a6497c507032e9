//! Words of the commands: abbreviations as iproute2 takes them, and typing errors.

use crate::config::suggest::closest;

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The word, or an abbreviation that iproute2 takes for it.
    Known(&'static str),
    /// Unknown, and near to this word.
    Typo(&'static str),
    /// Unknown.
    Unknown,
}

/// Finds `word` as iproute2 does: the first of `table` that begins with it; else the nearest.
pub(crate) fn abbreviated(word: &str, table: &[&'static str]) -> Meant {
    if let Some(known) = table.iter().find(|known| !word.is_empty() && known.starts_with(word)) {
        return Meant::Known(known);
    }
    closest(word, table.iter().copied()).map_or(Meant::Unknown, Meant::Typo)
}

/// Finds `word` where it must stand in full; else the nearest.
pub(crate) fn whole(word: &str, table: &[&'static str]) -> Meant {
    if let Some(known) = table.iter().find(|known| **known == word) {
        return Meant::Known(known);
    }
    closest(word, table.iter().copied()).map_or(Meant::Unknown, Meant::Typo)
}

/// A number as iproute2 reads it: decimal, `0x` hexadecimal, or octal with a leading zero.
pub(crate) fn number(word: &str) -> Option<u32> {
    if word.starts_with(['+', '-']) {
        return None;
    }
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok();
    }
    match word.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &[&str] = &["address", "link", "l2tp"];

    #[test]
    fn an_abbreviation_means_the_first_word_of_the_table() {
        assert_eq!(abbreviated("l", OBJECTS), Meant::Known("link"));
        assert_eq!(abbreviated("l2", OBJECTS), Meant::Known("l2tp"));
        assert_eq!(abbreviated("lnk", OBJECTS), Meant::Typo("link"));
        assert_eq!(abbreviated("", OBJECTS), Meant::Unknown);
        assert_eq!(whole("lin", OBJECTS), Meant::Typo("link"));
    }

    #[test]
    fn numbers_have_the_bases_of_c() {
        assert_eq!(number("1000"), Some(1000));
        assert_eq!(number("0x10"), Some(16));
        assert_eq!(number("010"), Some(8));
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        assert_eq!(number("4294967296"), None);
        assert_eq!(number("-1"), None);
        assert_eq!(number("+1"), None);
    }
}

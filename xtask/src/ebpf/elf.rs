//! The sections of a little-endian 64-bit ELF file: enough to say where two objects differ.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};

const SECTION_OFFSET: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const NAMES_INDEX: usize = 0x3e;
const SECTION_HEADER_BYTES: usize = 64;

/// One line for every section that is not the same in both files.
pub(super) fn differences(committed: &[u8], rebuilt: &[u8]) -> Result<Vec<String>> {
    let old = sections(committed).context("the committed object is no ELF file")?;
    let new = sections(rebuilt).context("the rebuilt object is no ELF file")?;
    let names: BTreeMap<_, _> = old.iter().chain(&new).collect();
    let mut lines: Vec<_> =
        names.keys().filter_map(|name| difference(name, old.get(*name), new.get(*name))).collect();
    if lines.is_empty() {
        lines.push("the sections are the same; the file's headers or padding differ".to_owned());
    }
    Ok(lines)
}

fn difference(name: &str, old: Option<&&[u8]>, new: Option<&&[u8]>) -> Option<String> {
    match (old, new) {
        (Some(old), None) => {
            Some(format!("section {name}: {} bytes committed, gone when rebuilt", old.len()))
        }
        (None, Some(new)) => Some(format!("section {name}: not committed, {} bytes when rebuilt", new.len())),
        (Some(old), Some(new)) if old != new => {
            let same = old.iter().zip(new.iter()).take_while(|(old, new)| old == new).count();
            let (old, new) = (old.len(), new.len());
            Some(format!(
                "section {name}: {old} bytes committed, {new} rebuilt, first difference at byte {same}"
            ))
        }
        _ => None,
    }
}

/// Name and contents of every section.
fn sections(file: &[u8]) -> Option<BTreeMap<String, &[u8]>> {
    let table = number(file, SECTION_OFFSET, 8)?;
    let header = |index: usize| {
        let start = index.checked_mul(SECTION_HEADER_BYTES)?.checked_add(table)?;
        file.get(start..start.checked_add(SECTION_HEADER_BYTES)?)
    };
    let names = file.get(extent(header(number(file, NAMES_INDEX, 2)?)?)?)?;
    let mut sections = BTreeMap::new();
    for index in 0..number(file, SECTION_COUNT, 2)? {
        let header = header(index)?;
        let name = names.get(number(header, 0, 4)?..)?.split(|byte| *byte == 0).next()?;
        sections.insert(String::from_utf8_lossy(name).into_owned(), file.get(extent(header)?)?);
    }
    Some(sections)
}

/// Where a section's contents stand in the file.
fn extent(header: &[u8]) -> Option<Range<usize>> {
    let start = number(header, 0x18, 8)?;
    Some(start..start.checked_add(number(header, 0x20, 8)?)?)
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8], offset: usize, size: usize) -> Option<usize> {
    let mut word = [0; 8];
    word.get_mut(..size)?.copy_from_slice(bytes.get(offset..offset + size)?);
    usize::try_from(u64::from_le_bytes(word)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with two sections: its names and one of the given name's five letters and contents.
    fn file(name: &[u8; 5], contents: [u8; 4]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[SECTION_OFFSET] = 80; // behind names and contents
        file[SECTION_COUNT] = 2;
        file.extend_from_slice(&[name, &b"\0names\0"[..]].concat()); // 64..76
        file.extend_from_slice(&contents); // 76..80
        let header = |name: u8, offset: u8, size: u8| {
            let mut header = [0; SECTION_HEADER_BYTES];
            (header[0], header[0x18], header[0x20]) = (name, offset, size);
            header
        };
        file.extend_from_slice(&header(6, 64, 12));
        file.extend_from_slice(&header(0, 76, 4));
        file
    }

    #[test]
    fn a_changed_section_is_named_with_the_place() {
        let lines = differences(&file(b".code", [1, 2, 3, 4]), &file(b".code", [1, 2, 9, 4])).unwrap();
        assert_eq!(lines, ["section .code: 4 bytes committed, 4 rebuilt, first difference at byte 2"]);
    }

    #[test]
    fn a_renamed_section_is_gone_and_new() {
        let lines = differences(&file(b".code", [0; 4]), &file(b".text", [0; 4])).unwrap();
        assert!(
            lines.contains(&"section .code: 4 bytes committed, gone when rebuilt".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"section .text: not committed, 4 bytes when rebuilt".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn what_is_cut_off_is_an_error_not_a_panic() {
        let whole = file(b".code", [0; 4]);
        for length in 0..whole.len() {
            assert!(differences(&whole[..length], &whole).is_err(), "{length} bytes");
        }
    }
}

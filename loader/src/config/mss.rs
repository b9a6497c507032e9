//! `mss_clamp`: read, written.
//!
//! Place: part of [`super::model::Tunnel`]. Not in it: what follows from it (`dataplane::tables::oversize`).

use super::keys;
use super::report::Report;
use super::section::Section;

pub use dataplane::tables::oversize::MssClamp;

/// The file's words; a number is the other way to give it.
pub const MSS_CLAMP_WORDS: &[(&str, MssClamp)] = &[("off", MssClamp::Off), ("auto", MssClamp::Path)];

/// Least MSS that can be given: what every IPv4 host takes (RFC 9293 §3.7.1). Units: bytes.
pub const MIN_MSS: u32 = 536;
/// Greatest MSS that can be given: the longest IPv4 packet less two headers. Units: bytes.
pub const MAX_MSS: u32 = 65_495;

/// The value of the tunnel's table; `None` when it is at fault.
pub(super) fn read(section: &Section<'_, '_>, report: &mut Report<'_>) -> Option<MssClamp> {
    let fixed = |value| u16::try_from(value).ok().map(MssClamp::To);
    section.word_or_integer(&keys::TUNNEL_MSS_CLAMP, MSS_CLAMP_WORDS, fixed, report)
}

/// The value as `show` has it.
#[must_use]
pub fn word(clamp: MssClamp) -> String {
    let word = MSS_CLAMP_WORDS.iter().find(|(_, known)| *known == clamp);
    match (word, clamp) {
        (Some((word, _)), _) => (*word).to_owned(),
        (None, MssClamp::To(segment)) => segment.to_string(),
        (None, MssClamp::Off | MssClamp::Path) => String::new(),
    }
}

/// The value as TOML, when it is not the default.
pub(super) fn setting(clamp: MssClamp) -> Option<String> {
    let text = word(clamp);
    match clamp {
        MssClamp::Off => None,
        MssClamp::Path => Some(format!("\"{text}\"")),
        MssClamp::To(_) => Some(text),
    }
}

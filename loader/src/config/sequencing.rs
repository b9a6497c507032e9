//! Sequence numbers of a session's packets, as far as the user chooses them: read, checked, written.
//!
//! Place: part of [`super::model::Session`]. One file from key to model and back, because none of it concerns anything else.
//! Deliberately not here: what the numbers do, which is the engine's (`dataplane::sequence`).

use super::keys;
use super::model::Sublayer;
use super::report::Report;
use super::section::Section;

/// What is done with sequence numbers. The default is what `ip l2tp` has: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequencing {
    /// `seq`.
    pub seq: Seq,
    /// `seq_observe`: received numbers are counted, and nothing is dropped for them. Never with a [`Seq`] that receives.
    pub observe: bool,
}

impl Sequencing {
    /// Whether nothing is done with the numbers of received packets, so that these need not pass one worker in order.
    #[must_use]
    pub const fn is_free_of_order(self) -> bool {
        !self.observe && !self.seq.receives()
    }
}

/// The directions in which packets are numbered (`ip l2tp`: `seq`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seq {
    /// Neither.
    #[default]
    None,
    /// Sent packets are.
    Send,
    /// Received packets must be, in order.
    Recv,
    /// Both.
    Both,
}

impl Seq {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("send", Self::Send), ("recv", Self::Recv), ("both", Self::Both)];

    /// Whether sent packets are numbered.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Both)
    }

    /// Whether received packets must be numbered in order.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Recv | Self::Both)
    }

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, seq)| *seq == self).map_or("", |(word, _)| word)
    }
}

/// The keys of the session's table; `None` when one is at fault.
pub(super) fn read(section: &Section<'_, '_>, report: &mut Report<'_>) -> Option<Sequencing> {
    let seq = section.choice(&keys::SESSION_SEQ, Seq::WORDS, report);
    let observe = section.boolean(&keys::SESSION_SEQ_OBSERVE, report);
    Some(Sequencing { seq: seq?, observe: observe? })
}

/// Finds what does not fit together in the session at `path`.
pub(super) fn check(path: &str, sequencing: Sequencing, sublayer: Option<Sublayer>, report: &mut Report<'_>) {
    let Sequencing { seq, observe } = sequencing;
    let (at_seq, at_observe) = (format!("{path}.seq"), format!("{path}.seq_observe"));
    if sublayer == Some(Sublayer::None) {
        // The numbers stand in the sublayer (RFC 3931 §5.4).
        let remedy = "remove it, or give l2spec_type = \"default\" at both ends";
        if seq != Seq::None {
            report.fault(&at_seq, "numbers stand in the sublayer, and l2spec_type is \"none\"", remedy);
        }
        if observe {
            report.fault(&at_observe, "numbers stand in the sublayer, and l2spec_type is \"none\"", remedy);
        }
        return;
    }
    if observe && seq.receives() {
        let problem =
            format!("drops nothing for its number, and seq = \"{}\" drops what is not in order", seq.word());
        let seq = if seq.sends() { "seq = \"send\"" } else { "seq = \"none\"" };
        report.fault(&at_observe, problem, format!("remove it, or give {seq}"));
        return;
    }
    // Linux `l2tp_recv_common`: a session that is not an LNS sends numbers when, and only when, it receives them.
    let problem = "a Linux peer numbers only while it receives numbers, and none are sent";
    match seq {
        Seq::Recv => report.note(&at_seq, problem, "give seq = \"both\" when the peer is Linux"),
        Seq::None if observe => {
            report.note(&at_observe, problem, "give seq = \"send\" when the peer is Linux");
        }
        _ => {}
    }
}

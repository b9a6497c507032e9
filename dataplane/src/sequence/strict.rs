//! strict: what is not the expected number is dropped, as the kernel does without a reorder timeout (`seq recv`).
//!
//! ```text
//!  distance ahead of the expected number, modulo 2^24
//!
//!  |  0 | 1 ............... 2^23-2 | 2^23-1 ........... 2^24-1 |
//!  | ok | ahead: dropped, but the  | behind: dropped, but the  |
//!  |    | sixth in a row is where  | sixth in a row, with none |
//!  |    | the session goes on, as  | accepted since the first, |
//!  |    | in the kernel            | is where it goes on       |
//! ```
//! Source: Linux 6.12 `net/l2tp/l2tp_core.c`, `l2tp_recv_data_seq` and `l2tp_seq_check_rx_window`; RFC 3931 appendix C.
//! Two things differ from the kernel. A first packet is accepted whatever its number; the kernel measures it against 0. And
//! a row of numbers from behind is believed, as in appendix C; the kernel drops them without end, so that a peer that starts
//! again at 0 is not heard until its numbers have come up to where they were.

use super::{MASK, Row, ahead, next};

/// Numbers ahead of the expected one that are not "old". Source: Linux `nr_window_size`, half of the largest number.
const WINDOW: u32 = MASK / 2;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has the expected number, or is the first: accepted.
    InOrder,
    /// It continues a row of packets that were dropped, and is where the session goes on: accepted.
    Resync,
    /// It has another number: to be dropped.
    OutOfOrder,
}

/// What a session remembers of the numbers it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strict {
    /// The number that the next packet has to have.
    expected: u32,
    /// Whether there was a packet at all.
    is_started: bool,
    /// The last packets that were ahead. Accepted ones do not end the row: so it is with the kernel's `nr_oos`.
    ahead: Row,
    /// The last packets that were behind. An accepted one ends the row: copies of a session's packets that come late, or
    /// are played back, stand between those that are in order, and never count.
    behind: Row,
}

impl Strict {
    /// The state after a packet with `number`, and what becomes of the packet.
    #[must_use]
    #[inline]
    pub const fn receive(self, number: u32) -> (Self, Fate) {
        let number = number & MASK;
        match self.is_started {
            true if number == self.expected => (self.accepted(number), Fate::InOrder),
            true => self.receive_other(number),
            // In the kernel too the first packet is the last of a row of packets ahead.
            false => (Self { ahead: self.ahead.with(number), ..self }.accepted(number), Fate::InOrder),
        }
    }

    /// The same for any number but the expected one.
    const fn receive_other(mut self, number: u32) -> (Self, Fate) {
        let row = if ahead(number, self.expected) < WINDOW { &mut self.ahead } else { &mut self.behind };
        *row = row.with(number);
        match row.is_believed() {
            true => (self.accepted(number), Fate::Resync),
            false => (self, Fate::OutOfOrder),
        }
    }

    /// The state after accepting a packet.
    #[inline]
    const fn accepted(self, number: u32) -> Self {
        Self { expected: next(number), is_started: true, behind: Row::behind(number), ..self }
    }

    /// As two words.
    #[must_use]
    #[inline]
    pub const fn pack(self) -> [u64; 2] {
        let expected = (self.expected as u64) << Row::BITS;
        let is_started = (self.is_started as u64) << (Row::BITS + 24);
        [self.ahead.pack() | expected | is_started, self.behind.pack()]
    }

    /// Any two words are a state: also words of two moments.
    #[must_use]
    #[inline]
    pub const fn unpack([first, second]: [u64; 2]) -> Self {
        let [a, b, c, d, ..] = (first >> Row::BITS).to_le_bytes();
        Self {
            expected: u32::from_le_bytes([a, b, c, 0]),
            is_started: d & 1 == 1,
            ahead: Row::unpack(first),
            behind: Row::unpack(second),
        }
    }
}

#[cfg(test)]
mod tests;

//! observe: counts what was lost, came late or came twice, and drops nothing (`seq_observe`).
//!
//! ```text
//!            behind: a row begins anew | window of 64 | the next | jump: what it leaves out is pending | far: a row ...
//!  ----------------------------------- | ------------ H -------- | ----------------------------------- | ------->
//!                                       highest number                                          + 65535
//! ```
//! A number that is missing stays pending while it is in the window of 64 numbers up to the highest one; when it leaves the
//! window it is lost. One that comes while it is pending came late. A packet that is neither near nor the next is believed
//! only in a row, as in [`super::strict`]: a peer that starts again is no loss of millions.

use super::{MASK, Row, ahead};

/// Numbers whose coming is remembered, the highest one among them.
pub const WINDOW: u32 = 64;

/// Farthest jump ahead that is taken for loss.
const NEAR: u32 = 0xFFFF;

/// What a packet's number means. Each packet with a number has one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is higher than all before it.
    Newer,
    /// It is lower than one that came before it.
    Late,
    /// It came before.
    Duplicate,
    /// It is the one by which a row of far packets is believed: counting begins anew with it.
    Resync,
}

/// What one packet adds to the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What its number means.
    pub meaning: Meaning,
    /// Numbers that left the window without having come. Units: packets.
    pub lost: u32,
}

/// What a session remembers of the numbers it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observe {
    /// The highest number.
    highest: u32,
    /// How many numbers up to the highest one the window covers: those before the first packet are nobody's loss. 0: there
    /// was no packet. Range: 0..=[`WINDOW`].
    depth: u32,
    /// Which of them came; bit 0 is the highest number.
    came: u64,
    /// The last packets that were far.
    far: Row,
}

impl Observe {
    /// The state after a packet with `number`, and what the packet means.
    #[must_use]
    #[inline]
    pub const fn receive(self, number: u32) -> (Self, Observation) {
        let number = number & MASK;
        match (ahead(number, self.highest), ahead(self.highest, number)) {
            _ if self.depth == 0 => self.begin(number, Meaning::Newer),
            (1..=NEAR, _) => self.advance(number),
            (_, age) if age < WINDOW => self.look_back(age),
            _ => self.receive_far(number),
        }
    }

    /// A window that covers one packet.
    const fn begin(self, number: u32, meaning: Meaning) -> (Self, Observation) {
        let state = Self { highest: number, depth: 1, came: 1, far: Row::behind(number) };
        (state, Observation { meaning, lost: 0 })
    }

    /// A number above the highest one: the window moves up to it.
    #[inline]
    const fn advance(self, number: u32) -> (Self, Observation) {
        let step = ahead(number, self.highest);
        // What the window covered is `depth` bits; the upper ones leave, and all of them when it moves by its whole size.
        let leaving = (self.depth + step).saturating_sub(WINDOW);
        let lost_bits = if leaving < self.depth { leaving } else { self.depth };
        let missing = !self.came & mask_of(self.depth) & !mask_of(self.depth - lost_bits);
        // Numbers that were left out, and are already below the window.
        let left_out = leaving - lost_bits;
        let came = if step < WINDOW { self.came << step } else { 0 } | 1;
        let depth = if self.depth + step < WINDOW { self.depth + step } else { WINDOW };
        let lost = missing.count_ones() + left_out;
        (
            Self { highest: number, depth, came, far: Row::behind(number) },
            Observation { meaning: Meaning::Newer, lost },
        )
    }

    /// A number that the window could cover, `age` below the highest one.
    const fn look_back(self, age: u32) -> (Self, Observation) {
        let bit = 1 << age;
        let meaning = if self.came & bit == 0 { Meaning::Late } else { Meaning::Duplicate };
        (
            Self { came: self.came | bit, far: Row::behind(self.highest), ..self },
            Observation { meaning, lost: 0 },
        )
    }

    /// A number that is neither near nor in the window.
    const fn receive_far(self, number: u32) -> (Self, Observation) {
        let far = self.far.with(number);
        match far.is_believed() {
            true => self.begin(number, Meaning::Resync),
            false => (Self { far, ..self }, Observation { meaning: Meaning::Late, lost: 0 }),
        }
    }

    /// As two words.
    #[must_use]
    #[inline]
    pub const fn pack(self) -> [u64; 2] {
        let highest = (self.highest as u64) << Row::BITS;
        let depth = (self.depth as u64) << (Row::BITS + 24);
        [self.far.pack() | highest | depth, self.came]
    }

    /// Any two words are a state: also words of two moments.
    #[must_use]
    #[inline]
    pub const fn unpack([first, came]: [u64; 2]) -> Self {
        let [a, b, c, depth, ..] = (first >> Row::BITS).to_le_bytes();
        let depth = if depth as u32 > WINDOW { WINDOW } else { depth as u32 };
        Self { highest: u32::from_le_bytes([a, b, c, 0]), depth, came, far: Row::unpack(first) }
    }
}

/// The lowest `bits` bits. Range: 0..=64.
#[inline]
const fn mask_of(bits: u32) -> u64 {
    if bits >= u64::BITS { u64::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests;

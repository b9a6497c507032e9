//! identification: numbers that tell the fragments of one outer packet from those of another.
//!
//! Two packets with one number between the same addresses could be joined wrongly. So each worker counts in numbers of its own: of
//! *n* workers, with *n* rounded up to a power of two, worker *w* has those that leave the remainder *w*. The start is not to be
//! guessed from outside (RFC 7739). Sixteen bits wrap within a second at full rate; what a peer joins wrongly then, only a
//! UDP checksum finds out (RFC 4963), which is a reason to avoid fragments where the path can be made to fit.

/// One worker's next numbers.
#[derive(Clone, Copy, Debug)]
pub struct Identification {
    ipv4: u16,
    ipv6: u32,
    step: u16,
}

impl Identification {
    /// For worker `worker` of `workers`. `start` should be different each time.
    ///
    /// Range: `workers` up to 64; beyond, workers share numbers.
    #[must_use]
    pub fn new(worker: usize, workers: usize, start: u64) -> Self {
        let step = u16::try_from(workers.max(1).next_power_of_two()).unwrap_or(1);
        let own = u16::try_from(worker % usize::from(step)).unwrap_or(0);
        let [a, b, c, d, e, f, ..] = start.to_ne_bytes();
        // The step divides both ranges, so the remainder survives the wrap.
        let first = |number: u32| number / u32::from(step) * u32::from(step) + u32::from(own);
        let ipv4 = first(u32::from(u16::from_ne_bytes([a, b])));
        Self { ipv4: u16::try_from(ipv4).unwrap_or(own), ipv6: first(u32::from_ne_bytes([c, d, e, f])), step }
    }

    /// For an IPv4 packet: every one, since routers may cut it.
    #[inline]
    pub(crate) fn next_ipv4(&mut self) -> u16 {
        let number = self.ipv4;
        self.ipv4 = number.wrapping_add(self.step);
        number
    }

    /// For an IPv6 packet that is cut.
    #[inline]
    pub(super) fn next_ipv6(&mut self) -> u32 {
        let number = self.ipv6;
        self.ipv6 = number.wrapping_add(u32::from(self.step));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_workers_ever_have_a_number_in_common() {
        let mut seen = HashSet::new();
        for worker in 0..3 {
            let mut numbers = Identification::new(worker, 3, 0xFFFF_FFFF_FFFF_FFF9);
            let own: HashSet<u16> = (0..65_536).map(|_| numbers.next_ipv4()).collect();
            assert_eq!(own.len(), 65_536 / 4, "all of its own, over and over");
            assert!(own.iter().all(|number| seen.insert(*number)));
        }
    }

    #[test]
    fn ipv6_numbers_keep_their_remainder_over_the_wrap() {
        let mut numbers = Identification::new(1, 2, u64::MAX);
        let found: Vec<u32> = (0..3).map(|_| numbers.next_ipv6()).collect();
        assert_eq!(found, [u32::MAX, 1, 3]);
    }

    #[test]
    fn a_single_worker_has_every_number() {
        let mut numbers = Identification::new(0, 1, 0);
        assert_eq!([numbers.next_ipv4(), numbers.next_ipv4()], [0, 1]);
        assert_eq!([numbers.next_ipv6(), numbers.next_ipv6()], [0, 1]);
    }
}

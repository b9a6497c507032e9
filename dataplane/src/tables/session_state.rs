//! What a session remembers from packet to packet, whatever tables are published meanwhile.
//!
//! Place on the path: `encap` takes the next number to send from it, `decap` looks received numbers up in it. The control
//! plane makes one per session and keeps it beside the session's counters.
//!
//! # Several workers
//! Numbers to send are handed out by one atomic addition, so each is sent once; two workers that send for one session at the
//! same moment may put them on the wire the other way round. The receiving half is two plain words: the packets of one
//! session come from one peer, so the NIC gives them to one queue and thereby to one worker. Should two workers receive for a
//! session at once, one may overwrite what the other noted. Any two words are a valid state that later packets lead out of
//! ([`Strict::unpack`]); what suffers is which packets are taken to be out of order.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use crate::sequence::{
    MASK,
    observe::{Observation, Observe},
    strict::{Fate, Strict},
};

/// What one session remembers.
#[derive(Debug, Default)]
pub struct SessionState {
    /// Number of the next packet to send; the upper 8 bits are not sent.
    tx: CachePadded<AtomicU32>,
    /// [`Strict`] or [`Observe`]: a session has one of them for as long as it is configured.
    rx: CachePadded<[AtomicU64; 2]>,
}

/// What a session does with the sequence numbers of packets that it receives.
#[derive(Clone, Debug, Default)]
pub enum RxSequencing {
    /// Nothing: whether there is one, and which, makes no difference.
    #[default]
    Ignored,
    /// Packets without the expected number are dropped (`ip l2tp`: `seq recv`).
    Strict(Arc<SessionState>),
    /// They are counted.
    Observed(Arc<SessionState>),
}

impl SessionState {
    /// The number of the next packet to send: 0 at first, as in the kernel (`session->ns`).
    #[inline]
    pub fn next_tx(&self) -> u32 {
        self.tx.fetch_add(1, Relaxed) & MASK
    }

    /// Notes a received number in a session that is [`RxSequencing::Strict`].
    #[inline]
    pub fn receive_strictly(&self, number: u32) -> Fate {
        let (state, fate) = Strict::unpack(self.load()).receive(number);
        self.store(state.pack());
        fate
    }

    /// Notes a received number in a session that is [`RxSequencing::Observed`].
    #[inline]
    pub fn observe(&self, number: u32) -> Observation {
        let (state, observation) = Observe::unpack(self.load()).receive(number);
        self.store(state.pack());
        observation
    }

    #[inline]
    fn load(&self) -> [u64; 2] {
        let [first, second] = &*self.rx;
        [first.load(Relaxed), second.load(Relaxed)]
    }

    #[inline]
    fn store(&self, [first, second]: [u64; 2]) {
        let [to_first, to_second] = &*self.rx;
        to_first.store(first, Relaxed);
        to_second.store(second, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_to_send_begin_at_0_and_wrap_behind_24_bits() {
        let state = SessionState::default();
        assert_eq!((state.next_tx(), state.next_tx()), (0, 1));
        state.tx.store(MASK, Relaxed);
        assert_eq!((state.next_tx(), state.next_tx()), (MASK, 0));
        state.tx.store(u32::MAX, Relaxed);
        assert_eq!((state.next_tx(), state.next_tx()), (MASK, 0));
    }

    #[test]
    fn workers_that_share_a_session_never_send_a_number_twice() {
        let state = SessionState::default();
        let mut numbers: Vec<u32> = std::thread::scope(|scope| {
            let worker = || (0..10_000).map(|_| state.next_tx()).collect::<Vec<_>>();
            let workers = [scope.spawn(worker), scope.spawn(worker)];
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..20_000));
    }

    #[test]
    fn two_workers_that_receive_for_one_session_leave_it_in_a_state_that_goes_on() {
        let state = SessionState::default();
        std::thread::scope(|scope| {
            for start in [0, 0x80_0000] {
                let state = &state;
                scope.spawn(move || {
                    (start..start + 50_000).for_each(|number| _ = state.receive_strictly(number));
                });
            }
        });
        let fates: Vec<_> = (1000..1020).map(|number| state.receive_strictly(number)).collect();
        assert!(fates[12..].iter().all(|fate| *fate == Fate::InOrder), "{fates:?}");
    }
}

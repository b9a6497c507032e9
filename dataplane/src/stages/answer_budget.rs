//! answer_budget: how many ICMP errors a worker sends in one second.
//!
//! Place on the path: asked by `too_big` before it answers a frame. Reads no clock: a second is one of the engine's.
//!
//! Hosts share the budget by lanes: a host that sends frames that do not fit without end uses up its own lane, and
//! shares it only with the hosts whose addresses happen to fall into the same one.

/// Lanes that hosts are spread over.
const LANES: usize = 16;

/// Answers in one second and lane: a host asks once per destination, and again when the kernel has forgotten.
pub(super) const ANSWERS_PER_LANE: u8 = 16;

/// What is left of this second's answers.
#[derive(Clone, Debug)]
pub struct AnswerBudget {
    second: u32,
    left: [u8; LANES],
}

impl Default for AnswerBudget {
    fn default() -> Self {
        Self { second: 0, left: [ANSWERS_PER_LANE; LANES] }
    }
}

impl AnswerBudget {
    /// Takes one answer to a host out of this second's budget; `false`: there is none left.
    pub(super) fn take(&mut self, now_s: u32, host: &[u8]) -> bool {
        if self.second != now_s {
            *self = Self { second: now_s, ..Self::default() };
        }
        match self.left.get_mut(lane(host)) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The lane of an address: its last bytes differ most.
fn lane(host: &[u8]) -> usize {
    let mixed = host.iter().fold(0u32, |mixed, byte| (mixed ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (mixed >> 28) as usize % LANES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_host_gets_its_share_of_a_second_and_a_new_one_in_the_next() {
        let mut budget = AnswerBudget::default();
        let host = [10, 0, 0, 1];
        let granted =
            |budget: &mut AnswerBudget, now_s| (0..100).filter(|_| budget.take(now_s, &host)).count();
        assert_eq!(granted(&mut budget, 1), 16);
        assert_eq!(granted(&mut budget, 1), 0);
        assert_eq!(granted(&mut budget, 2), 16);
    }

    #[test]
    fn hosts_of_one_network_are_spread_over_the_lanes() {
        let mut used = [0; LANES];
        (1..=254u8).for_each(|host| used[lane(&[10, 0, 0, host])] += 1);
        assert!(used.iter().all(|hosts| (4..=40).contains(hosts)), "{used:?}");
    }

    proptest! {
        #[test]
        fn no_lane_gives_more_than_its_share(asked in prop::collection::vec((1u32..4, any::<[u8; 4]>()), 0..600)) {
            let mut budget = AnswerBudget::default();
            let mut asked = asked;
            asked.sort_by_key(|(now_s, _)| *now_s);
            let mut granted = HashMap::new();
            for (now_s, host) in asked {
                let count: &mut u8 = granted.entry((now_s, lane(&host))).or_default();
                let is_granted = budget.take(now_s, &host);
                prop_assert_eq!(is_granted, *count < ANSWERS_PER_LANE);
                *count += u8::from(is_granted);
            }
        }
    }
}

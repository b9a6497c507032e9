use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const A: MacKey = MacKey::new([0x02, 0, 0, 0, 0, 0x0A]);
const B: MacKey = MacKey::new([0x02, 0, 0, 0, 0, 0x0B]);

#[test]
fn a_learned_address_is_found_on_its_member() {
    let fdb = Fdb::new(16, 1);
    assert_eq!(fdb.lookup(A), None);
    assert_eq!(fdb.learn(A, MemberId(3), 10), Learned::New);
    assert_eq!(fdb.learn(A, MemberId(3), 11), Learned::Known);
    assert_eq!(fdb.lookup(A), Some(MemberId(3)));
    assert_eq!(fdb.lookup(B), None);
}

#[test]
fn nobody_lives_at_address_zero() {
    let fdb = Fdb::new(16, 1);
    fdb.learn(A, MemberId(3), 10);
    assert_eq!(fdb.lookup(MacKey::new([0; 6])), None);
}

#[test]
fn a_station_that_moves_is_found_on_its_new_member_only() {
    let fdb = Fdb::new(16, 1);
    fdb.learn(A, MemberId(0), 1);
    assert_eq!(fdb.learn(A, MemberId(0xFFFE), 2), Learned::Moved);
    assert_eq!(fdb.lookup(A), Some(MemberId(0xFFFE)));
    let all: Vec<_> = fdb.entries().collect();
    assert_eq!(all, [FdbEntry { mac: A, member: MemberId(0xFFFE), heard_s: 2 }]);
}

#[test]
fn ageing_removes_what_was_silent_longer_than_the_limit() {
    let fdb = Fdb::new(16, 1);
    fdb.learn(A, MemberId(1), 100);
    fdb.learn(B, MemberId(1), 101);
    assert_eq!(fdb.age(401, 300), 1);
    assert_eq!(fdb.lookup(A), None);
    assert_eq!(fdb.lookup(B), Some(MemberId(1)));
}

#[test]
fn the_table_is_looked_through_again_when_the_oldest_entry_may_be_too_old_and_not_before() {
    let fdb = Fdb::new(16, 1);
    let oldest_s = || fdb.oldest_s.load(Relaxed);
    fdb.learn(A, MemberId(1), 100);
    fdb.learn(B, MemberId(1), 150);
    assert_eq!((fdb.age(300, 300), oldest_s()), (0, 0), "nothing was heard before second 0");
    assert_eq!((fdb.age(301, 300), oldest_s()), (0, 100));
    fdb.learn(A, MemberId(1), 200);
    assert_eq!((fdb.age(400, 300), oldest_s()), (0, 100), "not looked at");
    assert_eq!((fdb.age(401, 300), oldest_s()), (0, 150), "looked at, and heard again since");
    assert_eq!((fdb.age(451, 300), oldest_s()), (1, 200));
    assert_eq!((fdb.age(501, 300), oldest_s()), (1, 501), "vacant: what comes is heard from now on");
    fdb.learn(A, MemberId(1), 501);
    assert_eq!((fdb.age(801, 300), fdb.age(802, 300)), (0, 1));
}

#[test]
fn hearing_a_known_station_again_keeps_it_from_ageing() {
    let fdb = Fdb::new(16, 1);
    fdb.learn(A, MemberId(1), 100);
    fdb.learn(A, MemberId(1), 300);
    assert_eq!(fdb.age(401, 300), 0);
    assert_eq!(fdb.lookup(A), Some(MemberId(1)));
}

#[test]
fn a_full_table_says_so_and_keeps_what_it_has() {
    let fdb = Fdb::new(1, 7);
    let mut learned = Vec::new();
    for n in 1..=64u64 {
        if fdb.learn(MacKey(n), MemberId(1), 1) == Learned::New {
            learned.push(MacKey(n));
        }
    }
    assert_eq!(learned.len(), fdb.capacity());
    assert_eq!(fdb.learn(MacKey(99), MemberId(1), 1), Learned::Full);
    assert!(learned.iter().all(|&mac| fdb.lookup(mac) == Some(MemberId(1))));
}

#[test]
fn flushing_a_member_leaves_the_others() {
    let fdb = Fdb::new(16, 1);
    fdb.learn(A, MemberId(1), 1);
    fdb.learn(B, MemberId(2), 1);
    assert_eq!(fdb.flush(|member| member == MemberId(1)), 1);
    assert_eq!((fdb.lookup(A), fdb.lookup(B)), (None, Some(MemberId(2))));
}

#[test]
fn the_promised_number_of_random_addresses_fits() {
    let fdb = Fdb::new(4096, 0xDEAD_BEEF);
    let refused = (1..=4096u64)
        .filter(|n| {
            fdb.learn(MacKey(n.wrapping_mul(0xD134_2543_DE82_EF95) >> 17 | 1), MemberId(0), 1)
                == Learned::Full
        })
        .count();
    assert_eq!(refused, 0);
}

#[test]
fn reserved_addresses_are_recognised() {
    assert_eq!(MacKey::new([0x01, 0x80, 0xC2, 0, 0, 0x00]).reserved(), Some(0));
    assert_eq!(MacKey::new([0x01, 0x80, 0xC2, 0, 0, 0x0F]).reserved(), Some(15));
    assert_eq!(MacKey::new([0x01, 0x80, 0xC2, 0, 0, 0x10]).reserved(), None);
    assert!(MacKey::new([0xFF; 6]).is_group() && !MacKey::new([0xFF; 6]).is_station());
    assert!(!MacKey::new([0; 6]).is_station() && A.is_station());
}

#[test]
fn four_threads_that_learn_the_same_addresses_agree_in_the_end() {
    let fdb = Fdb::new(1024, 3);
    std::thread::scope(|scope| {
        for member in 0..4u16 {
            let fdb = &fdb;
            scope.spawn(move || {
                for round in 0..50 {
                    for n in 1..=256u64 {
                        fdb.learn(MacKey(n), MemberId(member), round);
                    }
                }
            });
        }
    });
    for n in 1..=256u64 {
        fdb.learn(MacKey(n), MemberId(9), 60);
        assert_eq!(fdb.lookup(MacKey(n)), Some(MemberId(9)));
    }
    fdb.age(120, 60);
    assert_eq!(fdb.entries().count(), 256, "second entries of one address age out");
}

#[derive(Clone, Debug)]
enum Step {
    Learn(u64, u16),
    Age(u32),
    Flush(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..40u64, 0..5u16).prop_map(|(mac, member)| Step::Learn(mac, member)),
        1 => (0..20u32).prop_map(Step::Age),
        1 => (0..5u16).prop_map(Step::Flush),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn behaves_like_a_map_of_address_to_member_and_time(steps in steps(), seed in any::<u64>()) {
        let fdb = Fdb::new(256, seed);
        let mut model: HashMap<u64, (u16, u32)> = HashMap::new();
        for (now, step) in (0u32..).zip(steps) {
            match step {
                Step::Learn(mac, member) => {
                    prop_assert_ne!(fdb.learn(MacKey(mac), MemberId(member), now), Learned::Full);
                    model.insert(mac, (member, now));
                }
                Step::Age(limit) => {
                    fdb.age(now, limit);
                    model.retain(|_, (_, heard)| now - *heard <= limit);
                }
                Step::Flush(member) => {
                    fdb.flush(|on| on == MemberId(member));
                    model.retain(|_, (on, _)| *on != member);
                }
            }
            for mac in 1..40u64 {
                prop_assert_eq!(fdb.lookup(MacKey(mac)).map(|m| m.0), model.get(&mac).map(|(m, _)| *m));
            }
        }
        prop_assert_eq!(fdb.entries().count(), model.len());
    }

    #[test]
    fn octets_and_key_are_inverse(octets in any::<[u8; 6]>()) {
        prop_assert_eq!(MacKey::new(octets).octets(), octets);
    }
}

//! Any bytes arrive on the LAN port. What is checked stands in the rig, beside the tests that check the seeds.

#![no_main]

#[path = "../../tests/rig/mod.rs"]
mod rig;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use rig::any_bytes::AnyBytes;

thread_local! {
    static ENGINE: RefCell<AnyBytes> = RefCell::new(AnyBytes::new());
}

fuzz_target!(|bytes: &[u8]| ENGINE.with_borrow_mut(|engine| {
    engine.arrive_on_lan(bytes);
}));

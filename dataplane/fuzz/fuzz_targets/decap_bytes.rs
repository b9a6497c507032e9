//! Any bytes arrive on the underlay port: as they are, and once more with the checksum of an IPv4 header made right, so that
//! the checks behind it are reached. What is checked stands in the rig, beside the tests that check the seeds.

#![no_main]

#[path = "../../tests/rig/mod.rs"]
mod rig;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use rig::{any_bytes::AnyBytes, frames::reseal};

/// Ethernet and IPv4 header. Units: bytes.
const HEADERS_BYTES: usize = 34;

thread_local! {
    static ENGINE: RefCell<AnyBytes> = RefCell::new(AnyBytes::new());
}

fuzz_target!(|bytes: &[u8]| ENGINE.with_borrow_mut(|engine| {
    engine.arrive_on_wan(bytes);
    if bytes.len() >= HEADERS_BYTES {
        let mut sealed = bytes.to_vec();
        reseal(&mut sealed);
        engine.arrive_on_wan(&sealed);
    }
}));

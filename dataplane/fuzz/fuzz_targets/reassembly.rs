//! Any fragments in any order, and any time between them, arrive at a table of unfinished packets, beside a model of it. What is
//! checked stands in the rig, beside the tests that check the seeds.

#![no_main]

#[path = "../../tests/rig/mod.rs"]
mod rig;

use libfuzzer_sys::fuzz_target;
use rig::reassembly::Judge;

fuzz_target!(|bytes: &[u8]| Judge::new(Judge::LIMITS).take_bytes(bytes));

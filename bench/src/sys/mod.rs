//! The only unsafe code of the benches: the time-stamp counter, the counting allocator, a thread's policy, the sockets of `xsk-rs`,
//! and memory that is shared with a BPF program.

#![allow(unsafe_code)]

pub mod allocator;
pub(crate) mod live_frames;
pub mod policy;
pub mod tsc;
pub mod xsk_rs;

//! The only unsafe code of the benches: the time-stamp counter, the counting allocator, a thread's policy, and the sockets of
//! `xsk-rs`.

#![allow(unsafe_code)]

pub mod allocator;
pub mod policy;
pub mod tsc;
pub mod xsk_rs;

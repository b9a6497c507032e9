//! The only unsafe code of the benches: the time-stamp counter and the counting allocator.

#![allow(unsafe_code)]

pub mod allocator;
pub mod tsc;

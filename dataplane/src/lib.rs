//! The engine: a frame's life in user space.
//!
//! ```text
//!  ports -> batch -> stages (decap | admit, learn, forward, flood, encap) -> ports
//!                       |  tables: one snapshot per batch
//!                    verdict, counters
//! ```
//! README.md beside this crate's manifest is the frame path on one page. The engine knows sessions, bridge domains and
//! ports, but no configuration, no netlink and no clock: the loader feeds it.

#![forbid(unsafe_code)]

pub mod batch;
mod chain;
pub mod counters;
pub mod exchange;
pub mod ports;
pub mod reassembly;
pub mod sequence;
pub mod stages;
pub mod tables;
pub mod verdict;
pub mod waker;
pub mod worker;

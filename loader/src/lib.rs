//! AF_XDP L2TPv3 pseudowire gateway: one Layer 2 network over plain Layer 3.
//!
//! The control half of `spanwire`: configuration, the host's network, the XDP program, the control socket. Frames are the
//! `dataplane` crate's; this crate feeds it and shows what it does.

#![forbid(unsafe_code)]

pub mod anchors;
pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
pub mod import;
pub mod maps;
pub mod netlink;
pub mod nic;
mod placement;
pub mod preflight;
pub mod program;
pub mod publish;
pub mod supervisor;
mod tree;

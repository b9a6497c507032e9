//! AF_XDP L2TPv3 pseudowire gateway: one Layer 2 network over plain Layer 3.

pub mod cli;
pub mod config;
pub mod control;
pub mod import;
pub mod maps;
pub mod netlink;
pub mod nic;
pub mod preflight;
pub mod program;
pub mod publish;
pub mod supervisor;

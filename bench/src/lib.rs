//! What the gateway costs, and what it is measured with.
//!
//! With a kernel: [`generate`] sends stamped frames, [`replay`] one frame again and again, [`sink`] counts
//! stamped frames and checks their order, and [`null_forward`] is the least an AF_XDP forwarder can do, to
//! compare with. All of them work on the interfaces of the namespace that they run in; [`usage`] tells the
//! CPU time of a machine. Without a
//! kernel: [`memory`] times code on frames in memory with [`harness`], the whole [`engine`] included,
//! and [`count`] lets valgrind count it.
//!
//! Not here: laying out namespaces and wires, which the caller does.

#![deny(unsafe_code)]

pub mod count;
pub mod engine;
pub mod flows;
pub mod generate;
pub mod harness;
pub mod interface;
pub mod latency;
pub mod memory;
pub mod null_forward;
mod object;
mod port;
pub mod replay;
pub mod sink;
pub mod stop;
pub mod sys;
pub mod usage;

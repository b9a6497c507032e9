//! The XDP steering program: its decision, its maps, its compiled object.
//!
//! Place on the path: first of all. For every frame that a port receives, the program decides in the kernel whether the
//! frame goes to the engine, to the kernel's own stack, or nowhere. [`steer`] is that decision as a pure function,
//! [`abi`] what the gateway writes for it, [`OBJECT`] the program as the kernel loads it, compiled from this same crate.
//! Not here: loading and attaching (the gateway does that), and anything that looks at a frame beyond its headers.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod abi;
pub mod log_record;
#[cfg(not(target_arch = "bpf"))]
mod object;
pub mod packet_view;
pub mod stats;
pub mod steer;

#[cfg(not(target_arch = "bpf"))]
pub use object::OBJECT;

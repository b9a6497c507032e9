//! An independent judge of the compiled XDP object: another loader than the gateway's, and the kernel's verifier.
//!
//! Place on the path: none; it looks at the object that the gateway loads. It needs the right to load BPF programs
//! (root, or CAP_BPF and CAP_NET_ADMIN) and touches no interface: frames are put to the program by `BPF_PROG_TEST_RUN`.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod corpus;
pub mod cost;
mod kernel;
mod model;

pub use kernel::{KernelProgram, Observed, Standing};
pub use model::ModelTables;

//! Networks made of namespaces and veth pairs, removed again whatever happens.
//!
//! A [`Lab`] owns network namespaces, the veth pairs between them and the processes inside them. It removes them when
//! it is dropped, when the owner panics, and on SIGINT, SIGTERM or SIGHUP; what a killed run of the same name left
//! behind is removed at the next start. Veth pairs are created inside the namespaces, so the machine's own never sees an
//! interface of a lab. Its one folder outside is `/run/sw-<name>`.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let lab = netlab::Lab::new("demo")?;
//! let left = lab.node("left")?;
//! let right = lab.node("right")?;
//! lab.link((&left, "eth0"), (&right, "eth0"), &netlab::LinkOptions::default())?;
//! left.ip("address add 192.0.2.1/24 dev eth0")?;
//! right.ip("address add 192.0.2.2/24 dev eth0")?;
//! left.run(&["ping", "-c", "1", "192.0.2.2"])?;
//! # Ok(())
//! # }
//! ```
//!
//! [`cpu`] tells what the whole machine did meanwhile. Used by `cargo xtask lab`, by the gateway's privileged tests and by the bench. Deliberately not in it: anything
//! about L2TPv3 or the gateway, beyond the article's addresses in [`article`].

#![forbid(unsafe_code)]

pub mod article;
pub mod cpu;
mod folder;
mod kept;
mod lab;
mod node;
mod process;
mod registry;
mod requirements;
mod shell;
mod state;
mod teardown;
mod wait;

pub use kept::{Kept, KeptProcess, kept, remove_kept};
pub use lab::{Lab, LinkOptions};
pub use node::Node;
pub use process::Process;
pub use registry::{interrupted, on_interruption};
pub use requirements::{is_on_path, missing};
pub use wait::wait_until;

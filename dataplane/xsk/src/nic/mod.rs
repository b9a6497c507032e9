//! What a port needs of its interface beside the socket: promiscuous mode, what `ethtool` shows and sets, what
//! its driver can do with XDP, and which interrupt serves which queue.
//!
//! Place on the path: before it; the loader calls this when a port is attached and detached. Everything acts in the network
//! namespace of the calling thread. What is not here: which settings a port needs.

mod ethtool;
mod generic_netlink;
mod promiscuous;
mod queue_interrupts;
mod tuning;
mod xdp_capabilities;

pub use ethtool::{Channels, Driver, Ethtool, Feature, RingSizes};
pub use promiscuous::Promiscuous;
pub use queue_interrupts::{QueueInterrupt, queue_interrupts};
pub use tuning::{Coalescing, Flow, HashFields, ReceiveSpread};
pub use xdp_capabilities::{XdpCapabilities, xdp_capabilities};

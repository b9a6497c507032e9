//! What a port needs of its interface beside the socket: promiscuous mode, and what `ethtool` shows and sets.
//!
//! Place on the path: before it; the loader calls this when a port is attached and detached. Everything acts in the network
//! namespace of the calling thread. What is not here: which settings a port needs.

mod ethtool;
mod promiscuous;

pub use ethtool::{Channels, Driver, Ethtool, Feature, RingSizes};
pub use promiscuous::Promiscuous;

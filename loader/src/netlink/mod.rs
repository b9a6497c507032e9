//! The kernel's view of the network, followed as it changes.
//!
//! Place on the path: none. The main thread asks here where a tunnel's packets leave and to which Ethernet address they go; the
//! answer reaches the workers in a published snapshot.
//!
//! The kernel stays the authority: routes are looked up by the kernel itself (its policy rules included), neighbours are resolved
//! by the kernel. Nothing here adds, changes or removes an address, a route or a rule.

mod link;
mod neighbour;
mod network;
pub mod next_hop;
mod path_mtu;
mod route;
mod view;
mod way_out;

pub use link::{Link, VlanParent};
pub use neighbour::{Neighbour, NeighbourState};
pub use network::{Changes, Network, NetworkError, NetworkOptions};
pub use path_mtu::{PathMtu, PathMtuSource};
pub use route::{RouteAnswer, RouteKind, RouteQuery, Unreachable};
pub use view::{LocalAddress, View};
pub use way_out::WayOut;

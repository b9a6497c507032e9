//! What the stages look things up in: sessions, bridge domains, FDBs, next hops.
//!
//! Place on the path: built by the main thread, published whole ([`snapshot`]), read by the workers once per batch.
//! Only the [`fdb`], the [`peer_watch`] and the [`session_state`] are written by workers.

pub mod attachment;
pub mod bridge_domains;
pub(crate) mod checksum_offload;
pub mod fdb;
mod ids;
pub mod next_hops;
pub mod oversize;
pub mod peer_watch;
pub(crate) mod quick_headers;
mod quick_pattern;
pub(crate) mod quick_sessions;
pub mod session_state;
pub mod sessions;
pub mod snapshot;
pub mod spreading;

pub use ids::PortId;

//! What the stages look things up in: sessions, bridge domains, FDBs, next hops.
//!
//! Place on the path: built by the main thread, published whole ([`snapshot`]), read by the workers once per batch.
//! Only the [`fdb`] is written by workers.

pub mod attachment;
pub mod bridge_domains;
pub mod fdb;
pub mod next_hops;
pub mod sessions;
pub mod snapshot;

/// Position of a port in the tables and in counters; the control plane hands them out and never reuses one
/// for another interface while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// As an index.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

//! Snapshot: everything a frame's way depends on, immutable, replaced as a whole.
//!
//! Place on the path: loaded once per batch by each worker, stored by the main thread when configuration, routes,
//! neighbours or links change. A batch sees one state of the world, never half of two.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    PortId,
    attachment::Attachment,
    bridge_domains::{BridgeDomain, DomainId},
    next_hops::TxSession,
    sessions::{SessionIndex, SessionTable},
};

/// One port as the stages see it.
#[derive(Clone, Debug, Default)]
pub struct PortTable {
    /// Whether tunnel packets may arrive here.
    pub is_underlay: bool,
    /// Bridge domains its LAN frames enter; empty on a pure underlay port.
    pub attachment: Attachment,
    /// Largest frame the port transmits, Ethernet header and tags included. Units: bytes.
    pub max_frame_bytes: usize,
}

/// The tables of one moment.
#[derive(Debug, Default)]
pub struct Tables {
    /// By [`PortId`].
    pub ports: Vec<PortTable>,
    /// Sessions as `decap` needs them.
    pub sessions: SessionTable,
    /// Sessions as `encap` needs them, by [`SessionIndex`]; `None`: the session is down.
    pub tx_sessions: Vec<Option<TxSession>>,
    /// By [`DomainId`].
    pub domains: Vec<BridgeDomain>,
}

impl Tables {
    /// The port at `id`.
    #[must_use]
    #[inline]
    pub fn port(&self, id: PortId) -> Option<&PortTable> {
        self.ports.get(id.index())
    }

    /// The domain at `id`.
    #[must_use]
    #[inline]
    pub fn domain(&self, id: DomainId) -> Option<&BridgeDomain> {
        self.domains.get(usize::from(id.0))
    }

    /// The transmitting half of a session that is up.
    #[must_use]
    #[inline]
    pub fn tx_session(&self, index: SessionIndex) -> Option<&TxSession> {
        self.tx_sessions.get(index.index())?.as_ref()
    }
}

/// The place where the main thread leaves the newest tables and the workers find them.
pub type SharedTables = Arc<ArcSwap<Tables>>;

/// Empty tables to start with: every frame is dropped for a reason until the first publication.
#[must_use]
pub fn shared() -> SharedTables {
    Arc::new(ArcSwap::from_pointee(Tables::default()))
}

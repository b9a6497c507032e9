//! Plan: positions and long-lived parts of everything the configuration names.
//!
//! Counters and FDBs live here, outside the snapshots, so that a new snapshot changes what happens to the next frame and
//! nothing of what was counted or learned.

use std::sync::Arc;

use dataplane::{
    counters::{PerWorker, PortCounters, SessionCounters, WorkerCounters},
    tables::{
        PortId,
        bridge_domains::{DomainId, MemberId},
        fdb::Fdb,
        sessions::SessionIndex,
    },
};

use crate::config::model::{Bridge, Config, Link, Member, Port, Session, Tunnel};

/// The positions of a configuration's parts, with their counters and FDBs.
#[derive(Debug)]
pub struct Plan {
    /// What was planned.
    pub config: Config,
    /// Counters by port position.
    pub port_counters: Vec<PerWorker<PortCounters>>,
    /// Counters by session position.
    pub session_counters: Vec<PerWorker<SessionCounters>>,
    /// FDBs by domain position.
    pub fdbs: Vec<Arc<Fdb>>,
    /// Counters of the workers.
    pub worker_counters: PerWorker<WorkerCounters>,
}

/// One session's place in the plan.
#[derive(Clone, Copy, Debug)]
pub struct PlannedSession<'a> {
    /// Its position.
    pub index: SessionIndex,
    /// Position of its tunnel.
    pub tunnel_position: usize,
    /// Its tunnel.
    pub tunnel: &'a Tunnel,
    /// The session.
    pub session: &'a Session,
}

impl Plan {
    /// Plans a configuration for a number of workers. `seed` makes FDB placement unpredictable.
    #[must_use]
    pub fn new(config: Config, workers: usize, seed: u64) -> Self {
        let sessions = config.sessions().count();
        let fdb = |bridge: &Bridge| Arc::new(Fdb::new(bridge.fdb_entries as usize, seed));
        Self {
            port_counters: config.ports.iter().map(|_| PerWorker::new(workers)).collect(),
            session_counters: (0..sessions).map(|_| PerWorker::new(workers)).collect(),
            fdbs: config.bridges.iter().map(fdb).collect(),
            worker_counters: PerWorker::new(workers),
            config,
        }
    }

    /// Every port with its position.
    pub fn ports(&self) -> impl Iterator<Item = (PortId, &Port)> {
        (0u16..).map(PortId).zip(&self.config.ports)
    }

    /// Position of the port called `name`.
    #[must_use]
    pub fn port_id(&self, name: &str) -> Option<PortId> {
        self.ports().find(|(_, port)| port.name == name).map(|(id, _)| id)
    }

    /// Every session with its position, in the order of the file.
    pub fn sessions(&self) -> impl Iterator<Item = PlannedSession<'_>> {
        let sessions = self.config.tunnels.iter().enumerate().flat_map(|(tunnel_position, tunnel)| {
            tunnel.sessions.iter().map(move |session| (tunnel_position, tunnel, session))
        });
        (0u32..).zip(sessions).map(|(index, (tunnel_position, tunnel, session))| PlannedSession {
            index: SessionIndex(index),
            tunnel_position,
            tunnel,
            session,
        })
    }

    /// Position of the session called `name`.
    #[must_use]
    pub fn session_index(&self, name: &str) -> Option<SessionIndex> {
        self.sessions().find(|planned| planned.session.name == name).map(|planned| planned.index)
    }

    /// Every bridge with its position.
    pub fn bridges(&self) -> impl Iterator<Item = (DomainId, &Bridge)> {
        (0u16..).map(DomainId).zip(&self.config.bridges)
    }

    /// Bridge, position in it and member, for every membership of `link`.
    pub fn memberships<'a>(
        &'a self,
        link: &'a Link,
    ) -> impl Iterator<Item = (DomainId, MemberId, &'a Member)> {
        self.bridges().flat_map(move |(domain, bridge)| {
            let members = (0u16..).map(MemberId).zip(&bridge.members);
            members
                .filter(move |(_, member)| member.link == *link)
                .map(move |(id, member)| (domain, id, member))
        })
    }
}

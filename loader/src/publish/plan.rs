//! Plan: positions and long-lived parts of everything the configuration names.
//!
//! Counters, FDBs and what sessions remember live here, outside the snapshots, so that a new snapshot changes what happens to the next frame and
//! nothing of what was counted or learned.

use std::{collections::HashMap, sync::Arc};

use dataplane::{
    counters::{PerWorker, PortCounters, SessionCounters, WorkerCounters},
    tables::{
        PortId,
        bridge_domains::{DomainId, MemberId},
        fdb::Fdb,
        peer_watch::PeerWatch,
        session_state::SessionState,
        sessions::SessionIndex,
    },
};

use crate::config::model::{Bridge, Config, Link, Member, PeerMode, Port, Session, Tunnel};

/// The positions of a configuration's parts, with their counters and FDBs.
#[derive(Debug)]
pub struct Plan {
    /// What was planned.
    pub config: Config,
    /// Counters by port position.
    pub port_counters: Vec<PerWorker<PortCounters>>,
    /// Counters by session position.
    pub session_counters: Vec<PerWorker<SessionCounters>>,
    /// What sessions remember from packet to packet, by session position.
    pub session_states: Vec<Arc<SessionState>>,
    /// Where workers note sightings of peers, by tunnel position; `None`: the peer is fixed.
    pub peer_watches: Vec<Option<Arc<PeerWatch>>>,
    /// FDBs by domain position.
    pub fdbs: Vec<Arc<Fdb>>,
    /// Counters of the workers.
    pub worker_counters: PerWorker<WorkerCounters>,
    positions: Positions,
}

/// Where everything stands, by name: found once per configuration, so that tables are built in one pass.
#[derive(Debug)]
struct Positions {
    ports: HashMap<String, PortId>,
    sessions: HashMap<String, SessionIndex>,
    memberships: HashMap<Link, Vec<(DomainId, MemberId)>>,
}

impl Positions {
    fn new(config: &Config) -> Self {
        let ports = (0u16..).map(PortId).zip(&config.ports).map(|(id, port)| (port.name.clone(), id));
        let sessions = (0u32..).map(SessionIndex).zip(config.sessions());
        let mut memberships: HashMap<Link, Vec<_>> = HashMap::new();
        for (domain, bridge) in (0u16..).map(DomainId).zip(&config.bridges) {
            for (id, member) in (0u16..).map(MemberId).zip(&bridge.members) {
                memberships.entry(member.link.clone()).or_default().push((domain, id));
            }
        }
        Self {
            ports: ports.collect(),
            sessions: sessions.map(|(index, (_, session))| (session.name.clone(), index)).collect(),
            memberships,
        }
    }
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
        let watch =
            |tunnel: &Tunnel| (tunnel.peer == PeerMode::Learn).then(|| Arc::new(PeerWatch::new(workers)));
        Self {
            port_counters: config.ports.iter().map(|_| PerWorker::new(workers)).collect(),
            session_counters: (0..sessions).map(|_| PerWorker::new(workers)).collect(),
            session_states: (0..sessions).map(|_| Arc::default()).collect(),
            peer_watches: config.tunnels.iter().map(watch).collect(),
            fdbs: config.bridges.iter().map(fdb).collect(),
            worker_counters: PerWorker::new(workers),
            positions: Positions::new(&config),
            config,
        }
    }

    /// Puts a session in the place of the one with its name. Which bridges it is in stays.
    pub fn replace_session(&mut self, session: &Session) {
        let sessions = self.config.tunnels.iter_mut().flat_map(|tunnel| &mut tunnel.sessions);
        for slot in sessions.filter(|slot| slot.name == session.name) {
            slot.clone_from(session);
        }
    }

    /// Every port with its position.
    pub fn ports(&self) -> impl Iterator<Item = (PortId, &Port)> {
        (0u16..).map(PortId).zip(&self.config.ports)
    }

    /// Position of the port called `name`.
    #[must_use]
    pub fn port_id(&self, name: &str) -> Option<PortId> {
        self.positions.ports.get(name).copied()
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
        self.positions.sessions.get(name).copied()
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
        let positions = self.positions.memberships.get(link).map(Vec::as_slice).unwrap_or_default();
        positions.iter().map(|&(domain, id)| {
            let bridge = &self.config.bridges[usize::from(domain.0)];
            (domain, id, &bridge.members[usize::from(id.0)])
        })
    }
}

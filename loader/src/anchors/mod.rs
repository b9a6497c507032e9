//! Anchors: for each tunnel that is up, a socket in the kernel that lets it follow the path MTU, and what ICMP says.
//!
//! ```text
//!  router -- ICMP error --> kernel -- matches the anchor --> route exception (path MTU), error queue
//!                                                                  |                       |
//!                              next route look-up sees it <--------+     Report -----------+--> main thread
//! ```
//! Place: main thread; one small task per anchor waits for errors. [`xsk::anchor`] says what such a socket is. A tunnel works
//! without one: frames pass, but a smaller path MTU is not noticed.
//! Not here: what is done about a report (the supervisor).

mod holder;
mod ledger;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use xsk::anchor::{self, AnchorError, IcmpError, TunnelEnds};

pub use ledger::{IcmpKind, IcmpLedger};

/// Errors that one anchor reports before it pauses: forged ones must not keep the main thread busy. What comes meanwhile waits
/// in the kernel's queue, as far as that takes it.
const BURST: usize = 16;

/// The pause.
const PAUSE: Duration = Duration::from_millis(100);

/// Reports that wait for the main thread.
const REPORTS: usize = 256;

/// Time between two tries to open an anchor that could not be opened.
const RETRY: Duration = Duration::from_secs(15);

/// How long it is taken for known who has a UDP port: all tunnels of the port ask in one go.
const KNOWN: Duration = Duration::from_secs(1);

/// An ICMP error about a packet of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Position of the tunnel.
    pub tunnel: usize,
    /// What was said.
    pub error: IcmpError,
}

/// The anchors of all tunnels.
#[derive(Debug)]
pub struct Anchors {
    slots: Vec<Slot>,
    /// With their addresses and ports at our end, anchors that go as soon as others are there.
    leaving: Vec<(Option<SocketAddr>, Held)>,
    reports: mpsc::Sender<Report>,
}

/// One tunnel's.
#[derive(Debug, Default)]
struct Slot {
    ends: Option<TunnelEnds>,
    held: Option<Held>,
    problem: Option<Problem>,
}

/// An anchor and the task that waits for its errors. A raw socket stands here as a UDP socket: nothing is asked of it but whether
/// there are errors.
#[derive(Debug)]
struct Held {
    anchor: Arc<UdpSocket>,
    task: AbortHandle,
}

/// Why there is none, and when it was tried.
#[derive(Debug)]
struct Problem {
    text: String,
    tried: Instant,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Anchors {
    /// None yet, for so many tunnels; and where their reports arrive.
    #[must_use]
    pub fn new(tunnels: usize) -> (Self, mpsc::Receiver<Report>) {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let slots = (0..tunnels).map(|_| Slot::default()).collect();
        (Self { slots, leaving: Vec::new(), reports }, inbox)
    }

    /// Holds an anchor for each tunnel that has ends, and none for the others. What is to go stays until all that is to come is
    /// open, and lets others have its port meanwhile: its task lets go of it only later.
    ///
    /// Needs a tokio runtime. What cannot be opened is tried again after a while; [`Anchors::problem`] has the reason.
    pub fn follow(&mut self, tunnels: impl IntoIterator<Item = Option<TunnelEnds>>) {
        for (slot, ends) in self.slots.iter_mut().zip(tunnels) {
            if slot.ends == ends {
                continue;
            }
            let held = slot.held.take();
            let local = slot.ends.as_ref().and_then(local_socket);
            self.leaving.extend(held.map(|held| (local, held)));
            *slot = Slot { ends, ..Slot::default() };
        }
        for position in 0..self.slots.len() {
            let Some(slot) = self.slots.get(position) else { return };
            let is_due = slot.problem.as_ref().is_none_or(|problem| problem.tried.elapsed() >= RETRY);
            if let Some(ends) = slot.ends.filter(|_| slot.held.is_none() && is_due) {
                self.hold(position, &ends);
            }
        }
        self.leaving.clear();
    }

    /// What is wrong with a tunnel's anchor, and what it costs.
    #[must_use]
    pub fn problem(&self, tunnel: usize) -> Option<&str> {
        self.slots.get(tunnel)?.problem.as_ref().map(|problem| problem.text.as_str())
    }

    fn hold(&mut self, position: usize, ends: &TunnelEnds) {
        let (opened, told) = (self.open(ends), self.told(ends));
        let Some(slot) = self.slots.get_mut(position) else { return };
        match opened {
            Ok(anchor) => {
                let anchor = Arc::new(anchor);
                let waiting = forward(position, Arc::clone(&anchor), self.reports.clone());
                slot.held = Some(Held { anchor, task: tokio::spawn(waiting).abort_handle() });
                slot.problem = None;
            }
            Err(error) => {
                let told = told.filter(|_| matches!(error, AnchorError::PortInUse { .. }));
                let is_news = told.is_none();
                let text = told.unwrap_or_else(|| explain(ends, &error));
                if is_news && slot.problem.as_ref().is_none_or(|before| before.text != text) {
                    tracing::warn!("{text}");
                }
                slot.held = None;
                slot.problem = Some(Problem { text, tried: Instant::now() });
            }
        }
    }

    /// What was just found out about the UDP port at our end for another tunnel: looking who has it takes a walk through all
    /// processes.
    fn told(&self, ends: &TunnelEnds) -> Option<String> {
        let local = local_socket(ends)?;
        let mut slots =
            self.slots.iter().filter(|slot| slot.ends.as_ref().and_then(local_socket) == Some(local));
        let fresh = |problem: &&Problem| problem.tried.elapsed() < KNOWN;
        slots.find_map(|slot| Some(slot.problem.as_ref().filter(fresh)?.text.clone()))
    }

    /// Opens an anchor. Tunnels of one UDP port share it while it is opened, and with nobody else afterwards.
    fn open(&self, ends: &TunnelEnds) -> Result<UdpSocket, AnchorError> {
        let siblings: Vec<_> = self.siblings(ends).collect();
        let share = |is_shared| siblings.iter().try_for_each(|sibling| anchor::share(*sibling, is_shared));
        let opened = share(true).and_then(|()| anchor::open(ends, !siblings.is_empty()));
        let unshared = share(false);
        let anchor = opened?;
        unshared.and_then(|()| anchor::share(&anchor, false))?;
        UdpSocket::from_std(anchor.into())
            .map_err(|source| AnchorError::Refused { operation: "wait for the errors of a socket", source })
    }

    /// Anchors that have the same UDP port at our end: of other tunnels, or such that are about to go.
    fn siblings(&self, ends: &TunnelEnds) -> impl Iterator<Item = &UdpSocket> {
        let ours = local_socket(ends);
        let staying = self
            .slots
            .iter()
            .filter_map(|slot| Some((slot.ends.as_ref().and_then(local_socket), slot.held.as_ref()?)));
        let all = staying.chain(self.leaving.iter().map(|(local, held)| (*local, held)));
        all.filter(move |(local, _)| ours.is_some() && *local == ours).map(|(_, held)| held.anchor.as_ref())
    }
}

/// Our address and UDP port.
fn local_socket(ends: &TunnelEnds) -> Option<SocketAddr> {
    ends.udp_ports.map(|(port, _)| SocketAddr::new(ends.local, port))
}

/// What is wrong, what it costs, and what helps.
fn explain(ends: &TunnelEnds, error: &AnchorError) -> String {
    let cost = "the path MTU to its peer is not followed";
    match error {
        AnchorError::PortInUse { local, port } => {
            let holder = holder::of(SocketAddr::new(*local, *port));
            format!("{error} by {holder}: {cost}; end that, or give the tunnel another udp_sport")
        }
        AnchorError::Refused { source, .. } => {
            let is_privileged = ends.udp_ports.is_some_and(|(port, _)| port < 1024);
            let cure = match source.kind() {
                io::ErrorKind::PermissionDenied if is_privileged => {
                    "; run as root, grant CAP_NET_BIND_SERVICE, or give the tunnel a udp_sport from 1024 on"
                }
                _ => "",
            };
            format!(
                "cannot hold a socket for the tunnel from {} to {}: {error}: {source}: {cost}{cure}",
                ends.local, ends.remote
            )
        }
    }
}

/// Reports what comes until the socket fails or nobody listens.
async fn forward(tunnel: usize, anchor: Arc<UdpSocket>, reports: mpsc::Sender<Report>) {
    let next = || {
        anchor
            .try_io(Interest::ERROR, || anchor::next_error(&*anchor)?.ok_or(io::ErrorKind::WouldBlock.into()))
    };
    loop {
        if anchor.ready(Interest::ERROR).await.is_err() {
            return;
        }
        for _ in 0..BURST {
            match next() {
                Ok(error) => {
                    if reports.send(Report { tunnel, error }).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!("read ICMP errors about a tunnel: {error}; its path MTU is followed late");
                    return;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_only_root_may_have_is_told_with_its_cure() {
        let ends = |port| TunnelEnds {
            local: "10.0.0.1".parse().unwrap(),
            remote: "10.0.0.2".parse().unwrap(),
            udp_ports: Some((port, 1701)),
        };
        let refused = |kind: io::ErrorKind| AnchorError::Refused { operation: "bind", source: kind.into() };
        let told = explain(&ends(500), &refused(io::ErrorKind::PermissionDenied));
        assert!(told.contains("10.0.0.1 to 10.0.0.2") && told.contains("CAP_NET_BIND_SERVICE"), "{told}");
        assert!(!explain(&ends(1701), &refused(io::ErrorKind::PermissionDenied)).contains("CAP_NET"));
        assert!(!explain(&ends(500), &refused(io::ErrorKind::AddrNotAvailable)).contains("CAP_NET"));
    }
}

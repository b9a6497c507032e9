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
        (Self { slots: (0..tunnels).map(|_| Slot::default()).collect(), reports }, inbox)
    }

    /// Holds an anchor for each tunnel that has ends, and none for the others. Where a tunnel's peer has moved, the old anchor
    /// stays until the new one is open: its task lets go of the port only later.
    ///
    /// Needs a tokio runtime. What cannot be opened is tried again after a while; [`Anchors::problem`] has the reason.
    pub fn follow(&mut self, tunnels: impl IntoIterator<Item = Option<TunnelEnds>>) {
        for (position, ends) in tunnels.into_iter().enumerate() {
            let Some(slot) = self.slots.get_mut(position) else { return };
            let has_moved = slot.ends != ends;
            if has_moved {
                let held = slot.held.take().filter(|_| ends.is_some());
                *slot = Slot { ends, held, problem: None };
            }
            let is_due = slot.problem.as_ref().is_none_or(|problem| problem.tried.elapsed() >= RETRY);
            if let Some(ends) = ends.filter(|_| has_moved || slot.held.is_none() && is_due) {
                self.hold(position, &ends);
            }
        }
    }

    /// What is wrong with a tunnel's anchor, and what it costs.
    #[must_use]
    pub fn problem(&self, tunnel: usize) -> Option<&str> {
        self.slots.get(tunnel)?.problem.as_ref().map(|problem| problem.text.as_str())
    }

    fn hold(&mut self, position: usize, ends: &TunnelEnds) {
        let opened = self.open(ends);
        let Some(slot) = self.slots.get_mut(position) else { return };
        match opened {
            Ok(anchor) => {
                let anchor = Arc::new(anchor);
                let waiting = forward(position, Arc::clone(&anchor), self.reports.clone());
                slot.held = Some(Held { anchor, task: tokio::spawn(waiting).abort_handle() });
                slot.problem = None;
            }
            Err(error) => {
                let text = explain(ends, &error);
                if slot.problem.as_ref().is_none_or(|before| before.text != text) {
                    tracing::warn!("{text}");
                }
                slot.held = None;
                slot.problem = Some(Problem { text, tried: Instant::now() });
            }
        }
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

    /// Anchors that have the same UDP port at our end: of other tunnels, or of this one from before its peer moved.
    fn siblings(&self, ends: &TunnelEnds) -> impl Iterator<Item = &UdpSocket> {
        let ours = local_socket(ends);
        let has_port =
            move |slot: &&Slot| ours.is_some() && slot.ends.as_ref().and_then(local_socket) == ours;
        self.slots.iter().filter(has_port).filter_map(|slot| Some(slot.held.as_ref()?.anchor.as_ref()))
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
            format!(
                "cannot hold a socket for the tunnel from {} to {}: {error}: {source}: {cost}",
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

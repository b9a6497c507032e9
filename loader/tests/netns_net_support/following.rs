//! A tunnel that is followed inside a machine, woken by the kernel's messages alone.

use loader::netlink::next_hop::{self, DownReason, TunnelEndpoint, TunnelReadiness};
use loader::netlink::{Neighbour, Network, NetworkOptions};
use tokio::runtime::Runtime;

use super::{Machine, SOON};

/// The tunnel, and the kernel's tables inside the machine. Its underlay port is eth0.
pub(crate) struct Watch<'r> {
    pub(crate) runtime: &'r Runtime,
    pub(crate) network: Network,
    endpoint: TunnelEndpoint,
}

/// Follows a tunnel inside a machine while `story` changes the world.
pub(crate) fn tell(machine: &Machine, endpoint: TunnelEndpoint, story: impl FnOnce(&Watch<'_>) + Send) {
    machine.inside(|runtime| {
        let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
        story(&Watch { runtime, network, endpoint });
    });
}

impl Watch<'_> {
    /// Follows the tunnel until it is as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&TunnelReadiness) -> bool) -> TunnelReadiness {
        let underlay = self.underlay();
        self.runtime.block_on(async {
            let mut changes = self.network.changes();
            let mut last = None;
            let following = async {
                loop {
                    let ready =
                        next_hop::follow(&self.network, &self.endpoint, |port| port == underlay).await;
                    if wanted(&ready) {
                        return ready;
                    }
                    last = Some(ready);
                    changes.changed().await;
                }
            };
            match tokio::time::timeout(SOON, following).await {
                Ok(ready) => ready,
                Err(_) => panic!("{what} did not come about; last: {last:?}"),
            }
        })
    }

    pub(crate) fn until_up(&self) -> TunnelReadiness {
        self.until("up", |ready| matches!(ready, TunnelReadiness::Up { .. }))
    }

    pub(crate) fn until_down(&self, reason: &DownReason) {
        self.until(&reason.to_string(), |ready| *ready == TunnelReadiness::Down(reason.clone()));
    }

    /// The kernel's entry of a neighbour on eth0.
    pub(crate) fn neighbour(&self, address: &str) -> Option<Neighbour> {
        self.network.neighbour(self.underlay(), address.parse().unwrap())
    }

    /// Index of eth0.
    pub(crate) fn underlay(&self) -> u32 {
        self.network.with_view(|view| view.link_by_name("eth0").unwrap().ifindex)
    }
}

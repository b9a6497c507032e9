//! Path status: what `show` says of a tunnel's path, and of what fits it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use wire::overhead;

use super::gateway::Gateway;
use crate::control::api::{MtuSource, PathStatus};
use crate::netlink::PathMtuSource;

/// What is known of the path of the tunnel at a position.
pub(super) fn path(gateway: &Gateway, tunnel: usize) -> PathStatus {
    let now = Instant::now();
    let mtu = gateway.tunnels.get(tunnel).and_then(|state| state.path_mtu);
    let mut status = PathStatus {
        mtu_source: mtu.map(|mtu| source(mtu.source)),
        mtu_locked: mtu.is_some_and(|mtu| mtu.is_locked),
        mtu_expires_s: mtu.and_then(|mtu| mtu.expires_s),
        ..PathStatus::default()
    };
    if let Some(icmp) = gateway.icmp.get(tunnel) {
        status.unreachable = icmp.is_unreachable(now, last_heard(gateway, tunnel));
        status.icmp_errors = icmp.counts().map(|(kind, count)| (kind.name().to_owned(), count)).collect();
        (status.last_icmp_error, status.last_icmp_error_s) = icmp.last(now).unzip();
    }
    status
}

fn source(source: PathMtuSource) -> MtuSource {
    match source {
        PathMtuSource::Interface => MtuSource::Interface,
        PathMtuSource::Route => MtuSource::Route,
        PathMtuSource::Icmp => MtuSource::Icmp,
    }
}

/// When the peer was last heard in any of the tunnel's sessions.
fn last_heard(gateway: &Gateway, tunnel: usize) -> Option<Instant> {
    let sessions = gateway.plan.sessions().filter(|planned| planned.tunnel_position == tunnel);
    let heard = sessions.flat_map(|planned| {
        let counters = &gateway.plan.session_counters[planned.index.index()];
        counters.iter().map(|worker| worker.last_heard_s.load(Relaxed))
    });
    // The engine's clock starts at 1; 0 is "never".
    let seconds = heard.max().filter(|heard| *heard > 0)?;
    gateway.started.checked_add(Duration::from_secs(u64::from(seconds) - 1))
}

/// What fits a session. Units: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) overhead: u32,
    pub(super) path_mtu: Option<u32>,
    pub(super) max_frame: Option<u32>,
    pub(super) inner_mtu: Option<u32>,
}

impl Fit {
    /// On a path of this MTU with this overhead; `has_tag`: the bridge member pushes one.
    pub(super) fn new(path_mtu: Option<u32>, overhead: usize, has_tag: bool) -> Self {
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let tags = usize::from(has_tag);
        Self {
            overhead: count(overhead),
            path_mtu,
            max_frame: path_mtu.map(|mtu| count((mtu as usize).saturating_sub(overhead))),
            inner_mtu: path_mtu.map(|mtu| count(overhead::inner_mtu(mtu as usize, overhead, tags))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_the_path_less_what_is_added() {
        // UDP over IPv4 with sublayer: 20 + 8 + 4 + 4 + 4.
        let fit = |mtu, has_tag| Fit::new(mtu, 40, has_tag);
        let known = fit(Some(1500), false);
        assert_eq!((known.max_frame, known.inner_mtu), (Some(1460), Some(1446)));
        assert_eq!(fit(Some(1500), true).inner_mtu, Some(1442), "the member pushes a tag");
        assert_eq!(fit(Some(30), false).max_frame, Some(0));
        let unknown = fit(None, false);
        assert_eq!((unknown.overhead, unknown.max_frame, unknown.inner_mtu), (40, None, None));
    }
}

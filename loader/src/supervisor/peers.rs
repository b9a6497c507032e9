//! Peers: where the peers of tunnels that learn theirs are, taken over from what the workers saw.
//!
//! A sighting has passed every check of a packet, the cookie among them, so it is believed; but a peer moves once in
//! [`PAUSE`] at most. What is seen sooner is forgotten, not put off: a packet that came late from the old place must not bring
//! the peer back there, and a peer that has moved goes on sending.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use dataplane::tables::peer_watch::PeerEnd;

use crate::{
    config::{Config, Tunnel, model::PeerMode},
    publish::Plan,
};

/// Least time between two moves of one peer.
const PAUSE: Duration = Duration::from_secs(1);

/// The peer of a tunnel that learns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LearnedPeer {
    /// Where its packets come from, as far as they have been heard: address and UDP port.
    pub(super) heard: Option<(IpAddr, u16)>,
    /// Since when.
    pub(super) since: Option<Instant>,
    /// Times that it was found in a new place; the first is not counted.
    pub(super) moves: u64,
    /// Sightings in a new place that came too soon after a move.
    pub(super) held_back: u64,
}

/// The peers of all tunnels, by position in the plan; `None`: of a tunnel whose peer is fixed.
#[derive(Debug)]
pub(super) struct Peers(Vec<Option<LearnedPeer>>);

impl LearnedPeer {
    /// Takes a sighting over. Returns whether the peer is in a new place now.
    fn seen(&mut self, end: (IpAddr, u16), now: Instant) -> bool {
        if self.heard == Some(end) {
            return false;
        }
        if self.since.is_some_and(|since| now.duration_since(since) < PAUSE) {
            self.held_back += 1;
            return false;
        }
        self.moves += u64::from(self.heard.is_some());
        (self.heard, self.since) = (Some(end), Some(now));
        true
    }
}

impl Peers {
    /// Nobody was heard yet.
    pub(super) fn new(config: &Config) -> Self {
        let peer = |tunnel: &Tunnel| (tunnel.peer == PeerMode::Learn).then(LearnedPeer::default);
        Self(config.tunnels.iter().map(peer).collect())
    }

    /// The peer of a tunnel that learns it.
    pub(super) fn learned(&self, position: usize) -> Option<&LearnedPeer> {
        self.0.get(position)?.as_ref()
    }

    /// Where the peers are now: as heard, else as configured; `None`: not known.
    pub(super) fn ends(&self, config: &Config) -> Vec<Option<(IpAddr, u16)>> {
        let tunnels = config.tunnels.iter().enumerate();
        tunnels.map(|(position, tunnel)| self.end_of(position, tunnel)).collect()
    }

    /// Where the peer of one tunnel is now.
    pub(super) fn end_of(&self, position: usize, tunnel: &Tunnel) -> Option<(IpAddr, u16)> {
        let heard = self.learned(position).and_then(|peer| peer.heard);
        heard.or_else(|| tunnel.configured_peer())
    }

    /// Takes over what the workers saw. Returns whether any peer is in a new place.
    pub(super) fn look(&mut self, plan: &Plan, now: Instant) -> bool {
        let mut has_moved = false;
        for ((peer, watch), tunnel) in self.0.iter_mut().zip(&plan.peer_watches).zip(&plan.config.tunnels) {
            let (Some(peer), Some(watch)) = (peer, watch) else { continue };
            let Some(sighting) = watch.newest() else { continue };
            watch.deal_with(sighting);
            let (address, port) = host_order(sighting.end);
            if peer.seen((address, port), now) {
                tracing::info!("tunnel {}: the peer is at {address}, UDP port {port}", tunnel.name);
                has_moved = true;
            }
        }
        has_moved
    }
}

/// The address as people know it: IPv4 without its mapping.
fn host_order(end: PeerEnd) -> (IpAddr, u16) {
    let address = Ipv6Addr::from_bits(end.address);
    (address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4), end.port)
}

#[cfg(test)]
mod tests {
    use dataplane::tables::sessions::Endpoint;

    use super::*;
    use crate::config;

    fn end(last: u8) -> (IpAddr, u16) {
        (IpAddr::from([198, 51, 100, last]), 40_000 + u16::from(last))
    }

    #[test]
    fn the_first_place_is_taken_at_once_and_a_move_counted_after_it() {
        let (mut peer, start) = (LearnedPeer::default(), Instant::now());
        assert!(peer.seen(end(1), start));
        assert_eq!((peer.heard, peer.moves), (Some(end(1)), 0));
        let later = start + PAUSE;
        assert!(!peer.seen(end(1), later), "it is there already");
        assert!(peer.seen(end(2), later));
        assert_eq!((peer.heard, peer.since, peer.moves), (Some(end(2)), Some(later), 1));
    }

    #[test]
    fn a_peer_moves_once_in_a_pause_and_what_was_seen_meanwhile_is_forgotten() {
        let (mut peer, start) = (LearnedPeer::default(), Instant::now());
        peer.seen(end(1), start);
        let soon = start + PAUSE / 2;
        assert!(!peer.seen(end(2), soon));
        assert!(!peer.seen(end(3), soon));
        assert_eq!((peer.heard, peer.moves, peer.held_back), (Some(end(1)), 0, 2));
        assert!(peer.seen(end(2), start + PAUSE), "seen again after the pause");
    }

    const CONFIG: &str = r#"
        [port.wan]
        interface = "eth0"
        role = "underlay"
        [tunnel.l]
        local = "10.0.0.1"
        peer = "learn"
        tunnel_id = 1
        peer_tunnel_id = 1
        udp_sport = 5001
        [tunnel.g]
        local = "10.0.0.1"
        remote = "10.0.0.9"
        peer = "learn"
        tunnel_id = 2
        peer_tunnel_id = 2
        udp_sport = 5002
        udp_dport = 6002
        [tunnel.f]
        local = "10.0.0.1"
        remote = "10.0.0.2"
        tunnel_id = 3
        peer_tunnel_id = 3
        encap = "ip"
    "#;

    #[test]
    fn peers_are_where_they_were_heard_else_where_the_file_has_them() {
        let config = config::check("test.toml", CONFIG, None).config.unwrap();
        let plan = Plan::new(config, 2, 0);
        let mut peers = Peers::new(&plan.config);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let fixed = Some((address("10.0.0.2"), 0));
        assert_eq!(peers.ends(&plan.config), [None, Some((address("10.0.0.9"), 6002)), fixed]);
        let now = Instant::now();
        assert!(!peers.look(&plan, now));
        // Both workers saw the first tunnel's peer, the second one last.
        let watch = plan.peer_watches[0].as_ref().unwrap();
        for (worker, last) in [(0, 1), (1, 2)] {
            let (ip, port) = end(last);
            let IpAddr::V4(v4) = ip else { panic!("IPv4") };
            watch.note(worker, PeerEnd { address: Endpoint::map_v4(v4.octets()), port });
        }
        assert!(peers.look(&plan, now));
        assert_eq!(peers.ends(&plan.config)[0], Some(end(2)));
        assert_eq!(peers.learned(0).unwrap().held_back, 0, "the older word is no sighting of its own");
        assert!(!peers.look(&plan, now), "nothing new");
        // Too soon, and looked at twice.
        watch.note(0, PeerEnd { address: Endpoint::map_v4([198, 51, 100, 3]), port: 40_003 });
        assert!(!peers.look(&plan, now) && !peers.look(&plan, now));
        assert_eq!(peers.learned(0).unwrap().held_back, 1);
        assert!(peers.learned(2).is_none() && plan.peer_watches[2].is_none());
    }

    #[test]
    fn an_ipv6_end_stays_one() {
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let end = PeerEnd { address: v6.to_bits(), port: 7 };
        assert_eq!(host_order(end), (IpAddr::V6(v6), 7));
    }
}

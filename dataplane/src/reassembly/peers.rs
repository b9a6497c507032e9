//! Peers: who has how much in the table, and which of it is oldest.

use super::{
    index::{Index, Secret},
    list::{Links, List},
};

/// What one sender has in the table.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: u128,
    /// Its packets, oldest first.
    packets: List,
    packet_count: u16,
    chunk_count: u16,
}

/// What is counted by peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Packets,
    Chunks,
}

/// Every sender that has a packet in the table.
#[derive(Debug)]
pub(super) struct Peers {
    peers: Box<[Peer]>,
    index: Index,
    vacant: List,
    /// Positions of peers that are vacant.
    peer_links: Links,
    /// Positions of packets, peer by peer.
    packet_links: Links,
    secret: Secret,
}

impl Peer {
    const VACANT: Self = Self { address: 0, packets: List::EMPTY, packet_count: 0, chunk_count: 0 };

    const fn count(&self, kind: Kind) -> u16 {
        match kind {
            Kind::Packets => self.packet_count,
            Kind::Chunks => self.chunk_count,
        }
    }
}

impl Peers {
    /// Room for as many peers as there can be packets.
    pub(super) fn new(packets: u16, secret: Secret) -> Self {
        let count = usize::from(packets);
        let mut peer_links = Links::new(count);
        let mut vacant = List::EMPTY;
        (0..packets).for_each(|position| peer_links.push(&mut vacant, position));
        Self {
            peers: vec![Peer::VACANT; count].into(),
            index: Index::new(count),
            vacant,
            peer_links,
            packet_links: Links::new(count),
            secret,
        }
    }

    /// The peer with this address, if it has a packet here.
    #[inline]
    pub(super) fn find(&self, address: u128) -> Option<u16> {
        let is_meant = |at: u16| self.peers.get(usize::from(at)).is_some_and(|peer| peer.address == address);
        self.index.find(hash(self.secret, address), is_meant)
    }

    /// Notes a new packet of the sender at `address`, and returns the peer. `None`: there are as many peers as the table has
    /// packets, so the caller has no place for the packet either.
    pub(super) fn add_packet(&mut self, address: u128, packet: u16) -> Option<u16> {
        let position = match self.find(address) {
            Some(position) => position,
            None => self.add(address)?,
        };
        let peer = self.peers.get_mut(usize::from(position))?;
        peer.packet_count += 1;
        self.packet_links.push(&mut peer.packets, packet);
        Some(position)
    }

    fn add(&mut self, address: u128) -> Option<u16> {
        let position = self.peer_links.pop(&mut self.vacant)?;
        *self.peers.get_mut(usize::from(position))? = Peer { address, ..Peer::VACANT };
        self.index.insert(hash(self.secret, address), position);
        Some(position)
    }

    /// Strikes off a packet; its chunks were struck off before.
    pub(super) fn remove_packet(&mut self, position: u16, packet: u16) {
        let Some(peer) = self.peers.get_mut(usize::from(position)) else { return };
        self.packet_links.remove(&mut peer.packets, packet);
        peer.packet_count = peer.packet_count.saturating_sub(1);
        if peer.packet_count == 0 {
            self.index.remove(hash(self.secret, peer.address), position);
            self.peer_links.push(&mut self.vacant, position);
        }
    }

    /// Notes more chunks.
    #[inline]
    pub(super) fn add_chunks(&mut self, position: u16, count: u16) {
        if let Some(peer) = self.peers.get_mut(usize::from(position)) {
            peer.chunk_count = peer.chunk_count.saturating_add(count);
        }
    }

    /// Strikes off chunks.
    pub(super) fn remove_chunks(&mut self, position: u16, count: u16) {
        if let Some(peer) = self.peers.get_mut(usize::from(position)) {
            peer.chunk_count = peer.chunk_count.saturating_sub(count);
        }
    }

    /// How much a peer has.
    #[inline]
    pub(super) fn count(&self, position: u16, kind: Kind) -> u16 {
        self.peers.get(usize::from(position)).map_or(0, |peer| peer.count(kind))
    }

    /// A peer's oldest packet.
    pub(super) fn oldest(&self, position: u16) -> Option<u16> {
        self.peers.get(usize::from(position))?.packets.first()
    }

    /// As much as the peer has that has most; looks at every one.
    #[cold]
    pub(super) fn most(&self, kind: Kind) -> u16 {
        let present = self.peers.iter().filter(|peer| peer.packet_count > 0);
        present.map(|peer| peer.count(kind)).max().unwrap_or(0)
    }
}

#[inline]
fn hash(secret: Secret, address: u128) -> u64 {
    secret.mix_address(address, 0)
}

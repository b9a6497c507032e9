//! roam: a packet between other addresses than a session's is its peer's all the same, where the tunnel learns its peer.
//!
//! Place on the path: `decap` comes here when no session has a packet's addresses and ports, and again when such a packet
//! was found to be right in every respect, cookie included. Both are out of the way of a packet from where it is expected.
//! Not in it: the cookie. It is all that tells the peer from anybody else, so nothing is noted before it was checked.

use wire::l2tpv3::SessionId;

use super::Context;
use crate::tables::{
    peer_watch::PeerEnd,
    sessions::{Endpoint, RxSession},
};

/// The session that a packet with this id may belong to, wherever it comes from.
#[cold]
#[inline(never)]
pub(super) fn find<'t>(
    context: &Context<'t>,
    rx_session_id: SessionId,
    endpoint: &Endpoint,
) -> Option<(u32, &'t RxSession)> {
    let sessions = &context.tables.sessions;
    if is_possible_source(endpoint) { sessions.find_anywhere(rx_session_id, endpoint) } else { None }
}

/// Notes where the peer of a session was heard.
#[cold]
#[inline(never)]
pub(super) fn note(context: &Context<'_>, session: &RxSession, endpoint: &Endpoint) {
    if let Some(watch) = &session.peer {
        watch.note(context.worker, PeerEnd { address: endpoint.remote, port: endpoint.remote_port });
    }
}

/// Whether UDP packets can be sent back to where this one claims to come from; over IP protocol 115 there is no port.
fn is_possible_source(endpoint: &Endpoint) -> bool {
    endpoint.remote_port != 0 && endpoint.remote != endpoint.local && endpoint.is_remote_unicast()
}

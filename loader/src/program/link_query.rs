//! One question to the kernel about one interface, answered at once.
//!
//! For what is asked before the network is followed, or after: [`netlink`](crate::netlink) has everything else.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Everything that the kernel tells of the interface with this index, in the calling thread's network namespace.
///
/// # Errors
/// There is no such interface (ENODEV), or the kernel cannot be asked.
pub(crate) fn link(ifindex: u32) -> io::Result<LinkMessage> {
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&exchange(ifindex)?).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel's answer is about something else")),
    }
}

fn exchange(ifindex: u32) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut question = LinkMessage::default();
    question.header.index = ifindex;
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _sender) = socket.recv_from_full()?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        assert_eq!(link(u32::MAX >> 1).unwrap_err().raw_os_error(), Some(Errno::NODEV.raw_os_error()));
    }
}

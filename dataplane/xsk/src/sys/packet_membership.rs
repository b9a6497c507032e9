//! Promiscuous mode by membership: the kernel undoes it when the socket closes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Makes an interface promiscuous for as long as the returned socket is open. The socket has no protocol and so receives nothing.
pub(crate) fn join_promiscuous(ifindex: u32) -> io::Result<OwnedFd> {
    const REQUEST_BYTES: libc::socklen_t = 16;
    const { assert!(size_of::<libc::packet_mreq>() == REQUEST_BYTES as usize) };

    let fd = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let request = libc::packet_mreq {
        mr_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).map_err(io::Error::other)?,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the kernel reads `REQUEST_BYTES` bytes at the address of `request`, whose size that is and which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            REQUEST_BYTES,
        )
    };
    if result == 0 { Ok(fd) } else { Err(io::Error::last_os_error()) }
}

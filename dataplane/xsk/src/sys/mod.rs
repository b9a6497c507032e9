//! The kernel's interface: mappings, AF_XDP socket calls, interface ioctls, error queues.
//!
//! Place on the path: at its very end and beginning. Every function here is safe to call and says what the kernel said; what
//! that means is for the callers. What is not here: the rings' protocol (`ring`) and who owns a chunk (`lent`).

mod error_queue;
mod ethtool;
mod frame_memory;
mod huge_pages;
mod packet_membership;
mod released;
mod ring_map;
mod tenure;
mod xdp_socket;

pub(crate) use error_queue::{next_error, refuse_data, report_errors};
pub(crate) use ethtool::{FeatureBits, LinkControl};
pub(crate) use frame_memory::{HUGE_PAGE_BYTES, map_frame_memory};
pub use huge_pages::ask_for_huge_pages;
pub(crate) use packet_membership::join_promiscuous;
pub(crate) use released::{Released, Witness};
pub(crate) use ring_map::RingMap;
pub(crate) use tenure::Tenure;
pub(crate) use xdp_socket::{Inherited, RingKind, RingSizes, Sharing, UnboundSocket, XdpSocket};

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets a socket option whose value is one `c_int`.
fn set_int_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    const INT_BYTES: libc::socklen_t = 4;
    // SAFETY: the kernel reads `INT_BYTES` bytes at the address of `value`, a `c_int` of that size that outlives the call.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), INT_BYTES) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! A socket's error queue: what ICMP said about packets that look like the socket's own.
//!
//! Source: ip(7), ipv6(7), socket(7); linux/errqueue.h, v6.12.

use core::mem;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::set_int_option;

/// Room for the control messages of one error: a header, the error and the offender's address take 60 bytes over IPv6.
/// Units: 64-bit words, which is what the kernel aligns control messages to.
const CONTROL_WORDS: usize = 32;

/// The control messages of one error, as the kernel wrote them.
#[derive(Debug)]
pub(crate) struct Control {
    words: [u64; CONTROL_WORDS],
    /// How much of them the kernel wrote. Units: bytes.
    len: usize,
}

impl Control {
    /// The bytes that the kernel wrote.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_ne_bytes()).take(self.len).collect()
    }
}

/// Makes a socket drop everything that arrives for it, before it is queued; its error queue is not concerned.
pub(crate) fn refuse_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    /// `return 0`: keep no byte. Source: linux/bpf_common.h.
    const RETURN_CONSTANT: u16 = 0x06;
    const PROGRAM_BYTES: libc::socklen_t = 16;
    const { assert!(size_of::<libc::sock_fprog>() == PROGRAM_BYTES as usize) };

    let mut filter = [libc::sock_filter { code: RETURN_CONSTANT, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel reads `PROGRAM_BYTES` bytes at the address of `program`, whose size that is, and as many instructions as
    // its `len` says, one, at `filter`, which is an array of one; both outlive the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            PROGRAM_BYTES,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel queue ICMP errors for a socket of this IP version.
pub(crate) fn report_errors(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        set_int_option(fd, libc::SOL_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_int_option(fd, libc::SOL_IP, libc::IP_RECVERR, 1)
    }
}

/// Takes the oldest error off the queue; `None`: it is empty. Never waits.
pub(crate) fn next_error(fd: BorrowedFd<'_>) -> io::Result<Option<Control>> {
    let mut control = Control { words: [0; CONTROL_WORDS], len: 0 };
    // SAFETY: `msghdr` is a structure of integers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_control = control.words.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control.words);
    // SAFETY: the kernel writes to `message` and to at most `msg_controllen` bytes at `msg_control`, which is the size of the
    // array there; it has no other buffer (no name, no parts). All outlive the call.
    let result =
        unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    control.len = message.msg_controllen.min(size_of_val(&control.words));
    Ok(Some(control))
}

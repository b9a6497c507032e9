//! AF_XDP socket calls.
//!
//! Two types for the two halves of a socket's life: `UnboundSocket`, on which memory, rings and options are set, becomes an
//! `XdpSocket` by being bound, and only then does the kernel touch rings and memory.
//! Source: <https://docs.kernel.org/6.12/networking/af_xdp.html>.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::sockopt;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, SocketAddrXdpWithSharedUmem, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpMmapOffsets, XdpOptionsFlags, XdpUmemReg,
    XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::{Released, RingMap, set_int_option};
use crate::ring::Slot;
use crate::statistics::KernelStatistics;
use crate::umem::Umem;

/// Descriptors that one send call takes in copy mode: settable from kernel 6.18 on. Source: linux/if_xdp.h, v6.18.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// Source: asm-generic/socket.h, v6.12.
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
/// Source: asm-generic/socket.h, v6.12.
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// Which of a socket's four rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingKind {
    /// Empty chunks, to the kernel.
    Fill,
    /// Transmitted chunks, from the kernel.
    Completion,
    /// Received frames, from the kernel.
    Rx,
    /// Frames to transmit, to the kernel.
    Tx,
}

/// Where a socket to be bound gets its memory from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sharing<'a> {
    /// It registered the memory itself and asks for a mode.
    Own {
        /// `XDP_ZEROCOPY` or `XDP_COPY`.
        zero_copy: bool,
        /// `XDP_USE_NEED_WAKEUP`.
        need_wakeup: bool,
    },
    /// It shares that of another bound socket, and its mode.
    With(BorrowedFd<'a>),
}

/// A socket before it is bound: the kernel does not use its rings yet.
#[derive(Debug)]
pub(crate) struct UnboundSocket {
    fd: OwnedFd,
}

impl UnboundSocket {
    /// A new socket, in the network namespace of the calling thread.
    pub(crate) fn create() -> io::Result<Self> {
        let fd = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { fd })
    }

    /// Registers the first `len` bytes of the frame memory.
    pub(crate) fn register(&self, umem: &'static Umem, len: usize) -> io::Result<()> {
        let chunk_size = u32::try_from(umem.chunk_bytes()).map_err(io::Error::other)?;
        let registration = XdpUmemReg {
            // The kernel will write through this address: that is a use of the pointer which Rust has to know of.
            addr: umem.base().as_ptr().expose_provenance() as u64,
            len: len.min(umem.len_bytes()) as u64,
            chunk_size,
            headroom: umem.headroom_bytes(),
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        Ok(sockopt::set_xdp_umem_reg(&self.fd, registration)?)
    }

    /// Makes a ring of `size` slots.
    pub(crate) fn make_ring(&self, kind: RingKind, size: u32) -> io::Result<()> {
        Ok(match kind {
            RingKind::Fill => sockopt::set_xdp_umem_fill_ring_size(&self.fd, size),
            RingKind::Completion => sockopt::set_xdp_umem_completion_ring_size(&self.fd, size),
            RingKind::Rx => sockopt::set_xdp_rx_ring_size(&self.fd, size),
            RingKind::Tx => sockopt::set_xdp_tx_ring_size(&self.fd, size),
        }?)
    }

    /// Where the rings' words stand in their mappings.
    pub(crate) fn offsets(&self) -> io::Result<XdpMmapOffsets> {
        Ok(sockopt::xdp_mmap_offsets(&self.fd)?)
    }

    /// Maps a ring made before; to be called once for each.
    pub(crate) fn map_ring<T: Slot>(
        &self,
        kind: RingKind,
        size: u32,
        offsets: &XdpMmapOffsets,
    ) -> io::Result<RingMap<T>> {
        let (page_offset, layout) = match kind {
            RingKind::Fill => (XDP_UMEM_PGOFF_FILL_RING, &offsets.fr),
            RingKind::Completion => (XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr),
            RingKind::Rx => (XDP_PGOFF_RX_RING, &offsets.rx),
            RingKind::Tx => (XDP_PGOFF_TX_RING, &offsets.tx),
        };
        RingMap::new(self.fd.as_fd(), page_offset, size, layout)
    }

    /// Lets one send call take up to `count` descriptors in copy mode. Kernels before 6.18 refuse; then it is 32.
    pub(crate) fn set_tx_budget(&self, count: u32) -> io::Result<()> {
        let count = libc::c_int::try_from(count).map_err(io::Error::other)?;
        set_int_option(self.fd.as_fd(), libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, count)
    }

    /// Prefers polling by our system calls to interrupts: `timeout_us` per call, `budget` frames each.
    pub(crate) fn set_busy_poll(&self, timeout_us: u32, budget: u32) -> io::Result<()> {
        let int = |value: u32| libc::c_int::try_from(value).map_err(io::Error::other);
        let fd = self.fd.as_fd();
        set_int_option(fd, libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, 1)?;
        set_int_option(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, int(timeout_us)?)?;
        set_int_option(fd, libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, int(budget)?)
    }

    /// Binds to one queue of an interface. May be tried again after an error.
    pub(crate) fn bind(&self, ifindex: u32, queue: u32, sharing: Sharing<'_>) -> io::Result<()> {
        let result = match sharing {
            Sharing::Own { zero_copy, need_wakeup } => {
                let mut flags =
                    if zero_copy { SocketAddrXdpFlags::XDP_ZEROCOPY } else { SocketAddrXdpFlags::XDP_COPY };
                flags.set(SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, need_wakeup);
                bind(&self.fd, &SocketAddrXdp::new(flags, ifindex, queue))
            }
            Sharing::With(owner) => {
                let addr = SocketAddrXdp::new(SocketAddrXdpFlags::XDP_SHARED_UMEM, ifindex, queue);
                bind(&self.fd, &SocketAddrXdpWithSharedUmem { addr, shared_umem_fd: owner })
            }
        };
        Ok(result?)
    }

    /// Closes a socket that was never bound. The caller has dropped its ring maps.
    pub(crate) fn abandon(self) -> Released {
        drop(self.fd);
        Released::never_bound()
    }

    /// The socket, after `bind` succeeded.
    pub(crate) fn into_bound(self) -> XdpSocket {
        XdpSocket { fd: Arc::new(self.fd) }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct XdpSocket {
    fd: Arc<OwnedFd>,
}

impl XdpSocket {
    /// The descriptor, to be remembered weakly by those who may share its registration.
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Tells the kernel to transmit what the TX ring holds.
    #[inline]
    pub(crate) fn kick_tx(&self) -> Result<(), rustix::io::Errno> {
        send(&*self.fd, &[], SendFlags::DONTWAIT).map(|_| ())
    }

    /// Tells the driver to look at the fill ring and to deliver.
    #[inline]
    pub(crate) fn kick_rx(&self) -> Result<(), rustix::io::Errno> {
        recv(&*self.fd, &mut [0u8; 0], RecvFlags::DONTWAIT).map(|_| ())
    }

    /// Whether the driver moves frames to and from the memory without a copy.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        Ok(sockopt::xdp_options(&self.fd)?.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }

    /// The kernel's counters of this socket.
    pub(crate) fn statistics(&self) -> io::Result<KernelStatistics> {
        KernelStatistics::read(&self.fd)
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

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
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::{Released, RingMap, Tenure, set_int_option};
use crate::ring::{Consumer, Descriptor, Ends, Producer};
use crate::statistics::KernelStatistics;
use crate::tx_metadata::TX_METADATA_LEN;
use crate::umem::Umem;

/// Descriptors that one send call takes in copy mode: settable from kernel 6.18 on. Source: linux/if_xdp.h, v6.18.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// The registration has a length of TX metadata. Source: linux/if_xdp.h, v6.11; before, the length alone said so.
const XDP_UMEM_TX_METADATA_LEN: u32 = 1 << 2;
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

/// What a socket asks for when it registers the memory, and hands down to those that share it: they cannot ask for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// `XDP_ZEROCOPY` or `XDP_COPY`.
    pub(crate) zero_copy: bool,
    /// `XDP_USE_NEED_WAKEUP`.
    pub(crate) need_wakeup: bool,
    /// `XDP_USE_SG`: a frame may span several chunks. Kept with the registration. Source: `xp_assign_dev`, net/xdp/xsk_buff_pool.c, v6.6.
    pub(crate) multi_buffer: bool,
}

/// Where a socket to be bound gets its memory from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sharing<'a> {
    /// It registered the memory itself and asks for a mode.
    Own(Inherited),
    /// It shares that of another bound socket, and its mode.
    With(BorrowedFd<'a>),
}

/// Sizes of a socket's four rings. Range: powers of two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingSizes {
    pub(crate) fill: u32,
    pub(crate) completion: u32,
    pub(crate) rx: u32,
    pub(crate) tx: u32,
}

/// Our ends of a socket's four rings.
type MappedEnds = Ends<RingMap<u64>, RingMap<Descriptor>>;

/// A socket that is not bound and never was: the kernel does not use its rings yet.
#[derive(Debug)]
pub(crate) struct UnboundSocket {
    fd: OwnedFd,
    tenure: Tenure,
    rings_given: bool,
}

impl UnboundSocket {
    /// A new socket for the queue of `tenure`, in the network namespace of the calling thread.
    pub(crate) fn create(tenure: Tenure) -> io::Result<Self> {
        let fd = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { fd, tenure, rings_given: false })
    }

    /// The opening that it was made for.
    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// Registers the first `len` bytes of the frame memory, with room for TX metadata in front of every frame or without.
    pub(crate) fn register(&self, umem: &'static Umem, len: usize, tx_metadata: bool) -> io::Result<()> {
        let chunk_size = u32::try_from(umem.chunk_bytes()).map_err(io::Error::other)?;
        let registration = XdpUmemReg {
            // The kernel will write through this address: that is a use of the pointer which Rust has to know of.
            addr: umem.base().as_ptr().expose_provenance() as u64,
            len: len.min(umem.len_bytes()) as u64,
            chunk_size,
            headroom: umem.headroom_bytes(),
            flags: XdpUmemRegFlags::from_bits_retain(if tx_metadata { XDP_UMEM_TX_METADATA_LEN } else { 0 }),
            tx_metadata_len: if tx_metadata { TX_METADATA_LEN } else { 0 },
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

    /// Makes and maps all four rings; gives them out once, so that each has one user on our side.
    pub(crate) fn give_rings(&mut self, sizes: RingSizes) -> io::Result<MappedEnds> {
        if std::mem::replace(&mut self.rings_given, true) {
            return Err(io::Error::from_raw_os_error(libc::EALREADY));
        }
        self.make_ring(RingKind::Fill, sizes.fill)?;
        self.make_ring(RingKind::Completion, sizes.completion)?;
        self.make_ring(RingKind::Rx, sizes.rx)?;
        self.make_ring(RingKind::Tx, sizes.tx)?;
        let offsets = sockopt::xdp_mmap_offsets(&self.fd)?;
        let (fill, completion) = (XDP_UMEM_PGOFF_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING);
        let (rx, tx) = (XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING);
        let fd = self.fd.as_fd();
        // SAFETY: of this AF_XDP socket; the kernel made the ring with this many addresses just now and gave the layout; it is mapped
        // nowhere else, since nothing else maps and `rings_given` lets nobody come here twice; we are the fill ring's producer.
        let fill = unsafe { RingMap::new(fd, fill, sizes.fill, &offsets.fr)? };
        // SAFETY: as for the fill ring; we are the completion ring's consumer.
        let completion = unsafe { RingMap::new(fd, completion, sizes.completion, &offsets.cr)? };
        // SAFETY: as for the fill ring, with descriptors; we are the RX ring's consumer.
        let rx = unsafe { RingMap::new(fd, rx, sizes.rx, &offsets.rx)? };
        // SAFETY: as for the fill ring, with descriptors; we are the TX ring's producer.
        let tx = unsafe { RingMap::new(fd, tx, sizes.tx, &offsets.tx)? };
        Ok(Ends {
            fill: Producer::new(fill),
            rx: Consumer::new(rx),
            tx: Producer::new(tx),
            completion: Consumer::new(completion),
        })
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

    /// Binds to its queue. From then on the kernel uses rings and chunks, so no unbound socket is left.
    ///
    /// # Errors
    ///
    /// What the kernel said, and the socket, still unbound, to try again.
    pub(crate) fn bind(self, sharing: Sharing<'_>) -> Result<XdpSocket, (Self, io::Error)> {
        let (ifindex, queue) = (self.tenure.ifindex(), self.tenure.queue());
        let result = match sharing {
            Sharing::Own(Inherited { zero_copy, need_wakeup, multi_buffer }) => {
                let mut flags =
                    if zero_copy { SocketAddrXdpFlags::XDP_ZEROCOPY } else { SocketAddrXdpFlags::XDP_COPY };
                flags.set(SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, need_wakeup);
                flags.set(SocketAddrXdpFlags::XDP_USE_SG, multi_buffer);
                bind(&self.fd, &SocketAddrXdp::new(flags, ifindex, queue))
            }
            Sharing::With(owner) => {
                let addr = SocketAddrXdp::new(SocketAddrXdpFlags::XDP_SHARED_UMEM, ifindex, queue);
                bind(&self.fd, &SocketAddrXdpWithSharedUmem { addr, shared_umem_fd: owner })
            }
        };
        match result {
            Ok(()) => Ok(XdpSocket { fd: Arc::new(self.fd) }),
            Err(error) => Err((self, error.into())),
        }
    }

    /// Closes the socket together with its rings: proof that the kernel has never seen what was put into them.
    pub(crate) fn abandon(self, rings: MappedEnds) -> Released {
        drop(rings);
        drop(self.fd);
        Released::never_bound(self.tenure)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: RingSizes = RingSizes { fill: 8, completion: 8, rx: 8, tx: 8 };

    #[test]
    #[ignore = "needs root: makes an AF_XDP socket"]
    fn the_rings_of_a_socket_are_given_out_once() {
        let tenure = Tenure::begin(1, 0);
        let mut socket = UnboundSocket::create(tenure).unwrap();
        let rings = socket.give_rings(SIZES).unwrap();
        assert_eq!(socket.give_rings(SIZES).unwrap_err().raw_os_error(), Some(libc::EALREADY));
        assert_eq!(socket.abandon(rings).tenure(), tenure);
    }

    #[test]
    #[ignore = "needs root: makes an AF_XDP socket"]
    fn rings_that_could_not_be_made_are_not_given_out_later() {
        let mut socket = UnboundSocket::create(Tenure::begin(1, 0)).unwrap();
        let odd = RingSizes { tx: 12, ..SIZES };
        assert_eq!(socket.give_rings(odd).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(socket.give_rings(SIZES).unwrap_err().raw_os_error(), Some(libc::EALREADY));
    }

    #[test]
    #[ignore = "needs root: makes an AF_XDP socket"]
    fn a_refused_bind_gives_the_unbound_socket_back() {
        let tenure = Tenure::begin(u32::MAX, 0);
        let socket = UnboundSocket::create(tenure).unwrap();
        let own = Sharing::Own(Inherited { need_wakeup: true, ..Inherited::default() });
        let (socket, error) = socket.bind(own).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert_eq!(socket.tenure(), tenure);
    }
}

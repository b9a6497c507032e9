//! The smallest XDP program that feeds a socket: what comes on queue n goes to slot n of the map, what has no slot to the stack.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_XSKMAP: u64 = 17;
const BPF_PROG_TYPE_XDP: u64 = 6;
const BPF_XDP: u64 = 37;
const BPF_F_XDP_HAS_FRAGS: u64 = 32;
const XDP_FLAGS_DRV_MODE: u64 = 4;

/// The program is attached until this is dropped.
pub(crate) struct Redirect(#[allow(dead_code, reason = "held to stay attached")] [OwnedFd; 3]);

/// Attaches a program to the interface that feeds `socket` from queue 0.
pub(crate) fn attach(ifindex: u32, socket: BorrowedFd<'_>) -> Redirect {
    // Map type, 4-byte keys, 4-byte values, one entry.
    let map = descriptor(bpf(BPF_MAP_CREATE, &[BPF_MAP_TYPE_XSKMAP | 4 << 32, 4 | 1 << 32]));
    let (key, value) = (0u32, socket.as_raw_fd());
    let update = [
        raw(&map),
        (&raw const key).expose_provenance() as u64,
        (&raw const value).expose_provenance() as u64,
    ];
    bpf(BPF_MAP_UPDATE_ELEM, &update);

    let program: [u64; 6] = [
        0x0000_0000_0010_1261,                   // r2 = context->rx_queue_index
        0x0000_0000_0000_1118 | raw(&map) << 32, // r1 = map
        0,                                       //   (its upper half)
        0x0000_0002_0000_03b7,                   // r3 = XDP_PASS
        0x0000_0033_0000_0085,                   // call redirect_map
        0x0000_0000_0000_0095,                   // exit
    ];
    let license = c"MIT OR Apache-2.0";
    let mut load = [0u64; 9];
    load[0] = BPF_PROG_TYPE_XDP | (program.len() as u64) << 32;
    load[1] = program.as_ptr().expose_provenance() as u64;
    load[2] = license.as_ptr().expose_provenance() as u64;
    load[5] = BPF_F_XDP_HAS_FRAGS << 32;
    load[8] = BPF_XDP << 32;
    let program = descriptor(bpf(BPF_PROG_LOAD, &load));
    let link = [raw(&program) | u64::from(ifindex) << 32, BPF_XDP | XDP_FLAGS_DRV_MODE << 32];
    Redirect([descriptor(bpf(BPF_LINK_CREATE, &link)), program, map])
}

fn raw(fd: &OwnedFd) -> u64 {
    u64::try_from(fd.as_raw_fd()).unwrap()
}

/// One bpf system call with these words as its attributes (little-endian machines only, as the lab's are).
fn bpf(command: libc::c_int, attributes: &[u64]) -> libc::c_int {
    // SAFETY: the kernel reads `size_of_val(attributes)` bytes there, and further what the addresses in them name, all of which the
    // caller in this file keeps alive over the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
    assert!(result >= 0, "bpf command {command}: {}", std::io::Error::last_os_error());
    libc::c_int::try_from(result).unwrap()
}

fn descriptor(fd: libc::c_int) -> OwnedFd {
    // SAFETY: a descriptor that the kernel has just made, and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

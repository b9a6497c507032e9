//! A system call that the kernel refuses to the calling thread, for a failure that no configuration brings about.

/// Place of the system call's number in `struct seccomp_data`; its arguments start at 16, 8 bytes each. Units: bytes.
const NUMBER: u32 = 0;
const SECOND_ARGUMENT: u32 = 24;
const THIRD_ARGUMENT: u32 = 32;
/// Source: linux/if_xdp.h, v6.12.
const XDP_OPTIONS: u32 = 8;
/// Load a word; return; skip when not equal.
const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const EQUAL: u16 = 0x15;

/// From now on the calling thread may not ask for an AF_XDP socket's options: EACCES.
pub(crate) fn deny_xdp_options() {
    let word = |code, skip_if_not, k| libc::sock_filter { code, jt: 0, jf: skip_if_not, k };
    let number = u32::try_from(libc::SYS_getsockopt).unwrap();
    let level = u32::try_from(libc::SOL_XDP).unwrap();
    let denied = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EACCES).unwrap();
    let mut filter = [
        word(LOAD, 0, NUMBER),
        word(EQUAL, 5, number),
        word(LOAD, 0, SECOND_ARGUMENT),
        word(EQUAL, 3, level),
        word(LOAD, 0, THIRD_ARGUMENT),
        word(EQUAL, 1, XDP_OPTIONS),
        word(RETURN, 0, denied),
        word(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 8, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel reads the program and its 8 words, which live over the call, and changes nothing in this process but what the
    // thread may call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

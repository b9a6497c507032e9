//! Looks at the running process and system.

use std::path::Path;

use caps::{CapSet, Capability};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Resource, getrlimit};

use super::probe::{Findings, Release};

pub(super) fn look() -> Findings {
    let release_text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release_text = release_text.trim().to_owned();
    Findings {
        net_admin: has(Capability::CAP_NET_ADMIN),
        net_raw: has(Capability::CAP_NET_RAW),
        bpf: has(Capability::CAP_BPF),
        perfmon: has(Capability::CAP_PERFMON),
        sys_admin: has(Capability::CAP_SYS_ADMIN),
        ipc_lock: has(Capability::CAP_IPC_LOCK),
        memlock_bytes: getrlimit(Resource::Memlock).current,
        release: Release::read(&release_text),
        release_text,
        xdp_socket: xdp_socket(),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
    }
}

/// A capability counts as granted when it is effective; a process that cannot even read its own has none.
fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

fn xdp_socket() -> Result<(), String> {
    match socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None) {
        Ok(_socket) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

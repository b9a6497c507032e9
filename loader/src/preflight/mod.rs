//! What the process needs from the system, checked and explained before anything is touched.
//!
//! Place on the path: none. [`Report::collect`] looks; it changes nothing, and it attaches nothing. A permission error anywhere else
//! ends in this report, which names what is missing and how to grant it.

mod probe;
mod system;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use self::probe::{Findings, Release};

/// One thing that the gateway needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What: the capability's, limit's or kernel option's name.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found, as text.
    pub found: String,
    /// What it is needed for.
    pub why: &'static str,
    /// How to get it.
    pub how: &'static str,
}

/// Whether something needed is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Ok,
    /// It is not, and the gateway cannot run without it.
    Missing,
    /// It is not; the gateway runs, with less.
    Limited,
}

/// All items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they are needed.
    pub items: Vec<Item>,
}

/// How to grant all capabilities that the gateway needs, and no more.
pub const GRANT: &str = "run as root, or in the systemd unit: \
    AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_PERFMON CAP_IPC_LOCK, or on the file: \
    setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep $(command -v spanwire)";

const MEMLOCK: &str = "grant CAP_IPC_LOCK like the other capabilities, or raise the limit \
    (LimitMEMLOCK=infinity in the systemd unit, `ulimit -l unlimited` in a shell)";
const KERNEL: &str = "run a kernel of version 5.11 or later";
const XDP_SOCKETS: &str = "run a kernel built with CONFIG_XDP_SOCKETS=y";
const BTF: &str = "run a kernel built with CONFIG_DEBUG_INFO_BTF=y";

const MULTI_BUFFER: &str =
    "run a kernel of version 6.6 or later, or keep the MTU of every port at 3818 or less";

/// The first kernel whose AF_XDP sockets carry frames that span several chunks.
const OLDEST_MULTI_BUFFER: Release = Release { major: 6, minor: 6 };

/// The first kernel that does all that is relied on.
///
/// XDP programs held by a file descriptor since 5.9, AF_XDP on several devices with one UMEM since 5.10, memory of BPF maps
/// counted to the control group instead of the lock limit since 5.11.
const OLDEST: Release = Release { major: 5, minor: 11 };

impl Report {
    /// Looks at this process and this system.
    pub fn collect() -> Self {
        Self::judge(&system::look(), None)
    }

    /// Looks at this process and this system, which have to lock this much frame memory.
    pub fn collect_for(umem_bytes: u64) -> Self {
        Self::judge(&system::look(), Some(umem_bytes))
    }

    /// Whether nothing is missing that the gateway cannot run without.
    pub fn is_ok(&self) -> bool {
        self.items.iter().all(|item| item.state != State::Missing)
    }

    /// Names of what is missing.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.items.iter().filter(|item| item.state == State::Missing).map(|item| item.name)
    }

    fn judge(findings: &Findings, umem_bytes: Option<u64>) -> Self {
        let mut items = capability_items(findings);
        items.push(memlock_item(findings, umem_bytes));
        items.push(kernel_item(findings));
        items.push(multi_buffer_item(findings));
        items.push(item(
            "AF_XDP sockets",
            findings.xdp_socket.is_ok(),
            findings.xdp_socket.as_ref().map_or_else(Clone::clone, |()| "available".into()),
            "frames are received and sent through them",
            if findings.net_raw { XDP_SOCKETS } else { GRANT },
        ));
        let mut btf = item(
            "kernel BTF",
            findings.has_btf,
            present(findings.has_btf),
            "names and types in the steering program's listings",
            BTF,
        );
        if btf.state == State::Missing {
            btf.state = State::Limited;
        }
        items.push(btf);
        Report { items }
    }
}

fn capability_items(findings: &Findings) -> Vec<Item> {
    let sys_admin = findings.sys_admin;
    let capability = |name, granted, why| item(name, granted, granted_text(granted), why, GRANT);
    vec![
        capability(
            "CAP_NET_ADMIN",
            findings.net_admin,
            "attaches the steering program, sets interface features, asks for neighbours",
        ),
        capability("CAP_NET_RAW", findings.net_raw, "opens AF_XDP sockets and holds promiscuous mode"),
        capability(
            "CAP_BPF",
            findings.bpf || sys_admin,
            "loads the steering program (CAP_SYS_ADMIN does as well)",
        ),
        capability(
            "CAP_PERFMON",
            findings.perfmon || sys_admin,
            "lets the steering program compute addresses inside a packet (CAP_SYS_ADMIN does as well)",
        ),
    ]
}

fn memlock_item(findings: &Findings, umem_bytes: Option<u64>) -> Item {
    let (state, found) = match (findings.ipc_lock, findings.memlock_bytes) {
        (true, _) => (State::Ok, "CAP_IPC_LOCK".to_owned()),
        (false, None) => (State::Ok, "RLIMIT_MEMLOCK unlimited".to_owned()),
        (false, Some(limit)) => {
            let state = match umem_bytes {
                Some(wanted) if wanted <= limit => State::Ok,
                Some(_) => State::Missing,
                None => State::Limited,
            };
            (state, format!("{limit} bytes, no CAP_IPC_LOCK"))
        }
    };
    let why = "the kernel locks the frame memory (UMEM)";
    Item { name: "locked memory", state, found, why, how: MEMLOCK }
}

fn kernel_item(findings: &Findings) -> Item {
    let new_enough = findings.release.is_some_and(|release| release >= OLDEST);
    let why =
        "XDP links (5.9), one UMEM for several devices (5.10), map memory outside the lock limit (5.11)";
    item("kernel 5.11", new_enough, findings.release_text.clone(), why, KERNEL)
}

fn multi_buffer_item(findings: &Findings) -> Item {
    let new_enough = findings.release.is_some_and(|release| release >= OLDEST_MULTI_BUFFER);
    let state = if new_enough { State::Ok } else { State::Limited };
    let why = "frames that one chunk does not hold, of an MTU above 3818";
    Item { name: "multi-buffer", state, found: findings.release_text.clone(), why, how: MULTI_BUFFER }
}

fn item(name: &'static str, is_ok: bool, found: String, why: &'static str, how: &'static str) -> Item {
    let state = if is_ok { State::Ok } else { State::Missing };
    Item { name, state, found, why, how }
}

fn granted_text(granted: bool) -> String {
    if granted { "granted" } else { "not granted" }.to_owned()
}

fn present(is_there: bool) -> String {
    if is_there { "present" } else { "absent" }.to_owned()
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Limited => "limited",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:<8} {:<28} needed for", "what", "state", "found")?;
        for item in &self.items {
            let state = item.state.to_string();
            writeln!(f, "{:<16} {state:<8} {:<28} {}", item.name, item.found, item.why)?;
        }
        let mut cures: Vec<&str> = Vec::new();
        for item in self.items.iter().filter(|item| item.state != State::Ok) {
            if !cures.contains(&item.how) {
                cures.push(item.how);
                writeln!(f, "\n{}: {}", item.name, item.how)?;
            }
        }
        Ok(())
    }
}

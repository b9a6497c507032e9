//! The guest as a process of the lab, and questions to it over its control port.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use netlab::{Lab, Node, Process};

use super::network::{LAN_MAC, TAPS, UNDERLAY_MTU_BYTES, WAN_MAC};
use crate::guest::archive::{self, Contents};
use crate::guest::kernel::Kernel;
use crate::guest::packages::Unpacked;
use crate::guest::{control, machine, tail};

/// The guest's programs that are not busybox.
const TOOLS: &[&str] = &["bin/ip", "bin/ss", "usr/bin/fping"];

/// The guest's kernel modules, each behind those it needs.
const MODULES: &[&str] = &[
    "net/llc/llc",
    "net/802/stp",
    "net/802/garp",
    "net/802/mrp",
    "net/8021q/8021q",
    "net/bridge/bridge",
    "net/ipv4/inet_diag",
    "net/ipv4/tcp_diag",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "net/l2tp/l2tp_core",
    "net/l2tp/l2tp_netlink",
    "net/l2tp/l2tp_eth",
    "net/l2tp/l2tp_ip",
    "net/l2tp/l2tp_ip6",
    "net/l2tp/l2tp_debugfs",
    "drivers/net/veth",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// Memory of the guest. Units: MB.
const MEMORY_MB: u32 = 1024;

/// Time the guest may take to boot; about ten seconds on an idle core.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// Time between two looks at the guest while an answer is awaited.
const PERIOD: Duration = Duration::from_millis(200);

/// Lines of the console, or of an answer, that a failure shows.
const TAIL_LINES: usize = 25;

/// A guest that answers.
#[derive(Debug)]
pub(super) struct Guest {
    process: Process,
    console: PathBuf,
    port: UnixStream,
}

/// Builds the guest's first file system in `folder` and returns its path.
///
/// # Errors
/// A file is missing in the packages, or cannot be written.
pub(super) fn build(unpacked: &Unpacked, folder: &Path) -> Result<PathBuf> {
    let contents =
        Contents { init: control::INIT, tools: TOOLS, modules: MODULES, files: &[], programs: &[] };
    archive::build(unpacked, &Kernel::of(unpacked)?, folder, &contents)
}

/// The unix socket of the guest's control port, in the folder of a lab.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("guest.sock")
}

impl Guest {
    /// Boots the guest in the namespace of its taps and waits until it answers.
    ///
    /// # Errors
    /// The emulator ends, or the guest does not answer in time; the end of its console is shown.
    pub(super) fn boot(lab: &Lab, wires: &Node, unpacked: &Unpacked, archive: &Path) -> Result<Self> {
        let (console, socket) = (lab.dir().join("console.log"), socket(lab.dir()));
        let words = machine::words(
            unpacked,
            &Kernel::of(unpacked)?,
            archive,
            MEMORY_MB,
            &devices(&console, &socket),
        )?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = wires.spawn("guest", &words)?;
        let connect = || UnixStream::connect(&socket).map_err(|fault| fault.to_string());
        let port = lab.wait_until("the emulator's control port", BOOT_DEADLINE, connect)?;
        port.set_read_timeout(Some(PERIOD)).context("setting a time-out")?;
        let mut guest = Self { process, console, port };
        guest.run("true", BOOT_DEADLINE).context("booting the guest")?;
        Ok(guest)
    }

    /// Runs a shell script in the guest and returns what it wrote. It ends at the first command that fails.
    ///
    /// # Errors
    /// The script fails, or the guest ends or does not answer in time; the end of what it said is shown.
    pub(super) fn run(&mut self, script: &str, deadline: Duration) -> Result<String> {
        let process = self.process.clone();
        let is_running = || process.is_running();
        match control::ask(&mut self.port, script, deadline, &is_running) {
            Ok((0, output)) => Ok(output),
            Ok((status, output)) => {
                bail!("a script in the guest ended with status {status}:\n{}", tail(&output, TAIL_LINES))
            }
            Err(fault) => Err(fault.context(format!("the guest's console:\n{}", self.console_tail()))),
        }
    }

    /// The emulator.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// The last lines of the guest's console.
    pub(super) fn console_tail(&self) -> String {
        let console = std::fs::read(&self.console).unwrap_or_default();
        tail(&String::from_utf8_lossy(&console), TAIL_LINES)
    }
}

/// The guest's devices: console, control port, a network card on each tap. The cards leave checksums and segments to the
/// guest's kernel, so that its packets are whole wherever they are looked at.
fn devices(console: &Path, socket: &Path) -> Vec<String> {
    let mut words = control::devices(console, socket);
    let plain = "csum=off,gso=off,guest_csum=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,\
                 guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off";
    for (tap, mac) in TAPS.into_iter().zip([WAN_MAC, LAN_MAC]) {
        let card =
            format!("virtio-net-pci,netdev={tap},mac={mac},host_mtu={UNDERLAY_MTU_BYTES},romfile=,{plain}");
        let backend = format!("tap,id={tap},ifname={tap},script=no,downscript=no");
        words.extend(["-netdev", &backend, "-device", &card].map(str::to_owned));
    }
    words
}

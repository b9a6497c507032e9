//! The guest as a process of the lab, and questions to it over its control port.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use netlab::{Lab, Node, Process};

use super::network::{LAN_MAC, TAPS, UNDERLAY_MTU_BYTES, WAN_MAC};
use crate::guest::archive::{self, Contents};
use crate::guest::packages::Unpacked;
use crate::guest::{machine, tail};

/// The guest's first process.
const INIT: &str = include_str!("guest.sh");

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
    archive::build(unpacked, folder, &Contents { init: INIT, tools: TOOLS, modules: MODULES, files: &[] })
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
        let words = machine::words(unpacked, archive, MEMORY_MB, &devices(&console, &socket))?;
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
        match ask(&mut self.port, script, deadline, &is_running) {
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
    let mut words = vec!["-serial".to_owned(), format!("file:{}", console.display())];
    let chardev = format!("socket,id=control,path={},server=on,wait=off", socket.display());
    let devices = ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control"];
    words.extend(["-chardev", &chardev].into_iter().chain(devices).map(str::to_owned));
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

/// Sends a script and returns its exit status and output.
///
/// # Errors
/// The port fails, or the answer does not come in time or not in form, or `is_running` says no.
pub(super) fn ask(
    port: &mut UnixStream,
    script: &str,
    deadline: Duration,
    is_running: &dyn Fn() -> bool,
) -> Result<(i32, String)> {
    let end = Instant::now() + deadline;
    write!(port, "{}\n{script}", script.len()).context("sending a script to the guest")?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match port.read(&mut buffer) {
            Ok(0) => bail!("the emulator closed the control port"),
            Ok(len) => answer.extend_from_slice(&buffer[..len]),
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                ensure!(is_running(), "the emulator ended");
            }
            Err(fault) => return Err(fault).context("reading the guest's answer"),
        }
        if let Some(whole) = whole_answer(&answer)? {
            return Ok(whole);
        }
        ensure!(Instant::now() < end, "the guest gave no answer within {} s", deadline.as_secs());
    }
}

/// Exit status and output, once all of it is there.
fn whole_answer(answer: &[u8]) -> Result<Option<(i32, String)>> {
    let Some(line_end) = answer.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..line_end]);
    let numbers =
        head.split_once(' ').and_then(|(status, len)| Some((status.parse().ok()?, len.parse().ok()?)));
    let (status, len): (i32, usize) =
        numbers.with_context(|| format!("the guest's answer begins with {head:?}"))?;
    let output = answer[line_end + 1..].get(..len);
    Ok(output.map(|output| (status, String::from_utf8_lossy(output).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        assert_eq!(whole_answer(b"0 ").unwrap(), None);
        assert_eq!(whole_answer(b"0 5\nfour").unwrap(), None);
        assert_eq!(whole_answer(b"1 5\nfour\n").unwrap(), Some((1, "four\n".to_owned())));
        assert_eq!(whole_answer(b"0 0\n").unwrap(), Some((0, String::new())));
        assert!(whole_answer(b"what\n").is_err());
    }

    #[test]
    fn a_guest_that_ended_is_not_waited_for() {
        let (mut port, _other) = UnixStream::pair().unwrap();
        port.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let fault = ask(&mut port, "true", Duration::from_secs(60), &|| false).unwrap_err();
        assert_eq!(fault.to_string(), "the emulator ended");
    }
}

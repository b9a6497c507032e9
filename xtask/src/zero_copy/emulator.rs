//! The guest: four emulated cards on two hubs, and a process that goes with this one.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use netlab::wait_until;

use crate::guest::archive::{self, Contents};
use crate::guest::kernel::Kernel;
use crate::guest::packages::Unpacked;
use crate::guest::{control, machine, tail};
use crate::workspace;

/// The guest's programs that are neither busybox nor ours.
const TOOLS: &[&str] = &["bin/ip", "bin/ss", "sbin/ethtool", "usr/bin/fping"];

/// The guest's kernel modules, each behind those it needs.
const MODULES: &[&str] = &[
    "net/llc/llc",
    "net/802/stp",
    "net/bridge/bridge",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "net/l2tp/l2tp_core",
    "net/l2tp/l2tp_netlink",
    "net/l2tp/l2tp_eth",
    "net/xdp/xsk_diag",
    "net/core/pktgen",
    "drivers/net/veth",
    "drivers/i2c/algos/i2c-algo-bit",
    "drivers/dca/dca",
    "drivers/net/ethernet/intel/igb/igb",
];

/// What the guest's scripts are written with.
const FILES: &[(&str, &str)] = &[("network.sh", include_str!("network.sh"))];

/// Memory of the guest. Units: MB.
const MEMORY_MB: u32 = 1024;

/// The cards: the hub that each is on, in the order of their addresses.
const HUBS: [u32; 4] = [0, 0, 1, 1];

/// One instruction is one nanosecond; an idle guest's time goes straight to its next timer.
const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// Time the guest may take to boot, and its control port to appear; twenty seconds on an idle core.
const BOOT_DEADLINE: Duration = Duration::from_secs(240);

/// Time that one script may take.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(180);

/// Time between two looks at the guest while an answer is awaited.
const PERIOD: Duration = Duration::from_millis(200);

/// Lines of the console, or of an answer, that a failure shows.
const TAIL_LINES: usize = 25;

/// A guest that answers. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(super) struct Guest {
    child: Child,
    console: PathBuf,
    port: UnixStream,
    /// Locked while the guest's files are in use; the kernel unlocks it when the file is closed.
    _lock: File,
}

impl Guest {
    /// Boots a guest that has these programs of ours, and lays its network out.
    ///
    /// # Errors
    /// A file is missing, the emulator ends, or the guest does not answer in time; the end of its console is shown.
    pub(super) fn boot(unpacked: &Unpacked, kernel: &Kernel, programs: &[&Path]) -> Result<Self> {
        let folder = workspace::target_dir()?.join("guest/zero-copy");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let lock = File::open(&folder).with_context(|| format!("opening {}", folder.display()))?;
        lock.lock().with_context(|| format!("locking {}", folder.display()))?;
        let contents =
            Contents { init: control::INIT, tools: TOOLS, modules: MODULES, files: FILES, programs };
        let archive = archive::build(unpacked, kernel, &folder, &contents)?;
        let (console, socket) = (folder.join("console.log"), folder.join("control.sock"));
        // An earlier run's would be taken for this one's.
        fs::write(&console, "").context("emptying the guest's console")?;
        if socket.exists() {
            fs::remove_file(&socket).context("removing an old control port")?;
        }
        let devices = [control::devices(&console, &socket), cards(), COUNTING.map(str::to_owned).to_vec()];
        let words = machine::words(unpacked, kernel, &archive, MEMORY_MB, &devices.concat())?;
        let log = File::create(folder.join("emulator.log")).context("creating the emulator's log")?;
        let mut command = Command::new("setpriv");
        // It would go on as nobody's child if this process were killed.
        command.args(["--pdeathsig", "KILL", "--"]).args(&words).stdin(Stdio::null());
        let command = command.stdout(log.try_clone().context("the emulator's log")?).stderr(log);
        let mut child = command.spawn().context("starting the emulator")?;
        let connect = || UnixStream::connect(&socket).map_err(|fault| fault.to_string());
        let port = wait_until("the emulator's control port", BOOT_DEADLINE, connect);
        let port = port.inspect_err(|_| {
            let _ = child.kill();
        })?;
        port.set_read_timeout(Some(PERIOD)).context("setting a time-out")?;
        let mut guest = Self { child, console, port, _lock: lock };
        guest.ask("lay_out", BOOT_DEADLINE).context("booting the guest")?;
        Ok(guest)
    }

    /// Runs a shell script in the guest, with `network.sh` in front of it, and returns what it wrote. It ends at the first command
    /// that fails.
    ///
    /// # Errors
    /// The script fails, or the guest ends or does not answer in time; the end of what it said is shown.
    pub(super) fn run(&mut self, script: &str) -> Result<String> {
        self.ask(script, SCRIPT_DEADLINE)
    }

    fn ask(&mut self, script: &str, deadline: Duration) -> Result<String> {
        let script = format!(". /network.sh\n{script}\n");
        // An emulator that ends closes the port.
        match control::ask(&mut self.port, &script, deadline, &|| true) {
            Ok((0, output)) => Ok(output),
            Ok((status, output)) => {
                bail!("a script in the guest ended with status {status}:\n{}", tail(&output, TAIL_LINES))
            }
            Err(fault) => Err(fault.context(format!("the guest's console:\n{}", self.console_tail()))),
        }
    }

    /// What there is to know after a failure.
    pub(super) fn diagnosis(&mut self) -> String {
        let known = "dmesg | tail -n 20; tail -n 20 /tmp/spanwire.log || true
            for object in port worker session drop; do /tools/spanwire $object show || true; done
            for name in sta gw peer; do $ip -n $name -s link; done";
        let known = self.run(known).unwrap_or_else(|fault| format!("{fault:#}"));
        format!("--- the guest's console:\n{}\n--- the guest:\n{known}", self.console_tail())
    }

    fn console_tail(&self) -> String {
        let console = fs::read(&self.console).unwrap_or_default();
        tail(&String::from_utf8_lossy(&console), TAIL_LINES)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cards, each behind a bridge of its own: the card has virtual functions, which take the places beside it.
fn cards() -> Vec<String> {
    let mut words = Vec::new();
    for (number, hub) in (1..).zip(HUBS) {
        words.extend([
            "-netdev".to_owned(),
            format!("hubport,id=wire{number},hubid={hub}"),
            "-device".to_owned(),
            format!("pcie-root-port,id=slot{number},chassis={number}"),
            "-device".to_owned(),
            format!("igb,netdev=wire{number},bus=slot{number},mac=02:00:00:00:00:0{number},romfile="),
        ]);
    }
    words
}

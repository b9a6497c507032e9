//! The recording guest: it runs its script to the end by itself, and hands over what it recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::guest::archive::{self, Contents};
use crate::guest::kernel::Kernel;
use crate::guest::packages::Unpacked;
use crate::guest::{empty_folder, machine, tail};
use crate::workspace::succeed;

/// The guest's first process.
const SCRIPT: &str = include_str!("record.sh");
/// The script's last words.
const DONE: &str = "all cases recorded";

/// The guest's programs that are not busybox.
const TOOLS: &[&str] = &["bin/ip", "sbin/ethtool", "usr/bin/tcpdump"];

/// The guest's kernel modules, each behind those it needs.
const MODULES: &[&str] = &[
    "net/llc/llc",
    "net/802/stp",
    "net/802/garp",
    "net/802/mrp",
    "net/8021q/8021q",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "net/l2tp/l2tp_core",
    "net/l2tp/l2tp_netlink",
    "net/l2tp/l2tp_eth",
    "net/l2tp/l2tp_ip",
    "drivers/net/veth",
];

/// Memory of the guest. Units: MB.
const MEMORY_MB: u32 = 512;

/// Time the guest may take; it boots in about ten seconds and takes a few for each case.
const DEADLINE: Duration = Duration::from_secs(400);

/// Lines of the guest's console that a failure shows.
const TAIL_LINES: usize = 20;

/// Builds the guest's first file system in `cache` and returns its path. `cases` is the script of all cases.
///
/// # Errors
/// A file is missing in the packages, or cannot be written.
pub(super) fn build(unpacked: &Unpacked, cache: &Path, cases: &str) -> Result<PathBuf> {
    let files = [("cases.sh", cases)];
    let contents = Contents { init: SCRIPT, tools: TOOLS, modules: MODULES, files: &files, programs: &[] };
    archive::build(unpacked, &Kernel::of(unpacked)?, cache, &contents)
}

/// Boots the guest, waits until it is done, and unpacks what it recorded into a folder of `cache`.
///
/// # Errors
/// The guest does not end in time, or before it has recorded everything; the end of its console is shown.
pub(super) fn run(unpacked: &Unpacked, cache: &Path, archive: &Path) -> Result<PathBuf> {
    let (console, tar) = (cache.join("console.log"), cache.join("recorded.tar"));
    // An earlier run's console would be taken for this one's.
    fs::write(&console, "").context("emptying the guest's console")?;
    let serial = |path: &Path| ["-serial".to_owned(), format!("file:{}", path.display())];
    let devices = [serial(&console), serial(&tar)].concat();
    let words = machine::words(unpacked, &Kernel::of(unpacked)?, archive, MEMORY_MB, &devices)?;
    let (program, arguments) = words.split_first().context("no emulator")?;
    let mut command = Command::new(program);
    let mut guest = command.args(arguments).stdin(Stdio::null()).spawn().context("starting qemu")?;
    let ended = wait(&mut guest, &console);
    let text = fs::read_to_string(&console).unwrap_or_default();
    ended.with_context(|| tail(&text, TAIL_LINES))?;
    ensure!(text.contains(DONE), "the guest ended early:\n{}", tail(&text, TAIL_LINES));
    let recorded = cache.join("recorded");
    empty_folder(&recorded)?;
    succeed(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&recorded))?;
    Ok(recorded)
}

/// Waits for the guest's end and shows each case that it begins. A guest that takes too long is ended.
fn wait(guest: &mut Child, console: &Path) -> Result<()> {
    let start = Instant::now();
    let mut shown = 0;
    loop {
        let text = fs::read_to_string(console).unwrap_or_default();
        let begun: Vec<&str> = text.lines().filter(|line| line.starts_with("case ")).collect();
        for line in &begun[shown.min(begun.len())..] {
            eprintln!("      {:5.1} s  {line}", start.elapsed().as_secs_f64());
        }
        shown = begun.len();
        if guest.try_wait().context("waiting for qemu")?.is_some() {
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            guest.kill().context("ending qemu")?;
            guest.wait().context("waiting for qemu")?;
            bail!("the guest did not end within {} s", DEADLINE.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

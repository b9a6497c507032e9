//! The guest: a kernel of Debian's, a few programs in memory, no disk and no network card.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{empty_folder, packages::Unpacked};
use crate::workspace::succeed;

/// The guest's first process.
const SCRIPT: &str = include_str!("guest.sh");
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

/// The kernel's command line. It ends when its first process does; on a busy machine its check of the timer would fail.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check";

/// Time the guest may take; it boots in about ten seconds and takes a few for each case.
const DEADLINE: Duration = Duration::from_secs(400);

/// Lines of the guest's console that a failure shows.
const TAIL_LINES: usize = 20;

/// Builds the guest's initial file system in `cache` and returns its path. `cases` is the script of all cases.
///
/// # Errors
/// A file is missing in the packages, or cannot be written.
pub(super) fn build(unpacked: &Unpacked, cache: &Path, cases: &str) -> Result<PathBuf> {
    let tree = cache.join("guest");
    empty_folder(&tree)?;
    for folder in ["bin", "dev", "lib", "lib64", "modules", "proc", "run", "sys", "tmp", "tools"] {
        fs::create_dir_all(tree.join(folder)).with_context(|| format!("creating {folder} for the guest"))?;
    }
    copy(&unpacked.path("bin/busybox"), &tree.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", tree.join("bin/sh")).context("linking the guest's shell")?;
    copy(&unpacked.loader(), &tree.join("lib64/ld-linux-x86-64.so.2"))?;
    for tool in TOOLS {
        copy(&unpacked.path(tool), &tree.join("tools").join(file_name(Path::new(tool))))?;
        for library in unpacked.libraries(tool)? {
            copy(&library, &tree.join("lib").join(file_name(&library)))?;
        }
    }
    unpack_modules(unpacked, &tree)?;
    fs::write(tree.join("cases.sh"), cases).context("writing the guest's cases")?;
    let init = tree.join("init");
    fs::write(&init, SCRIPT).context("writing the guest's script")?;
    succeed(Command::new("chmod").arg("+x").arg(&init))?;
    pack(&unpacked.path("bin/busybox"), &tree, cache)
}

/// Decompresses the modules, numbered in the order they are to be loaded in.
fn unpack_modules(unpacked: &Unpacked, tree: &Path) -> Result<()> {
    let folder = format!("lib/modules/{}/kernel", unpacked.kernel()?);
    for (index, module) in MODULES.iter().enumerate() {
        let packed = unpacked.path(&format!("{folder}/{module}.ko.xz"));
        let path = tree.join(format!("modules/{index:02}-{}.ko", file_name(Path::new(module))));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        succeed(Command::new(unpacked.path("bin/busybox")).arg("xzcat").arg(packed).stdout(file))?;
    }
    Ok(())
}

/// Makes the archive that the kernel takes as its first file system.
fn pack(busybox: &Path, tree: &Path, cache: &Path) -> Result<PathBuf> {
    let path = cache.join("guest.cpio");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut command = Command::new(busybox);
    command.args(["sh", "-c", "find . | cpio -o -H newc"]).current_dir(tree).stdout(file);
    succeed(command.stderr(Stdio::null()))?;
    Ok(path)
}

/// Boots the guest, waits until it is done, and unpacks what it recorded into a folder of `cache`.
///
/// # Errors
/// The guest does not end in time, or before it has recorded everything; the end of its console is shown.
pub(super) fn run(unpacked: &Unpacked, cache: &Path, archive: &Path) -> Result<PathBuf> {
    let (console, tar) = (cache.join("console.log"), cache.join("recorded.tar"));
    // An earlier run's console would be taken for this one's.
    fs::write(&console, "").context("emptying the guest's console")?;
    let serial = |path: &Path| format!("file:{}", path.display());
    let mut command = unpacked.command("usr/bin/qemu-system-x86_64");
    command
        .env("QEMU_MODULE_DIR", unpacked.path("usr/lib/x86_64-linux-gnu/qemu"))
        .arg("-L")
        .arg(unpacked.path("usr/share/seabios"))
        .arg("-L")
        .arg(unpacked.path("usr/share/qemu"))
        .args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "512"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-serial", &serial(&console), "-serial", &serial(&tar)])
        .arg("-kernel")
        .arg(unpacked.path(&format!("boot/vmlinuz-{}", unpacked.kernel()?)))
        .arg("-initrd")
        .arg(archive)
        .args(["-append", KERNEL_LINE]);
    let mut guest = command.stdin(Stdio::null()).spawn().context("starting qemu")?;
    let ended = wait(&mut guest, &console);
    let text = fs::read_to_string(&console).unwrap_or_default();
    ended.with_context(|| tail(&text))?;
    ensure!(text.contains(DONE), "the guest ended early:\n{}", tail(&text));
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

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

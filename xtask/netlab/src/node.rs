//! One machine of a lab: a network namespace.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;
use crate::shell;
use crate::state::Shared;

/// Time that a started process has to move into its namespace.
const ENTRY_DEADLINE: Duration = Duration::from_secs(5);

/// A machine of a lab: a network namespace and the commands that act inside it.
///
/// Cloning gives another handle to the same namespace; the namespace goes with its [`crate::Lab`].
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
    name: String,
    namespace: String,
}

impl Node {
    /// A handle to an existing namespace.
    pub(crate) fn new(shared: Arc<Shared>, name: &str, namespace: String) -> Self {
        Self { shared, name: name.to_owned(), namespace }
    }

    /// The name within the lab, for example `gw-a`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that `ip netns` knows, for example `sw-lab-gw-a`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs `ip` inside, with the words of `arguments`: `node.ip("link set eth0 up")`.
    ///
    /// # Errors
    /// The command fails; the text holds its error output.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        shell::ip(&format!("-netns {} {arguments}", self.namespace))
    }

    /// Runs a command inside to its end and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the text holds its error output.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        shell::run(&mut self.command(words))
    }

    /// A command that runs inside, to be adjusted and started by the caller, who also has to end it.
    #[must_use]
    pub fn command(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).args(words);
        command
    }

    /// Starts a long-lived command inside; its output goes to a log file, and the lab ends it at the latest.
    ///
    /// It leads its own process group, so a Ctrl-C at the terminal reaches it only through the lab.
    ///
    /// # Errors
    /// The command cannot be started, or the lab is being removed.
    pub fn spawn(&self, name: &str, words: &[&str]) -> Result<Process> {
        let process = self.shared.start(name, self.command(words).stdin(Stdio::null()))?;
        self.await_entry(&process)?;
        Ok(process)
    }

    /// Waits until a started process has moved into the namespace (or ended): only then is it found there, when the
    /// lab's owner is killed and a later run cleans up.
    fn await_entry(&self, process: &Process) -> Result<()> {
        let inode = |path: &str| fs::metadata(path).ok().map(|file| file.ino());
        let home = inode(&format!("/run/netns/{}", self.namespace));
        let current = format!("/proc/{}/ns/net", process.pid());
        let start = Instant::now();
        while process.is_running() && inode(&current) != home {
            ensure!(start.elapsed() < ENTRY_DEADLINE, "{} does not enter {}", process.name(), self.namespace);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Writes a kernel setting of the namespace, named with dots below `net`: `ipv4.ip_forward`.
    ///
    /// # Errors
    /// The setting does not exist or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{}", key.replace('.', "/"));
        self.run(&["sh", "-c", "echo \"$1\" > \"$2\"", "sysctl", value, &path]).map(drop)
    }

    /// Writes a kernel setting below `net.ipv6`; does nothing on a kernel that runs without IPv6.
    ///
    /// # Errors
    /// The setting does not exist or refuses the value.
    pub fn ipv6_sysctl(&self, key: &str, value: &str) -> Result<()> {
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return Ok(());
        }
        self.sysctl(&format!("ipv6.{key}"), value)
    }

    /// Runs `ethtool` inside, with the words of `arguments`.
    ///
    /// # Errors
    /// The command fails; the text holds its error output.
    pub fn ethtool(&self, arguments: &str) -> Result<String> {
        let words: Vec<&str> = ["ethtool"].into_iter().chain(arguments.split_whitespace()).collect();
        self.run(&words)
    }

    /// The MAC address of an interface, as six colon-separated bytes.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let path = format!("/sys/class/net/{interface}/address");
        Ok(self.run(&["cat", &path])?.trim().to_owned())
    }

    /// The index of an interface.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let path = format!("/sys/class/net/{interface}/ifindex");
        self.run(&["cat", &path])?.trim().parse().with_context(|| format!("index of {interface}"))
    }

    /// Runs `body` on a thread of this process that has moved into the namespace, and returns what it returns.
    ///
    /// Sockets opened there belong to the namespace for good, so they can be carried out and used anywhere.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `body` panicked.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.namespace);
        let file = File::open(&path).with_context(|| format!("opening {path}"))?;
        let enter_and_run = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("entering {}", self.namespace))?;
            Ok(body())
        };
        thread::scope(|scope| scope.spawn(enter_and_run).join())
            .map_err(|_| anyhow!("a thread inside {} panicked", self.namespace))?
    }
}

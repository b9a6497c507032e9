//! The lab: owner of namespaces, links and processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::kept::{self, Kept};
use crate::node::Node;
use crate::process::{Process, guard};
use crate::state::Shared;
use crate::{folder, registry, shell, teardown, wait};

/// Lines of each log that a failed wait shows.
const TAIL_LINES: usize = 15;

/// How a veth pair is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOptions {
    /// MTU of both ends. Units: bytes.
    pub mtu_bytes: u32,
    /// Transmit and receive queues of both ends. Range: 1 and up.
    pub queue_count: u32,
    /// NAPI on both ends (`ethtool -K gro on`): an end takes frames that the peer's XDP program sends or redirects
    /// to it only when it has NAPI. AF_XDP sockets in copy mode do not need it.
    pub napi: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { mtu_bytes: 1500, queue_count: 1, napi: false }
    }
}

/// A network of namespaces, owned: dropping it removes everything it made.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
}

impl Lab {
    /// Makes an empty lab and removes what an earlier one of this name left behind.
    ///
    /// `name`: lower-case letters and digits, at most 24. Namespaces are called `sw-<name>-<node>`.
    ///
    /// # Errors
    /// A bad name, missing privilege, another process that uses the name, or leftovers that cannot be removed.
    pub fn new(name: &str) -> Result<Self> {
        folder::check_name(name)?;
        let home = folder::path(name);
        let lock = folder::lock(name, &home)?;
        let lab = Self { shared: Arc::new(Shared::new(name, home, lock)) };
        registry::register(&lab.shared)?;
        teardown::remove_namespaces(&folder::prefix(name))
            .context("removing what an earlier run left behind")?;
        folder::empty(&lab.shared.home)?;
        fs::create_dir(lab.dir()).with_context(|| format!("creating {}", lab.dir().display()))?;
        Ok(lab)
    }

    /// The folder of the lab's files: logs, and room for the caller's own. It goes with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Adds a machine: a namespace with its loopback up and without IPv6 autoconfiguration noise.
    ///
    /// # Errors
    /// The name is taken, or the namespace cannot be made.
    pub fn node(&self, name: &str) -> Result<Node> {
        let namespace = format!("{}{name}", folder::prefix(&self.shared.name));
        self.shared.while_living(|_| shell::ip(&format!("netns add {namespace}")))?;
        let node = Node::new(Arc::clone(&self.shared), name, namespace);
        node.ip("link set lo up")?;
        // An address is usable at once, and nothing is sent that nobody asked for.
        for key in ["accept_dad", "accept_ra", "autoconf", "router_solicitations"] {
            node.ipv6_sysctl(&format!("conf.default.{key}"), "0")?;
        }
        Ok(node)
    }

    /// Starts a long-lived command in the namespace of this process itself, for tools that work on the machine's own
    /// interfaces; otherwise as [`Node::spawn`].
    ///
    /// # Errors
    /// The command cannot be started, or the lab is being removed.
    pub fn spawn_here(&self, name: &str, words: &[&str]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("a command without a program")?;
        self.shared.start(name, Command::new(program).args(arguments).stdin(Stdio::null()))
    }

    /// Joins two machines by a veth pair and sets both ends up.
    ///
    /// # Errors
    /// An interface name is taken, or the pair cannot be made.
    pub fn link(&self, left: (&Node, &str), right: (&Node, &str), options: &LinkOptions) -> Result<()> {
        let LinkOptions { mtu_bytes: mtu, queue_count: queues, napi } = options;
        let shape = format!("mtu {mtu} numtxqueues {queues} numrxqueues {queues}");
        let ((left, left_name), (right, right_name)) = (left, right);
        left.ip(&format!(
            "link add {left_name} {shape} type veth peer name {right_name} {shape} netns {}",
            right.namespace()
        ))?;
        for (node, interface) in [(left, left_name), (right, right_name)] {
            if *napi {
                node.ethtool(&format!("-K {interface} gro on"))?;
            }
            node.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }

    /// Looks until `probe` yields a value, as [`crate::wait_until`] does, but gives up at once when a process of the
    /// lab ended by itself; a failure shows the last lines of every log.
    ///
    /// # Errors
    /// The deadline passed, or a process ended that nobody asked to.
    pub fn wait_until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut probe: impl FnMut() -> Result<T, String>,
    ) -> Result<T> {
        let probe_or_give_up = || match self.shared.ended_unasked() {
            Some(fault) => Ok(Err(fault)),
            None => probe().map(Ok),
        };
        match wait::wait_until(what, deadline, probe_or_give_up) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ended)) => bail!("waiting for {what}: {ended}\n{}", self.log_tails(TAIL_LINES)),
            Err(fault) => bail!("{fault}\n{}", self.log_tails(TAIL_LINES)),
        }
    }

    /// The last `count` lines of every process that was started.
    #[must_use]
    pub fn log_tails(&self, count: usize) -> String {
        let processes = guard(&self.shared.state).processes.clone();
        let tails = processes.iter().map(|process| {
            let state = if process.is_running() { "running" } else { "ended" };
            format!("--- {} ({state}), last lines:\n{}", process.name(), process.log_tail(count))
        });
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Leaves everything up and running; [`crate::remove_kept`], or a new lab of the same name, removes it.
    ///
    /// # Errors
    /// The record of what is left up cannot be written; the lab is removed then.
    pub fn keep(self) -> Result<Kept> {
        kept::leave_up(&self.shared)
    }

    /// Removes everything, as dropping it does, and tells whether all of it went.
    ///
    /// # Errors
    /// What stays, all of it named.
    pub fn remove(self) -> Result<()> {
        self.shared.remove().with_context(|| format!("removing the lab {}", self.shared.name))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shared.tear_down();
        registry::halt_when_interrupted();
    }
}

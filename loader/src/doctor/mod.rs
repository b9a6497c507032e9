//! `spanwire doctor`: what a machine and its interfaces give to a gateway, what stands in the way, and what changes it.
//!
//! Place on the path: none; asked before it, or beside it. [`examine`] only looks. [`Applied`] makes the changes that the rows
//! name, and puts everything back; which changes those are is decided here, where the row is.
//!
//! ```text
//!  ethtool, netdev family, netlink, /sys, /proc -> findings -> rows -> text, JSON
//!                                                               '----> changes -> made -> undone
//! ```
//! The questions to the kernel are those of [`nic`](crate::nic) and of `xsk::nic`; what a gateway cannot run without comes from
//! [`preflight`].

mod apply;
mod change;
mod machine;
mod port;
mod port_rows;
mod queue_rows;
mod row;

use std::collections::BTreeMap;

use dataplane::worker::pin::allowed_cpus;
use serde::Serialize;

pub use apply::{Applied, Made, Outcome};
pub use change::{Change, Interface, Setting, Value};
pub use row::{Row, Verdict};
pub use tree::Tree;

use crate::netlink::{Link, View};
use crate::nic::{NicError, PortFacts};
use crate::placement::{Surroundings, cpu_list as cpus, most_common};
use crate::preflight;
use crate::supervisor::host;
use crate::tree;

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// The machine, and this process in it.
    pub machine: Vec<Row>,
    /// Each interface, by name.
    pub ports: BTreeMap<String, Vec<Row>>,
}

/// Why an interface could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// It does not exist in this network namespace.
    #[error("there is no interface {0:?} here; `ip link show` lists them")]
    NoInterface(String),
    /// Something of it could not be read.
    #[error(transparent)]
    Nic(#[from] NicError),
}

/// Looks at the machine and at these interfaces; at every Ethernet interface when none is named.
///
/// # Errors
/// A named interface does not exist or is not Ethernet.
pub fn examine(names: &[String], view: &View, tree: &Tree) -> Result<Examination, DoctorError> {
    let named = |name: &String| view.link_by_name(name).ok_or_else(|| DoctorError::NoInterface(name.clone()));
    let links: Vec<&Link> = match names {
        [] => view.links().filter(|link| link.mac.is_some() && !link.is_loopback).collect(),
        names => names.iter().map(named).collect::<Result<_, _>>()?,
    };
    let controller = |link: &Link| Some(view.link(link.controller?)?.name.clone());
    let allowed = allowed_cpus();
    let found: Vec<_> = links
        .into_iter()
        .map(|link| port::Findings::look(link, controller(link), tree))
        .collect::<Result<_, _>>()?;
    let facts: Vec<_> = found.iter().map(|found| &found.facts).collect();
    let mut machine = machine::preflight_rows(&preflight::Report::collect());
    let workers = workers(&facts, allowed.len());
    machine.extend(machine::rows(tree, huge_pages(&facts, workers), &allowed));
    machine.push(placement(&found, tree, &allowed, workers));
    let rows =
        |found: &port::Findings| (found.interface.name.clone(), port_rows::rows(found, tree, &allowed));
    Ok(Examination { machine, ports: found.iter().map(rows).collect() })
}

/// Workers of a gateway on these interfaces.
fn workers(facts: &[&PortFacts], cpus: usize) -> usize {
    let queues = |facts: &&PortFacts| facts.rx_queues.min(facts.tx_queues) as usize;
    facts.iter().map(queues).min().unwrap_or(1).clamp(1, cpus.max(1))
}

/// Huge pages that the frame memory of a gateway on these interfaces takes, with default rings.
fn huge_pages(facts: &[&PortFacts], workers: usize) -> u64 {
    let mtu = facts.iter().map(|facts| facts.mtu).max().unwrap_or(1500);
    host::huge_pages(facts.iter().map(|facts| facts.rx_queues), mtu, workers)
}

/// Where a gateway that starts now on these interfaces has its workers.
fn placement(found: &[port::Findings], tree: &Tree, allowed: &[usize], workers: usize) -> Row {
    let node = |found: &port::Findings| found.sysfs.as_ref()?.numa_node.map(|node| (false, node as usize));
    let near = most_common(&found.iter().filter_map(node).collect::<Vec<_>>());
    machine::placement(&Surroundings::near(tree, allowed, near).choose(workers))
}

impl Examination {
    /// All rows, the machine's first.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.machine.iter().chain(self.ports.values().flatten())
    }

    /// Whether nothing stands in the way.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.rows().all(|row| row.verdict != Verdict::StandsInTheWay)
    }
}

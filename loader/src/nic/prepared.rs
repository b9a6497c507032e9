//! Preparing an interface, and putting it back.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use serde::Serialize;
use xsk::nic::{Ethtool, Promiscuous};

use super::journal::{Journal, Leftover};
use super::{NicError, PortNeeds};
use crate::netlink::Link;

/// A feature that is not as it was found, or that could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The feature, as `ethtool -k` names it; "promiscuous" for promiscuous mode.
    pub feature: String,
    /// What it was.
    pub before: bool,
    /// What it is.
    pub now: bool,
}

impl Change {
    /// Whether the interface does not do what was asked of it.
    pub fn is_unmet(&self) -> bool {
        self.before == self.now
    }
}

/// Prepares interfaces and remembers how they were.
#[derive(Debug)]
pub struct NicKeeper {
    journal: Arc<Mutex<Journal>>,
}

/// An interface prepared for its port; dropping this puts it back.
///
/// To be dropped after the port's program was taken off: some features cannot be switched on under a program.
#[derive(Debug)]
pub struct PreparedPort {
    interface: String,
    changes: Vec<Change>,
    undo: Vec<Leftover>,
    journal: Arc<Mutex<Journal>>,
    _promiscuous: Option<Promiscuous>,
}

impl NicKeeper {
    /// Opens the journal of a gateway in its runtime directory and first puts back what an earlier, killed one left; returns
    /// what that was.
    ///
    /// # Errors
    /// When another gateway of that name runs, or the directory cannot be used.
    pub fn open(runtime_directory: &Path, gateway: &str) -> Result<(Self, Vec<Leftover>), NicError> {
        let mut journal = Journal::open(runtime_directory, gateway)?;
        let leftovers = journal.entries().to_vec();
        for leftover in &leftovers {
            if let Err(error) = put_back(leftover) {
                tracing::warn!(%error, "put back what an earlier gateway left");
            }
            journal.remove(leftover)?;
        }
        Ok((Self { journal: Arc::new(Mutex::new(journal)) }, leftovers))
    }

    /// Prepares an interface for its port.
    ///
    /// # Errors
    /// When the kernel refuses; the interface is then as it was.
    pub fn prepare(&self, link: &Link, needs: PortNeeds) -> Result<PreparedPort, NicError> {
        let mut port = PreparedPort {
            interface: link.name.clone(),
            changes: Vec::new(),
            undo: Vec::new(),
            journal: Arc::clone(&self.journal),
            _promiscuous: None,
        };
        let read = |source| NicError::Read { what: "features", interface: link.name.clone(), source };
        let ethtool = Ethtool::open(&link.name).map_err(read)?;
        for feature in needs.features_off() {
            port.switch_off(&ethtool, link, feature)?;
        }
        if needs.promiscuous() {
            let guard = Promiscuous::enter(link.ifindex)
                .map_err(|source| NicError::Promiscuous { interface: link.name.clone(), source })?;
            port._promiscuous = Some(guard);
            port.changes.push(Change { feature: "promiscuous".into(), before: false, now: true });
        }
        Ok(port)
    }
}

impl PreparedPort {
    /// The interface's name when it was prepared.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What is not as it was found, and what could not be changed ([`Change::is_unmet`]).
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    fn switch_off(&mut self, ethtool: &Ethtool, link: &Link, feature: &str) -> Result<(), NicError> {
        let interface = &link.name;
        let read = |source| NicError::Read { what: "features", interface: interface.clone(), source };
        let Some(state) = ethtool.feature(feature).map_err(read)? else { return Ok(()) };
        if !state.active {
            return Ok(());
        }
        let mut now = true;
        if state.changeable && state.requested {
            let undo = Leftover {
                interface: interface.clone(),
                ifindex: link.ifindex,
                feature: feature.to_owned(),
                before: true,
            };
            self.journal().add(undo.clone())?;
            self.undo.push(undo);
            let outcome = ethtool.set_feature(feature, false);
            now = outcome.map_err(refused(interface, feature, false))?.is_some_and(|state| state.active);
        }
        self.changes.push(Change { feature: feature.to_owned(), before: true, now });
        Ok(())
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PreparedPort {
    fn drop(&mut self) {
        for undo in std::mem::take(&mut self.undo).iter().rev() {
            let outcome = put_back(undo).and_then(|()| self.journal().remove(undo));
            if let Err(error) = outcome {
                tracing::warn!(%error, "put an interface back");
            }
        }
    }
}

/// Switches a feature back; an interface that is gone needs nothing.
fn put_back(leftover: &Leftover) -> Result<(), NicError> {
    let refused = || refused(&leftover.interface, &leftover.feature, leftover.before);
    let Some(interface) = name_of(leftover.ifindex).map_err(refused())? else { return Ok(()) };
    let ethtool = Ethtool::open(&interface).map_err(refused())?;
    ethtool.set_feature(&leftover.feature, leftover.before).map_err(refused())?;
    Ok(())
}

/// The present name of an interface, which may have been renamed; `None` when it is gone.
fn name_of(ifindex: u32) -> io::Result<Option<String>> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    match netdevice::index_to_name(&socket, ifindex) {
        Ok(name) => Ok(Some(name)),
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn refused(interface: &str, feature: &str, on: bool) -> impl FnOnce(io::Error) -> NicError {
    let (interface, feature) = (interface.to_owned(), feature.to_owned());
    move |source| NicError::Feature { feature, on, interface, source }
}

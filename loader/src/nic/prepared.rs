//! Preparing an interface, and putting it back.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use wire::ethernet::MacAddr;
use xsk::nic::{Ethtool, Promiscuous};

use super::identity::{Present, own_namespace, own_namespace_path};
use super::journal::{Journal, Leftover};
use super::napi::{self, Number};
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
    /// Inode number of the network namespace that all interfaces are in.
    namespace: u64,
}

/// An interface prepared for its port; dropping this puts it back.
///
/// To be dropped after the port's program was taken off: some features cannot be switched on under a program.
#[derive(Debug)]
pub struct PreparedPort {
    interface: String,
    changes: Vec<Change>,
    pub(super) numbers: Vec<Number>,
    undo: Vec<Leftover>,
    journal: Arc<Mutex<Journal>>,
    _promiscuous: Option<Promiscuous>,
}

impl NicKeeper {
    /// Opens the journal of a gateway in its runtime directory and first puts back what an earlier, killed one left; returns
    /// what that was, with the interfaces' present names. What cannot be put back is told in the log and stays in the journal.
    ///
    /// # Errors
    /// When another gateway of that name runs, or the directory cannot be used.
    pub fn open(runtime_directory: &Path, gateway: &str) -> Result<(Self, Vec<Leftover>), NicError> {
        let mut journal = Journal::open(runtime_directory, gateway)?;
        let namespace =
            own_namespace().map_err(|source| NicError::Namespace { path: own_namespace_path(), source })?;
        let mut returned = Vec::new();
        for leftover in journal.entries().to_vec() {
            match reclaim(&leftover, namespace) {
                Ok(present) => {
                    journal.remove(&leftover)?;
                    returned.extend(present.map(|interface| Leftover { interface, ..leftover }));
                }
                Err(error) => warn_of_leftover(&leftover, &journal, &error),
            }
        }
        Ok((Self { journal: Arc::new(Mutex::new(journal)), namespace }, returned))
    }

    /// Prepares an interface for its port.
    ///
    /// # Errors
    /// When the kernel refuses; the interface is then as it was.
    pub fn prepare(&self, link: &Link, needs: PortNeeds) -> Result<PreparedPort, NicError> {
        let mut port = PreparedPort {
            interface: link.name.clone(),
            changes: Vec::new(),
            numbers: Vec::new(),
            undo: Vec::new(),
            journal: Arc::clone(&self.journal),
            _promiscuous: None,
        };
        let read = |source| NicError::Read { what: "features", interface: link.name.clone(), source };
        let ethtool = Ethtool::open(&link.name).map_err(read)?;
        for feature in needs.features_off() {
            port.switch_off(&ethtool, feature, || self.leftover(link, feature))?;
        }
        if needs.promiscuous() {
            let guard = Promiscuous::enter(link.ifindex)
                .map_err(|source| NicError::Promiscuous { interface: link.name.clone(), source })?;
            port._promiscuous = Some(guard);
            port.changes.push(Change { feature: "promiscuous".into(), before: false, now: true });
        }
        Ok(port)
    }

    /// What to note before a feature is switched off.
    pub(super) fn leftover(&self, link: &Link, feature: &str) -> Leftover {
        Leftover {
            interface: link.name.clone(),
            ifindex: link.ifindex,
            mac: text(link.mac),
            namespace: self.namespace,
            feature: feature.to_owned(),
            before: true,
            number: None,
        }
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

    /// Numbers that are not as they were found.
    pub fn numbers(&self) -> &[Number] {
        &self.numbers
    }

    /// Notes what is to be put back, before it is changed.
    pub(super) fn note(&mut self, undo: Leftover) -> Result<(), NicError> {
        self.journal().add(undo.clone())?;
        self.undo.push(undo);
        Ok(())
    }

    fn switch_off(
        &mut self,
        ethtool: &Ethtool,
        feature: &str,
        leftover: impl FnOnce() -> Leftover,
    ) -> Result<(), NicError> {
        let interface = self.interface.clone();
        let read = |source| NicError::Read { what: "features", interface: interface.clone(), source };
        let Some(state) = ethtool.feature(feature).map_err(read)? else { return Ok(()) };
        if !state.active {
            return Ok(());
        }
        let mut now = true;
        if state.changeable && state.requested {
            self.note(leftover())?;
            let outcome = ethtool.set_feature(feature, false);
            now = outcome.map_err(refused(&interface, feature, false))?.is_some_and(|state| state.active);
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
            // The index is enough while this process runs: the kernel hands none out twice.
            let outcome = Present::of(undo.ifindex)
                .map_err(refused(&undo.interface, &undo.feature, undo.before))
                .and_then(|present| present.map_or(Ok(()), |present| put_back(undo, &present)))
                .and_then(|()| self.journal().remove(undo));
            if let Err(error) = outcome {
                warn_of_leftover(undo, &self.journal(), &error);
            }
        }
    }
}

/// Puts back what an earlier gateway left, if it is surely the same interface; returns its present name, `None` when it is gone.
fn reclaim(leftover: &Leftover, namespace: u64) -> Result<Option<String>, NicError> {
    let Leftover { interface, ifindex, mac, .. } = leftover.clone();
    if leftover.namespace != namespace {
        return Err(NicError::OtherNamespace { interface, ifindex, mac, namespace: leftover.namespace });
    }
    let present = Present::of(ifindex).map_err(refused(&interface, &leftover.feature, leftover.before))?;
    let Some(present) = present else { return Ok(None) };
    if text(present.mac) != mac {
        let present = format!("{}, {}", present.name, text(present.mac));
        return Err(NicError::OtherInterface { interface, ifindex, mac, present });
    }
    put_back(leftover, &present)?;
    Ok(Some(present.name))
}

/// Switches a feature back, or sets a number back.
fn put_back(leftover: &Leftover, present: &Present) -> Result<(), NicError> {
    let interface = present.name.as_str();
    if let Some(number) = leftover.number {
        return napi::put_back(interface, &leftover.feature, number, (leftover.ifindex, present.mac));
    }
    let refused = || refused(interface, &leftover.feature, leftover.before);
    let ethtool = Ethtool::open(interface).map_err(refused())?;
    ethtool.set_feature(&leftover.feature, leftover.before).map_err(refused())?;
    Ok(())
}

/// Says what stays switched, where that is noted, and how to put it back by hand.
fn warn_of_leftover(leftover: &Leftover, journal: &Journal, error: &(dyn Error + 'static)) {
    let Leftover { interface, feature, before, .. } = leftover;
    let state = if *before { "on" } else { "off" };
    let by_hand = match leftover.number {
        Some(number) => format!("echo {number} > {}", napi::path(interface, feature).display()),
        None => format!("ethtool -K {interface} {feature} {state}"),
    };
    tracing::warn!(
        error,
        "{feature} of {interface} is not put back and stays noted in {}; by hand: `{by_hand}`",
        journal.path().display()
    );
}

/// An address as the journal has it.
fn text(mac: Option<MacAddr>) -> String {
    mac.map_or_else(String::new, |mac| mac.to_string())
}

fn refused(interface: &str, feature: &str, on: bool) -> impl FnOnce(io::Error) -> NicError {
    let (interface, feature) = (interface.to_owned(), feature.to_owned());
    move |source| NicError::Feature { feature, on, interface, source }
}

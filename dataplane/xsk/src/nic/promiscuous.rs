//! Promiscuous mode of an interface for as long as something needs it.

use std::io;
use std::os::fd::OwnedFd;

use crate::sys;

/// Keeps an interface promiscuous until dropped. The kernel counts the holders and undoes this one's part even when the process is
/// killed.
#[derive(Debug)]
#[must_use = "promiscuous mode ends when this is dropped"]
pub struct Promiscuous {
    _membership: OwnedFd,
}

impl Promiscuous {
    /// Makes the interface receive frames for all addresses.
    ///
    /// # Errors
    ///
    /// What the kernel said: no such interface, or CAP_NET_RAW is missing.
    pub fn enter(ifindex: u32) -> io::Result<Self> {
        Ok(Self { _membership: sys::join_promiscuous(ifindex)? })
    }
}

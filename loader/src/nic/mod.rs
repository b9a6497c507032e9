//! What a port needs of its interface: set while it is attached, shown, and put back.
//!
//! Place on the path: before it. An access port has to hand over every frame as it was on the wire: for all addresses, with its
//! VLAN tag, and not merged with others. Interfaces do the opposite where that is faster for the kernel; this module switches
//! that off and remembers what it switched. Promiscuous mode ends by itself with the process; features do not, therefore
//! they also stand in a journal file, by which the next start puts back what a killed gateway left.
//!
//! Not here: attaching the program ([`program`](crate::program)), opening sockets, and which interfaces are ports.

mod facts;
mod identity;
mod journal;
mod napi;
mod needs;
mod prepared;
mod receive_buffer;

use std::io;
use std::path::{Path, PathBuf};

pub use facts::PortFacts;
pub use journal::Leftover;
pub(crate) use napi::is_shown;
pub use napi::{Deferral, Number, Wanted};
pub use needs::PortNeeds;
pub use prepared::{Change, NicKeeper, PreparedPort};
pub use receive_buffer::zero_copy_room;

/// The name that the interface with this index has now; `None` when it is gone.
///
/// # Errors
/// The kernel cannot be asked.
pub(crate) fn present_name(ifindex: u32) -> io::Result<Option<String>> {
    Ok(identity::Present::of(ifindex)?.map(|present| present.name))
}

/// Why an interface could not be read or prepared.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// It is not Ethernet.
    #[error("{interface} is not an Ethernet interface")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// The kernel refused to tell something of it.
    #[error("read {what} of {interface}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// The interface.
        interface: String,
        /// The cause.
        source: io::Error,
    },
    /// A feature could not be set.
    #[error("switch {feature} {} on {interface}", if *.on { "on" } else { "off" })]
    Feature {
        /// The feature, as `ethtool -k` names it.
        feature: String,
        /// Where to.
        on: bool,
        /// The interface.
        interface: String,
        /// The cause.
        source: io::Error,
    },
    /// A number of it could not be set.
    #[error("set {name} of {interface} to {number}")]
    Number {
        /// The number, as its file in `/sys/class/net` is called.
        name: String,
        /// What to.
        number: u64,
        /// The interface.
        interface: String,
        /// The cause.
        source: io::Error,
    },
    /// Its folder in `/sys` is that of another.
    #[error(
        "/sys/class/net/{interface} shows another network namespace; start with `ip netns exec NAMESPACE`, which mounts the right one"
    )]
    OtherSysfs {
        /// The interface.
        interface: String,
    },
    /// Promiscuous mode could not be entered.
    #[error("make {interface} promiscuous")]
    Promiscuous {
        /// The interface.
        interface: String,
        /// The cause.
        source: io::Error,
    },
    /// It could not be found out in which network namespace this is.
    #[error("read which network namespace {} is", path.display())]
    Namespace {
        /// The file that names it.
        path: &'static Path,
        /// The cause.
        source: io::Error,
    },
    /// What the journal says was switched is not what is here.
    #[error(
        "{interface} (index {ifindex}, address {mac}) was switched in another network namespace, net:[{namespace}]"
    )]
    OtherNamespace {
        /// The interface's name when it was switched.
        interface: String,
        /// Its index.
        ifindex: u32,
        /// Its Ethernet address when it was switched.
        mac: String,
        /// The namespace's inode number.
        namespace: u64,
    },
    /// What has the index now has another address than what was switched.
    #[error(
        "{interface} was switched when its address was {mac}; what has its index {ifindex} now is {present}"
    )]
    OtherInterface {
        /// The interface's name when it was switched.
        interface: String,
        /// Its index.
        ifindex: u32,
        /// Its Ethernet address when it was switched.
        mac: String,
        /// What has the index now: name and address.
        present: String,
    },
    /// The journal could not be read or written.
    #[error(
        "{operation} {}; the runtime directory has to be writable, `--runtime-directory DIR` sets another",
        path.display()
    )]
    Journal {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process holds the journal.
    #[error(
        "another gateway named {gateway} is running ({} is locked); stop that one, or give this one another \
         `gateway.name`",
        path.display()
    )]
    AlreadyRunning {
        /// The gateway's name.
        gateway: String,
        /// The lock file.
        path: PathBuf,
    },
}

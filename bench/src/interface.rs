//! What sysfs tells of the interfaces in the present network namespace.
//!
//! Under `ip netns exec`, /sys is the namespace's own.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

/// Why an interface could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// A file of the interface cannot be read.
    #[error("cannot read {attribute} of interface {interface}")]
    Read {
        /// The interface's name.
        interface: String,
        /// The file below its folder in /sys/class/net.
        attribute: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the interface holds no number.
    #[error("{attribute} of interface {interface} is {text:?}, not a number")]
    NotANumber {
        /// The interface's name.
        interface: String,
        /// The file below its folder in /sys/class/net.
        attribute: &'static str,
        /// What stands there.
        text: String,
    },
}

/// The kernel's frame counters of one interface.
///
/// On a veth, `tx_dropped` counts frames that did not fit the peer's ring, and `rx_dropped` those that
/// did not fit its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames dropped on receipt.
    pub rx_dropped_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames dropped in sending.
    pub tx_dropped_frames: u64,
}

impl Counters {
    /// Reads an interface's counters.
    ///
    /// # Errors
    /// [`InterfaceError`]: there is no such interface here.
    pub fn read(interface: &str) -> Result<Self, InterfaceError> {
        Ok(Self {
            rx_frames: read_number(interface, "statistics/rx_packets")?,
            rx_dropped_frames: read_number(interface, "statistics/rx_dropped")?,
            tx_frames: read_number(interface, "statistics/tx_packets")?,
            tx_dropped_frames: read_number(interface, "statistics/tx_dropped")?,
        })
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            rx_frames: self.rx_frames.wrapping_sub(earlier.rx_frames),
            rx_dropped_frames: self.rx_dropped_frames.wrapping_sub(earlier.rx_dropped_frames),
            tx_frames: self.tx_frames.wrapping_sub(earlier.tx_frames),
            tx_dropped_frames: self.tx_dropped_frames.wrapping_sub(earlier.tx_dropped_frames),
        }
    }
}

/// The interface's index in the present namespace.
///
/// # Errors
/// [`InterfaceError`]: there is no such interface here.
pub fn index(interface: &str) -> Result<u32, InterfaceError> {
    read_number(interface, "ifindex")
}

/// Whether the interface has a carrier; one that is down has none.
#[must_use]
pub fn has_carrier(interface: &str) -> bool {
    read_number::<u8>(interface, "carrier").is_ok_and(|carrier| carrier == 1)
}

/// Reads one attribute as a number.
fn read_number<N: std::str::FromStr>(interface: &str, attribute: &'static str) -> Result<N, InterfaceError> {
    let path = Path::new("/sys/class/net").join(interface).join(attribute);
    let text = fs::read_to_string(path).map_err(|source| InterfaceError::Read {
        interface: interface.to_owned(),
        attribute,
        source,
    })?;
    text.trim().parse().map_err(|_| InterfaceError::NotANumber {
        interface: interface.to_owned(),
        attribute,
        text: text.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_an_index() {
        assert_eq!(index("lo").expect("every namespace has lo"), 1);
    }

    #[test]
    fn a_missing_interface_is_named_in_the_error() {
        let error = Counters::read("no-such-if").expect_err("there is none");
        assert_eq!(error.to_string(), "cannot read statistics/rx_packets of interface no-such-if");
    }

    #[test]
    fn counts_since_are_differences_field_by_field() {
        let earlier = Counters { rx_frames: 1, rx_dropped_frames: 2, tx_frames: 3, tx_dropped_frames: 4 };
        let later = Counters { rx_frames: 11, rx_dropped_frames: 22, tx_frames: 33, tx_dropped_frames: 44 };
        let counted = Counters { rx_frames: 10, rx_dropped_frames: 20, tx_frames: 30, tx_dropped_frames: 40 };
        assert_eq!(later.since(earlier), counted);
    }
}

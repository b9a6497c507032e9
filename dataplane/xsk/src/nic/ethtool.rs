//! Driver, channels, ring sizes and features of an interface.

use std::io;

use crate::sys::{FeatureBits, LinkControl};

/// Who drives an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Name, for example `igb` or `veth`.
    pub name: String,
    /// Version, as a rule the kernel's.
    pub version: String,
    /// Firmware version; empty for devices without one.
    pub firmware: String,
    /// Bus address; empty for virtual devices.
    pub bus: String,
}

/// Numbers of queues. Units: queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Most queues that only receive.
    pub max_rx: u32,
    /// Most queues that only transmit.
    pub max_tx: u32,
    /// Most queues that do both.
    pub max_combined: u32,
    /// Queues that only receive, now.
    pub rx: u32,
    /// Queues that only transmit, now.
    pub tx: u32,
    /// Queues that do both, now.
    pub combined: u32,
}

impl Channels {
    /// Receive queues now.
    #[must_use]
    pub fn rx_queues(&self) -> u32 {
        self.rx + self.combined
    }

    /// Transmit queues now.
    #[must_use]
    pub fn tx_queues(&self) -> u32 {
        self.tx + self.combined
    }
}

/// Sizes of the hardware's rings. Units: descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Largest receive ring.
    pub max_rx: u32,
    /// Largest transmit ring.
    pub max_tx: u32,
    /// Receive ring now.
    pub rx: u32,
    /// Transmit ring now.
    pub tx: u32,
}

/// State of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// In force.
    pub active: bool,
    /// Asked for; not in force when something else forbids it.
    pub requested: bool,
    /// May be changed on this interface.
    pub changeable: bool,
}

/// Features that `ethtool -K` shows under one name.
const TX_CHECKSUMMING: [&str; 5] = [
    "tx-checksum-ipv4",
    "tx-checksum-ip-generic",
    "tx-checksum-ipv6",
    "tx-checksum-fcoe-crc",
    "tx-checksum-sctp",
];

/// A handle to ask and set up one interface.
#[derive(Debug)]
pub struct Ethtool {
    pub(super) link: LinkControl,
    feature_names: Vec<String>,
}

impl Ethtool {
    /// A handle on the interface with this name.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or the kernel does not tell its features.
    pub fn open(interface: &str) -> io::Result<Self> {
        let link = LinkControl::open(interface)?;
        let feature_names = link.feature_names()?;
        Ok(Self { link, feature_names })
    }

    /// Who drives the interface.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn driver(&self) -> io::Result<Driver> {
        let [name, version, firmware, bus] = self.link.driver()?;
        Ok(Driver { name, version, firmware, bus })
    }

    /// Its numbers of queues; `None` when the driver has no say in that (then it has one of each).
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn channels(&self) -> io::Result<Option<Channels>> {
        let numbers = unless_unsupported(self.link.channels())?;
        Ok(numbers.map(|[max_rx, max_tx, _, max_combined, rx, tx, _, combined]| Channels {
            max_rx,
            max_tx,
            max_combined,
            rx,
            tx,
            combined,
        }))
    }

    /// Sizes of its hardware rings; `None` when it has none that can be told.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn ring_sizes(&self) -> io::Result<Option<RingSizes>> {
        let numbers = unless_unsupported(self.link.ring_sizes())?;
        Ok(numbers.map(|[max_rx, _, _, max_tx, rx, _, _, tx]| RingSizes { max_rx, max_tx, rx, tx }))
    }

    /// Names of all features that the kernel knows.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// State of a feature by the kernel's name (`rx-gro`, `rx-vlan-hw-parse`), or of the group `tx-checksumming`, which is active when
    /// any of its members is; `None` when the kernel knows no such feature.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn feature(&self, name: &str) -> io::Result<Option<Feature>> {
        let blocks = self.link.features(self.feature_names.len())?;
        let states = self.members(name).map(|index| state(&blocks, index));
        Ok(states.reduce(|left, right| Feature {
            active: left.active | right.active,
            requested: left.requested | right.requested,
            changeable: left.changeable | right.changeable,
        }))
    }

    /// Switches a feature, or every changeable member of `tx-checksumming`, on or off; its state afterwards, which may differ from
    /// what was asked for. `None` when the kernel knows no such feature.
    ///
    /// # Errors
    ///
    /// What the kernel said, for example that CAP_NET_ADMIN is missing.
    pub fn set_feature(&self, name: &str, on: bool) -> io::Result<Option<Feature>> {
        let count = self.feature_names.len();
        let blocks = self.link.features(count)?;
        for index in self.members(name).filter(|index| state(&blocks, *index).changeable) {
            self.link.set_feature(index, count, on)?;
        }
        self.feature(name)
    }

    /// Numbers of the features that `name` stands for.
    fn members(&self, name: &str) -> impl Iterator<Item = usize> {
        let in_group = name == "tx-checksumming";
        let stands_for = move |known: &str| known == name || (in_group && TX_CHECKSUMMING.contains(&known));
        self.feature_names
            .iter()
            .enumerate()
            .filter(move |(_, known)| stands_for(known))
            .map(|(index, _)| index)
    }
}

/// State of the feature with this number; all off when the kernel told fewer than it named.
fn state(blocks: &[FeatureBits], index: usize) -> Feature {
    let block = blocks.get(index / 32).copied().unwrap_or_default();
    let is_set = |word: u32| word >> (index % 32) & 1 == 1;
    Feature {
        active: is_set(block.active),
        requested: is_set(block.requested),
        changeable: is_set(block.available) && !is_set(block.never_changed),
    }
}

/// `None` for "this driver cannot do that".
pub(super) fn unless_unsupported<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_read_from_its_own_bit_of_its_own_block() {
        let blocks = [
            FeatureBits::default(),
            FeatureBits { available: 0b110, requested: 0b010, active: 0b010, never_changed: 0b100 },
        ];
        assert_eq!(state(&blocks, 33), Feature { active: true, requested: true, changeable: true });
        assert_eq!(state(&blocks, 34), Feature { active: false, requested: false, changeable: false });
        assert_eq!(state(&blocks, 1), Feature { active: false, requested: false, changeable: false });
        assert_eq!(state(&blocks, 64), Feature { active: false, requested: false, changeable: false });
    }

    #[test]
    fn what_a_driver_cannot_do_is_no_error() {
        assert_eq!(
            unless_unsupported::<u8>(Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))).unwrap(),
            None
        );
        assert_eq!(unless_unsupported(Ok(3)).unwrap(), Some(3));
        assert!(unless_unsupported::<u8>(Err(io::Error::from_raw_os_error(libc::EPERM))).is_err());
    }
}

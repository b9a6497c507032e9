//! A setting that can be read, written, and written back, and what is to become of it.
//!
//! Everything is written by the system calls that its command in words would make; no program is started. A setting of an interface
//! is touched only while the interface has the name and index that it was looked up by.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use xsk::nic::{Channels, Ethtool, Flow, HashFields, RingSizes};

use crate::nic;

/// A setting of the machine or of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A file of `/sys` or `/proc` that holds one value.
    File(PathBuf),
    /// A file of `/sys/class/net` that holds one value.
    InterfaceFile(Interface, PathBuf),
    /// Numbers of queues (`ethtool -L`).
    Queues(Interface),
    /// Sizes of the hardware's rings (`ethtool -G`).
    Rings(Interface),
    /// A feature (`ethtool -K`).
    Feature(Interface, String),
    /// What is hashed of a type of packet (`ethtool -N ... rx-flow-hash`).
    Hash(Interface, Flow),
}

/// An interface, known well enough to be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
}

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text of a file.
    Text(String),
    /// Numbers of queues.
    Queues(Channels),
    /// Sizes of rings.
    Rings(RingSizes),
    /// On or off.
    Switch(bool),
    /// Fields of a packet.
    Fields(HashFields),
}

/// A setting, and what it is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub setting: Setting,
    /// What to.
    pub to: Value,
}

impl Change {
    /// A file's.
    pub(super) fn of_file(path: PathBuf, to: &impl ToString) -> Self {
        Self { setting: Setting::File(path), to: Value::Text(to.to_string()) }
    }

    /// The exact command that makes it.
    #[must_use]
    pub fn command(&self) -> String {
        self.setting.command(&self.to)
    }
}

impl Setting {
    /// What it is now.
    ///
    /// # Errors
    /// What the kernel said; or the interface is not the one that was looked up.
    pub fn read(&self) -> io::Result<Value> {
        let untold = || io::Error::new(io::ErrorKind::Unsupported, "the driver does not tell any more");
        match self {
            Self::File(path) => read_file(path),
            Self::InterfaceFile(interface, path) => {
                interface.check()?;
                read_file(path)
            }
            Self::Queues(interface) => interface.ethtool()?.channels()?.map(Value::Queues).ok_or_else(untold),
            Self::Rings(interface) => interface.ethtool()?.ring_sizes()?.map(Value::Rings).ok_or_else(untold),
            Self::Feature(interface, feature) => {
                let state = interface.ethtool()?.feature(feature)?.ok_or_else(untold)?;
                Ok(Value::Switch(state.active))
            }
            Self::Hash(interface, flow) => {
                interface.ethtool()?.hash_fields(*flow)?.map(Value::Fields).ok_or_else(untold)
            }
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// What the kernel said; or the interface is not the one that was looked up.
    pub fn write(&self, value: &Value) -> io::Result<()> {
        match (self, value) {
            (Self::File(path), Value::Text(text)) => write_file(path, text),
            (Self::InterfaceFile(interface, path), Value::Text(text)) => {
                interface.check()?;
                write_file(path, text)
            }
            (Self::Queues(interface), Value::Queues(channels)) => interface.ethtool()?.set_channels(channels),
            (Self::Rings(interface), Value::Rings(sizes)) => interface.ethtool()?.set_ring_sizes(sizes),
            (Self::Feature(interface, feature), Value::Switch(on)) => {
                interface.ethtool()?.set_feature(feature, *on).map(drop)
            }
            (Self::Hash(interface, flow), Value::Fields(fields)) => {
                interface.ethtool()?.set_hash_fields(*flow, *fields)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a value of another kind of setting")),
        }
    }

    /// The exact command that sets it to a value.
    #[must_use]
    pub fn command(&self, value: &Value) -> String {
        match self {
            Self::File(path) | Self::InterfaceFile(_, path) => format!("echo {value} > {}", path.display()),
            Self::Queues(interface) => format!("ethtool -L {} {value}", interface.name),
            Self::Rings(interface) => format!("ethtool -G {} {value}", interface.name),
            Self::Feature(interface, feature) => format!("ethtool -K {} {feature} {value}", interface.name),
            Self::Hash(interface, flow) => {
                format!("ethtool -N {} rx-flow-hash {} {value}", interface.name, flow.word())
            }
        }
    }
}

impl Interface {
    fn ethtool(&self) -> io::Result<Ethtool> {
        self.check()?;
        Ethtool::open(&self.name)
    }

    /// That the name is still that of the interface that was looked up.
    fn check(&self) -> io::Result<()> {
        let Self { name, ifindex } = self;
        match nic::present_name(*ifindex)? {
            Some(present) if present == *name => Ok(()),
            Some(present) => Err(io::Error::other(format!("{name} is called {present} now"))),
            None => Err(io::Error::other(format!("{name}, with index {ifindex}, is gone"))),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::InterfaceFile(_, path) => write!(f, "{}", path.display()),
            Self::Queues(interface) => write!(f, "queues of {}", interface.name),
            Self::Rings(interface) => write!(f, "rings of {}", interface.name),
            Self::Feature(interface, feature) => write!(f, "{feature} of {}", interface.name),
            Self::Hash(interface, flow) => write!(f, "hash of {} of {}", flow.word(), interface.name),
        }
    }
}

impl fmt::Display for Value {
    /// In the words of its command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Queues(channels) => {
                let Channels { max_rx, max_tx, max_combined, rx, tx, combined } = *channels;
                let kinds = [("rx", max_rx, rx), ("tx", max_tx, tx), ("combined", max_combined, combined)];
                write_words(f, kinds.into_iter().filter(|(_, max, _)| *max > 0))
            }
            Self::Rings(RingSizes { max_rx, max_tx, rx, tx }) => {
                let kinds = [("rx", *max_rx, *rx), ("tx", *max_tx, *tx)];
                write_words(f, kinds.into_iter().filter(|(_, max, _)| *max > 0))
            }
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Fields(fields) => write!(f, "{fields}"),
        }
    }
}

/// Words and numbers, with spaces between.
fn write_words(
    f: &mut fmt::Formatter<'_>,
    words: impl Iterator<Item = (&'static str, u32, u32)>,
) -> fmt::Result {
    let words: Vec<_> = words.map(|(word, _, number)| format!("{word} {number}")).collect();
    f.write_str(&words.join(" "))
}

fn read_file(path: &PathBuf) -> io::Result<Value> {
    Ok(Value::Text(fs::read_to_string(path)?.trim().to_owned()))
}

/// Writes into a file that is there; the kernel makes none.
fn write_file(path: &PathBuf, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(format!("{text}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eth1() -> Interface {
        Interface { name: "eth1".into(), ifindex: 5 }
    }

    #[test]
    fn commands_are_those_that_one_would_type() {
        let channels = Channels { max_rx: 0, max_tx: 0, max_combined: 8, rx: 0, tx: 0, combined: 4 };
        let of_veth = Channels { max_rx: 2, max_tx: 2, max_combined: 0, rx: 2, tx: 1, combined: 0 };
        let rings = RingSizes { max_rx: 4096, max_tx: 4096, rx: 2048, tx: 256 };
        let file = Setting::File("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages".into());
        let cases = [
            (
                file,
                Value::Text("40".into()),
                "echo 40 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
            ),
            (Setting::Queues(eth1()), Value::Queues(channels), "ethtool -L eth1 combined 4"),
            (Setting::Queues(eth1()), Value::Queues(of_veth), "ethtool -L eth1 rx 2 tx 1"),
            (Setting::Rings(eth1()), Value::Rings(rings), "ethtool -G eth1 rx 2048 tx 256"),
            (Setting::Feature(eth1(), "rx-lro".into()), Value::Switch(false), "ethtool -K eth1 rx-lro off"),
            (
                Setting::Hash(eth1(), Flow::Udp6),
                Value::Fields(HashFields::ADDRESSES_AND_PORTS),
                "ethtool -N eth1 rx-flow-hash udp6 sdfn",
            ),
        ];
        for (setting, value, command) in cases {
            assert_eq!(setting.command(&value), command);
        }
    }

    #[test]
    fn a_setting_of_an_interface_that_is_gone_is_not_touched() {
        let gone = Interface { name: "eth1".into(), ifindex: u32::MAX >> 1 };
        let error = Setting::Queues(gone).read().unwrap_err();
        assert_eq!(error.to_string(), "eth1, with index 2147483647, is gone");
    }

    #[test]
    fn a_setting_of_an_interface_that_was_renamed_is_not_touched() {
        let renamed = Interface { name: "eth1".into(), ifindex: 1 };
        let path = PathBuf::from("/sys/class/net/lo/napi_defer_hard_irqs");
        let setting = Setting::InterfaceFile(renamed, path);
        let write = setting.write(&Value::Text("0".into())).unwrap_err();
        assert_eq!(write.to_string(), "eth1 is called lo now");
        assert_eq!(setting.read().unwrap_err().to_string(), "eth1 is called lo now");
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let path = std::env::temp_dir().join("spanwire-doctor-no-such-file");
        let error = Setting::File(path.clone()).write(&Value::Text("1".into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!path.exists());
    }
}

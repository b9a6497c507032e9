//! Deferring a driver's interrupts while its port is attached: numbers in `/sys/class/net`, noted in the journal and put back.
//!
//! `/sys` shows the network namespace that it was mounted in, so it is believed only where index and address are the link's.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wire::ethernet::MacAddr;

use super::journal::Leftover;
use super::{NicError, NicKeeper, PreparedPort};
use crate::config::model::Driving;
use crate::config::tuning::{GRO_FLUSH_TIMEOUT_NS, NAPI_DEFER_HARD_IRQS};
use crate::netlink::Link;

/// What is wanted of a port's interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// `napi_defer_hard_irqs`. Units: polls.
    pub defer_hard_irqs: Wanted,
    /// `gro_flush_timeout`. Units: nanoseconds.
    pub gro_flush_timeout_ns: Wanted,
}

/// What a number is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What it is.
    AsFound,
    /// This, where it is 0.
    IfZero(u32),
    /// This.
    Exactly(u32),
}

/// A number that is not as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The file's name.
    pub name: &'static str,
    /// What it was.
    pub before: u64,
    /// What it is.
    pub now: u64,
}

impl Deferral {
    /// What a port's configuration asks for: busy polling needs both, unless they are there already or are given.
    #[must_use]
    pub fn of(driving: &Driving) -> Self {
        let wanted = |given: Option<u32>, usual| match given {
            Some(number) => Wanted::Exactly(number),
            None if driving.busy_poll_us > 0 => Wanted::IfZero(usual),
            None => Wanted::AsFound,
        };
        Self {
            defer_hard_irqs: wanted(driving.napi_defer_hard_irqs, NAPI_DEFER_HARD_IRQS),
            gro_flush_timeout_ns: wanted(driving.gro_flush_timeout_ns, GRO_FLUSH_TIMEOUT_NS),
        }
    }
}

impl NicKeeper {
    /// Defers the interrupts of a prepared port; they are put back with the rest.
    ///
    /// # Errors
    /// When the kernel refuses, or `/sys` shows another network namespace and a number is demanded.
    pub fn defer_interrupts(
        &self,
        port: &mut PreparedPort,
        link: &Link,
        deferral: Deferral,
    ) -> Result<(), NicError> {
        let Deferral { defer_hard_irqs, gro_flush_timeout_ns } = deferral;
        let wishes = [("napi_defer_hard_irqs", defer_hard_irqs), ("gro_flush_timeout", gro_flush_timeout_ns)];
        for (name, wanted) in wishes {
            let (to, is_demanded) = match wanted {
                Wanted::AsFound => continue,
                Wanted::IfZero(number) => (u64::from(number), false),
                Wanted::Exactly(number) => (u64::from(number), true),
            };
            let before = match read(&link.name, name, (link.ifindex, link.mac)) {
                Err(error @ NicError::OtherSysfs { .. }) if !is_demanded => {
                    tracing::warn!("interrupts of {} are not deferred: {error}", link.name);
                    return Ok(());
                }
                outcome => outcome?,
            };
            if before == to || (!is_demanded && before != 0) {
                continue;
            }
            let undo =
                Leftover { feature: name.to_owned(), number: Some(before), ..self.leftover(link, name) };
            port.note(undo)?;
            write(&link.name, name, to)?;
            port.numbers.push(Number { name, before, now: to });
        }
        Ok(())
    }
}

/// Whether a folder of `/sys/class/net` is this interface's.
pub(crate) fn is_shown(folder: &Path, ifindex: u32, mac: Option<MacAddr>) -> bool {
    let text = |file| fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned());
    text("ifindex") == Some(ifindex.to_string()) && text("address") == mac.map(|mac| mac.to_string())
}

/// Puts a number back, if the folder is this interface's.
pub(super) fn put_back(
    interface: &str,
    name: &str,
    before: u64,
    identity: (u32, Option<MacAddr>),
) -> Result<(), NicError> {
    read(interface, name, identity)?;
    write(interface, name, before)
}

/// The file of a number.
pub(super) fn path(interface: &str, name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(interface).join(name)
}

fn read(interface: &str, name: &str, (ifindex, mac): (u32, Option<MacAddr>)) -> Result<u64, NicError> {
    let path = path(interface, name);
    if !path.parent().is_some_and(|folder| is_shown(folder, ifindex, mac)) {
        return Err(NicError::OtherSysfs { interface: interface.to_owned() });
    }
    let text = fs::read_to_string(&path).and_then(|text| text.trim().parse().map_err(io::Error::other));
    text.map_err(|source| NicError::Read { what: "NAPI settings", interface: interface.to_owned(), source })
}

fn write(interface: &str, name: &str, number: u64) -> Result<(), NicError> {
    let outcome = fs::OpenOptions::new().write(true).open(path(interface, name));
    outcome.and_then(|mut file| file.write_all(format!("{number}\n").as_bytes())).map_err(|source| {
        NicError::Number { name: name.to_owned(), number, interface: interface.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_polling_defers_interrupts_where_nobody_said_otherwise() {
        let nothing = Deferral { defer_hard_irqs: Wanted::AsFound, gro_flush_timeout_ns: Wanted::AsFound };
        assert_eq!(Deferral::of(&Driving::default()), nothing);
        let busy = Driving { busy_poll_us: 20, ..Driving::default() };
        let usual =
            Deferral { defer_hard_irqs: Wanted::IfZero(2), gro_flush_timeout_ns: Wanted::IfZero(200_000) };
        assert_eq!(Deferral::of(&busy), usual);
        let given = Driving { napi_defer_hard_irqs: Some(0), ..busy };
        assert_eq!(Deferral::of(&given).defer_hard_irqs, Wanted::Exactly(0));
    }

    #[test]
    fn a_folder_of_another_interface_is_not_believed() {
        let folder = Path::new("/sys/class/net/lo");
        assert!(is_shown(folder, 1, Some(MacAddr([0; 6]))));
        assert!(!is_shown(folder, 2, Some(MacAddr([0; 6]))));
        assert!(!is_shown(folder, 1, Some(MacAddr([2, 0, 0, 0, 0, 1]))));
        assert!(!is_shown(folder, 1, None));
    }

    #[test]
    fn a_number_of_another_interface_is_neither_read_nor_written() {
        let error = put_back("lo", "gro_flush_timeout", 7, (99, Some(MacAddr([0; 6])))).unwrap_err();
        assert!(matches!(error, NicError::OtherSysfs { .. }), "{error}");
        assert!(error.to_string().contains("ip netns exec"), "{error}");
    }
}

//! Which interface was switched: index and name alone do not say, as another namespace, or a later interface, has the same.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use netlink_packet_route::link::LinkAttribute;
use rustix::io::Errno;
use wire::ethernet::MacAddr;

use crate::program::link_query;

/// Where the calling thread's network namespace is found.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) name: String,
    pub(super) mac: Option<MacAddr>,
}

impl Present {
    /// Looks an interface up in the calling thread's network namespace; `None` when it is gone.
    pub(super) fn of(ifindex: u32) -> io::Result<Option<Self>> {
        let link = match link_query::link(ifindex) {
            Ok(link) => link,
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        let name = name.ok_or_else(|| io::Error::other("the kernel tells no name"))?;
        let mac = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
            _ => None,
        });
        Ok(Some(Self { name, mac }))
    }
}

/// The inode number of the calling thread's network namespace. No two that exist at a time have the same.
pub(super) fn own_namespace() -> io::Result<u64> {
    fs::metadata(OWN_NAMESPACE).map(|file| file.ino())
}

/// The path that [`own_namespace`] reads, for its error's text.
pub(super) fn own_namespace_path() -> &'static Path {
    Path::new(OWN_NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_its_index() {
        let present = Present::of(1).unwrap().unwrap();
        assert_eq!(present, Present { name: "lo".into(), mac: Some(MacAddr([0; 6])) });
    }

    #[test]
    fn an_interface_that_is_gone_is_none() {
        assert_eq!(Present::of(u32::MAX >> 1).unwrap(), None);
    }

    #[test]
    fn the_own_namespace_has_the_number_that_the_kernel_shows() {
        let shown = fs::read_link(OWN_NAMESPACE).unwrap();
        assert_eq!(shown.to_str().unwrap(), format!("net:[{}]", own_namespace().unwrap()));
    }
}

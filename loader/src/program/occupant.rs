//! Which XDP program an interface has, and how to take it off.

use std::fmt;
use std::io;

use aya::programs::links::LinkType;
use aya::programs::{loaded_links, loaded_programs};
use netlink_packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::{AttachMode, link_query};

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The program's id in the kernel.
    pub program_id: u32,
    /// Its name, when the kernel tells.
    pub name: Option<String>,
    /// How it runs; `None` when in several ways at once or in the card's hardware.
    pub mode: Option<AttachMode>,
    /// What keeps it there.
    pub holder: Holder,
}

/// What keeps a program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The interface itself.
    Interface,
    /// A BPF link with this id: the program leaves only with the process that holds the link.
    Link(u32),
    /// One of the two; the kernel tells only who has CAP_SYS_ADMIN.
    Untold,
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
#[error("ask the kernel about interface index {ifindex}")]
pub struct OccupantError {
    /// The interface.
    pub ifindex: u32,
    /// The cause.
    pub source: io::Error,
}

impl Occupant {
    /// What an administrator does to take the program off.
    pub fn cure(&self, interface: &str) -> String {
        match self.holder {
            Holder::Interface => format!("`ip link set dev {interface} xdp off`"),
            Holder::Link(id) => {
                format!("end the process that holds BPF link {id} (`bpftool link show id {id}`)")
            }
            Holder::Untold => format!(
                "`ip link set dev {interface} xdp off`, or end the process that holds it \
                 (as root, `bpftool link show` names that)"
            ),
        }
    }
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("without a name");
        write!(f, "{name} (id {})", self.program_id)
    }
}

/// The program on an interface; `None` when there is none.
pub(crate) fn of(ifindex: u32) -> Result<Option<Occupant>, OccupantError> {
    let link = link_query::link(ifindex).map_err(|source| OccupantError { ifindex, source })?;
    let attributes = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(attributes) => Some(attributes.as_slice()),
        _ => None,
    });
    Ok(attributes.and_then(read).map(named))
}

/// Reads id and mode from the attributes of an interface.
fn read(attributes: &[LinkXdp]) -> Option<Occupant> {
    let mut mode = None;
    let mut program_id = None;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some(AttachMode::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some(AttachMode::Generic),
            LinkXdp::ProgId(id) => program_id = Some(*id),
            LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
                program_id = program_id.or(Some(*id));
            }
            _ => {}
        }
    }
    Some(Occupant { program_id: program_id?, name: None, mode, holder: Holder::Untold })
}

/// Adds what only the kernel's lists of programs and links tell.
fn named(mut occupant: Occupant) -> Occupant {
    let id = occupant.program_id;
    occupant.name = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    occupant.holder = holder_of(id);
    occupant
}

/// Looks for a link among all links; only who may see all of them can tell that there is none.
fn holder_of(program_id: u32) -> Holder {
    let mut otherwise = Holder::Interface;
    for link in loaded_links() {
        match link {
            Ok(link) if link.program_id() == program_id && link.link_type().ok() == Some(LinkType::Xdp) => {
                return Holder::Link(link.id());
            }
            Ok(_) => {}
            Err(_) => otherwise = Holder::Untold,
        }
    }
    otherwise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_program_has_no_occupant() {
        assert_eq!(read(&[LinkXdp::Attached(XdpAttached::None)]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_native_program_is_read_with_id_and_mode() {
        let attributes =
            [LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(42), LinkXdp::DrvProgId(42)];
        let occupant = read(&attributes).unwrap();
        assert_eq!((occupant.program_id, occupant.mode), (42, Some(AttachMode::Native)));
    }

    #[test]
    fn programs_in_several_modes_still_name_one() {
        let attributes =
            [LinkXdp::Attached(XdpAttached::Multiple), LinkXdp::DrvProgId(7), LinkXdp::SkbProgId(8)];
        let occupant = read(&attributes).unwrap();
        assert_eq!((occupant.program_id, occupant.mode), (7, None));
    }

    #[test]
    fn the_cure_depends_on_what_holds_the_program() {
        let attributes = [LinkXdp::Attached(XdpAttached::SocketBuffer), LinkXdp::ProgId(9)];
        let mut occupant = read(&attributes).unwrap();
        assert_eq!(
            occupant.cure("eth0"),
            "`ip link set dev eth0 xdp off`, or end the process that holds it (as root, `bpftool link show` names \
             that)"
        );
        occupant.holder = Holder::Interface;
        assert_eq!(occupant.cure("eth0"), "`ip link set dev eth0 xdp off`");
        occupant.holder = Holder::Link(3);
        assert_eq!(occupant.cure("eth0"), "end the process that holds BPF link 3 (`bpftool link show id 3`)");
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        let error = of(u32::MAX >> 1).unwrap_err();
        assert_eq!(error.to_string(), "ask the kernel about interface index 2147483647");
    }
}

//! Why the program could not be loaded or attached, and what to do about it.

use std::error::Error;
use std::io;

use aya::programs::ProgramError as AyaProgramError;
use aya::programs::xdp::XdpError;
use ebpf::abi;
use rustix::io::Errno;
use xsk::nic::Ethtool;

use super::{AttachMode, LoadFailure, Occupant, OccupantError, occupant_of};
use crate::maps::MapsError;

/// The cure that every refusal of native XDP has, for a port that demands it.
const ALLOW_GENERIC: &str = "allow generic XDP (`mode = \"auto\"` or `\"generic\"`)";

/// Why the program could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The object was refused.
    #[error("load the steering program's object")]
    Object(#[source] LoadFailure),
    /// The object has no such program.
    #[error("steering program {name} is not in the object", name = abi::PROGRAM)]
    Absent,
    /// The kernel refused the program.
    #[error("load steering program {name} into the kernel", name = abi::PROGRAM)]
    Load(#[source] LoadFailure),
    /// A map is not as expected.
    #[error("open the steering program's maps")]
    Maps(#[from] MapsError),
    /// The log could not be opened.
    #[error("open the steering program's log")]
    Log(#[source] aya_log::Error),
    /// Another program is there.
    #[error("{interface} already has an XDP program: {occupant}; to take it off: {}", .occupant.cure(interface))]
    Occupied {
        /// The interface.
        interface: String,
        /// What is there.
        occupant: Occupant,
    },
    /// What is attached to the interface could not be found out.
    #[error("ask which XDP program {interface} has")]
    Query {
        /// The interface.
        interface: String,
        /// The cause.
        source: OccupantError,
    },
    /// The driver does not run programs.
    #[error("{}; {ALLOW_GENERIC}", no_native_xdp(interface))]
    NotSupported {
        /// The interface.
        interface: String,
    },
    /// The interface's MTU does not fit the driver's receive buffers.
    #[error("{}, or {ALLOW_GENERIC}", mtu_too_large(interface))]
    MtuTooLarge {
        /// The interface.
        interface: String,
    },
    /// A veth interface needs a receive queue for every transmit queue of its peer.
    #[error("{}, or {ALLOW_GENERIC}", too_few_queues(interface))]
    TooFewQueues {
        /// The interface.
        interface: String,
    },
    /// The kernel attached, but not in a way that ends with this process.
    #[error("kernel cannot hold the XDP program of {interface} by a file descriptor (needs kernel 5.9)")]
    NotALink {
        /// The interface.
        interface: String,
    },
    /// The kernel reports another program or mode than was just attached.
    #[error("{interface} does not run the steering program in {mode} mode after attaching it")]
    NotObtained {
        /// The interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
    },
    /// The kernel refused for another reason.
    #[error("attach the steering program to {interface} in {mode} mode")]
    Attach {
        /// The interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
        /// The cause.
        source: AyaProgramError,
    },
}

impl ProgramError {
    /// Whether generic mode may succeed where native mode did not.
    ///
    /// Drivers say in many ways that they cannot. What would refuse generic mode just the same is none of them: another program,
    /// a missing permission, an interface that is gone.
    pub fn suggests_generic(&self) -> bool {
        match self {
            Self::NotSupported { .. } | Self::MtuTooLarge { .. } | Self::TooFewQueues { .. } => true,
            Self::Attach { mode: AttachMode::Native, source, .. } => {
                let hopeless = [Errno::BUSY, Errno::EXIST, Errno::PERM, Errno::NODEV];
                errno_of(source).is_some_and(|errno| !hopeless.contains(&errno))
            }
            _ => false,
        }
    }

    /// Whether a permission is missing; the preflight report says which.
    pub fn is_permission(&self) -> bool {
        let is_refusal = |error: &(dyn Error + 'static)| {
            error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::PermissionDenied)
        };
        causes(self).any(is_refusal)
    }

    /// The text of why native mode was refused, for a port that does not demand it.
    pub(super) fn native_refusal(&self) -> String {
        match self {
            Self::NotSupported { interface } => no_native_xdp(interface),
            Self::MtuTooLarge { interface } => mtu_too_large(interface),
            Self::TooFewQueues { interface } => too_few_queues(interface),
            other => causes(other).map(ToString::to_string).collect::<Vec<_>>().join(": "),
        }
    }
}

fn no_native_xdp(interface: &str) -> String {
    format!("driver of {interface} does not support native XDP")
}

fn mtu_too_large(interface: &str) -> String {
    format!(
        "MTU of {interface} is too large for native XDP on its driver; lower it (`ip link set {interface} mtu N`)"
    )
}

fn too_few_queues(interface: &str) -> String {
    format!(
        "{interface} has fewer receive queues than its veth peer has transmit queues; \
         give it more (`ethtool -L {interface} rx N`)"
    )
}

/// An error and what caused it.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// What the kernel's refusal to attach means.
pub(super) fn refusal(
    interface: &str,
    ifindex: u32,
    mode: AttachMode,
    source: AyaProgramError,
) -> ProgramError {
    let interface = interface.to_owned();
    match (errno_of(&source), mode) {
        (Some(Errno::OPNOTSUPP), AttachMode::Native) => ProgramError::NotSupported { interface },
        (Some(Errno::RANGE), AttachMode::Native) => ProgramError::MtuTooLarge { interface },
        (Some(Errno::NOSPC), AttachMode::Native) if is_veth(&interface) => {
            ProgramError::TooFewQueues { interface }
        }
        (Some(Errno::BUSY | Errno::EXIST), _) => match occupant_of(&interface, ifindex) {
            Ok(Some(occupant)) => ProgramError::Occupied { interface, occupant },
            _ => ProgramError::Attach { interface, mode, source },
        },
        _ => ProgramError::Attach { interface, mode, source },
    }
}

/// The error number by which the kernel refused, on either of the two ways that are tried.
fn errno_of(source: &AyaProgramError) -> Option<Errno> {
    let number = match source {
        AyaProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        AyaProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    };
    number.map(Errno::from_raw_os_error)
}

/// Whether the interface is a veth; when that cannot be found out, it is taken for none.
fn is_veth(interface: &str) -> bool {
    let driver = Ethtool::open(interface).and_then(|ethtool| ethtool.driver());
    driver.is_ok_and(|driver| driver.name == "veth")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno, mode: AttachMode) -> ProgramError {
        let io_error = io::Error::from(errno);
        let source =
            AyaProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error });
        // Interface index 0 does not exist.
        refusal("eth0", 0, mode, source)
    }

    fn natively(errno: Errno) -> ProgramError {
        refused(errno, AttachMode::Native)
    }

    #[test]
    fn a_driver_without_xdp_is_named_with_the_cure() {
        let error = natively(Errno::OPNOTSUPP);
        assert_eq!(
            error.to_string(),
            "driver of eth0 does not support native XDP; allow generic XDP (`mode = \"auto\"` or `\"generic\"`)"
        );
        assert_eq!(error.native_refusal(), "driver of eth0 does not support native XDP");
    }

    #[test]
    fn a_too_large_mtu_is_named_with_both_cures() {
        let error = natively(Errno::RANGE);
        let lower =
            "MTU of eth0 is too large for native XDP on its driver; lower it (`ip link set eth0 mtu N`)";
        assert_eq!(error.native_refusal(), lower);
        assert_eq!(
            error.to_string(),
            format!("{lower}, or allow generic XDP (`mode = \"auto\"` or `\"generic\"`)")
        );
    }

    #[test]
    fn every_native_refusal_suggests_generic_mode_but_those_that_hit_it_too() {
        let drivers_own =
            [Errno::OPNOTSUPP, Errno::RANGE, Errno::NOSPC, Errno::INVAL, Errno::NOMEM, Errno::IO];
        for errno in drivers_own {
            assert!(natively(errno).suggests_generic(), "{errno}");
            assert!(!refused(errno, AttachMode::Generic).suggests_generic(), "{errno}");
        }
        for errno in [Errno::BUSY, Errno::EXIST, Errno::PERM, Errno::NODEV] {
            assert!(!natively(errno).suggests_generic(), "{errno}");
        }
    }

    #[test]
    fn a_refusal_of_no_known_kind_keeps_the_kernels_words() {
        assert_eq!(
            natively(Errno::INVAL).native_refusal(),
            "attach the steering program to eth0 in native mode: `bpf_link_create` failed: Invalid argument (os error 22)"
        );
    }

    #[test]
    fn a_missing_permission_is_recognised_through_all_causes() {
        assert!(natively(Errno::PERM).is_permission());
        assert!(!natively(Errno::NOMEM).is_permission());
    }
}

//! The steering program in the kernel: loaded once, attached to each port, gone with the process.
//!
//! Place on the path: before everything; but this module only loads and attaches. What the program decides stands in
//! `ebpf::steer`, what it decides from is written by [`maps`](crate::maps).
//!
//! Every attachment is a BPF link held by a file descriptor and by nothing else: when the descriptor is closed, also by
//! SIGKILL, the kernel takes the program off the interface.

mod occupant;

use std::io;
use std::time::Duration;

use aya::programs::links::FdLink;
use aya::programs::{ProgramError as AyaProgramError, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use ebpf::abi;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::maps::{MapsError, SteeringMaps};

pub use occupant::{Occupant, OccupantError};

/// Time between two readings of the program's records.
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// How a program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// In the driver, before the kernel allocates anything for the frame.
    Native,
    /// In the kernel's generic receive path; works on every interface, at more cost.
    Generic,
}

impl AttachMode {
    /// The mode's word in configuration and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl std::fmt::Display for AttachMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings that are fixed when the program is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgramOptions {
    /// Report every decision through the log. Off, the verifier removes the reporting code.
    pub log_decisions: bool,
}

/// Why the program could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The object was refused.
    #[error("load the steering program's object")]
    Object(#[source] EbpfError),
    /// The object has no such program.
    #[error("steering program {name} is not in the object", name = abi::PROGRAM)]
    Absent,
    /// The kernel refused the program.
    #[error("load steering program {name} into the kernel", name = abi::PROGRAM)]
    Load(#[source] AyaProgramError),
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
    #[error("driver of {interface} does not support {mode} XDP")]
    NotSupported {
        /// The interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
    },
    /// The interface's MTU does not fit the driver's receive buffers.
    #[error("MTU of {interface} is too large for {mode} XDP on its driver")]
    MtuTooLarge {
        /// The interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
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
    /// Whether a less demanding mode may succeed where this one did not.
    pub fn suggests_generic(&self) -> bool {
        matches!(
            self,
            Self::NotSupported { mode: AttachMode::Native, .. }
                | Self::MtuTooLarge { mode: AttachMode::Native, .. }
        )
    }

    /// Whether a permission is missing; the preflight report says which.
    pub fn is_permission(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::PermissionDenied) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The program in the kernel, ready to be attached.
#[derive(Debug)]
pub struct SteeringProgram {
    ebpf: Ebpf,
    program_id: u32,
    log: Option<JoinHandle<()>>,
}

/// The program on one interface; dropping this takes it off.
#[derive(Debug)]
pub struct AttachedLink {
    _link: FdLink,
    interface: String,
    ifindex: u32,
    mode: AttachMode,
}

impl AttachedLink {
    /// The interface's name when the program was attached.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The interface's index.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The mode obtained, as the kernel reports it.
    pub fn mode(&self) -> AttachMode {
        self.mode
    }
}

impl SteeringProgram {
    /// Loads the program and hands out its maps, all of them empty.
    ///
    /// With `log_decisions` a task of the current tokio runtime writes the records.
    ///
    /// # Errors
    /// When the kernel or its verifier refuses.
    pub fn load(options: ProgramOptions) -> Result<(Self, SteeringMaps), ProgramError> {
        let level = if options.log_decisions { abi::LOG_LEVEL_DEBUG } else { abi::LOG_LEVEL_OFF };
        let mut ebpf = EbpfLoader::new()
            .override_global(abi::LOG_LEVEL, &level, true)
            .load(ebpf::OBJECT)
            .map_err(ProgramError::Object)?;
        let log = options.log_decisions.then(|| write_log(&mut ebpf)).transpose()?;
        let maps = SteeringMaps::take(&mut ebpf)?;
        let program = xdp(&mut ebpf)?;
        program.load().map_err(ProgramError::Load)?;
        let program_id = program.info().map_err(ProgramError::Load)?.id();
        Ok((Self { ebpf, program_id, log }, maps))
    }

    /// The program's id in the kernel, as `bpftool prog` shows it.
    pub fn program_id(&self) -> u32 {
        self.program_id
    }

    /// Attaches the program to an interface that has none yet.
    ///
    /// # Errors
    /// When another program is there, when the mode is not to be had, or when the kernel refuses; the interface is then
    /// as it was.
    pub fn attach(
        &mut self,
        interface: &str,
        ifindex: u32,
        mode: AttachMode,
    ) -> Result<AttachedLink, ProgramError> {
        if let Some(occupant) = occupant_of(interface, ifindex)? {
            return Err(ProgramError::Occupied { interface: interface.to_owned(), occupant });
        }
        let program = xdp(&mut self.ebpf)?;
        let refused = |error| refusal(interface, ifindex, mode, error);
        let id = program.attach_to_if_index(ifindex, kernel_mode(mode)).map_err(refused)?;
        let link = program.take_link(id).map_err(refused)?;
        let link =
            FdLink::try_from(link).map_err(|_| ProgramError::NotALink { interface: interface.to_owned() })?;
        match occupant_of(interface, ifindex)? {
            Some(found) if found.program_id == self.program_id && found.mode == Some(mode) => {
                Ok(AttachedLink { _link: link, interface: interface.to_owned(), ifindex, mode })
            }
            _ => Err(ProgramError::NotObtained { interface: interface.to_owned(), mode }),
        }
    }

    /// Attaches natively, or generically when the driver cannot.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), for the generic mode.
    pub fn attach_best(&mut self, interface: &str, ifindex: u32) -> Result<AttachedLink, ProgramError> {
        match self.attach(interface, ifindex, AttachMode::Native) {
            Err(error) if error.suggests_generic() => self.attach(interface, ifindex, AttachMode::Generic),
            outcome => outcome,
        }
    }
}

impl Drop for SteeringProgram {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.abort();
        }
    }
}

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    let program = ebpf.program_mut(abi::PROGRAM).ok_or(ProgramError::Absent)?;
    program.try_into().map_err(ProgramError::Load)
}

fn kernel_mode(mode: AttachMode) -> XdpMode {
    match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    }
}

fn occupant_of(interface: &str, ifindex: u32) -> Result<Option<Occupant>, ProgramError> {
    occupant::of(ifindex).map_err(|source| ProgramError::Query { interface: interface.to_owned(), source })
}

/// What the kernel's refusal means.
fn refusal(interface: &str, ifindex: u32, mode: AttachMode, source: AyaProgramError) -> ProgramError {
    let interface = interface.to_owned();
    let errno = match &source {
        AyaProgramError::SyscallError(error) => Errno::from_io_error(&error.io_error),
        _ => None,
    };
    match errno {
        Some(Errno::OPNOTSUPP) => ProgramError::NotSupported { interface, mode },
        Some(Errno::RANGE) => ProgramError::MtuTooLarge { interface, mode },
        Some(Errno::BUSY | Errno::EXIST) => match occupant_of(&interface, ifindex) {
            Ok(Some(occupant)) => ProgramError::Occupied { interface, occupant },
            _ => ProgramError::Attach { interface, mode, source },
        },
        _ => ProgramError::Attach { interface, mode, source },
    }
}

/// Starts the task that writes the program's records into the log.
fn write_log(ebpf: &mut Ebpf) -> Result<JoinHandle<()>, ProgramError> {
    let mut logger = EbpfLogger::init(ebpf).map_err(ProgramError::Log)?;
    Ok(tokio::spawn(async move {
        let mut pause = tokio::time::interval(LOG_PAUSE);
        loop {
            pause.tick().await;
            logger.flush();
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> ProgramError {
        let io_error = io::Error::from(errno);
        let source =
            AyaProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error });
        // Interface index 0 does not exist.
        refusal("eth0", 0, AttachMode::Native, source)
    }

    #[test]
    fn a_driver_without_xdp_suggests_generic_mode() {
        let error = refused(Errno::OPNOTSUPP);
        assert!(error.suggests_generic());
        assert_eq!(error.to_string(), "driver of eth0 does not support native XDP");
    }

    #[test]
    fn a_too_large_mtu_is_named() {
        assert_eq!(
            refused(Errno::RANGE).to_string(),
            "MTU of eth0 is too large for native XDP on its driver"
        );
    }

    #[test]
    fn a_missing_permission_is_recognised_through_all_causes() {
        let error = refused(Errno::PERM);
        assert!(error.is_permission());
        assert!(!error.suggests_generic());
        assert!(!refused(Errno::NOMEM).is_permission());
    }
}

//! The steering program in the kernel: loaded once, attached to each port, gone with the process.
//!
//! Place on the path: before everything; but this module only loads and attaches. What the program decides stands in
//! `ebpf::steer`, what it decides from is written by [`maps`](crate::maps).
//!
//! Every attachment is a BPF link held by a file descriptor and by nothing else: when the descriptor is closed, also by
//! SIGKILL, the kernel takes the program off the interface.

mod error;
pub(crate) mod link_query;
mod load_failure;
mod occupant;

use std::time::Duration;

use aya::programs::links::FdLink;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use ebpf::abi;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::maps::SteeringMaps;

pub use error::ProgramError;
pub use load_failure::LoadFailure;
pub(crate) use occupant::of as present_program;
pub use occupant::{Holder, Occupant, OccupantError};

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
    native_refusal: Option<String>,
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

    /// Why the program does not run natively, when that was tried first ([`SteeringProgram::attach_best`]).
    pub fn native_refusal(&self) -> Option<&str> {
        self.native_refusal.as_deref()
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
            .map_err(|error| ProgramError::Object(error.into()))?;
        let log = options.log_decisions.then(|| write_log(&mut ebpf)).transpose()?;
        let maps = SteeringMaps::take(&mut ebpf)?;
        let program = xdp(&mut ebpf)?;
        program.load().map_err(|error| ProgramError::Load(error.into()))?;
        let program_id = program.info().map_err(|error| ProgramError::Load(error.into()))?.id();
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
        let refused = |error| error::refusal(interface, ifindex, mode, error);
        let id = program.attach_to_if_index(ifindex, kernel_mode(mode)).map_err(refused)?;
        let link = program.take_link(id).map_err(refused)?;
        let link =
            FdLink::try_from(link).map_err(|_| ProgramError::NotALink { interface: interface.to_owned() })?;
        match occupant_of(interface, ifindex)? {
            Some(found) if found.program_id == self.program_id && found.mode == Some(mode) => {
                let interface = interface.to_owned();
                Ok(AttachedLink { _link: link, interface, ifindex, mode, native_refusal: None })
            }
            _ => Err(ProgramError::NotObtained { interface: interface.to_owned(), mode }),
        }
    }

    /// Attaches natively, or generically when the driver cannot; [`AttachedLink::native_refusal`] then tells why.
    ///
    /// # Errors
    /// As [`attach`](Self::attach): for the native mode when the generic one could not do better, else for the generic mode.
    pub fn attach_best(&mut self, interface: &str, ifindex: u32) -> Result<AttachedLink, ProgramError> {
        match self.attach(interface, ifindex, AttachMode::Native) {
            Err(refusal) if refusal.suggests_generic() => {
                let native_refusal = Some(refusal.native_refusal());
                let link = self.attach(interface, ifindex, AttachMode::Generic)?;
                Ok(AttachedLink { native_refusal, ..link })
            }
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
    program.try_into().map_err(|error: aya::programs::ProgramError| ProgramError::Load(error.into()))
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

//! One interface with the program that brings its frames to sockets.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::Context as _;
use libbpf_rs::{Link, Object};

use crate::sys::live_frames::{self, Transmitter};
use crate::{interface, object};

/// One interface with its program; frames go to the sockets in it while the link lives.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) ifindex: u32,
    object: Object,
}

impl Port {
    /// Loads the program for an interface; it is not attached yet.
    pub(crate) fn load(name: &str) -> anyhow::Result<Self> {
        let ifindex = interface::index(name)?;
        let object = object::load(object::open(object::REDIRECT)?, object::REDIRECT)?;
        Ok(Self { name: name.to_owned(), ifindex, object })
    }

    /// Loads the program with which so many workers can send live frames as well, once it is attached.
    pub(crate) fn load_with_transmitters(
        name: &str,
        workers: u32,
    ) -> anyhow::Result<(Self, Vec<Transmitter>)> {
        let ifindex = interface::index(name)?;
        let (object, transmitters) = live_frames::load(workers)?;
        Ok((Self { name: name.to_owned(), ifindex, object }, transmitters))
    }

    /// Puts the socket of a queue into the program's map.
    pub(crate) fn admit(&mut self, queue: u32, socket: BorrowedFd<'_>) -> anyhow::Result<()> {
        let sockets = object::map_mut(&mut self.object, "SOCKETS")?;
        object::write_entry(&sockets, queue, &socket.as_raw_fd())
    }

    /// Attaches the program until the link is dropped.
    pub(crate) fn attach(&mut self) -> anyhow::Result<Link> {
        object::program_mut(&mut self.object)?
            .attach_xdp(i32::try_from(self.ifindex)?)
            .with_context(|| format!("cannot attach the redirection to interface {}", self.name))
    }
}

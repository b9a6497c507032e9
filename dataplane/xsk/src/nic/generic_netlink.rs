//! One family of the kernel's generic netlink: a request and its answer, or its answers.
//!
//! Place on the path: none; asked before and beside it. What is not here: what the attributes mean.
//! Source: linux/genetlink.h, linux/netlink.h, v6.6.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::GENERIC;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

/// Message type of the family that knows all others.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr` and `struct genlmsghdr`. Units: bytes.
const HEADERS_BYTES: usize = 16 + 4;
/// Room for what the kernel sends at a time. Units: bytes.
const ANSWER_BYTES: usize = 32 * 1024;
/// How long the kernel may take to answer, which it does at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// A family that was found, and a socket to ask it with.
#[derive(Debug)]
pub(super) struct Family {
    socket: OwnedFd,
    id: u16,
}

impl Family {
    /// Finds a family by its name, in the network namespace of the calling thread.
    pub(super) fn find(name: &str) -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        let control = Self { socket, id: GENL_ID_CTRL };
        let name = attribute(CTRL_ATTR_FAMILY_NAME, &[name.as_bytes(), &[0]].concat());
        let answer = control.ask(CTRL_CMD_GETFAMILY, &name)?;
        let id = attributes(&answer)
            .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
            .and_then(|(_, value)| value.first_chunk())
            .ok_or_else(|| io::Error::other("the kernel's answer has no family number"))?;
        Ok(Self { id: u16::from_ne_bytes(*id), ..control })
    }

    /// One request and the attributes of its answer.
    pub(super) fn ask(&self, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
        send(&self.socket, &request(self.id, NLM_F_REQUEST, command, attributes), SendFlags::empty())?;
        let mut bytes = vec![0; ANSWER_BYTES];
        let (len, _) = recv(&self.socket, bytes.as_mut_slice(), RecvFlags::empty())?;
        payload(&bytes[..len])
    }

    /// One request and the attributes of each of its answers.
    pub(super) fn dump(&self, command: u8, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        send(&self.socket, &request(self.id, flags, command, attributes), SendFlags::empty())?;
        let mut bytes = vec![0; ANSWER_BYTES];
        let mut answers = Vec::new();
        loop {
            let (len, _) = recv(&self.socket, bytes.as_mut_slice(), RecvFlags::empty())?;
            if gather(&bytes[..len], &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Adds the attributes of each message in what was received; whether the last was among them.
fn gather(mut bytes: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let cut = || io::Error::other("the kernel's answer is cut short");
        let len = bytes.first_chunk().map(|len| u32::from_ne_bytes(*len) as usize).ok_or_else(cut)?;
        let message = bytes.get(..len.max(16)).ok_or_else(cut)?;
        if kind(message) == Some(NLMSG_DONE) {
            return Ok(true);
        }
        answers.push(payload(message)?);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The type of a message.
fn kind(message: &[u8]) -> Option<u16> {
    message.get(4..6).and_then(<[u8]>::first_chunk).map(|kind| u16::from_ne_bytes(*kind))
}

/// The attributes of a message, or the error that it is.
fn payload(message: &[u8]) -> io::Result<Vec<u8>> {
    let cut = || io::Error::other("the kernel's answer is cut short");
    if kind(message).ok_or_else(cut)? == NLMSG_ERROR {
        let number = message.get(16..20).and_then(<[u8]>::first_chunk).ok_or_else(cut)?;
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(*number).saturating_neg()));
    }
    message.get(HEADERS_BYTES..).map(<[u8]>::to_vec).ok_or_else(cut)
}

/// A request of a family, with its attributes.
fn request(family: u16, flags: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADERS_BYTES + attributes.len()).expect("a few bytes");
    let mut message = Vec::from(len.to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and port; the kernel fills in the port.
    message.extend([0; 8]);
    // Command, version, reserved.
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    message
}

/// An attribute: length, kind, value, padding to a multiple of four.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).expect("a few bytes");
    let mut bytes = Vec::from(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The attributes in a run of them, up to the first that is cut short.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let [len0, len1, kind0, kind1] = *bytes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([len0, len1]));
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        // The two highest bits say how the value is to be read, not what it is.
        Some((u16::from_ne_bytes([kind0, kind1]) & 0x3FFF, value))
    })
}

/// The number of 32 bits that is an attribute's value.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_cut_short_is_an_error() {
        for len in 0..HEADERS_BYTES {
            assert!(payload(&[0; HEADERS_BYTES][..len]).is_err());
        }
        let whole = request(40, 2, 10, &attribute(1, &[7, 0, 0, 0]));
        for len in 1..whole.len() {
            assert!(gather(&whole[..len], &mut Vec::new()).is_err(), "{len}");
        }
    }

    #[test]
    fn an_error_is_the_kernels_number() {
        let mut message = request(NLMSG_ERROR, 0, 0, &[]);
        message[16..20].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        assert_eq!(payload(&message).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert_eq!(gather(&message, &mut Vec::new()).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn answers_are_gathered_until_the_one_that_says_done() {
        let (one, two) = (attribute(1, &[1, 0, 0, 0]), attribute(1, &[2, 0]));
        let both = [request(40, 2, 10, &one), request(40, 2, 10, &two)].concat();
        let mut answers = Vec::new();
        assert!(!gather(&both, &mut answers).unwrap());
        assert!(gather(&request(NLMSG_DONE, 2, 0, &[]), &mut answers).unwrap());
        assert_eq!(answers, [one, two]);
    }

    #[test]
    fn a_family_that_does_not_exist_is_not_found() {
        assert_eq!(Family::find("spanwire").unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}

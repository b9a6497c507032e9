//! Interface ioctls of the ethtool kind.
//!
//! All requests are runs of 32-bit words whose first is the command, so one buffer type serves them all.
//! Source: linux/ethtool.h, v6.12.

use core::ffi::c_char;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// The string set of feature names.
const ETH_SS_FEATURES: u32 = 4;
/// Length of a name in a string set. Units: bytes.
const ETH_GSTRING_LEN: usize = 32;
/// Words of `struct ethtool_drvinfo`: command, five texts of 32 bytes, 12 reserved bytes, five numbers.
const DRVINFO_WORDS: usize = 1 + 5 * 8 + 3 + 5;

/// One block of 32 features. Source: `struct ethtool_get_features_block`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FeatureBits {
    /// May be changed.
    pub(crate) available: u32,
    /// Asked for.
    pub(crate) requested: u32,
    /// In force.
    pub(crate) active: u32,
    /// Can never be changed.
    pub(crate) never_changed: u32,
}

/// A handle to ask one interface.
#[derive(Debug)]
pub(crate) struct LinkControl {
    socket: OwnedFd,
    name: [c_char; libc::IFNAMSIZ],
}

impl LinkControl {
    /// A handle on the interface with this name, in the network namespace of the calling thread.
    pub(crate) fn open(interface: &str) -> io::Result<Self> {
        if interface.is_empty() || interface.len() >= libc::IFNAMSIZ || interface.contains('\0') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no interface can have this name"));
        }
        let mut name = [0; libc::IFNAMSIZ];
        for (place, byte) in name.iter_mut().zip(interface.bytes()) {
            *place = c_char::from_ne_bytes([byte]);
        }
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, name })
    }

    /// The texts of the driver's description: driver, version, firmware version, bus address.
    pub(crate) fn driver(&self) -> io::Result<[String; 4]> {
        let mut words = [0; DRVINFO_WORDS];
        words[0] = ETHTOOL_GDRVINFO;
        // SAFETY: `struct ethtool_drvinfo` has `DRVINFO_WORDS` words, and the kernel writes that structure only.
        unsafe { self.request(&mut words) }?;
        Ok(core::array::from_fn(|place| text(&words[1 + 8 * place..][..8])))
    }

    /// The eight numbers of `struct ethtool_channels`: maximum and current of rx, tx, other, combined.
    pub(crate) fn channels(&self) -> io::Result<[u32; 8]> {
        self.eight_numbers(ETHTOOL_GCHANNELS)
    }

    /// The eight numbers of `struct ethtool_ringparam`: maximum and current of rx, rx mini, rx jumbo, tx.
    pub(crate) fn ring_sizes(&self) -> io::Result<[u32; 8]> {
        self.eight_numbers(ETHTOOL_GRINGPARAM)
    }

    /// A structure of a command and eight numbers, which both users of it are.
    fn eight_numbers(&self, command: u32) -> io::Result<[u32; 8]> {
        let mut words = [0; 9];
        words[0] = command;
        // SAFETY: `command` is one of the two above (this function is private), whose structures have nine words.
        unsafe { self.request(&mut words) }?;
        Ok(core::array::from_fn(|place| words[1 + place]))
    }

    /// Names of all features that the kernel knows; a feature's number is its place.
    pub(crate) fn feature_names(&self) -> io::Result<Vec<String>> {
        // Command, reserved, 64-bit mask of sets, one length.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        info[2] = u32::from_ne_bytes([mask[0], mask[1], mask[2], mask[3]]);
        info[3] = u32::from_ne_bytes([mask[4], mask[5], mask[6], mask[7]]);
        // SAFETY: `struct ethtool_sset_info` has four words and one more for each set in the mask, here one.
        unsafe { self.request(&mut info) }?;
        let count = info[4] as usize;

        // Command, set, length, then the names.
        let mut names = vec![0; 3 + count * ETH_GSTRING_LEN / 4];
        names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, info[4]]);
        // SAFETY: the kernel writes three words and `ETH_GSTRING_LEN` bytes for each feature; their number is a constant of the
        // running kernel and was asked of it above.
        unsafe { self.request(&mut names) }?;
        Ok(names[3..].chunks_exact(ETH_GSTRING_LEN / 4).map(text).collect())
    }

    /// State of all features, 32 to a block; `feature_count` is the number of names.
    pub(crate) fn features(&self, feature_count: usize) -> io::Result<Vec<FeatureBits>> {
        let blocks = feature_count.div_ceil(32);
        let mut words = vec![0; 2 + 4 * blocks];
        words[0] = ETHTOOL_GFEATURES;
        words[1] = u32::try_from(blocks).map_err(io::Error::other)?;
        // SAFETY: the kernel writes two words and at most as many blocks of four as the second word said there is room for.
        unsafe { self.request(&mut words) }?;
        let block = |block: &[u32]| FeatureBits {
            available: block[0],
            requested: block[1],
            active: block[2],
            never_changed: block[3],
        };
        Ok(words[2..].chunks_exact(4).map(block).collect())
    }

    /// Asks for feature number `index` (of `feature_count`) to be on or off.
    pub(crate) fn set_feature(&self, index: usize, feature_count: usize, on: bool) -> io::Result<()> {
        let blocks = feature_count.div_ceil(32);
        let mut words = vec![0; 2 + 2 * blocks];
        words[0] = ETHTOOL_SFEATURES;
        words[1] = u32::try_from(blocks).map_err(io::Error::other)?;
        let bit = 1u32 << (index % 32);
        words[2 + 2 * (index / 32)] = bit;
        words[3 + 2 * (index / 32)] = if on { bit } else { 0 };
        // SAFETY: the kernel reads two words and as many blocks of two as the second word says, and writes none.
        unsafe { self.request(&mut words) }
    }

    /// Makes one request.
    ///
    /// # Safety
    ///
    /// `words` begins with a command and is at least as long as what the kernel reads and writes for that command and the lengths in it.
    unsafe fn request(&self, words: &mut [u32]) -> io::Result<()> {
        let data = words.as_mut_ptr().cast();
        let mut request =
            libc::ifreq { ifr_name: self.name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
        // SAFETY: SIOCETHTOOL takes a `struct ifreq` whose name ends with a zero (checked in `open`: shorter than the array) and whose
        // data pointer is good for the command in its first word, by this function's contract. Both outlive the call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The text in an array of bytes, up to its first zero.
fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_its_first_zero_byte() {
        let words = [u32::from_ne_bytes(*b"veth"), u32::from_ne_bytes(*b"\0abc")];
        assert_eq!(text(&words), "veth");
        assert_eq!(text(&[u32::from_ne_bytes(*b"igb2")]), "igb2");
    }

    #[test]
    fn a_name_that_no_interface_can_have_is_refused_before_the_kernel_sees_it() {
        for name in ["", "sixteen-is-one-2", "a\0b"] {
            let error = LinkControl::open(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}

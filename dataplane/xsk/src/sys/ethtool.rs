//! Interface ioctls of the ethtool kind.
//!
//! All requests are runs of 32-bit words whose first is the command, so one buffer type serves them all.
//! Source: linux/ethtool.h, v6.12.

use core::ffi::c_char;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_SRINGPARAM: u32 = 0x11;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GRXFH: u32 = 0x29;
const ETHTOOL_SRXFH: u32 = 0x2a;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_SCHANNELS: u32 = 0x3d;
const ETHTOOL_GRSSH: u32 = 0x46;

/// The string set of feature names.
const ETH_SS_FEATURES: u32 = 4;
/// Length of a name in a string set. Units: bytes.
const ETH_GSTRING_LEN: usize = 32;
/// Words of `struct ethtool_drvinfo`: command, five texts of 32 bytes, 12 reserved bytes, five numbers.
const DRVINFO_WORDS: usize = 1 + 5 * 8 + 3 + 5;
/// Numbers of `struct ethtool_coalesce`, all words after the command.
const COALESCE_NUMBERS: usize = 22;
/// Words of `struct ethtool_rxfh` in front of table and key: command, context, two lengths, four bytes, reserved.
const RXFH_WORDS: usize = 6;
/// Words of `struct ethtool_rxnfc`, of which these commands use the first four. Its last member is of no length here.
const RXNFC_WORDS: usize = 48;

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
        self.eight_numbers(ETHTOOL_GCHANNELS, [0; 8])
    }

    /// Sets the current numbers of `struct ethtool_channels`; the maxima are not looked at.
    pub(crate) fn set_channels(&self, numbers: [u32; 8]) -> io::Result<()> {
        self.eight_numbers(ETHTOOL_SCHANNELS, numbers).map(drop)
    }

    /// The eight numbers of `struct ethtool_ringparam`: maximum and current of rx, rx mini, rx jumbo, tx.
    pub(crate) fn ring_sizes(&self) -> io::Result<[u32; 8]> {
        self.eight_numbers(ETHTOOL_GRINGPARAM, [0; 8])
    }

    /// Sets the current numbers of `struct ethtool_ringparam`; the maxima are not looked at.
    pub(crate) fn set_ring_sizes(&self, numbers: [u32; 8]) -> io::Result<()> {
        self.eight_numbers(ETHTOOL_SRINGPARAM, numbers).map(drop)
    }

    /// A structure of a command and eight numbers, which all users of it are.
    fn eight_numbers(&self, command: u32, numbers: [u32; 8]) -> io::Result<[u32; 8]> {
        let mut words = [0; 9];
        words[0] = command;
        words[1..].copy_from_slice(&numbers);
        // SAFETY: `command` is one of the four above (this function is private), whose structures have nine words.
        unsafe { self.request(&mut words) }?;
        Ok(core::array::from_fn(|place| words[1 + place]))
    }

    /// The numbers of `struct ethtool_coalesce`, in its order.
    pub(crate) fn coalescing(&self) -> io::Result<[u32; COALESCE_NUMBERS]> {
        let mut words = [0; 1 + COALESCE_NUMBERS];
        words[0] = ETHTOOL_GCOALESCE;
        // SAFETY: `struct ethtool_coalesce` has `COALESCE_NUMBERS` words behind the command, and the kernel writes that structure only.
        unsafe { self.request(&mut words) }?;
        Ok(core::array::from_fn(|place| words[1 + place]))
    }

    /// The fields (`RXH_*`) that are hashed for packets of a type (`UDP_V4_FLOW`, ...).
    pub(crate) fn hash_fields(&self, flow: u32) -> io::Result<u64> {
        self.receive_class(ETHTOOL_GRXFH, flow, 0)
    }

    /// Sets the fields that are hashed for packets of a type.
    pub(crate) fn set_hash_fields(&self, flow: u32, fields: u64) -> io::Result<()> {
        self.receive_class(ETHTOOL_SRXFH, flow, fields).map(drop)
    }

    /// A `struct ethtool_rxnfc` of which the first three members count.
    fn receive_class(&self, command: u32, flow: u32, data: u64) -> io::Result<u64> {
        let mut words = [0; RXNFC_WORDS];
        let [low, high] = halves(data);
        words[..4].copy_from_slice(&[command, flow, low, high]);
        // SAFETY: `command` is one of the two above (this function is private), which read and write four words of the structure, or
        // the whole of it; there is room for either.
        unsafe { self.request(&mut words) }?;
        Ok(whole([words[2], words[3]]))
    }

    /// How arriving packets are spread over queues: the hash function's bit, the key's length in bytes, and the indirection table.
    pub(crate) fn receive_spread(&self) -> io::Result<(u8, usize, Vec<u32>)> {
        let mut sizes = [ETHTOOL_GRSSH, 0, 0, 0, 0, 0];
        // SAFETY: `struct ethtool_rxfh` has `RXFH_WORDS` words, and with both lengths 0 the kernel writes no more than that.
        unsafe { self.request(&mut sizes) }?;
        let [_, _, indirections, key_bytes, ..] = sizes.map(|word| word as usize);
        let mut words = vec![0; RXFH_WORDS + indirections + key_bytes.div_ceil(4)];
        words[..RXFH_WORDS].copy_from_slice(&[ETHTOOL_GRSSH, 0, sizes[2], sizes[3], 0, 0]);
        // SAFETY: behind the structure the kernel writes as many words and bytes as the two lengths in it say, or refuses when these
        // are not its own any more; there is room for them.
        unsafe { self.request(&mut words) }?;
        let [function, ..] = words[4].to_ne_bytes();
        Ok((function, key_bytes, words[RXFH_WORDS..][..indirections].to_vec()))
    }

    /// Names of all features that the kernel knows; a feature's number is its place.
    pub(crate) fn feature_names(&self) -> io::Result<Vec<String>> {
        // Command, reserved, 64-bit mask of sets, one length.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        info[2..4].copy_from_slice(&halves(1u64 << ETH_SS_FEATURES));
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

/// The two words of a 64-bit number, in the order in which they stand in memory.
fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// The 64-bit number in two words.
fn whole(halves: [u32; 2]) -> u64 {
    let [[a, b, c, d], [e, f, g, h]] = halves.map(u32::to_ne_bytes);
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
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
    fn a_number_of_64_bits_stands_in_two_words_as_in_memory() {
        assert_eq!(whole(halves(0x0123_4567_89ab_cdef)), 0x0123_4567_89ab_cdef);
        let first = u32::from_ne_bytes([0x00, 0x00, 0x00, 0x80]);
        assert_eq!(halves(u64::from_ne_bytes([0, 0, 0, 0x80, 0, 0, 0, 1]))[0], first);
    }

    #[test]
    fn a_name_that_no_interface_can_have_is_refused_before_the_kernel_sees_it() {
        for name in ["", "sixteen-is-one-2", "a\0b"] {
            let error = LinkControl::open(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}

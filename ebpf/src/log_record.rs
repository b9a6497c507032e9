//! One decision as a log record in the form that `aya-log` reads.
//!
//! Place on the path: built only when the log level was raised at load time. The record has one fixed size and is made
//! where it is sent from, so that the program stays a straight line; `aya-log-ebpf`'s own macros declare their ring buffer in a
//! form that libbpf has stopped loading.

use aya_log_common::{ArgumentKind, Level, RecordFieldKind};

use crate::abi::PROGRAM;
use crate::stats::Stat;

/// A record: `NAME: port IFINDEX queue QUEUE`.
///
/// ```text
///  0            2        2+F       2+F+A
/// +------------+--------+---------+---------+     field, argument = kind (1), length (2), value
/// | size (2)   | fields | 4 args  | name    |
/// +------------+--------+---------+---------+
/// ```
///
/// Byte order: the machine's, as the reader on the same machine expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord([u8; Self::BYTES]);

impl LogRecord {
    /// Bytes of every record; behind a short name the rest is unused.
    pub const BYTES: usize = LAID_OUT.1.name + Stat::NAME_BYTES;

    /// What all records have in common.
    pub const TEMPLATE: Self = Self(FITTED.0);

    /// Makes it the record of one decision.
    #[inline(always)]
    pub fn set(&mut self, stat: Stat, ifindex: u32, rx_queue: u32) {
        let (Self(bytes), at) = (self, FITTED.1);
        let name = NAMES[stat as usize];
        put(bytes, 0, size_bytes(at.name + stat.name().len()));
        put(bytes, at.ifindex, ifindex.to_ne_bytes());
        put(bytes, at.rx_queue, rx_queue.to_ne_bytes());
        put(bytes, at.name - 2, size_bytes(stat.name().len()));
        put(bytes, at.name, name);
    }
}

/// Offsets of the values that differ between records.
#[derive(Clone, Copy)]
struct Offsets {
    ifindex: usize,
    rx_queue: usize,
    name: usize,
}

/// Room for the template while its size is being found out.
const ROOM: usize = 160;
const LAID_OUT: ([u8; ROOM], Offsets) = template();
const FITTED: ([u8; LogRecord::BYTES], Offsets) = (fit(&LAID_OUT.0), LAID_OUT.1);
const NAMES: [[u8; Stat::NAME_BYTES]; Stat::COUNT] = names();

const fn template() -> ([u8; ROOM], Offsets) {
    let mut bytes = [0; ROOM];
    let program = PROGRAM.as_bytes();
    let mut end = 2;
    end = field(&mut bytes, end, RecordFieldKind::Target as u8, program);
    end = field(&mut bytes, end, RecordFieldKind::Level as u8, &[Level::Debug as u8]);
    end = field(&mut bytes, end, RecordFieldKind::Module as u8, program);
    end = field(&mut bytes, end, RecordFieldKind::File as u8, b"");
    end = field(&mut bytes, end, RecordFieldKind::Line as u8, &0_u32.to_ne_bytes());
    end = field(&mut bytes, end, RecordFieldKind::NumArgs as u8, &6_u32.to_ne_bytes());
    end = field(&mut bytes, end, ArgumentKind::Str as u8, b"port ");
    let ifindex = end + 3;
    end = field(&mut bytes, end, ArgumentKind::U32 as u8, &[0; 4]);
    end = field(&mut bytes, end, ArgumentKind::Str as u8, b" queue ");
    let rx_queue = end + 3;
    end = field(&mut bytes, end, ArgumentKind::U32 as u8, &[0; 4]);
    end = field(&mut bytes, end, ArgumentKind::Str as u8, b": ");
    bytes[end] = ArgumentKind::Str as u8;
    (bytes, Offsets { ifindex, rx_queue, name: end + 3 })
}

/// Writes kind, length and value at `start`; returns where the next one starts.
const fn field(bytes: &mut [u8; ROOM], start: usize, kind: u8, value: &[u8]) -> usize {
    let [first, second] = size_bytes(value.len());
    bytes[start] = kind;
    bytes[start + 1] = first;
    bytes[start + 2] = second;
    let mut position = 0;
    while position < value.len() {
        bytes[start + 3 + position] = value[position];
        position += 1;
    }
    start + 3 + value.len()
}

#[expect(clippy::cast_possible_truncation, reason = "every length here is below ROOM")]
const fn size_bytes(size: usize) -> [u8; 2] {
    (size as u16).to_ne_bytes()
}

const fn fit<const FROM: usize, const TO: usize>(from: &[u8; FROM]) -> [u8; TO] {
    let mut to = [0; TO];
    let mut position = 0;
    while position < TO && position < FROM {
        to[position] = from[position];
        position += 1;
    }
    to
}

const fn names() -> [[u8; Stat::NAME_BYTES]; Stat::COUNT] {
    let mut names = [[0; Stat::NAME_BYTES]; Stat::COUNT];
    let mut index = 0;
    while index < Stat::COUNT {
        let name = Stat::ALL[index].name().as_bytes();
        let mut position = 0;
        while position < name.len() {
            names[index][position] = name[position];
            position += 1;
        }
        index += 1;
    }
    names
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8; LogRecord::BYTES], offset: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<N>) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::LogRecord;
    use crate::abi::PROGRAM;
    use crate::stats::Stat;
    use aya_log_common::{Argument, Field, Header, Level};

    /// The record as the logging library's own encoder writes it.
    fn encoded_by_library(name: &str, ifindex: u32, rx_queue: u32) -> Vec<u8> {
        let mut bytes = vec![0, 0];
        let mut append = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Some(())
        };
        Header::new(PROGRAM, Level::Debug, PROGRAM, "", 0, 6).unwrap().with_bytes(&mut append).unwrap();
        fn argument(value: &impl Argument, append: &mut impl FnMut(&[u8]) -> Option<()>) {
            let (kind, value) = value.as_argument();
            Field::new(kind, value).unwrap().with_bytes(append).unwrap();
        }
        argument(&"port ", &mut append);
        argument(&ifindex, &mut append);
        argument(&" queue ", &mut append);
        argument(&rx_queue, &mut append);
        argument(&": ", &mut append);
        argument(&name, &mut append);
        let size = u16::try_from(bytes.len()).unwrap();
        bytes[..2].copy_from_slice(&size.to_ne_bytes());
        bytes
    }

    #[test]
    fn every_record_equals_the_librarys_encoding() {
        for stat in Stat::ALL {
            let mut record = LogRecord::TEMPLATE;
            record.set(stat, 0x0102_0304, 7);
            let expected = encoded_by_library(stat.name(), 0x0102_0304, 7);
            assert_eq!(&record.0[..expected.len()], expected, "{}", stat.name());
        }
    }
}

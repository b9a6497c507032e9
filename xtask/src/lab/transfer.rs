//! One TCP connection between two machines: a stream of known length and content, counted and digested at both ends.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use netlab::Node;
use serde::Serialize;

/// The port that is listened on.
const PORT: u16 = 40001;

/// Longest time to connect, and longest time in which not one byte moves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes written and read at once. A multiple of 8.
const BLOCK_BYTES: usize = 65536;

/// What became of a stream.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Transfer {
    /// Bytes to be sent.
    pub(super) bytes: u64,
    /// Bytes received.
    pub(super) received_bytes: u64,
    /// 64-bit digest of what was to be sent.
    pub(super) digest: String,
    /// 64-bit digest of what was received.
    pub(super) received_digest: String,
    /// Time from the first byte sent to the last one received.
    pub(super) seconds: f64,
    /// What ended it early.
    pub(super) fault: Option<String>,
}

impl Transfer {
    /// Whether all that was to be sent arrived, nothing else, and unchanged.
    pub(super) fn is_ok(&self) -> bool {
        let is_whole = (self.bytes, &self.digest) == (self.received_bytes, &self.received_digest);
        is_whole && self.fault.is_none()
    }

    /// Content received by time. Units: Mbit/s.
    pub(super) fn rate_mbit(&self) -> f64 {
        // Exact up to 2^53 bytes.
        #[allow(clippy::cast_precision_loss)]
        let bits = self.received_bytes as f64 * 8.0;
        bits / self.seconds / 1e6
    }
}

/// Sends `bytes` bytes from `sender` to `address`, which is `receiver`'s. Units: bytes, a multiple of 65536.
///
/// # Errors
/// The receiver cannot listen; a connection that fails or ends early is no error.
pub(super) fn send(sender: &Node, receiver: &Node, address: Ipv4Addr, bytes: u64) -> Result<Transfer> {
    let target = SocketAddr::from((address, PORT));
    let listener =
        receiver.inside(|| TcpListener::bind(target))?.with_context(|| format!("listening on {target}"))?;
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut sent = Tally::default();
    let fault = match sender.inside(|| TcpStream::connect_timeout(&target, PATIENCE))? {
        Err(fault) => Some(format!("connecting: {fault}")),
        Ok(output) => {
            // The connection stands, so nothing is waited for.
            let (input, _) = listener.accept().context("accepting the connection")?;
            let (written, read) = thread::scope(|scope| {
                let reader = scope.spawn(|| receive(input, &mut tally));
                let written = transmit(output, bytes, &mut sent);
                (written, reader.join())
            });
            let read = read.map_err(|_| anyhow!("the receiver panicked"))?;
            let faults = [("sending", written), ("receiving", read)];
            faults.into_iter().find_map(|(what, end)| Some(format!("{what}: {}", end.err()?)))
        }
    };
    Ok(Transfer {
        bytes,
        received_bytes: tally.bytes,
        digest: sent.digest(),
        received_digest: tally.digest(),
        seconds: start.elapsed().as_secs_f64(),
        fault,
    })
}

/// Length and digest of a stream so far.
#[derive(Debug, Default)]
struct Tally {
    bytes: u64,
    /// SipHash with fixed keys: whatever is changed, moved or left out changes it.
    hasher: DefaultHasher,
}

impl Tally {
    fn note(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        self.hasher.write(block);
    }

    fn digest(&self) -> String {
        format!("{:016x}", self.hasher.finish())
    }
}

/// Numbers without a pattern that repeats (xorshift), so that no part of the stream is like another.
#[derive(Debug)]
struct Content(u64);

impl Content {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.as_chunks_mut::<8>().0 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *word = self.0.to_le_bytes();
        }
    }
}

/// Writes the stream and ends it. `tally` is of what was to be sent, as far as it came.
fn transmit(mut output: TcpStream, bytes: u64, tally: &mut Tally) -> io::Result<()> {
    output.set_write_timeout(Some(PATIENCE))?;
    let mut content = Content::new();
    let mut block = vec![0; BLOCK_BYTES];
    while tally.bytes < bytes {
        content.fill(&mut block);
        tally.note(&block);
        output.write_all(&block)?;
    }
    output.shutdown(std::net::Shutdown::Write)
}

/// Reads to the end of the stream.
fn receive(mut input: TcpStream, tally: &mut Tally) -> io::Result<()> {
    input.set_read_timeout(Some(PATIENCE))?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match input.read(&mut block)? {
            0 => return Ok(()),
            len => tally.note(&block[..len]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest, of blocks of the stream with something done to them.
    fn digest(change: impl Fn(&mut Vec<u8>)) -> String {
        let mut bytes = vec![0; 4 * 1024];
        Content::new().fill(&mut bytes);
        change(&mut bytes);
        let mut tally = Tally::default();
        tally.note(&bytes);
        tally.digest()
    }

    fn transfer(received_bytes: u64, received_digest: String) -> Transfer {
        let (bytes, digest) = (4096, digest(|_| ()));
        Transfer { bytes, received_bytes, digest, received_digest, seconds: 2.0, fault: None }
    }

    #[test]
    fn a_stream_is_whole_when_length_and_digest_are_the_senders() {
        let whole = transfer(4096, digest(|_| ()));
        assert!(whole.is_ok());
        assert!((whole.rate_mbit() - 0.016_384).abs() < 1e-9);
        assert!(!Transfer { fault: Some("timed out".to_owned()), ..whole }.is_ok());
        assert!(!transfer(4095, digest(|_| ())).is_ok());
    }

    #[test]
    fn a_changed_a_moved_and_a_missing_byte_change_the_digest() {
        let changes: [fn(&mut Vec<u8>); 3] =
            [|bytes| bytes[2000] ^= 1, |bytes| bytes.swap(10, 3000), |bytes| bytes.truncate(4095)];
        for change in changes {
            assert!(!transfer(4096, digest(change)).is_ok());
        }
    }

    #[test]
    fn blocks_are_digested_like_the_whole() {
        let mut bytes = vec![0; 4 * 1024];
        Content::new().fill(&mut bytes);
        let mut tally = Tally::default();
        bytes.chunks(999).for_each(|block| tally.note(block));
        assert_eq!((tally.bytes, tally.digest()), (4096, digest(|_| ())));
    }

    #[test]
    #[ignore = "needs root and network namespaces"]
    fn a_stream_over_a_plain_veth_pair_arrives_whole_and_one_to_nobody_does_not() {
        assert_eq!(netlab::missing(), Vec::<String>::new());
        let lab = netlab::Lab::new("xttcp").unwrap();
        let (left, right) = (lab.node("left").unwrap(), lab.node("right").unwrap());
        lab.link((&left, "eth0"), (&right, "eth0"), &netlab::LinkOptions::default()).unwrap();
        left.ip("address add 192.0.2.1/24 dev eth0").unwrap();
        right.ip("address add 192.0.2.2/24 dev eth0").unwrap();
        let address = Ipv4Addr::new(192, 0, 2, 2);
        let whole = send(&left, &right, address, 1 << 20).unwrap();
        assert!(whole.is_ok(), "{whole:?}");
        assert_eq!(whole.received_bytes, 1 << 20);
        left.ip("route add unreachable 192.0.2.2").unwrap();
        let lost = send(&left, &right, address, 1 << 20).unwrap();
        assert_eq!((lost.received_bytes, lost.is_ok()), (0, false));
        assert!(lost.fault.unwrap().starts_with("connecting: "));
    }
}

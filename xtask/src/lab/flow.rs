//! One flow between two machines: numbered UDP datagrams at a steady pace, each checked where it arrives.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use netlab::Node;
use netlab::cpu::Reading;
use serde::Serialize;

/// Ethernet, IPv4 and UDP headers, and the frame check sequence that no interface shows. Units: bytes.
const HEADERS_AND_FCS_BYTES: usize = 14 + 20 + 8 + 4;

/// The port that is received on.
const PORT: u16 = 40000;

/// Receive buffer: more than a whole flow takes, so that a late reader loses nothing. Units: bytes.
const BUFFER_BYTES: usize = 64 << 20;

/// Most datagrams sent at once when the sender is behind; well below every ring on the way.
const BURST: u32 = 32;

/// Time between two looks at the clock of the sender.
const PACE: Duration = Duration::from_millis(1);

/// How long the receiver waits for stragglers after the last datagram was sent.
const SILENCE: Duration = Duration::from_millis(500);

/// A flow to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Length of a frame with its FCS. Units: bytes. Range: 64 and up.
    pub(super) frame_bytes: usize,
    /// Datagrams to send.
    pub(super) count: u32,
    /// Pace.
    pub(super) rate_pps: u32,
}

/// What became of a flow.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Flow {
    /// Length of a frame with its FCS. Units: bytes.
    pub(super) frame_bytes: usize,
    /// Datagrams sent.
    pub(super) sent: u32,
    /// Different datagrams received unchanged.
    pub(super) received: u32,
    /// Datagrams received more than once.
    pub(super) duplicates: u32,
    /// Datagrams received with another length or content.
    pub(super) damaged: u32,
    /// Rate between the first and the last datagram received. Units: packets/s.
    pub(super) received_pps: f64,
    /// Busy time of the whole machine above idle while the flow ran; negative when lost in other work. Units: ns.
    pub(super) cpu_ns: f64,
}

impl Flow {
    /// Whether every datagram arrived once and unchanged.
    pub(super) fn is_ok(&self) -> bool {
        self.received == self.sent && self.duplicates == 0 && self.damaged == 0
    }
}

/// Sends a flow from `sender` to `address`, which is `receiver`'s.
///
/// # Errors
/// A socket cannot be opened or used; loss is no error.
pub(super) fn send(
    sender: &Node,
    receiver: &Node,
    address: Ipv4Addr,
    shape: Shape,
    idle_share: f64,
) -> Result<Flow> {
    let target = SocketAddrV4::new(address, PORT);
    let input =
        receiver.inside(|| open_receiver(target))?.with_context(|| format!("receiving on {target}"))?;
    let output = sender.inside(|| open_sender(target))?.with_context(|| format!("sending to {target}"))?;
    let before = Reading::take()?;
    let done = AtomicBool::new(false);
    let tally = thread::scope(|scope| {
        let reader = scope.spawn(|| receive(&input, shape, &done));
        let sent = transmit(&output, shape);
        done.store(true, Ordering::SeqCst);
        let tally = reader.join().map_err(|_| anyhow!("the receiver panicked"))?;
        sent.with_context(|| format!("sending to {target}"))?;
        tally.with_context(|| format!("receiving on {target}"))
    })?;
    let cpu_ns = before.busy_above_idle_ns(idle_share)?;
    Ok(tally.into_flow(shape, cpu_ns))
}

fn open_receiver(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}

fn open_sender(target: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(target)?;
    Ok(socket)
}

/// Bytes that count up, for every start: a datagram's content is a part of them, so that filling it in and comparing it is one
/// copy and one comparison. This program is not optimised, and its work is in the CPU times.
static COUNTING: [u8; 256 + 65536] = {
    let mut bytes = [0; 256 + 65536];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = index.to_le_bytes()[0];
        index += 1;
    }
    bytes
};

/// Writes the datagram of a number: the number, then bytes that count up from it.
fn fill(datagram: &mut [u8], number: u32) {
    let (head, body) = datagram.split_at_mut(4);
    head.copy_from_slice(&number.to_be_bytes());
    let start = usize::from(number.to_le_bytes()[0]);
    body.copy_from_slice(&COUNTING[start..][..body.len()]);
}

/// Sends the flow at its pace.
fn transmit(socket: &UdpSocket, shape: Shape) -> io::Result<()> {
    let mut datagram = vec![0; shape.frame_bytes - HEADERS_AND_FCS_BYTES];
    let start = Instant::now();
    let mut sent = 0;
    while sent < shape.count {
        let due_by_now = start.elapsed().as_micros() * u128::from(shape.rate_pps) / 1_000_000;
        let due = u32::try_from(due_by_now).unwrap_or(u32::MAX).min(sent + BURST).min(shape.count);
        for number in sent..due {
            fill(&mut datagram, number);
            socket.send(&datagram)?;
        }
        sent = due;
        thread::sleep(PACE);
    }
    Ok(())
}

/// What a receiver has seen.
#[derive(Debug)]
struct Tally {
    seen: Vec<bool>,
    duplicates: u32,
    damaged: u32,
    first_and_last: Option<(Instant, Instant)>,
}

impl Tally {
    fn new(count: u32) -> Self {
        Self { seen: vec![false; count as usize], duplicates: 0, damaged: 0, first_and_last: None }
    }

    /// Judges one datagram; `expected` is scratch space of the right length.
    fn note(&mut self, datagram: &[u8], expected: &mut [u8], now: Instant) {
        let first = self.first_and_last.map_or(now, |(first, _)| first);
        self.first_and_last = Some((first, now));
        let Some(number) = datagram.first_chunk().map(|head| u32::from_be_bytes(*head)) else {
            self.damaged += 1;
            return;
        };
        fill(expected, number);
        match self.seen.get_mut(number as usize) {
            Some(seen) if datagram == expected => {
                self.duplicates += u32::from(*seen);
                *seen = true;
            }
            _ => self.damaged += 1,
        }
    }

    fn received(&self) -> u32 {
        u32::try_from(self.seen.iter().filter(|seen| **seen).count()).unwrap_or(u32::MAX)
    }

    fn into_flow(self, shape: Shape, cpu_ns: f64) -> Flow {
        let received = self.received();
        let span_s = self.first_and_last.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let received_pps = if span_s > 0.0 { f64::from(received.saturating_sub(1)) / span_s } else { 0.0 };
        let Self { duplicates, damaged, .. } = self;
        Flow {
            frame_bytes: shape.frame_bytes,
            sent: shape.count,
            received,
            duplicates,
            damaged,
            received_pps,
            cpu_ns,
        }
    }
}

/// Receives until the sender is done and nothing more comes.
fn receive(socket: &UdpSocket, shape: Shape, done: &AtomicBool) -> io::Result<Tally> {
    let mut tally = Tally::new(shape.count);
    let mut expected = vec![0; shape.frame_bytes - HEADERS_AND_FCS_BYTES];
    let mut datagram = vec![0; 65536];
    let mut quiet_since = Instant::now();
    loop {
        // Read before the receive: what was sent before it was set is then in the buffer or on its way.
        let is_done = done.load(Ordering::SeqCst);
        match socket.recv(&mut datagram) {
            Ok(len) => {
                quiet_since = Instant::now();
                tally.note(&datagram[..len], &mut expected, quiet_since);
            }
            Err(fault) if matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if is_done && quiet_since.elapsed() > SILENCE {
                    return Ok(tally);
                }
            }
            Err(fault) => return Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges datagrams of 18 bytes, as in 64-byte frames.
    fn tally(datagrams: &[&[u8]]) -> Tally {
        let mut tally = Tally::new(4);
        let mut expected = [0; 18];
        datagrams.iter().for_each(|datagram| tally.note(datagram, &mut expected, Instant::now()));
        tally
    }

    fn datagram(number: u32) -> [u8; 18] {
        let mut bytes = [0; 18];
        fill(&mut bytes, number);
        bytes
    }

    #[test]
    fn a_datagram_is_its_number_and_bytes_that_count_up_from_it() {
        assert_eq!(datagram(0x01ff)[..7], [0, 0, 1, 0xff, 0xff, 0, 1]);
    }

    #[test]
    fn a_lost_datagram_makes_the_flow_fail() {
        let tally = tally(&[&datagram(0), &datagram(2), &datagram(3)]);
        let flow = tally.into_flow(Shape { frame_bytes: 64, count: 4, rate_pps: 1 }, 0.0);
        assert_eq!((flow.received, flow.is_ok()), (3, false));
    }

    #[test]
    fn a_datagram_received_twice_counts_once_and_as_a_duplicate() {
        let tally = tally(&[&datagram(1), &datagram(1)]);
        assert_eq!((tally.received(), tally.duplicates, tally.damaged), (1, 1, 0));
    }

    #[test]
    fn changed_shortened_and_foreign_datagrams_are_damaged() {
        let mut changed = datagram(1);
        changed[17] ^= 1;
        let tally = tally(&[&changed, &datagram(2)[..17], &datagram(9), &[1, 2]]);
        assert_eq!((tally.received(), tally.duplicates, tally.damaged), (0, 0, 4));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let tally = tally(&[&datagram(3), &datagram(0), &datagram(2), &datagram(1)]);
        let flow = tally.into_flow(Shape { frame_bytes: 64, count: 4, rate_pps: 1 }, 0.0);
        assert!(flow.is_ok());
    }

    #[test]
    #[ignore = "needs root and network namespaces"]
    fn a_flow_over_a_plain_veth_pair_arrives_whole_and_a_stopped_one_does_not() {
        assert_eq!(netlab::missing(), Vec::<String>::new());
        let lab = netlab::Lab::new("xtflow").unwrap();
        let (left, right) = (lab.node("left").unwrap(), lab.node("right").unwrap());
        lab.link((&left, "eth0"), (&right, "eth0"), &netlab::LinkOptions::default()).unwrap();
        left.ip("address add 192.0.2.1/24 dev eth0").unwrap();
        right.ip("address add 192.0.2.2/24 dev eth0").unwrap();
        let shape = Shape { frame_bytes: 1518, count: 1000, rate_pps: 5000 };
        let flow = send(&left, &right, Ipv4Addr::new(192, 0, 2, 2), shape, 0.0).unwrap();
        assert!(flow.is_ok(), "{flow:?}");
        // A wrong MAC address from now on.
        left.ip("neighbour replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0").unwrap();
        let flow = send(&left, &right, Ipv4Addr::new(192, 0, 2, 2), shape, 0.0).unwrap();
        assert_eq!((flow.received, flow.is_ok()), (0, false));
    }
}

//! Holder: which program has a UDP port, in words for a warning.
//!
//! Place: asked once, when an anchor cannot be had. Read from `/proc`, as `ss -ulpn` does.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The program that has a UDP port at an address.
pub(super) fn of(socket: SocketAddr) -> String {
    let inode = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        inode_in(&table, socket)
    });
    let program = inode.and_then(|inode| program_of(Path::new("/proc"), inode));
    program.unwrap_or_else(|| {
        let port = socket.port();
        format!("another socket (`ss -ulpn sport = :{port}` shows it; a kernel tunnel has no program: `ip l2tp show tunnel`)")
    })
}

/// Inode of the socket that has the port at this address or at all addresses.
///
/// ```text
///   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ...
/// 1234: 0264C80A:1389 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31337 ...
/// ```
/// Source: Linux v6.12, `udp4_format_sock` in net/ipv4/udp.c.
fn inode_in(table: &str, socket: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (address, port) = words.nth(1)?.split_once(':')?;
        let address = address_of(address)?;
        let is_it = u16::from_str_radix(port, 16).ok()? == socket.port()
            && (address == socket.ip() || address.is_unspecified());
        if is_it { words.nth(7)?.parse().ok() } else { None }
    })
}

/// An address as `/proc` writes it: 32-bit words, each in the machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::with_capacity(16);
    for at in (0..text.len()).step_by(8) {
        octets.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// Name and number of the process that has a socket open; `None` when it cannot be found, or must not be looked at.
fn program_of(proc: &Path, inode: u64) -> Option<String> {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir(proc).ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let directory = proc.join(pid.to_string());
        let mut files = fs::read_dir(directory.join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link.as_str())
        })?;
        let name = fs::read_to_string(directory.join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        1: 0264C80A:1389 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31337 2 0000000000000000 0\n\
        2: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0000000000000000 0\n";

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_is_found_by_its_address_or_as_one_of_all_addresses() {
        assert_eq!(inode_in(TABLE, socket("10.200.100.2:5001")), Some(31337));
        assert_eq!(inode_in(TABLE, socket("10.200.100.3:5001")), None);
        assert_eq!(inode_in(TABLE, socket("10.200.100.3:53")), Some(4242));
        assert_eq!(inode_in("", socket("10.200.100.3:53")), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn ipv6_addresses_are_read_word_by_word() {
        assert_eq!(address_of("000000FD000000000000000001000000"), Some("fd00::1".parse().unwrap()));
        assert_eq!(address_of("00"), None);
        assert_eq!(address_of("\u{e4}\u{e4}\u{e4}\u{e4}"), None);
    }

    #[test]
    fn a_port_of_this_process_is_told_with_its_name() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(held) = UdpSocket::bind(bound) else { continue };
            let told = of(held.local_addr().unwrap());
            assert!(told.ends_with(&format!("(process {})", std::process::id())), "{told}");
        }
    }
}

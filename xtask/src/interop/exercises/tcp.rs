//! A TCP connection between the stations: what either end takes for the other's largest segment, and whether all arrives.

use anyhow::{Context as _, Result};

use super::{DEADLINE, Stage, demand, station, wait_for};
use crate::interop::case::{Case, Encap, Family, Gateway, Tunnel};
use crate::interop::network::{LAN_MTU_BYTES, NARROW_MTU_BYTES};
use crate::interop::pings::Pings;

/// Content each way. Units: bytes.
const BYTES: u32 = 200_000;

/// Headers of inner IPv4 and TCP without options. Units: bytes.
const INNER_HEADERS_BYTES: u32 = 20 + 20;

/// What the guest says of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Seen<'t> {
    /// Largest segment that the end behind the kernel, and the one behind us, send. Units: bytes.
    mss: [Option<u32>; 2],
    /// Of what each end was to send, and of what the other received.
    digests: Vec<&'t str>,
}

impl Stage<'_> {
    pub(super) fn tcp(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let output = self.guest.run(&script(case), DEADLINE)?;
        let seen = seen(&output).with_context(|| format!("what the guest says: {output:?}"))?;
        let expected = largest_segment(case, &self.tunnels[usize::from(case.wires[0].tunnels[0])]);
        for (at, mss) in ["pck", "pc1"].into_iter().zip(seen.mss) {
            demand(pings, mss == Some(expected), || {
                let said = mss.map_or("none".to_owned(), |mss| mss.to_string());
                format!("{at} sends segments of {said} and not {expected} bytes")
            });
        }
        let is_same = seen.digests.len() == 3 && seen.digests.iter().all(|digest| *digest == seen.digests[0]);
        demand(pings, is_same, || format!("not all of {BYTES} bytes over TCP arrived unchanged"));
        Ok(())
    }
}

/// Both ends send the same content and stay until each has all of it, and has been looked at.
fn script(case: &Case) -> String {
    let port = 5000 + case.number;
    let end = |namespace: &str, words: &str, file: &str| {
        format!(
            "{{ cat /tmp/tx; while [ ! -e /tmp/done ]; do usleep 20000; done; }} | \
             $ip netns exec {namespace} timeout 20 nc {words} >/tmp/{file} 2>&1 &\n"
        )
    };
    let mut text = format!("rm -f /tmp/done\n[ -e /tmp/tx ] || head -c {BYTES} /dev/urandom >/tmp/tx\n");
    text += &end("pck", &format!("-l -p {port}"), "rx.0");
    text += &wait_for(&format!("$ip netns exec pck /tools/ss -Htln 'sport = :{port}' | grep -q LISTEN"));
    text += &end("pc1", &format!("{} {port}", station(case, Gateway::Kernel)), "rx.1");
    text += &wait_for(&format!("[ $(cat /tmp/rx.0 /tmp/rx.1 | wc -c) = {} ]", 2 * BYTES));
    text += &format!(
        "$ip netns exec pck /tools/ss -Htin 'sport = :{port}' | sed 's/^/pck /'\n\
         $ip netns exec pc1 /tools/ss -Htin 'dport = :{port}' | sed 's/^/pc1 /'\n\
         touch /tmp/done\nwait\nsha256sum /tmp/tx /tmp/rx.0 /tmp/rx.1\n"
    );
    text
}

/// Lines `pck ... mss:1460 ...` of `ss`, and `sha256sum`'s lines.
fn seen(output: &str) -> Option<Seen<'_>> {
    let mss = |namespace: &str| {
        let lines = output.lines().filter(|line| line.starts_with(namespace));
        let mut words = lines.flat_map(str::split_whitespace);
        words.find_map(|word| word.strip_prefix("mss:")?.parse().ok())
    };
    let digest = |line: &'_ str| line.contains("  /tmp/").then_some(());
    let digests: Vec<&str> = output
        .lines()
        .filter(|line| digest(line).is_some())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    (!digests.is_empty()).then(|| Seen { mss: [mss("pck"), mss("pc1")], digests })
}

/// Largest segment that both ends have to use. Units: bytes.
fn largest_segment(case: &Case, tunnel: &Tunnel) -> u32 {
    let of_the_lan = LAN_MTU_BYTES - INNER_HEADERS_BYTES;
    match case.setting("mss_clamp") {
        None => of_the_lan,
        Some(value) => match value.as_integer() {
            Some(number) => u32::try_from(number).unwrap_or(of_the_lan),
            None => NARROW_MTU_BYTES - outer_bytes(case, tunnel) - 14 - INNER_HEADERS_BYTES,
        },
    }
}

/// Everything in front of the inner Ethernet header in our packets. Units: bytes.
fn outer_bytes(case: &Case, tunnel: &Tunnel) -> u32 {
    let ip = if tunnel.family == Family::V4 { 20 } else { 40 };
    let udp = if tunnel.encap == Encap::Udp { 8 } else { 0 };
    let l2tp = case.wires[0].ends[1].header_bytes(tunnel.encap);
    ip + udp + u32::try_from(l2tp).expect("a header of a few bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::matrix::{self, Matrix};

    const OUTPUT: &str = "\
pck ESTAB 0 0 10.1.0.2:5000 10.1.0.1:40000
pck \t cubic rto:201 rtt:0.5/0.2 mss:1386 pmtu:1500 rcvmss:1386 advmss:1460 cwnd:10
pc1 ESTAB 0 0 10.1.0.1:40000 10.1.0.2:5000
pc1 \t cubic rto:201 mss:1460 pmtu:1500 rcvmss:536 advmss:1460
aa  /tmp/tx
aa  /tmp/rx.0
bb  /tmp/rx.1
";

    #[test]
    fn segments_are_read_by_end_and_digests_in_order() {
        let expected = Seen { mss: [Some(1386), Some(1460)], digests: vec!["aa", "aa", "bb"] };
        assert_eq!(seen(OUTPUT), Some(expected));
        assert_eq!(seen("nothing\n"), None);
    }

    #[test]
    fn the_largest_segment_is_the_lans_the_given_one_or_what_fits_the_narrow_path() {
        let Matrix { cases, tunnels, .. } = matrix::all();
        let of = |name: &str| {
            let case = cases.iter().find(|case| case.name == name).unwrap();
            largest_segment(case, &tunnels[usize::from(case.wires[0].tunnels[0])])
        };
        assert_eq!(of("udp4/fragments"), 1460);
        assert_eq!(of("ip6/mss_clamp-1000"), 1000);
        // The table in docs/src/guide/mtu.md has inner packets of 1450 and 1438, with sublayer and a cookie of 8.
        assert_eq!(of("ip4/mss_clamp-auto"), 1450 - 40);
        assert_eq!(of("udp4/mss_clamp-auto"), 1438 - 40);
        assert_eq!(of("udp6/mss_clamp-auto"), 1418 - 40);
    }
}

//! Outer headers: from what the user chose for a tunnel to what the engine writes and expects.

use dataplane::tables::next_hops::OuterFields;

use crate::config::{
    model::{Encap, Tunnel},
    outer::{Dscp, Ecn},
};

/// Where the DSCP stands in a class.
const DSCP_SHIFT: u32 = 2;
/// The bits of a class that are the DSCP.
const DSCP_BITS: u8 = 0xFC;
/// The bits of a class that are the ECN field.
const ECN_BITS: u8 = 0x03;

/// Whether the tunnel's packets get a UDP checksum.
pub(super) fn sends_checksum(tunnel: &Tunnel) -> bool {
    if tunnel.local.is_ipv4() { tunnel.outer.udp_csum } else { tunnel.outer.udp6_csum_tx }
}

/// Whether packets without a UDP checksum are refused: over IPv6 only (RFC 768 lets them be over IPv4), and only where there
/// is UDP.
pub(super) fn needs_checksum(tunnel: &Tunnel) -> bool {
    tunnel.encap != Encap::Ip && tunnel.local.is_ipv6() && tunnel.outer.udp6_csum_rx
}

/// The fields of the outer IP header.
pub(super) fn fields(tunnel: &Tunnel) -> OuterFields {
    let (dscp, copied_dscp) = match tunnel.outer.dscp {
        Dscp::Copy => (0, DSCP_BITS),
        Dscp::Fixed(value) => (value << DSCP_SHIFT, 0),
    };
    let copied_ecn = match tunnel.outer.ecn {
        Ecn::Zero => 0,
        Ecn::Copy => ECN_BITS,
    };
    OuterFields {
        hop_limit: tunnel.outer.ttl,
        traffic_class: dscp,
        copied_class: copied_dscp | copied_ecn,
        dont_fragment: tunnel.outer.df,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A tunnel with these lines in its table.
    fn tunnel(lines: &str) -> Tunnel {
        let text = format!(
            "[port.wan]\ninterface = \"eth0\"\nrole = \"underlay\"\n\
             [tunnel.t]\ntunnel_id = 1\npeer_tunnel_id = 1\n{lines}\n"
        );
        let checked = config::check("test.toml", &text, None);
        checked.config.unwrap_or_else(|| panic!("{}", checked.findings)).tunnels.remove(0)
    }

    const V4: &str = "local = \"192.0.2.1\"\nremote = \"192.0.2.2\"\n";
    const V6: &str = "local = \"2001:db8::1\"\nremote = \"2001:db8::2\"\n";
    const UDP: &str = "udp_sport = 1\nudp_dport = 2\n";

    /// Whether it sends and needs checksums.
    fn checksums(lines: &[&str]) -> (bool, bool) {
        let tunnel = tunnel(&lines.concat());
        (sends_checksum(&tunnel), needs_checksum(&tunnel))
    }

    #[test]
    fn checksums_are_as_ip_l2tp_has_them_unless_told_otherwise() {
        assert_eq!(checksums(&[V4, UDP]), (false, false));
        assert_eq!(checksums(&[V4, UDP, "udp_csum = true"]), (true, false));
        assert_eq!(checksums(&[V6, UDP]), (true, true));
        assert_eq!(checksums(&[V6, UDP, "udp6_csum_tx = false"]), (false, true));
        assert_eq!(checksums(&[V6, UDP, "udp6_csum_rx = false"]), (true, false));
        assert!(!checksums(&[V6, "encap = \"ip\""]).1, "there is no UDP");
    }

    #[test]
    fn the_class_is_put_together_of_both_fields() {
        let of = |lines: &str| {
            let fields = fields(&tunnel(&[V4, UDP, lines].concat()));
            (fields.hop_limit, fields.traffic_class, fields.copied_class)
        };
        assert_eq!(of(""), (64, 0, 0));
        assert_eq!(of("ttl = 255\ndscp = 46"), (255, 0xB8, 0));
        assert_eq!(of("dscp = \"copy\""), (64, 0, 0xFC));
        assert_eq!(of("dscp = 63\necn = \"copy\""), (64, 0xFC, 0x03));
        assert_eq!(of("dscp = \"copy\"\necn = \"copy\""), (64, 0, 0xFF));
    }
}

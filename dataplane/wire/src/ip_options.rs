//! Options of IPv4 and IPv6 that a receiver must not step over as if they were not there.
//!
//! Place on the path: outer headers of the underlay, for the few packets that have options or extension headers. What an
//! option asks for is not done here or anywhere in the engine; so a packet that asks for something its receiver must do is
//! refused, and every other option is stepped over, as the RFCs say of options that one does not know.
//! Not in it: the way to the transport header, which [`ipv4::split`](crate::ipv4::split) and
//! [`ipv6::upper_layer`](crate::ipv6::upper_layer) know.
//!
//! Source: RFC 791 §3.1, RFC 1122 §3.2.1.8, RFC 7126 §4.3 and §4.4 (source routes), RFC 8200 §4.2 and §4.4.

use crate::ipv6::{
    Ipv6Header, MAX_EXTENSIONS, NEXT_DESTINATION_OPTIONS, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING,
};

/// End of the IPv4 options.
const IPV4_END: u8 = 0;
/// One byte of IPv4 padding.
const IPV4_NO_OPERATION: u8 = 1;
/// Loose source and record route.
const IPV4_LOOSE_ROUTE: u8 = 131;
/// Strict source and record route.
const IPV4_STRICT_ROUTE: u8 = 137;
/// One byte of IPv6 padding.
const IPV6_PAD_1: u8 = 0;
/// Bits of an IPv6 option's type that say what one does who does not know it; 0: step over it.
const IPV6_UNKNOWN_ACTION: u8 = 0xC0;

/// Checks the options of an IPv4 header.
///
/// # Errors
///
/// [`IpOptionsError::Malformed`] for an option that reaches beyond the header, [`IpOptionsError::SourceRoute`] for a packet
/// whose sender chose its way: such packets get past checks of addresses, and hosts do not take them.
pub fn check_ipv4(mut options: &[u8]) -> Result<(), IpOptionsError> {
    loop {
        options = match options {
            [] | [IPV4_END, ..] => return Ok(()),
            [IPV4_NO_OPERATION, rest @ ..] => rest,
            [IPV4_LOOSE_ROUTE | IPV4_STRICT_ROUTE, ..] => return Err(IpOptionsError::SourceRoute),
            [_, length, ..] if *length >= 2 => {
                options.get(usize::from(*length)..).ok_or(IpOptionsError::Malformed)?
            }
            _ => return Err(IpOptionsError::Malformed),
        };
    }
}

/// Checks the extension headers of an IPv6 packet, as far as [`upper_layer`](crate::ipv6::upper_layer) walks.
///
/// # Errors
///
/// [`IpOptionsError::Malformed`] for a header or option that reaches beyond its end, [`IpOptionsError::SourceRoute`] for a
/// routing header whose way goes on, [`IpOptionsError::Unknown`] for an option that one must know.
pub fn check_ipv6(header: &Ipv6Header, payload: &[u8]) -> Result<(), IpOptionsError> {
    let (mut number, mut rest) = (header.next_header, payload);
    for _ in 0..MAX_EXTENSIONS {
        if number == NEXT_FRAGMENT {
            let [next, _, high, low, _, _, _, _, behind @ ..] = rest else {
                return Err(IpOptionsError::Malformed);
            };
            // What stands behind the header of a later fragment is no header.
            if u16::from_be_bytes([*high, *low]) & 0xFFF8 != 0 {
                return Ok(());
            }
            (number, rest) = (*next, behind);
            continue;
        }
        if !matches!(number, NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS) {
            return Ok(());
        }
        let [next, units, ..] = rest else { return Err(IpOptionsError::Malformed) };
        let length = (usize::from(*units) + 1) * 8;
        let (extension, behind) = rest.split_at_checked(length).ok_or(IpOptionsError::Malformed)?;
        match (number, extension) {
            (NEXT_ROUTING, [_, _, _, segments_left, ..]) if *segments_left != 0 => {
                return Err(IpOptionsError::SourceRoute);
            }
            (NEXT_ROUTING, _) => {}
            (_, [_, _, options @ ..]) => check_ipv6_options(options)?,
            _ => return Err(IpOptionsError::Malformed),
        }
        (number, rest) = (*next, behind);
    }
    Ok(())
}

/// Checks the options of one hop-by-hop or destination options header.
fn check_ipv6_options(mut options: &[u8]) -> Result<(), IpOptionsError> {
    loop {
        options = match options {
            [] => return Ok(()),
            [IPV6_PAD_1, rest @ ..] => rest,
            [kind, ..] if kind & IPV6_UNKNOWN_ACTION != 0 => return Err(IpOptionsError::Unknown),
            [_, length, rest @ ..] => rest.get(usize::from(*length)..).ok_or(IpOptionsError::Malformed)?,
            [_] => return Err(IpOptionsError::Malformed),
        };
    }
}

wire_error! {
    /// Why a packet's options do not let it be taken.
    pub enum IpOptionsError {
        /// An option or extension header reaches beyond its end.
        Malformed => "ip option reaches beyond its header",
        /// The packet's sender chose its way.
        SourceRoute => "ip packet is on a source route",
        /// An option that a receiver must know, by its type.
        Unknown => "ipv6 option must not be ignored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv6;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn ipv4_options_that_may_be_ignored_are() {
        for options in [
            &[][..],
            &[1, 1, 1, 0],                // no operation, end
            &[0x94, 4, 0, 0],             // router alert
            &[7, 7, 4, 0, 0, 0, 0, 0],    // record route, end
            &[68, 8, 5, 0, 0, 0, 0, 0],   // time stamp
            &[0x86, 6, 0, 0, 0, 1, 0, 0], // CIPSO, end
            &[0, 131, 3, 4],              // nothing counts behind the end
            &[30, 2, 1, 1],               // an experiment
        ] {
            assert_eq!(check_ipv4(options), Ok(()), "{options:?}");
        }
    }

    #[test]
    fn a_source_route_is_refused_whether_or_not_it_goes_on() {
        for kind in [131, 137] {
            for pointer in [4, 8] {
                let options = [1, kind, 7, pointer, 10, 0, 0, 1];
                assert_eq!(check_ipv4(&options), Err(IpOptionsError::SourceRoute));
            }
        }
    }

    #[test]
    fn an_ipv4_option_beyond_the_header_is_malformed() {
        for options in [&[7][..], &[7, 1, 0, 0], &[7, 0, 0, 0], &[7, 5, 0, 0]] {
            assert_eq!(check_ipv4(options), Err(IpOptionsError::Malformed), "{options:?}");
        }
    }

    /// Checks one extension header of this number in front of UDP.
    fn check_one(number: u8, extension: &[u8]) -> Result<(), IpOptionsError> {
        let header = Ipv6Header::new([0; 16], [0; 16], number, extension.len()).unwrap();
        check_ipv6(&header, extension)
    }

    #[test]
    fn ipv6_options_that_may_be_ignored_are() {
        for number in [0, 60] {
            for options in [
                [17, 0, 1, 4, 0, 0, 0, 0],    // PadN
                [17, 0, 0, 0, 0, 0, 0, 0],    // Pad1
                [17, 0, 5, 2, 0, 0, 1, 0],    // router alert, PadN of nothing
                [17, 0, 4, 1, 4, 1, 1, 0],    // tunnel encapsulation limit
                [17, 0, 0x3E, 4, 0, 0, 0, 0], // an experiment: skip
            ] {
                assert_eq!(check_one(number, &options), Ok(()), "{options:?}");
            }
        }
    }

    #[test]
    fn an_ipv6_option_that_one_must_know_is_refused() {
        for kind in [0x63, 0x80, 0xC2, 0xC9, 0xFE, 0x40] {
            assert_eq!(check_one(60, &[17, 0, kind, 4, 0, 0, 0, 0]), Err(IpOptionsError::Unknown));
        }
        assert_eq!(
            check_one(0, &[17, 0, 1, 0, 0, 0x40, 0, 0]),
            Err(IpOptionsError::Unknown),
            "behind another"
        );
    }

    #[test]
    fn a_routing_header_that_has_ended_is_ignored_and_one_that_goes_on_refused() {
        for kind in [0, 2, 4, 253] {
            assert_eq!(check_one(43, &[17, 0, kind, 0, 0, 0, 0, 0]), Ok(()));
            assert_eq!(check_one(43, &[17, 0, kind, 1, 0, 0, 0, 0]), Err(IpOptionsError::SourceRoute));
        }
    }

    #[test]
    fn what_is_refused_is_found_behind_other_headers_and_in_a_first_fragment_only() {
        let route = [17, 0, 0, 1, 0, 0, 0, 0];
        let behind = |first: [u8; 8]| [first, route].concat();
        assert_eq!(check_one(0, &behind([43, 0, 1, 4, 0, 0, 0, 0])), Err(IpOptionsError::SourceRoute));
        assert_eq!(check_one(44, &behind([43, 0, 0, 1, 0, 0, 0, 7])), Err(IpOptionsError::SourceRoute));
        assert_eq!(check_one(44, &behind([43, 0, 0, 8, 0, 0, 0, 7])), Ok(()), "a later fragment");
    }

    #[test]
    fn an_ipv6_header_or_option_beyond_its_end_is_malformed() {
        for (number, extension) in [
            (0, &[17, 0, 1, 5, 0, 0, 0, 0][..]),
            (60, &[17, 0, 1, 3, 0, 0, 0, 5]),
            (60, &[17, 1, 1, 4, 0, 0, 0, 0]),
            (60, &[17]),
            (44, &[17, 0, 0, 0, 0, 0, 0]),
            (43, &[]),
        ] {
            assert_eq!(check_one(number, extension), Err(IpOptionsError::Malformed), "{extension:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_checked_without_a_panic_and_what_is_taken_is_what_the_walk_finds(
            number in prop_oneof![Just(0), Just(43), Just(44), Just(60), any::<u8>()],
            payload in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(43), Just(44), Just(60), any::<u8>()], 0..80),
        ) {
            let _ = check_ipv4(&payload);
            let header = Ipv6Header::new([0; 16], [0; 16], number, payload.len()).unwrap();
            // Whatever passes here can be walked, but for its number of headers.
            if check_ipv6(&header, &payload).is_ok() {
                let walked = ipv6::upper_layer(&header, &payload);
                prop_assert!(!matches!(walked, Err(ipv6::Ipv6Error::ExtensionTruncated)), "{walked:?}");
            }
        }

        #[test]
        fn ipv4_options_without_a_source_route_are_taken(
            options in proptest::collection::vec((2_u8..=127, proptest::collection::vec(any::<u8>(), 0..6)), 0..5),
        ) {
            let bytes: Vec<u8> = options
                .iter()
                .flat_map(|(kind, value)| [&[*kind, u8::try_from(value.len() + 2).unwrap()][..], value].concat())
                .collect();
            prop_assert_eq!(check_ipv4(&bytes), Ok(()));
        }
    }
}

//! Numbers and digits of the file to the wire's checked values.

use super::model::{Cookie, VlanId};

/// A VLAN that can be a bridge member: 1 to 4094. VLAN id 0 means "no VLAN, priority only".
pub(crate) fn member_vlan(text: &str) -> Option<VlanId> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical).and_then(VlanId::new)
}

/// A cookie from 8 or 16 hexadecimal digits.
///
/// # Errors
/// What is wrong with `text`.
pub(crate) fn cookie_from_hex(text: &str) -> Result<Cookie, String> {
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("contains {bad:?}, which is no hexadecimal digit"));
    }
    let odd = if text.len() % 2 == 1 { ", an odd number" } else { "" };
    let cookie = text.parse().ok().filter(|cookie| *cookie != Cookie::NONE);
    cookie.ok_or_else(|| format!("has {} hexadecimal digits{odd}", text.len()))
}

/// What is wrong with a second accepted cookie: the session's header has one length, which that of the cookie is part of.
pub(crate) fn second_cookie_fault(first: Cookie, second: Cookie) -> Option<String> {
    let (first, second) = (first.len_bytes(), second.len_bytes());
    (first != second).then(|| match first {
        0 => format!("is {second} bytes long, and there is no peer_cookie"),
        _ => format!("is {second} bytes long, and peer_cookie {first}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_digits_survive_both_ways() {
        for digits in ["00000000", "deadbeef", "0123456789abcdef"] {
            assert_eq!(cookie_from_hex(digits).unwrap().to_string(), digits);
        }
        assert_eq!(cookie_from_hex("DEADBEEF"), cookie_from_hex("deadbeef"));
    }

    #[test]
    fn wrong_cookies_say_why() {
        assert_eq!(cookie_from_hex("abc").unwrap_err(), "has 3 hexadecimal digits, an odd number");
        assert_eq!(cookie_from_hex("abcdef").unwrap_err(), "has 6 hexadecimal digits");
        assert_eq!(cookie_from_hex("0xabcdef").unwrap_err(), "contains 'x', which is no hexadecimal digit");
        assert!(cookie_from_hex("").is_err());
        assert!(cookie_from_hex("\u{e4}\u{e4}\u{e4}\u{e4}").is_err());
    }

    #[test]
    fn member_vlans_run_from_1_to_4094() {
        assert_eq!(member_vlan("1").map(|v| v.get()), Some(1));
        assert_eq!(member_vlan("4094").map(|v| v.get()), Some(4094));
        for wrong in ["0", "4095", "", "10x", "+5", "010", "99999999"] {
            assert!(member_vlan(wrong).is_none(), "{wrong}");
        }
    }
}

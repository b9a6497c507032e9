//! What may be a name: of the gateway, of ports, tunnels, sessions and bridges, of Linux interfaces.

/// Longest name of a port, tunnel, session or bridge. Units: characters.
pub(crate) const MAX_NAME_CHARS: usize = 32;

/// Longest gateway name; with it the default control socket's path fits `sun_path`. Units: characters.
pub(crate) const MAX_GATEWAY_NAME_CHARS: usize = 64;

/// Longest interface name: `IFNAMSIZ` without its closing zero. Units: bytes.
pub(crate) const MAX_INTERFACE_BYTES: usize = 15;

/// Longest path of a Unix socket: `sun_path` without its closing zero. Units: bytes.
pub(crate) const MAX_SOCKET_PATH_BYTES: usize = 107;

/// What is wrong with a port's, tunnel's, session's or bridge's name, if anything.
///
/// No dot: a dot in a bridge member separates the name from the VLAN id.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    word_fault(name, MAX_NAME_CHARS, |c| matches!(c, '_' | '-'), "letters, digits, \"_\" and \"-\"")
}

/// What is wrong with a gateway's name, if anything. Dots are allowed: host names have them.
pub(crate) fn gateway_name_fault(name: &str) -> Option<String> {
    let allowed = |c| matches!(c, '_' | '-' | '.');
    word_fault(name, MAX_GATEWAY_NAME_CHARS, allowed, "letters, digits, \"_\", \"-\" and \".\"")
}

fn word_fault(name: &str, max: usize, extra: fn(char) -> bool, allowed: &str) -> Option<String> {
    let Some(first) = name.chars().next() else {
        return Some(String::from("is empty"));
    };
    if name.chars().count() > max {
        return Some(format!("is longer than {max} characters"));
    }
    if !first.is_ascii_alphanumeric() {
        return Some(String::from("does not begin with a letter or digit"));
    }
    let bad = name.chars().find(|c| !c.is_ascii_alphanumeric() && !extra(*c))?;
    Some(format!("contains {bad:?}; allowed are {allowed}"))
}

/// What is wrong with a Linux interface name, if anything. Source: `dev_valid_name` of Linux 6.12.
pub(crate) fn interface_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some(String::from("is empty"));
    }
    if name.len() > MAX_INTERFACE_BYTES {
        return Some(format!("is longer than {MAX_INTERFACE_BYTES} bytes"));
    }
    if matches!(name, "." | "..") {
        return Some(String::from("is a directory"));
    }
    let bad = name.chars().find(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control())?;
    Some(format!("contains {bad:?}"))
}

//! What a lab needs from the machine.

use std::env;
use std::path::Path;

/// Programs that a lab calls, with what they are for.
const TOOLS: [(&str, &str); 3] =
    [("ip", "namespaces and links"), ("ethtool", "offloads and queues"), ("ping", "reachability")];

/// Says what is missing for labs to work here, one line per thing; empty when nothing is.
///
/// A privileged test calls this first, and says what it returns when it skips.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut lines = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lines.push("not root: network namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN".to_owned());
    }
    let absent = TOOLS.iter().filter(|(tool, _)| !is_on_path(tool));
    lines.extend(absent.map(|(tool, purpose)| format!("`{tool}` is not installed ({purpose})")));
    lines
}

/// Whether a program of this name stands in one of the folders of `PATH`.
#[must_use]
pub fn is_on_path(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| Path::new(&folder).join(tool).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_nobody_has_is_not_found() {
        assert!(!is_on_path("spanwire-no-such-tool"));
        assert!(is_on_path("sh"));
    }
}

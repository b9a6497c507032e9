//! Which interfaces the host has, as far as checking a configuration needs it.

use std::io;

/// Answers whether an interface exists. Checks that must not look at the host get none.
pub trait InterfaceLookup {
    /// Names of all interfaces of the network namespace.
    fn names(&self) -> &[String];
}

/// The interfaces of the calling thread's network namespace when [`SystemInterfaces::read`] was called.
#[derive(Clone, Debug)]
pub struct SystemInterfaces(Vec<String>);

impl SystemInterfaces {
    /// Reads the names from `/proc`, which follows the thread's network namespace without a mount of its own.
    ///
    /// # Errors
    /// When `/proc/thread-self/net/dev` cannot be read.
    pub fn read() -> io::Result<Self> {
        std::fs::read_to_string("/proc/thread-self/net/dev").map(|text| Self(names_in(&text)))
    }
}

impl InterfaceLookup for SystemInterfaces {
    fn names(&self) -> &[String] {
        &self.0
    }
}

/// A fixed list, for tests and for callers that know the names already.
impl InterfaceLookup for Vec<String> {
    fn names(&self) -> &[String] {
        self
    }
}

/// `name: counters...` after two heading lines.
fn names_in(text: &str) -> Vec<String> {
    text.lines()
        .skip(2)
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_stands_before_the_colon() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes |bytes\n    lo: 0 0\n  eth0.5: 7 8\n";
        assert_eq!(names_in(text), ["lo", "eth0.5"]);
    }

    #[test]
    fn the_loopback_interface_exists_on_this_host() {
        assert!(SystemInterfaces::read().unwrap().names().iter().any(|name| name == "lo"));
    }
}

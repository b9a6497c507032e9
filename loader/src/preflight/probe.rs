//! What was found out about process and system, before it is judged.

/// Findings, as plain values.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) net_admin: bool,
    pub(super) net_raw: bool,
    pub(super) bpf: bool,
    pub(super) perfmon: bool,
    pub(super) sys_admin: bool,
    pub(super) ipc_lock: bool,
    /// Limit of locked memory; `None` when there is no limit. Units: bytes.
    pub(super) memlock_bytes: Option<u64>,
    /// Kernel version, when its text could be read as one.
    pub(super) release: Option<Release>,
    pub(super) release_text: String,
    /// Whether an AF_XDP socket can be created, or why not.
    pub(super) xdp_socket: Result<(), String>,
    pub(super) has_btf: bool,
}

/// A kernel version, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Release {
    /// Reads the first two numbers of a text such as "6.1.0-18-amd64"; `None` when there are none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::Release;

    #[test]
    fn distribution_versions_are_read() {
        assert_eq!(Release::read("6.1.0-18-amd64"), Some(Release { major: 6, minor: 1 }));
        assert_eq!(Release::read("5.11"), Some(Release { major: 5, minor: 11 }));
        assert_eq!(Release::read("7.0-rc1"), Some(Release { major: 7, minor: 0 }));
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in ["", "6", "six.one", "6.x"] {
            assert_eq!(Release::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn minor_numbers_compare_as_numbers() {
        assert!(Release::read("5.9") < Release::read("5.11"));
        assert!(Release::read("6.0") > Release::read("5.19"));
    }
}

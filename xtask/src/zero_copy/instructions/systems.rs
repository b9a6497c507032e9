//! The systems that stand between the two cards, and how each is set up and taken down.

use serde::{Deserialize, Serialize};

use crate::zero_copy::gateway;

/// What stands between the gateway's two cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum System {
    /// The kernel's bridge, no tunnel.
    Bridge,
    /// The kernel's `l2tp_eth` on its bridge.
    L2tp,
    /// The null AF_XDP forwarder in zero-copy mode, no tunnel.
    Null,
    /// spanwire in zero-copy mode, as it is by default.
    Spanwire,
}

impl System {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 4] = [Self::Bridge, Self::L2tp, Self::Null, Self::Spanwire];

    /// What tables call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Bridge => "kernel bridge, no tunnel",
            Self::L2tp => "kernel l2tp_eth + bridge",
            Self::Null => "null AF_XDP forwarder, no tunnel",
            Self::Spanwire => "spanwire",
        }
    }

    /// Whether packets between gateway and peer are a tunnel's.
    pub(super) const fn has_tunnel(self) -> bool {
        matches!(self, Self::L2tp | Self::Spanwire)
    }

    /// Lines of a script that set it up.
    pub(super) fn up(self) -> String {
        match self {
            Self::Bridge => "bridge_up".to_owned(),
            Self::L2tp => "kernel_up".to_owned(),
            Self::Null => "null_up".to_owned(),
            Self::Spanwire => {
                let file = gateway::write_lines("/tmp/gw.toml", &gateway::configuration("zero-copy", ""));
                file + "spanwire_up /tmp/gw.toml"
            }
        }
    }

    /// Lines of a script that take it down.
    pub(super) const fn down(self) -> &'static str {
        match self {
            Self::Bridge => "bridge_down",
            Self::L2tp => "kernel_down",
            Self::Null => "null_down",
            Self::Spanwire => "spanwire_down",
        }
    }
}

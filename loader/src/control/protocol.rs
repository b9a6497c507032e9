//! One line of JSON each way: the request that a command writes, the reply that the gateway writes.
//!
//! ```text
//! > {"show":"sessions","name":"l2tpeth0"}
//! < {"sessions":[{"name":"l2tpeth0", ...}]}
//! > {"show":"nonsense"}
//! < {"error":"unknown variant `nonsense`, expected one of ..."}
//! ```
//! A client may send any number of requests over one connection, each after the reply to the one before.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::api::{
    DropStatus, FdbEntryStatus, GatewayStatus, PortStatus, SessionChanged, SessionStatus, TunnelStatus,
    WorkerStatus,
};

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Object {
    /// The gateway process itself.
    Gateway,
    /// Tunnels; may be narrowed by `name`.
    Tunnels,
    /// Sessions; may be narrowed by `name`.
    Sessions,
    /// Ports; may be narrowed by `name`.
    Ports,
    /// FDB entries; may be narrowed by `bridge`.
    Fdb,
    /// Workers.
    Workers,
    /// Drop reasons, also those that never occurred.
    Drops,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Tunnels => "tunnels",
            Self::Sessions => "sessions",
            Self::Ports => "ports",
            Self::Fdb => "fdb",
            Self::Workers => "workers",
            Self::Drops => "drops",
        })
    }
}

/// One request to show something. The other kind is [`super::change::SetRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to show.
    pub show: Object,
    /// Only the tunnel, session or port of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only the FDB entries of this bridge domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

impl Request {
    /// A request for all of `show`.
    #[must_use]
    pub fn all(show: Object) -> Self {
        Self { show, name: None, bridge: None }
    }

    /// A request for one tunnel, session or port, or for all of them when `name` is none.
    #[must_use]
    pub fn named(show: Object, name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), ..Self::all(show) }
    }

    /// A request for the FDB of one bridge domain, or of all of them when `bridge` is none.
    #[must_use]
    pub fn fdb(bridge: Option<&str>) -> Self {
        Self { bridge: bridge.map(str::to_owned), ..Self::all(Object::Fdb) }
    }
}

/// One reply: the rows that were asked for, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The gateway process.
    Gateway(GatewayStatus),
    /// Tunnels.
    Tunnels(Vec<TunnelStatus>),
    /// Sessions.
    Sessions(Vec<SessionStatus>),
    /// Ports.
    Ports(Vec<PortStatus>),
    /// FDB entries.
    Fdb(Vec<FdbEntryStatus>),
    /// Workers.
    Workers(Vec<WorkerStatus>),
    /// Drop reasons.
    Drops(Vec<DropStatus>),
    /// What was changed.
    Changed(SessionChanged),
    /// The request could not be answered.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_without_the_filters_that_are_not_set() {
        let text = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(text(&Request::all(Object::Workers)), r#"{"show":"workers"}"#);
        assert_eq!(text(&Request::named(Object::Sessions, Some("s1"))), r#"{"show":"sessions","name":"s1"}"#);
        assert_eq!(text(&Request::fdb(Some("br0"))), r#"{"show":"fdb","bridge":"br0"}"#);
    }

    #[test]
    fn every_object_is_displayed_as_the_word_of_its_json() {
        use Object::{Drops, Fdb, Gateway, Ports, Sessions, Tunnels, Workers};
        for object in [Gateway, Tunnels, Sessions, Ports, Fdb, Workers, Drops] {
            assert_eq!(serde_json::to_string(&object).unwrap(), format!("\"{object}\""));
        }
    }

    #[test]
    fn a_request_with_an_unknown_key_is_refused() {
        let refusal = serde_json::from_str::<Request>(r#"{"show":"ports","nmae":"eth0"}"#).unwrap_err();
        assert!(refusal.to_string().starts_with("unknown field `nmae`"), "{refusal}");
    }
}

//! Options of ours that are broken on purpose: every case that rests on the option has to fail then.
//!
//! What is changed is the imported configuration, behind `spanwire import`; the kernel's side stays as it was.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use toml::{Table, Value};

use super::case::{Case, Encap, Expected, Family, Gateway, Tunnel};
use super::own::Place;

/// An option and what becomes of its value.
#[derive(Debug)]
pub(super) struct Breakage {
    /// The key, which is also the word of `ip l2tp`.
    pub(super) key: &'static str,
    place: Place,
    /// The value when the key is absent; `None` when it is then left absent.
    default: Option<fn() -> Value>,
    /// Another value; `None` where it is left as it is.
    change: fn(&Value) -> Option<Value>,
    /// Whether a plain case of two sites, with its tunnel, fails for it; `None` for a key of our own, on which the cases rest
    /// that have it.
    fails: Option<fn(&Case, &Tunnel) -> bool>,
}

/// Every option of `ip l2tp` that spanwire has, but for `tunnel_id` and `peer_tunnel_id`, as no data packet carries them; then
/// those of our own that show when the peer is the kernel.
pub(super) const ALL: &[Breakage] = &[
    Breakage {
        key: "encap",
        place: Place::Tunnel,
        default: None,
        // The other way round many tunnels would have the same addresses and nothing else, which is refused.
        change: |value| (value.as_str()? == "ip").then(|| "udp".into()),
        fails: Some(|case, tunnel| passes(case, tunnel) && tunnel.encap == Encap::Ip),
    },
    Breakage { key: "local", place: Place::Tunnel, default: None, change: other_local, fails: Some(passes) },
    Breakage {
        key: "remote",
        place: Place::Tunnel,
        default: None,
        change: other_remote,
        fails: Some(passes),
    },
    Breakage {
        key: "udp_sport",
        place: Place::Tunnel,
        default: None,
        change: other_port,
        fails: Some(passes_over_udp),
    },
    Breakage {
        key: "udp_dport",
        place: Place::Tunnel,
        default: None,
        change: other_port,
        fails: Some(passes_over_udp),
    },
    Breakage {
        key: "udp_csum",
        place: Place::Tunnel,
        default: Some(|| false.into()),
        change: opposite,
        fails: Some(|case, tunnel| passes_over_udp(case, tunnel) && tunnel.family == Family::V4),
    },
    Breakage {
        key: "udp6_csum_tx",
        place: Place::Tunnel,
        default: Some(|| true.into()),
        change: opposite,
        fails: Some(|case, tunnel| passes_over_udp(case, tunnel) && tunnel.family == Family::V6),
    },
    Breakage {
        key: "udp6_csum_rx",
        place: Place::Tunnel,
        default: Some(|| true.into()),
        change: opposite,
        // Where the kernel sends checksums, nobody sees whether they are demanded.
        fails: Some(|case, tunnel| {
            let is_silent =
                tunnel.family == Family::V6 && tunnel.sends_checksum(Gateway::Kernel) == Some(false);
            passes_over_udp(case, tunnel) && is_silent || rests_on(case, "udp6_csum_rx")
        }),
    },
    Breakage {
        key: "session_id",
        place: Place::Session,
        default: None,
        change: other_id,
        fails: Some(passes),
    },
    Breakage {
        key: "peer_session_id",
        place: Place::Session,
        default: None,
        change: other_id,
        fails: Some(passes),
    },
    Breakage {
        key: "cookie",
        place: Place::Session,
        default: None,
        change: other_digit,
        fails: Some(|case, tunnel| passes(case, tunnel) && !case.wires[0].ends[0].cookie.is_empty()),
    },
    Breakage {
        key: "peer_cookie",
        place: Place::Session,
        default: None,
        change: other_digit,
        fails: Some(|case, tunnel| passes(case, tunnel) && !case.wires[0].ends[0].peer_cookie.is_empty()),
    },
    Breakage {
        key: "l2spec_type",
        place: Place::Session,
        default: Some(|| "default".into()),
        change: |value| Some(if value.as_str()? == "default" { "none" } else { "default" }.into()),
        fails: Some(passes),
    },
    Breakage {
        key: "seq",
        place: Place::Session,
        default: Some(|| "none".into()),
        change: |value| Some(if value.as_str()? == "none" { "both" } else { "none" }.into()),
        // Numbers need the sublayer.
        fails: Some(|case, tunnel| {
            let end = &case.wires[0].ends[0];
            passes(case, tunnel) && end.l2spec_type == "default" || rests_on(case, "seq")
        }),
    },
    Breakage::of_own("ttl", Place::Tunnel, |value| Some((value.as_integer()? + 1).into())),
    Breakage::of_own("dscp", Place::Tunnel, |_| Some(0.into())),
    Breakage::of_own("ecn", Place::Tunnel, |_| Some("zero".into())),
    Breakage::of_own("df", Place::Tunnel, opposite),
    Breakage::of_own("fragmentation", Place::Tunnel, |_| Some("outer".into())),
    Breakage::of_own("mss_clamp", Place::Tunnel, |_| Some("off".into())),
    Breakage::of_own("peer", Place::Tunnel, |_| Some("fixed".into())),
    Breakage::of_own("peer_cookie_also", Place::Session, other_digit),
    Breakage::of_own("seq_observe", Place::Session, opposite),
];

/// The breakages of options with commas between, of `all`, or none.
///
/// # Errors
/// There is no such option; all are named.
pub(super) fn named(keys: &str) -> Result<Vec<&'static Breakage>> {
    match keys {
        "" => Ok(Vec::new()),
        "all" => Ok(ALL.iter().collect()),
        keys => keys.split(',').map(of).collect(),
    }
}

fn of(key: &str) -> Result<&'static Breakage> {
    ALL.iter().find(|breakage| breakage.key == key).with_context(|| {
        let keys: Vec<_> = ALL.iter().map(|breakage| breakage.key).collect();
        format!("{key:?} is no option that can be broken; there are: {}, all", keys.join(", "))
    })
}

impl Breakage {
    /// Of a key that stands in the cases that rest on it, and nowhere else.
    const fn of_own(key: &'static str, place: Place, change: fn(&Value) -> Option<Value>) -> Self {
        Self { key, place, default: None, change, fails: None }
    }

    /// The cases that have to fail: of two sites, one of them ours.
    pub(super) fn cases<'c>(&self, tunnels: &[Tunnel], cases: &[&'c Case]) -> Vec<&'c Case> {
        let has_to_fail = |case: &&&Case| {
            let tunnel = &tunnels[usize::from(case.wires[0].tunnels[0])];
            let rests = self.fails.map_or(case.setting(self.key).is_some(), |fails| {
                case.settings.is_empty() && case.exercise.is_none() && fails(case, tunnel)
            });
            case.sites == [Gateway::First, Gateway::Kernel] && rests
        };
        cases.iter().filter(has_to_fail).copied().collect()
    }

    /// Changes the option wherever it stands in a configuration.
    ///
    /// # Errors
    /// It stands nowhere, or has a value that it cannot have.
    pub(super) fn apply(&self, configuration: &mut Table) -> Result<()> {
        let mut changed = 0;
        let tunnels = configuration.get_mut("tunnel").and_then(Value::as_table_mut).into_iter();
        for tunnel in tunnels.flat_map(Table::iter_mut).filter_map(|(_, value)| value.as_table_mut()) {
            match self.place {
                Place::Tunnel => changed += self.apply_to(tunnel),
                Place::Session => {
                    let sessions = tunnel.get_mut("session").and_then(Value::as_table_mut).into_iter();
                    let sessions = sessions.flat_map(Table::iter_mut);
                    for session in sessions.filter_map(|(_, value)| value.as_table_mut()) {
                        changed += self.apply_to(session);
                    }
                }
            }
        }
        ensure!(changed > 0, "the configuration has no {} to break", self.key);
        Ok(())
    }

    fn apply_to(&self, table: &mut Table) -> usize {
        let old = table.get(self.key).cloned().or_else(|| self.default.map(|default| default()));
        let Some(new) = old.as_ref().and_then(self.change) else { return 0 };
        table.insert(self.key.to_owned(), new);
        // What the changed option needs, or does not go with.
        match self.key {
            "encap" => {
                table.insert("udp_sport".to_owned(), 1701.into());
                table.insert("udp_dport".to_owned(), 1701.into());
            }
            "l2spec_type" => drop(table.remove("seq")),
            "fragmentation" => drop(table.remove("df")),
            _ => {}
        }
        1
    }
}

fn passes(case: &Case, _: &Tunnel) -> bool {
    case.expected == Expected::Passes
}

fn passes_over_udp(case: &Case, tunnel: &Tunnel) -> bool {
    passes(case, tunnel) && tunnel.encap == Encap::Udp
}

fn rests_on(case: &Case, key: &str) -> bool {
    matches!(case.expected, Expected::Refused(refusal) if refusal.rests_on == Some(key))
}

fn other_id(value: &Value) -> Option<Value> {
    value.as_integer().map(|id| Value::Integer(id ^ 0x0100_0000))
}

fn other_port(value: &Value) -> Option<Value> {
    value.as_integer().map(|port| Value::Integer(port + 5000))
}

fn opposite(value: &Value) -> Option<Value> {
    value.as_bool().map(|value| Value::Boolean(!value))
}

fn other_digit(value: &Value) -> Option<Value> {
    let digits = value.as_str()?;
    let (head, last) = digits.split_at_checked(digits.len().checked_sub(1)?)?;
    Some(format!("{head}{:x}", u8::from_str_radix(last, 16).ok()? ^ 1).into())
}

/// The other of our two addresses in the underlay.
fn other_local(value: &Value) -> Option<Value> {
    other_address(value, Gateway::First)
}

/// The other of the kernel's two addresses in the underlay.
fn other_remote(value: &Value) -> Option<Value> {
    other_address(value, Gateway::Kernel)
}

fn other_address(value: &Value, gateway: Gateway) -> Option<Value> {
    let address: IpAddr = value.as_str()?.parse().ok()?;
    let pairs = Family::BOTH.map(|family| [family.address(gateway), family.other_address(gateway)]);
    let [one, other] = pairs.into_iter().find(|pair| pair.contains(&address))?;
    Some(if address == one { other } else { one }.to_string().into())
}

#[cfg(test)]
mod tests;

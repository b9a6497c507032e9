//! Where replies come from: the gateway behind one trait, and the answer to one request line.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::api::{
    DropStatus, FdbEntryStatus, GatewayStatus, PortStatus, SessionChanged, SessionStatus, TunnelStatus,
    WorkerStatus,
};
use super::change::{CookieChange, SetRequest};
use super::protocol::{Object, Reply, Request};

/// What a running gateway can tell about itself at this moment, and the one thing that can be changed in it.
///
/// The server calls it on its own thread, between two awaits, so a source may keep its state in a `RefCell`. Rows are
/// in the order in which they are to be shown.
pub trait StatusSource {
    /// The process.
    fn gateway(&self) -> GatewayStatus;
    /// All tunnels.
    fn tunnels(&self) -> Vec<TunnelStatus>;
    /// All sessions.
    fn sessions(&self) -> Vec<SessionStatus>;
    /// All ports.
    fn ports(&self) -> Vec<PortStatus>;
    /// The names of all bridge domains.
    fn bridges(&self) -> Vec<String>;
    /// The entries of one bridge domain that exists, or of all of them.
    fn fdb(&self, bridge: Option<&str>) -> Vec<FdbEntryStatus>;
    /// All workers.
    fn workers(&self) -> Vec<WorkerStatus>;
    /// All drop reasons, also those that never occurred.
    fn drops(&self) -> Vec<DropStatus>;
    /// Changes the cookies of a session that exists; the error says what is wrong, for people.
    ///
    /// # Errors
    /// When the cookies cannot be those of the session; nothing is changed then.
    fn set_cookies(&self, session: &str, change: &CookieChange) -> Result<SessionChanged, String>;
}

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// To be shown things.
    Show,
    /// To change things as well.
    Change,
}

/// Answers one line, line feed or not.
#[must_use]
pub fn answer(source: &dyn StatusSource, line: &[u8], rights: Rights) -> Reply {
    // What is no object is no request to change anything: the other reader says what is wrong with it.
    let keys = serde_json::from_slice::<HashMap<String, IgnoredAny>>(line).unwrap_or_default();
    if keys.contains_key("set") {
        return answer_set(source, line, rights).unwrap_or_else(Reply::Error);
    }
    match serde_json::from_slice::<Request>(line) {
        Ok(request) => answer_request(source, &request).unwrap_or_else(Reply::Error),
        Err(fault) => Reply::Error(format!("cannot read the request: {fault}")),
    }
}

/// Carries out one request to change something; the error is the text of the refusal.
fn answer_set(source: &dyn StatusSource, line: &[u8], rights: Rights) -> Result<Reply, String> {
    let request: SetRequest =
        serde_json::from_slice(line).map_err(|fault| format!("cannot read the request: {fault}"))?;
    if rights != Rights::Change {
        return Err(
            "only root and the gateway's own user may change it; members of its group may ask".to_owned()
        );
    }
    let name = request.name.as_str();
    pick(source, "session", source.sessions(), |row| &row.name, Some(name))?;
    Ok(Reply::Changed(source.set_cookies(name, &request.cookies()?)?))
}

/// Answers one request; the error is the text of the refusal.
fn answer_request(source: &dyn StatusSource, request: &Request) -> Result<Reply, String> {
    refuse_foreign_filter(request)?;
    let name = request.name.as_deref();
    Ok(match request.show {
        Object::Gateway => Reply::Gateway(source.gateway()),
        Object::Tunnels => Reply::Tunnels(pick(source, "tunnel", source.tunnels(), |row| &row.name, name)?),
        Object::Sessions => {
            Reply::Sessions(pick(source, "session", source.sessions(), |row| &row.name, name)?)
        }
        Object::Ports => Reply::Ports(pick(source, "port", source.ports(), |row| &row.name, name)?),
        Object::Fdb => {
            let bridge = request.bridge.as_deref();
            pick(source, "bridge", source.bridges(), |row| row, bridge)?;
            Reply::Fdb(source.fdb(bridge))
        }
        Object::Workers => Reply::Workers(source.workers()),
        Object::Drops => Reply::Drops(source.drops()),
    })
}

/// Refuses a filter that the object does not have: ignoring it would show more than was asked for.
fn refuse_foreign_filter(request: &Request) -> Result<(), String> {
    let show = request.show;
    let named = matches!(show, Object::Tunnels | Object::Sessions | Object::Ports);
    if request.name.is_some() && !named {
        return Err(format!("{show} cannot be narrowed by name"));
    }
    if request.bridge.is_some() && show != Object::Fdb {
        return Err(format!("{show} cannot be narrowed by bridge"));
    }
    Ok(())
}

/// All rows, or the ones called `name`; an unknown name is refused with the names that there are.
fn pick<Row>(
    source: &dyn StatusSource,
    kind: &str,
    mut rows: Vec<Row>,
    name_of: impl Fn(&Row) -> &String,
    name: Option<&str>,
) -> Result<Vec<Row>, String> {
    let Some(name) = name else { return Ok(rows) };
    if rows.iter().any(|row| name_of(row) == name) {
        rows.retain(|row| name_of(row) == name);
        return Ok(rows);
    }
    let known: Vec<&str> = rows.iter().map(|row| name_of(row).as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(format!("{} has no {kind} {name}; it has: {known}", source.gateway().name))
}

//! The one thing that can be changed in a running gateway: the cookies of a session.
//!
//! ```text
//! > {"set":"session","name":"l2tpeth0","peer_cookie_also":"0123456789abcdef"}
//! < {"changed":{"name":"l2tpeth0","changed":["peer_cookie_also"],"persistent":false}}
//! ```
//! Place: read by [`super::source`], carried out by the supervisor. What is asked for is checked as in the file; besides, no
//! cookie changes its length, because that changes the packets' header, which no order of steps at two ends does without
//! loss. Deliberately not here: anything else of a session, and the file, which stays as it is.

use serde::{Deserialize, Serialize};

use crate::config::cookie_from_hex;
use crate::config::model::{Cookie, Session};

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settable {
    /// Cookies of a session.
    Session,
}

/// A request to change a session; what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    /// What to set.
    pub set: Settable,
    /// The session.
    pub name: String,
    /// Cookie written into sent packets: 8 or 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Cookie that received packets must carry: 8 or 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_cookie: Option<String>,
    /// A second cookie that received packets may carry instead: 8 or 16 hexadecimal digits, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_cookie_also: Option<String>,
}

/// Takes the second cookie away.
pub const NO_COOKIE: &str = "none";

/// Cookies to change; `None`: it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CookieChange {
    tx_cookie: Option<Cookie>,
    rx_cookie: Option<Cookie>,
    rx_cookie_also: Option<Option<Cookie>>,
}

impl SetRequest {
    /// What is asked for.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn cookies(&self) -> Result<CookieChange, String> {
        let also = match self.peer_cookie_also.as_deref() {
            Some(NO_COOKIE) => Some(None),
            text => cookie("peer_cookie_also", text, ", or none")?.map(Some),
        };
        let change = CookieChange {
            tx_cookie: cookie("cookie", self.cookie.as_deref(), "")?,
            rx_cookie: cookie("peer_cookie", self.peer_cookie.as_deref(), "")?,
            rx_cookie_also: also,
        };
        match change == CookieChange::default() {
            true => Err("nothing to set: give cookie, peer_cookie or peer_cookie_also".to_owned()),
            false => Ok(change),
        }
    }
}

fn cookie(key: &str, text: Option<&str>, or: &str) -> Result<Option<Cookie>, String> {
    let checked = text.map(cookie_from_hex).transpose();
    checked.map_err(|problem| format!("{key} {problem}; give 8 or 16 hexadecimal digits{or}"))
}

impl CookieChange {
    /// The session with the cookies changed, and the keys whose values are others than before.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn of(&self, session: &Session) -> Result<(Session, Vec<&'static str>), String> {
        let changed = Session {
            tx_cookie: self.tx_cookie.unwrap_or(session.tx_cookie),
            rx_cookie: self.rx_cookie.unwrap_or(session.rx_cookie),
            rx_cookie_also: self.rx_cookie_also.unwrap_or(session.rx_cookie_also),
            ..session.clone()
        };
        keep_length(session, "cookie", session.tx_cookie, changed.tx_cookie)?;
        keep_length(session, "peer_cookie", session.rx_cookie, changed.rx_cookie)?;
        if let Some(also) = changed.rx_cookie_also {
            keep_length(session, "peer_cookie_also", session.rx_cookie, also)?;
        }
        let keys = [
            ("cookie", changed.tx_cookie != session.tx_cookie),
            ("peer_cookie", changed.rx_cookie != session.rx_cookie),
            ("peer_cookie_also", changed.rx_cookie_also != session.rx_cookie_also),
        ];
        let keys = keys.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect();
        Ok((changed, keys))
    }
}

/// Refuses a cookie that is not as long as the one that the session has in this direction.
fn keep_length(session: &Session, key: &str, has: Cookie, wanted: Cookie) -> Result<(), String> {
    let (has, wanted) = (has.len_bytes(), wanted.len_bytes());
    if has == wanted {
        return Ok(());
    }
    let name = &session.name;
    let has = if has == 0 { "none".to_owned() } else { format!("one of {has} bytes") };
    Err(format!(
        "session {name}: {key} cannot be {wanted} bytes long while it runs, it has {has}: the length changes the header of \
         every packet; set it in the configuration files of both ends and start both again"
    ))
}

#[cfg(test)]
mod tests;

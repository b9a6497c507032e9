//! L2TPv3 data packets over UDP and over IP protocol 115; control messages are recognised, not read.
//!
//! ```text
//! over IP (protocol 115)          over UDP
//! +--------------------------+    +------------------------------------------+
//! | session id (4)  != 0     |    | T=0 ... version 3 (2) | reserved (2)     |
//! | cookie 0 / 4 / 8         |    | session id (4)                           |
//! | sublayer 0 / 4           |    | cookie 0 / 4 / 8                         |
//! | Ethernet frame, no FCS   |    | sublayer 0 / 4                           |
//! +--------------------------+    | Ethernet frame, no FCS                   |
//!                                 +------------------------------------------+
//! ```
//!
//! The session id alone says how long cookie and sublayer are, so reading has three steps: [`split_udp`] or
//! [`split_ip`] gives the id, the caller looks the session up, then [`Cookie::strip`] and [`Sublayer::strip`].
//!
//! Place on the path: the decap stage reads with it, the encap stage makes its template with
//! [`DataHeader::write`], steering tells data from control. Not in it: AVPs, sequence windows.
//!
//! Source: RFC 3931 §3.2.1, §4.1.1, §4.1.2, §4.6.

mod control;
mod cookie;
mod data;
mod ids;
mod sublayer;

pub use control::{ControlHeader, split_control_ip, split_control_udp};
pub use cookie::Cookie;
pub use data::{DataHeader, Encap, MAX_DATA_HEADER_BYTES, SessionHeader, UdpDataHeader, split_ip, split_udp};
pub use ids::{SessionId, TunnelId};
pub use sublayer::{DefaultSublayer, Sublayer};

wire_error! {
    /// What is wrong with, or special about, an L2TPv3 packet.
    pub enum L2tpError {
        /// The bytes end inside the L2TPv3 header, cookie or sublayer.
        Truncated => "packet ends inside its l2tpv3 header",
        /// The version over UDP is not 3.
        Version => "l2tp version is not 3",
        /// T bit set, or session id 0: a control message, which is the control plane's.
        Control => "l2tpv3 control message",
        /// Not a control message although one was expected, or one with illegal flags or length.
        NotControl => "not a well-formed l2tpv3 control message",
        /// The cookie is not the session's.
        CookieMismatch => "cookie is not the session's",
        /// A cookie of other than 0, 4 or 8 bytes.
        CookieLength => "cookie is not 0, 4 or 8 bytes long",
        /// A cookie text with a character that is no hex digit.
        CookieDigit => "cookie has a character that is no hex digit",
        /// The buffer to write to is too short.
        NoRoom => "no room for the l2tpv3 header",
    }
}

#[cfg(test)]
mod tests;

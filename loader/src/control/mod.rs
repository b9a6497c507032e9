//! The control socket: how `spanwire <object> show` asks a running gateway.
//!
//! One Unix stream socket per gateway. Requests and replies are JSON, one per line ([`protocol`]); the rows stand in
//! [`api`]. The gateway answers from a [`source::StatusSource`] through a [`server::ControlServer`]; commands find the
//! socket with [`locate`] and ask with a [`client::ControlClient`]. Showing changes nothing. What can be changed stands in
//! [`change`]; whoever may open the socket may ask, but only root and the gateway's own user may change.

pub mod api;
pub mod change;
pub mod client;
pub mod locate;
pub mod protocol;
pub mod server;
mod socket_file;
pub mod source;

#[cfg(test)]
pub(crate) mod tests;

//! The control socket: how `spanwire <object> show` asks a running gateway.
//!
//! One Unix stream socket per gateway. Requests and replies are JSON, one per line ([`protocol`]); the rows stand in
//! [`api`]. The gateway answers from a [`source::StatusSource`] through a [`server::ControlServer`]; commands find the
//! socket with [`locate`] and ask with a [`client::ControlClient`]. Showing changes nothing, and nothing but showing
//! can be asked.

pub mod api;
pub mod client;
pub mod locate;
pub mod protocol;
pub mod server;
mod socket_file;
pub mod source;

#[cfg(test)]
pub(crate) mod tests;

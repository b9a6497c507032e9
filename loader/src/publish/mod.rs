//! Publisher: from the configuration and the state of the world to the tables that the workers read.
//!
//! Place: main thread. [`plan::Plan`] fixes, once per configuration, the position of every port, session and bridge
//! domain; [`tables`] builds one snapshot from the plan and from what is up at the moment. Building is a pure function:
//! the same plan and world give the same tables.
//! Not in it: when to publish (the supervisor) and the XDP program's maps ([`endpoints`] only says what belongs there).

pub mod endpoints;
mod outer;
pub mod plan;
pub mod tables;
pub mod underlay_vlan;

pub use plan::Plan;
pub use tables::{PortWorld, World};

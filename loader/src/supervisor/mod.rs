//! Supervisor: `spanwire run`. Starts the gateway, keeps it in step with the host, stops it without a trace.
//!
//! ```text
//!  configuration, preflight -> Gateway::start -> { network changed | tick | signal | control request } -> Gateway::stop
//! ```
//! Place: the main thread, a single-threaded runtime; frames never wait for it. What it decides becomes visible to the
//! workers only by publishing tables, and to the XDP program only through its maps.

mod attach;
mod crew;
mod gateway;
mod host;
mod status;

use std::{cell::RefCell, process::ExitCode, rc::Rc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{
    cli::{RunOptions, exit::Exit},
    config::{self, Config, ConfigError, InterfaceLookup, SystemInterfaces},
    control::server::ControlServer,
    netlink::{Network, NetworkOptions},
    preflight,
};
use gateway::Gateway;

/// How often the engine's clock is set and time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Runs a gateway until it is told to stop.
///
/// # Errors
/// When the gateway cannot start, or can no longer run. Faults of the configuration are printed, not returned: the exit
/// code says so.
pub fn run(options: &RunOptions) -> anyhow::Result<ExitCode> {
    let interfaces = SystemInterfaces::read().context("list this host's interfaces")?;
    let Some(config) = load(options, &interfaces)? else { return Ok(Exit::Usage.into()) };
    let report = match (config.umem.chunks, config.umem.chunk_bytes) {
        (Some(chunks), Some(bytes)) => preflight::Report::collect_for(u64::from(chunks) * u64::from(bytes)),
        _ => preflight::Report::collect(),
    };
    if !report.is_ok() {
        eprintln!("{report}");
        anyhow::bail!("spanwire cannot run here: {}", report.missing().collect::<Vec<_>>().join(", "));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the main thread's runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(config, options))?;
    Ok(Exit::Done.into())
}

/// The configuration, or `None` after its faults have been printed.
fn load(options: &RunOptions, interfaces: &dyn InterfaceLookup) -> anyhow::Result<Option<Config>> {
    match config::load(&options.config, Some(interfaces)) {
        Ok((config, notes)) => {
            if !notes.is_empty() {
                tracing::warn!("{notes}");
            }
            Ok(Some(config))
        }
        Err(ConfigError::Faulty(faults)) => {
            eprintln!("{faults}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Starts, serves, stops.
async fn serve(config: Config, options: &RunOptions) -> anyhow::Result<()> {
    // Handlers come first: from here on a signal ends the gateway in order, not in the middle of attaching.
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let path = options.control_socket.clone().unwrap_or_else(|| config.gateway.control_socket());
    let control = ControlServer::bind(&path)?;
    let network =
        Rc::new(Network::open(NetworkOptions::default()).await.context("follow the kernel's network state")?);
    let gateway = RefCell::new(Gateway::start(config, options, Rc::clone(&network))?);
    let outcome = tokio::select! {
        never = control.serve(&gateway) => match never {},
        outcome = keep_in_step(&gateway, &network) => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    gateway.into_inner().stop();
    outcome
}

/// Follows the network and the clock; returns only when the gateway cannot go on.
async fn keep_in_step(gateway: &RefCell<Gateway>, network: &Network) -> anyhow::Result<()> {
    let mut changes = network.changes();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    gateway::refresh(gateway, network).await;
    tracing::info!("running");
    loop {
        tokio::select! {
            () = changes.changed() => gateway::refresh(gateway, network).await,
            _ = ticks.tick() => {
                let is_due = gateway.borrow_mut().tick()?;
                if is_due {
                    gateway::refresh(gateway, network).await;
                }
            }
        }
    }
}

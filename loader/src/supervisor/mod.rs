//! Supervisor: `spanwire run`. Starts the gateway, keeps it in step with the host, stops it without a trace.
//!
//! ```text
//!  configuration, preflight -> Gateway::start -> { network changed | tick | signal | control request } -> Gateway::stop
//! ```
//! Place: the main thread, a single-threaded runtime; frames never wait for it. What it decides becomes visible to the
//! workers only by publishing tables, and to the XDP program only through its maps.

mod attach;
mod change;
mod crew;
mod follow;
mod gateway;
pub(crate) mod host;
mod path_status;
mod peers;
mod spreading;
mod status;
mod tx_checksum;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    config::{self, SystemInterfaces},
    control::{locate::SOCKET_DIRECTORY, server::ControlServer},
    netlink::{Network, NetworkOptions},
    preflight,
    program::ProgramOptions,
};
use gateway::Gateway;

/// How often the engine's clock is set and time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How long ICMP errors about tunnels are gathered before the ways there are looked up again: forged ones must not keep the main
/// thread busy.
const PATH_PAUSE: Duration = Duration::from_millis(20);

/// What `spanwire run` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// The control socket to use instead of the configured one.
    pub control_socket: Option<PathBuf>,
    /// The folder of the gateway's lock, journal and default control socket, instead of the usual one.
    pub runtime_directory: Option<PathBuf>,
    /// Whether the XDP program logs its decisions.
    pub log_decisions: bool,
}

/// Runs a gateway until it is told to stop.
///
/// # Errors
/// When the configuration has faults ([`config::ConfigError::Faulty`]), when the gateway cannot start, or can no longer
/// run.
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    let interfaces = SystemInterfaces::read().context("list this host's interfaces")?;
    let (config, notes) = config::load(&options.config, Some(&interfaces))?;
    if !notes.is_empty() {
        tracing::warn!("{notes}");
    }
    let report = match (config.umem.chunks, config.umem.chunk_bytes) {
        (Some(chunks), Some(bytes)) => preflight::Report::collect_for(u64::from(chunks) * u64::from(bytes)),
        _ => preflight::Report::collect(),
    };
    if !report.is_ok() {
        eprintln!("{report}");
        anyhow::bail!("spanwire cannot run here: {}", report.missing().collect::<Vec<_>>().join(", "));
    }
    if let Err(error) = host::raise_file_limit() {
        tracing::warn!("cannot raise the limit of open files: {error}; with many tunnels it may be reached");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the main thread's runtime")?;
    let outcome = runtime.block_on(serve(config, options));
    if outcome.as_ref().is_err_and(is_permission) {
        eprintln!("{report}");
    }
    outcome
}

/// Whether a permission was refused that the report before the start did not miss.
fn is_permission(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind));
    kinds.into_iter().any(|kind| kind == io::ErrorKind::PermissionDenied)
}

/// The folder for lock, journal and control socket.
fn runtime_directory(options: &RunOptions) -> PathBuf {
    // systemd names several folders with colons between them; the first is the unit's own.
    let of_systemd = || std::env::var("RUNTIME_DIRECTORY").ok()?.split(':').next().map(PathBuf::from);
    options.runtime_directory.clone().or_else(of_systemd).unwrap_or_else(|| PathBuf::from(SOCKET_DIRECTORY))
}

/// The control socket: as told, as configured, else in the runtime folder.
fn control_socket(options: &RunOptions, config: &config::Config, runtime_directory: &Path) -> PathBuf {
    let configured = || config.gateway.configured_control_socket.clone();
    let usual = || runtime_directory.join(format!("{}.sock", config.gateway.name()));
    options.control_socket.clone().or_else(configured).unwrap_or_else(usual)
}

/// The signals that end a gateway in order.
pub(crate) struct Endings([Signal; 4]);

impl Endings {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    /// Returns at the first of them.
    pub(crate) async fn wait(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// Tells the service manager, if there is one.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!("tell the service manager: {error}");
    }
}

/// Starts, serves, stops.
async fn serve(config: config::Config, options: &RunOptions) -> anyhow::Result<()> {
    // Handlers come first: from here on a signal ends the gateway in order, not in the middle of attaching.
    let mut endings = Endings::listen()?;
    let directory = runtime_directory(options);
    let control = ControlServer::bind(&control_socket(options, &config, &directory))?;
    let network =
        Network::open(NetworkOptions::default()).await.context("follow the kernel's network state")?;
    let network = Rc::new(network);
    let program = ProgramOptions { log_decisions: options.log_decisions };
    let gateway = RefCell::new(Gateway::start(config, program, &directory, Rc::clone(&network))?);
    let outcome = tokio::select! {
        never = control.serve(&gateway) => match never {},
        outcome = keep_in_step(&gateway, &network) => outcome,
        () = endings.wait() => Ok(()),
    };
    tracing::info!("stopping");
    notify(NotifyState::Stopping);
    gateway.into_inner().stop();
    outcome
}

/// Follows the network and the clock; returns only when the gateway cannot go on.
async fn keep_in_step(gateway: &RefCell<Gateway>, network: &Network) -> anyhow::Result<()> {
    let mut changes = network.changes();
    let mut reports = gateway.borrow_mut().take_reports().context("follow a gateway twice")?;
    // Errors that come together ask for one look.
    let mut path_look: Option<Instant> = None;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    follow::refresh(gateway, network).await?;
    tracing::info!("running");
    notify(NotifyState::Ready);
    loop {
        tokio::select! {
            () = changes.changed() => follow::refresh(gateway, network).await?,
            Some(report) = reports.recv() => {
                if gateway.borrow_mut().note_icmp(&report) {
                    path_look.get_or_insert_with(|| Instant::now() + PATH_PAUSE);
                }
            }
            () = sleep_until(path_look.unwrap_or_else(Instant::now)), if path_look.is_some() => {
                path_look = None;
                follow::refresh(gateway, network).await?;
            }
            _ = ticks.tick() => {
                let is_due = gateway.borrow_mut().tick()?;
                if is_due {
                    follow::refresh(gateway, network).await?;
                }
            }
        }
    }
}

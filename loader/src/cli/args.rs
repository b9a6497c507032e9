//! What can be typed. The reference page is made from these definitions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::exit::UsageError;
use crate::control::locate;
use crate::supervisor::RunOptions;

/// L2TPv3 pseudowire gateway: one Layer 2 network over plain Layer 3.
#[derive(Debug, Parser)]
#[command(
    name = "spanwire",
    version,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that `spanwire` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground until it is told to end (SIGINT, SIGTERM).
    Run(RunArgs),
    /// Work on configuration files.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Config {
        /// What to do with them.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Translate shell scripts of ip, bridge and modprobe commands into a configuration.
    ///
    /// The configuration goes to standard output; what could not be translated, and what looks like a typing
    /// error, goes to standard error with file and line.
    Import(ImportArgs),
    /// Say what this host and user lack for running a gateway.
    Preflight(PreflightArgs),
    /// Say what this machine and its interfaces give to a gateway, what stands in the way, and what changes it.
    ///
    /// Nothing is changed without `--apply`, and at its end that puts everything back: upon Ctrl-C or SIGTERM, or when COMMAND has
    /// ended.
    Doctor(DoctorArgs),
    /// Ask a running gateway about itself.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Gateway {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<AllArgs>,
    },
    /// Ask about L2TPv3 tunnels.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Tunnel {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<NamedArgs>,
    },
    /// Ask about L2TPv3 sessions, the pseudowires; change their cookies.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Session {
        /// What to ask or change.
        #[command(subcommand)]
        verb: SessionVerb,
    },
    /// Ask about ports, the network interfaces that the gateway holds.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Port {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<NamedArgs>,
    },
    /// Ask about the MAC addresses of bridge domains.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Fdb {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<FdbArgs>,
    },
    /// Ask about worker threads and their chunks.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Worker {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<AllArgs>,
    },
    /// Ask about dropped frames.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Drop {
        /// What to ask.
        #[command(subcommand)]
        verb: Show<DropArgs>,
    },
    /// Print the version of this program.
    Version(VersionArgs),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Use this control socket instead of the configured one.
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Keep lock, journal and, unless configured, control socket here; without it, where the environment variable
    /// RUNTIME_DIRECTORY says (systemd sets it), else in /run/spanwire.
    #[arg(long, value_name = "DIR")]
    pub runtime_directory: Option<PathBuf>,
    /// What to log; without it, what the environment variable SPANWIRE_LOG says, else info.
    #[arg(long, value_name = "LEVEL", value_enum, conflicts_with = "verbose")]
    pub log_level: Option<LogLevel>,
    /// Log more: -v debug, -vv trace.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// What the XDP program logs: from debug on, each of its decisions, which costs time per packet; below that nothing.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Off)]
    pub program_log_level: LogLevel,
}

impl RunArgs {
    /// Whether the XDP program is to report its decisions: they are records of level debug.
    pub(super) fn logs_decisions(&self) -> bool {
        matches!(self.program_log_level, LogLevel::Debug | LogLevel::Trace)
    }

    /// What the supervisor needs to know.
    #[must_use]
    pub fn options(&self) -> RunOptions {
        RunOptions {
            config: self.config.clone(),
            control_socket: self.control_socket.clone(),
            runtime_directory: self.runtime_directory.clone(),
            log_decisions: self.logs_decisions(),
        }
    }
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What needs a look.
    Warn,
    /// What changed.
    Info,
    /// Why it changed.
    Debug,
    /// Every step.
    Trace,
}

/// Verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Check a configuration file and report every fault with its line and key.
    Check(CheckArgs),
    /// Print the reference of every configuration key, as Markdown.
    Reference,
}

/// Options of `config check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do not ask whether the interfaces exist on this host.
    #[arg(long)]
    pub no_interfaces: bool,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Shell scripts, read one after the other as one list of commands; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// An interface that faces the routed network; may be given again.
    #[arg(long, value_name = "INTERFACE")]
    pub underlay: Vec<String>,
    /// Name of the gateway in the configuration.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Options of `preflight`.
#[derive(Debug, Args)]
pub struct PreflightArgs {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Interfaces that are, or are to be, ports; without any, every Ethernet interface of the network namespace.
    #[arg(value_name = "PORT")]
    pub ports: Vec<String>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// Make the changes that can be undone, on the machine and on the named interfaces, and undo them at the end.
    #[arg(long, requires = "ports")]
    pub apply: bool,
    /// A program with its arguments, to be run after the changes; when it has ended they are undone.
    #[arg(last = true, value_name = "COMMAND", requires = "apply")]
    pub command: Vec<OsString>,
}

/// Options of `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// The one verb of an object of a running gateway.
#[derive(Debug, Subcommand)]
pub enum Show<A: Args> {
    /// Show it; nothing is changed.
    Show(A),
}

impl<A: Args> Show<A> {
    /// The options of the verb.
    pub fn args(&self) -> &A {
        let Self::Show(args) = self;
        args
    }
}

/// Verbs of `session`.
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// Show it; nothing is changed.
    Show(NamedArgs),
    /// Change the cookies of a session of a running gateway, without losing a frame.
    ///
    /// What is not given stays. The length of a cookie cannot be changed like this. The configuration file is not touched: put
    /// the new cookies there too, or the next start has those of before.
    Set(SetArgs),
}

/// Options of `session set`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("cookies").required(true).multiple(true)))]
pub struct SetArgs {
    /// The session.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Cookie written into sent packets from now on: 8 or 16 hexadecimal digits.
    #[arg(long, value_name = "HEX", group = "cookies")]
    pub cookie: Option<String>,
    /// Cookie that received packets must carry from now on: 8 or 16 hexadecimal digits.
    #[arg(long, value_name = "HEX", group = "cookies")]
    pub peer_cookie: Option<String>,
    /// A second cookie that received packets may carry instead: 8 or 16 hexadecimal digits, or `none`.
    #[arg(long, value_name = "HEX|none", group = "cookies")]
    pub peer_cookie_also: Option<String>,
    /// Whom to ask, how to print.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Options of a `show` that always shows everything.
#[derive(Debug, Args)]
pub struct AllArgs {
    /// Whom to ask, how to print.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Options of a `show` of things that have names.
#[derive(Debug, Args)]
pub struct NamedArgs {
    /// Show only this one, with everything known about it.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Whom to ask, how to print.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Options of `fdb show`.
#[derive(Debug, Args)]
pub struct FdbArgs {
    /// Show only this bridge domain.
    #[arg(long, value_name = "NAME")]
    pub bridge: Option<String>,
    /// Whom to ask, how to print.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Options of `drop show`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Show also the reasons for which no frame was dropped.
    #[arg(long)]
    pub all: bool,
    /// Whom to ask, how to print.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Whom to ask, how to print.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Ask the gateway with this control socket.
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Ask the gateway of this name; not needed when only one runs.
    #[arg(long, value_name = "NAME", conflicts_with = "control_socket")]
    pub gateway: Option<String>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

impl AskArgs {
    /// The control socket of the gateway that is meant.
    ///
    /// # Errors
    /// When none is named, and none or several run; when the name cannot be one.
    pub fn socket(&self) -> anyhow::Result<PathBuf> {
        match (&self.control_socket, &self.gateway) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(name)) if Path::new(name).file_name().is_some_and(|file| file == name.as_str()) => {
                Ok(locate::default_socket(name))
            }
            (None, Some(name)) => {
                let text = format!(
                    "{name:?} is no name of a gateway; name a socket's path with `--control-socket PATH`"
                );
                Err(UsageError(text).into())
            }
            (None, None) => Ok(locate::only_socket()?),
        }
    }
}

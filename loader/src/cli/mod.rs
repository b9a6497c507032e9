//! The command line: `spanwire <object> <verb>`.
//!
//! One module per concern: [`args`] says what can be typed, [`show`] asks a running gateway and prints, [`set`] changes one, [`files`] works
//! on configuration files and scripts, [`output`] and [`table`] write, [`logging`] sets up the log of `run`.
//! Text goes to standard output only when it is what was asked for; faults go to standard error.

pub mod args;
mod doctor;
pub mod exit;
mod files;
mod import;
mod logging;
mod output;
mod preflight;
mod set;
mod show;
mod table;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, ConfigVerb, RunArgs, SessionVerb};
use self::exit::Exit;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return exit_of_parse(&message),
    };
    match execute(&cli.command) {
        Ok(code) => code,
        Err(error) if error.is::<output::ReaderLeft>() => Exit::Done.into(),
        Err(error) => {
            output::error(&error);
            exit::of_error(&error).into()
        }
    }
}

/// Prints help and version to standard output, faults to standard error.
fn exit_of_parse(message: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = message.print();
    if message.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

fn execute(command: &Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Run(args) => return run(args),
        Command::Config { verb: ConfigVerb::Check(args) } => return files::check(args),
        Command::Import(args) => return import::import(args),
        Command::Preflight(args) => return preflight::preflight(args),
        Command::Doctor(args) => return doctor::doctor(args),
        Command::Config { verb: ConfigVerb::Reference } => files::reference(),
        Command::Version(args) => show::version(args),
        Command::Gateway { verb } => show::gateway(verb),
        Command::Tunnel { verb } => show::tunnel(verb),
        Command::Session { verb: SessionVerb::Show(args) } => show::session(args),
        Command::Session { verb: SessionVerb::Set(args) } => set::session(args),
        Command::Port { verb } => show::port(verb),
        Command::Fdb { verb } => show::fdb(verb),
        Command::Worker { verb } => show::worker(verb),
        Command::Drop { verb } => show::drops(verb),
    };
    done.map(|()| Exit::Done.into())
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    logging::start(args)?;
    crate::supervisor::run(&args.options()).map(|()| Exit::Done.into())
}

#[cfg(test)]
mod tests;

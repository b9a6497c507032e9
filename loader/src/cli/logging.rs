//! The log of `run`: to standard error, as the terminal or the journal takes it best.

use std::io::{self, IsTerminal};

use anyhow::Context as _;
use ebpf::abi;
use tracing_subscriber::EnvFilter;

use super::args::{LogLevel, RunArgs};
use super::exit::UsageError;

/// Environment variable with a filter, `info` or `info,loader::netlink=debug`.
const VARIABLE: &str = "SPANWIRE_LOG";
/// Set by systemd when standard error is the journal, which stamps the lines itself.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Sets up the log of the process.
///
/// # Errors
/// When the filter of the environment variable cannot be read.
pub(super) fn start(args: &RunArgs) -> anyhow::Result<()> {
    let filter = filter(args, std::env::var(VARIABLE).ok().as_deref())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let started = if std::env::var_os(JOURNAL_VARIABLE).is_some() && !io::stderr().is_terminal() {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot set up the log: {error}"))
}

/// The filter, which lets the XDP program's records through where they are asked for.
fn filter(args: &RunArgs, variable: Option<&str>) -> anyhow::Result<EnvFilter> {
    let filter = general_filter(args, variable)?;
    if !args.logs_decisions() {
        return Ok(filter);
    }
    let records =
        format!("{}=debug", abi::PROGRAM).parse().context("let the XDP program's records through")?;
    Ok(filter.add_directive(records))
}

/// The command line's filter, else the environment's, else info.
fn general_filter(args: &RunArgs, variable: Option<&str>) -> anyhow::Result<EnvFilter> {
    let variable = variable.filter(|text| !text.is_empty());
    match (typed_level(args), variable) {
        (Some(level), _) => Ok(EnvFilter::new(level)),
        (None, Some(text)) => EnvFilter::try_new(text).map_err(|error| {
            let text =
                format!("cannot read {VARIABLE}={text:?}: {error}; try `info` or `loader::netlink=debug`");
            UsageError(text).into()
        }),
        (None, None) => Ok(EnvFilter::new("info")),
    }
}

/// The level that the command line asks for.
fn typed_level(args: &RunArgs) -> Option<&'static str> {
    match (args.log_level, args.verbose) {
        (Some(LogLevel::Off), _) => Some("off"),
        (Some(LogLevel::Error), _) => Some("error"),
        (Some(LogLevel::Warn), _) => Some("warn"),
        (Some(LogLevel::Info), _) => Some("info"),
        (Some(LogLevel::Debug), _) | (None, 1) => Some("debug"),
        (Some(LogLevel::Trace), _) | (None, 2..) => Some("trace"),
        (None, 0) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    fn filter_of(options: &[&str], variable: Option<&str>) -> anyhow::Result<String> {
        let cli = Cli::try_parse_from([&["spanwire", "run", "--config", "f"], options].concat()).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run") };
        filter(&args, variable).map(|filter| filter.to_string())
    }

    #[test]
    fn the_command_line_outdoes_the_environment_which_outdoes_info() {
        assert_eq!(filter_of(&[], None).unwrap(), "info");
        assert_eq!(filter_of(&[], Some("")).unwrap(), "info");
        assert_eq!(filter_of(&[], Some("warn")).unwrap(), "warn");
        assert_eq!(filter_of(&["-v"], Some("warn")).unwrap(), "debug");
        assert_eq!(filter_of(&["-vvv"], None).unwrap(), "trace");
        assert_eq!(filter_of(&["--log-level", "off"], Some("warn")).unwrap(), "off");
    }

    #[test]
    fn the_programs_records_are_seen_whatever_else_is() {
        for (options, variable, others) in
            [(&[][..], None, "info"), (&[], Some("warn"), "warn"), (&["--log-level", "off"], None, "off")]
        {
            let asked = [options, &["--program-log-level", "debug"]].concat();
            assert_eq!(filter_of(&asked, variable).unwrap(), format!("spanwire_steer=debug,{others}"));
            let below = [options, &["--program-log-level", "info"]].concat();
            assert_eq!(filter_of(&below, variable).unwrap(), others, "its records are of level debug");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_usage_fault_with_its_text() {
        let error = filter_of(&[], Some("loader=lots")).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(error.to_string().starts_with("cannot read SPANWIRE_LOG=\"loader=lots\": "), "{error}");
    }
}

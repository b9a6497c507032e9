//! What can be typed, and what it means.

use std::path::Path;

use clap::CommandFactory;

use super::args::{SessionVerb, Show};
use super::exit::UsageError;
use std::path::PathBuf;

use super::*;
use crate::supervisor::RunOptions;

fn parse(words: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(words.split(' ')).map(|cli| cli.command)
}

#[test]
fn the_definitions_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn run_takes_a_file_a_socket_and_a_level_for_the_program() {
    let Command::Run(args) = parse("spanwire run --config gw.toml").unwrap() else { panic!("not run") };
    let plain = RunOptions {
        config: "gw.toml".into(),
        control_socket: None,
        runtime_directory: None,
        log_decisions: false,
    };
    assert_eq!(args.options(), plain);

    let line = "spanwire run --config gw.toml --control-socket /tmp/s --runtime-directory /tmp/d \
                --program-log-level debug -vv";
    let Command::Run(args) = parse(line).unwrap() else { panic!("not run") };
    let full = RunOptions {
        control_socket: Some("/tmp/s".into()),
        runtime_directory: Some("/tmp/d".into()),
        log_decisions: true,
        ..plain
    };
    assert_eq!((args.options(), args.verbose), (full, 2));
}

#[test]
fn the_program_logs_its_decisions_from_the_level_of_their_records_on() {
    let logs = |level: &str| {
        let line = format!("spanwire run --config gw.toml --program-log-level {level}");
        let Command::Run(args) = parse(&line).unwrap() else { panic!("not run") };
        args.options().log_decisions
    };
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    assert_eq!(levels.map(logs), [false, false, false, false, true, true]);
}

#[test]
fn every_object_has_the_verb_show() {
    assert!(matches!(parse("spanwire gateway show"), Ok(Command::Gateway { .. })));
    assert!(matches!(parse("spanwire worker show --json"), Ok(Command::Worker { .. })));
    let Ok(Command::Session { verb: SessionVerb::Show(args) }) =
        parse("spanwire session show s1 --gateway gw-a --json")
    else {
        panic!("not session show")
    };
    assert_eq!(
        (args.name.as_deref(), args.ask.gateway.as_deref(), args.ask.json),
        (Some("s1"), Some("gw-a"), true)
    );
    let Ok(Command::Fdb { verb: Show::Show(args) }) = parse("spanwire fdb show --bridge br0") else {
        panic!("not fdb show")
    };
    assert_eq!(args.bridge.as_deref(), Some("br0"));
    let Ok(Command::Drop { verb: Show::Show(args) }) = parse("spanwire drop show --all") else {
        panic!("not drop show")
    };
    assert!(args.all);
}

#[test]
fn session_set_takes_one_cookie_or_several() {
    let set = |options: &str| {
        let line = format!("spanwire session set s1 {options}");
        let Ok(Command::Session { verb: SessionVerb::Set(args) }) = parse(&line) else { panic!("{line}") };
        assert_eq!(args.name, "s1");
        (args.cookie, args.peer_cookie, args.peer_cookie_also)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(set("--cookie 01234567"), (text("01234567"), None, None));
    let both = set("--peer-cookie 01234567 --peer-cookie-also none --json --gateway gw-a");
    assert_eq!(both, (None, text("01234567"), text("none")));
}

#[test]
fn import_takes_several_files_and_underlays() {
    let line = "spanwire import a.sh b.sh --underlay eth0 --underlay eth2 --name gw-b";
    let Ok(Command::Import(args)) = parse(line) else { panic!("not import") };
    assert_eq!(args.files, [PathBuf::from("a.sh"), PathBuf::from("b.sh")]);
    assert_eq!(args.underlay, ["eth0", "eth2"]);
    assert_eq!(args.name.as_deref(), Some("gw-b"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for line in [
        "spanwire",
        "spanwire run",
        "spanwire tunnel",
        "spanwire tunnel show t1 t2",
        "spanwire worker show w1",
        "spanwire import",
        "spanwire config check",
        "spanwire run --config f -v --log-level info",
        "spanwire port show --gateway gw-a --control-socket /tmp/s",
        "spanwire session delete s1",
        "spanwire session set s1",
        "spanwire session set --cookie 01234567",
        "spanwire session set s1 s2 --cookie 01234567",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn the_socket_is_the_one_named_or_the_named_gateways() {
    let ask_of = |options: &str| {
        let line = format!("spanwire port show {options}");
        let Ok(Command::Port { verb: Show::Show(args) }) = parse(&line) else { panic!("not port show") };
        args.ask.socket()
    };
    assert_eq!(ask_of("--control-socket ./gw.sock").unwrap(), PathBuf::from("./gw.sock"));
    assert_eq!(ask_of("--gateway gw-a").unwrap(), PathBuf::from("/run/spanwire/gw-a.sock"));
    for name in ["../gw-a", "a/b", "..", "/"] {
        let error = ask_of(&format!("--gateway {name}")).unwrap_err();
        assert!(error.is::<UsageError>(), "{name}: {error}");
        assert!(error.to_string().ends_with("name a socket's path with `--control-socket PATH`"), "{error}");
    }
}

#[test]
fn usage_faults_exit_with_two_and_other_errors_with_one() {
    assert_eq!(exit::of_error(&UsageError("x".to_owned()).into()), Exit::Usage);
    let findings = crate::config::check("gw.toml", "[gatway]", None).findings;
    let faulty = anyhow::Error::new(crate::config::ConfigError::Faulty(findings));
    assert_eq!(exit::of_error(&faulty), Exit::Usage);
    assert_eq!(exit::of_error(&faulty.context("cannot start")), Exit::Usage);
    assert_eq!(exit::of_error(&anyhow::anyhow!("x")), Exit::Failed);
    let unreadable = crate::config::load(Path::new("/nonexistent/gw.toml"), None).unwrap_err();
    assert_eq!(exit::of_error(&unreadable.into()), Exit::Failed);
    assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2]);
}

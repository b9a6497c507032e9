//! The reference pages of command line and exit codes stand in the manual exactly as the code says.
//!
//! With `SPANWIRE_WRITE_REFERENCE=1` the test writes the pages instead of comparing them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use loader::cli::args::Cli;
use loader::cli::exit::Exit;

/// The rows' definitions; their documentation is the documentation of the JSON.
const API: &str = include_str!("../src/control/api.rs");

/// The definitions of the words in them.
const WORDS: &str = include_str!("../src/control/api/words.rs");

/// Which command shows which row.
const ROWS: [(&str, &str); 12] = [
    ("GatewayStatus", "`gateway show --json`: one object"),
    ("TunnelStatus", "`tunnel show --json`: an array of"),
    ("PathStatus", "`path` of a tunnel"),
    ("SessionStatus", "`session show --json`: an array of"),
    ("SequenceCounts", "`observed` of a session"),
    ("SessionChanged", "`session set --json`: one object"),
    ("PortStatus", "`port show --json`: an array of"),
    ("KernelRings", "`kernel_rings` of a port"),
    ("FdbEntryStatus", "`fdb show --json`: an array of"),
    ("WorkerStatus", "`worker show --json`: an array of"),
    ("ChunkCounts", "`chunks` of a worker"),
    ("DropStatus", "`drop show --json`: an array of"),
];

/// The page up to the commands.
const CLI_HEAD: &str = "\
# Command line

<!-- Made from the program's definitions; `cargo test -p spanwire --test cli_reference` compares it. -->

One binary, `spanwire <object> <verb>`. `run` is the gateway; `show` asks a running one over its control socket and
changes nothing; `session set` changes a running one, which takes root or the gateway's own user; `doctor` and `preflight` look at
the machine; the other commands work on files. Text goes to standard output in plain columns with a header, `-` for
no value and free text last; faults go to standard error. The [exit codes](exit-codes.md) are the same everywhere.

Without `--gateway` and `--control-socket`, a `show` command asks the only gateway that runs; when several run, it lists them.

`run` logs to standard error, coloured on a terminal only. The environment variable `SPANWIRE_LOG` sets what is logged:
a level (`debug`), or levels by module (`info,loader::netlink=debug`).
";

/// Between the commands and the fields.
const JSON_HEAD: &str = "
## JSON

`--json` writes the rows that the table shows, with the fields below, in this order. Fields may be added; none is
renamed, removed or given another meaning within a major version. A value that does not exist is `null`. Counters count
from the start of the gateway. The control socket speaks the same rows, one JSON line each way:
`{\"show\":\"sessions\",\"name\":\"l2tpeth0\"}` is answered by `{\"sessions\":[...]}` or `{\"error\":\"...\"}`; `show` is one of
`gateway`, `tunnels`, `sessions`, `ports`, `fdb`, `workers`, `drops`; `name` narrows tunnels, sessions and ports,
`bridge` narrows `fdb`. `{\"set\":\"session\",\"name\":\"l2tpeth0\",\"peer_cookie_also\":\"none\"}` is answered by
`{\"changed\":{...}}`; its keys are those of a session's cookies in the configuration file.
";

#[test]
fn the_command_line_page_is_what_the_definitions_say() {
    let mut page = CLI_HEAD.to_owned();
    let mut root = Cli::command();
    root.build();
    for command in root.get_subcommands() {
        push_command(&mut page, command, "");
    }
    page += JSON_HEAD;
    for (row, place) in ROWS {
        push_row(&mut page, row, place);
    }
    compare("cli.md", &page);
}

#[test]
fn every_row_of_the_interface_is_documented() {
    let structs: Vec<&str> =
        API.lines().filter_map(|line| line.strip_prefix("pub struct ")?.strip_suffix(" {")).collect();
    for row in &structs {
        assert!(ROWS.iter().any(|(documented, _)| documented == row), "{row} is not documented");
    }
    assert_eq!(structs.len(), ROWS.len());
}

#[test]
fn the_exit_code_page_is_what_the_program_ends_with() {
    let mut page = "\
# Exit codes

<!-- Made from the program's definitions; `cargo test -p spanwire --test cli_reference` compares it. -->

| code | when |
|---|---|
"
    .to_owned();
    for exit in Exit::ALL {
        writeln!(page, "| {} | {} |", exit.code(), exit.meaning()).unwrap();
    }
    page += "
A reader of standard output that leaves early (`spanwire fdb show | head -1`) is not a failure: the code is 0.
`preflight` ends with 1 when the gateway could not run here, `doctor` when anything stands in the way. With `--apply` it ends with 1 when
a change was refused or could not be undone, or when the command failed. `config check` ends with 2 when the file has a fault, and
with 0 when it has only notes. `import` ends with 2 when no gateway could run with the result as it is, which it prints
all the same; commands that it could not translate are listed and do not change the code.
";
    compare("exit-codes.md", &page);
}

/// Appends a command, or what is below it when it is only an object; `object` says what that is about.
fn push_command(page: &mut String, command: &Command, object: &str) {
    if command.get_name() == "help" {
        return;
    }
    let about = sentence(&command.get_long_about().or(command.get_about()).unwrap().to_string());
    if command.has_subcommands() {
        command.get_subcommands().for_each(|verb| push_command(page, verb, &about));
        return;
    }
    let about = if command.get_name() != "show" { about } else { format!("{object} {about}") };
    let name = command.get_bin_name().unwrap();
    let usage = command.clone().render_usage().to_string();
    writeln!(page, "\n## `{name}`\n\n{about}\n\n```text\n{}\n```", usage.trim_start_matches("Usage: "))
        .unwrap();
    let documented: Vec<&Arg> = command.get_arguments().filter(|arg| arg.get_id() != "help").collect();
    if documented.is_empty() {
        return;
    }
    page.push_str("\n| option | meaning | default |\n|---|---|---|\n");
    for arg in documented {
        push_argument(page, arg);
    }
}

/// The text with the full stop that clap takes away.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// Appends the table row of one argument.
fn push_argument(page: &mut String, arg: &Arg) {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut name = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() {
        let value = arg.get_value_names().unwrap()[0].as_str();
        name = if name.is_empty() { value.to_owned() } else { format!("{name} {value}") };
    }
    let values: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let values = if values.len() > 2 { format!(" One of {}.", values.join(", ")) } else { String::new() };
    let default: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = if arg.get_action().takes_values() { default.join(" ") } else { String::new() };
    let help = sentence(&arg.get_help().unwrap().to_string());
    // In a table even a bar in code ends the cell.
    let name = name.replace('|', "\\|");
    writeln!(page, "| `{name}` | {help}{values} | {default} |").unwrap();
}

/// Appends the fields of one row, with the documentation that stands at their definition.
fn push_row(page: &mut String, row: &str, place: &str) {
    let (_, body) = API.split_once(&format!("pub struct {row} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    writeln!(page, "\n### {place}\n\n| field | type | meaning |\n|---|---|---|").unwrap();
    let mut docs = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
        } else if let Some((field, kind)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
            let kind = json_type(kind.trim_end_matches(','));
            writeln!(page, "| `{field}` | {kind} | {} |", docs.join(" ")).unwrap();
            docs.clear();
        } else {
            panic!("cannot read {line:?} in {row}");
        }
    }
}

/// The JSON type that a Rust type is written as.
fn json_type(kind: &str) -> String {
    if let Some(inner) = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')) {
        return format!("{} or null", json_type(inner));
    }
    if let Some(inner) = kind.strip_prefix("Vec<").and_then(|kind| kind.strip_suffix('>')) {
        return format!("array of {}s", json_type(inner));
    }
    match kind {
        "u8" | "u16" | "u32" | "u64" => "number".to_owned(),
        "bool" => "boolean".to_owned(),
        "String" | "IpAddr" => "string".to_owned(),
        "Counts" | "KernelRings" | "ChunkCounts" | "SequenceCounts" | "PathStatus" => "object".to_owned(),
        word => words_of(word),
    }
}

/// The words of an enum, as they stand in the code that displays them.
fn words_of(name: &str) -> String {
    let (_, words) = WORDS.split_once(&format!("\n    {name} {{ ")).unwrap();
    let (words, _) = words.split_once(" }").unwrap();
    let words = words.split(", ").map(|pair| pair.split_once(" => ").unwrap().1.trim_matches('"'));
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
}

/// Compares a page of the manual, or writes it.
fn compare(file: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference").join(file);
    if std::env::var_os("SPANWIRE_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(page.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == page,
        "docs/src/reference/{file} is not what the program says, first at {differs:?}; \
         write it with SPANWIRE_WRITE_REFERENCE=1 cargo test -p spanwire --test cli_reference"
    );
}

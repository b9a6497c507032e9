//! `spanwire import -` reads the script from standard input.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs `spanwire import` with these words and this standard input.
fn import(words: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanwire"));
    command.arg("import").args(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    // Who refuses the words does not read the input.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

const SCRIPT: &str = "\
ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunnel_id 2 encap ip
ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4 name pw
ip link set pw up
ip link set eth1 up
brctl addbr br0
brctl addif br0 eth1 pw
ip link set br0 up
";

#[test]
fn a_dash_reads_standard_input_and_is_called_that() {
    let output = import(&["--underlay", "eth0", "-"], SCRIPT);
    let (toml, remarks) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{remarks}");
    assert!(toml.starts_with("# Imported by spanwire from standard input.\n"), "{toml}");
    assert!(toml.contains("members = [\"eth1\", \"pw\"]"), "{toml}");
    assert!(remarks.starts_with("standard input:4: not needed: up stays a setting"), "{remarks}");
}

#[test]
fn standard_input_can_be_one_of_several_scripts_but_not_two() {
    let file = std::env::temp_dir().join(format!("spanwire-import-{}.sh", std::process::id()));
    std::fs::write(&file, SCRIPT).expect("the file can be written");
    let several = import(&[&file.to_string_lossy(), "-"], "brctl addif br0 eth2\n");
    std::fs::remove_file(&file).expect("the file is there");
    let toml = String::from_utf8_lossy(&several.stdout);
    assert!(toml.contains("members = [\"eth1\", \"pw\", \"eth2\"]"), "{toml}");

    let twice = import(&["-", "-"], SCRIPT);
    assert_eq!((twice.status.code(), twice.stdout.len()), (Some(2), 0));
    let error = String::from_utf8_lossy(&twice.stderr);
    assert_eq!(error, "spanwire: standard input (-) is given more than once\n");
}

//! The capabilities that the preflight report tells to grant are enough for a gateway, and none of them is too many.
//!
//! ```text
//!    peer                      gateway                     pc
//! +-----------------+       +-----------------+         +------+
//! | eth0  10.0.0.3  +-------+ eth0   10.0.0.2 |         |      |
//! +-----------------+       |            eth1 +---------+ eth0 |
//!                           +-----------------+         +------+
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use loader::preflight::GRANT;
use loader::program::{AttachMode, ProgramOptions, SteeringProgram};
use netlab::Process;
use serde_json::Value;
use support::{Lab, Machine, Rerun, SOON};

const SPANWIRE: &str = env!("CARGO_BIN_EXE_spanwire");

/// Name of this file's labs.
const LAB: &str = "netprivilege";

/// User and group id of nobody.
const NOBODY: u32 = 65534;

/// 8 MiB of frame memory: more than [`LIMITED`] allows to lock.
const CONFIG: &str = r#"
[gateway]
name = "gw"
[umem]
chunks = 4096
chunk_bytes = 2048
[port.eth0]
role = "underlay"
rx_ring = 512
tx_ring = 512
[port.eth1]
role = "access"
rx_ring = 512
tx_ring = 512
[tunnel.t1]
local = "10.0.0.2"
remote = "10.0.0.3"
tunnel_id = 1
peer_tunnel_id = 1
encap = "ip"
[tunnel.t1.session.s1]
session_id = 1
peer_session_id = 1
[bridge.br0]
members = ["eth1", "s1"]
"#;

/// Lets no more than 64 KiB be locked. The program to run is handed over open: nobody may not look into every folder.
const LIMITED: &str = "ulimit -l 64; exec \"$@\" 3<\"$0\"";

/// The program that [`LIMITED`] opened.
const HANDED_OVER: &str = "/proc/self/fd/3";

/// The capabilities that are to be granted, as `setpriv` calls them.
fn granted() -> Vec<String> {
    let (_, list) = GRANT.split_once("AmbientCapabilities=").unwrap();
    let (list, _) = list.split_once(',').unwrap();
    list.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

/// A gateway's machine with both its lines, and a folder that nobody may write to.
struct Site {
    gateway: Machine,
    _neighbours: [Machine; 2],
    config: PathBuf,
    runtime_directory: PathBuf,
    lab: Lab,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new(LAB);
        let [gateway, peer, pc] = ["gw", "peer", "pc"].map(|name| lab.machine(name));
        lab.join((&gateway, "eth0"), (&peer, "eth0"));
        lab.join((&gateway, "eth1"), (&pc, "eth0"));
        gateway.ip("addr add 10.0.0.2/24 dev eth0");
        peer.ip("addr add 10.0.0.3/24 dev eth0");
        let config = lab.dir().join("gw.toml");
        fs::write(&config, CONFIG).unwrap();
        let runtime_directory = lab.folder("run");
        chown(&runtime_directory, Some(NOBODY), Some(NOBODY)).unwrap();
        Self { gateway, _neighbours: [peer, pc], config, runtime_directory, lab }
    }

    /// Starts a gateway as nobody with these capabilities and no others.
    fn start(&self, name: &str, capabilities: &[String]) -> Process {
        let sets: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let set = |kind: &str| format!("--{kind}=-all{sets}");
        let (inheritable, ambient, bounding) = (set("inh-caps"), set("ambient-caps"), set("bounding-set"));
        let (config, folder) = (self.config.to_str().unwrap(), self.runtime_directory.to_str().unwrap());
        let limit = ["sh", "-c", LIMITED, SPANWIRE];
        let user = NOBODY.to_string();
        let become_nobody = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"];
        let capabilities = [inheritable.as_str(), &ambient, &bounding, "--no-new-privs"];
        let run = [HANDED_OVER, "run", "--config", config, "--runtime-directory", folder];
        let words = [limit.as_slice(), &become_nobody, &capabilities, &run].concat();
        self.gateway.spawn(name, &words).unwrap()
    }

    /// The state of the only session.
    fn session_state(&self) -> Result<String, String> {
        let output = Command::new(SPANWIRE)
            .args(["session", "show", "--json", "--control-socket"])
            .arg(self.runtime_directory.join("gw.sock"))
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        Ok(rows[0]["state"].as_str().unwrap().to_owned())
    }
}

#[test]
#[ignore = "needs root: makes network namespaces and loads an XDP program"]
fn nobody_with_exactly_the_granted_capabilities_runs_a_gateway_and_leaves_nothing() {
    let site = Site::new();
    let gateway = site.start("gateway", &granted());
    site.lab
        .wait_until("the session to be up", SOON, || match site.session_state()?.as_str() {
            "up" => Ok(()),
            state => Err(state.to_owned()),
        })
        .unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{status}");
    // Bits 12 to 14 are NET_ADMIN, NET_RAW and IPC_LOCK, 38 and 39 PERFMON and BPF.
    assert!(status.contains("CapEff:\t000000c000007000\n"), "{status}");
    assert!(gateway.terminate().unwrap().success(), "{}", gateway.log());
    assert_eq!(fs::read_dir(&site.runtime_directory).unwrap().count(), 0);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn without_any_one_of_them_the_gateway_does_not_start_and_names_it() {
    let site = Site::new();
    for missing in granted() {
        let others: Vec<String> = granted().into_iter().filter(|name| *name != missing).collect();
        let gateway = site.start(&format!("without-{missing}"), &others);
        let status = gateway.wait(SOON).unwrap();
        let log = gateway.log();
        assert_eq!(status.code(), Some(1), "{log}");
        let name = format!("CAP_{}", missing.to_uppercase());
        let (item, found) = match name.as_str() {
            "CAP_IPC_LOCK" => ("locked memory", "65536 bytes, no CAP_IPC_LOCK"),
            _ => (name.as_str(), "not granted"),
        };
        assert!(log.contains(&format!("{item:<16} missing  {found}")), "{log}");
        assert!(log.contains(&format!("spanwire cannot run here: {item}")), "{log}");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces and loads an XDP program"]
fn nobody_is_told_both_cures_of_a_program_that_holds_the_interface() {
    let site = Site::new();
    site.gateway.inside(|_runtime| {
        let (mut program, _maps) = SteeringProgram::load(ProgramOptions::default()).unwrap();
        let index = site.gateway.ifindex("eth0");
        let _link = program.attach("eth0", index, AttachMode::Native).unwrap();
        let gateway = site.start("gateway", &granted());
        let status = gateway.wait(SOON).unwrap();
        let log = gateway.log();
        assert_eq!(status.code(), Some(1), "{log}");
        let id = program.program_id();
        assert!(log.contains(&format!("eth0 already has an XDP program: without a name (id {id})")), "{log}");
        assert!(log.contains("`ip link set dev eth0 xdp off`, or end the process that holds it"), "{log}");
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn a_program_that_the_verifier_refuses_is_told_in_one_line() {
    if Rerun::argument().is_some() {
        let error = SteeringProgram::load(ProgramOptions::default()).unwrap_err();
        println!("\n{:#}", anyhow::Error::from(error));
        return;
    }
    let lab = Lab::new(LAB);
    let machine = lab.machine("gw");
    let wrapper = ["setpriv", "--bounding-set=-perfmon,-sys_admin"];
    let test = "a_program_that_the_verifier_refuses_is_told_in_one_line";
    let output = Rerun::output(&machine, &wrapper, test, "load");
    let told: Vec<_> = output.lines().filter(|line| line.starts_with("load steering program")).collect();
    assert_eq!(told.len(), 1, "{output}");
    assert!(told[0].contains("into the kernel: verifier says: R"), "{output}");
    assert!(told[0].ends_with("prohibited for !root: Permission denied (os error 13)"), "{output}");
    assert!(!output.contains("processed "), "{output}");
}

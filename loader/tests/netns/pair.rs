//! Two gateways with one or two lines each to a router, IPv4 and IPv6: for underlays that the article's network has not.
//!
//! ```text
//!   pc1 --- eth1 gw-a eth0 --- west0 router east0 --- eth0 gw-b eth1 --- pc2
//!                     eth2 --- west1        east1 --- eth2
//! ```
//! Line `l` (0, 1) of side `s` (0 west, 1 east) is number `n = 10 s + l`: 10.9.`n`.0/30 and 2001:db8:`n`::/64. The router has `.1` and
//! `::1`, the gateway `.2` and `::2`. Besides, gateway `s` has 10.9.99.`s+1` and 2001:db8:99::`s+1` on its loopback, which the router and the other gateway
//! reach by line 0.

use std::{fs, path::PathBuf, process::Command};

use netlab::{
    Lab, LinkOptions, Node, Process,
    article::{LAN_MTU_BYTES, UNDERLAY_MTU_BYTES, act_like_hardware},
};
use serde_json::Value;

use super::sites::{SOON, SPANWIRE, has_ended_all, rows_of};

/// Tunnel and session id of each gateway: both ends of their range.
pub(crate) const IDS: [u32; 2] = [1, u32::MAX];
const GATEWAYS: [&str; 2] = ["gw-a", "gw-b"];
/// The gateways' interfaces, by line.
const PORTS: [&str; 2] = ["eth0", "eth2"];
/// The router's interfaces, by side and line.
const ROUTER: [[&str; 2]; 2] = [["west0", "west1"], ["east0", "east1"]];
/// The PCs' addresses, by side.
pub(crate) const PCS: [&str; 2] = ["10.200.101.1", "10.200.101.2"];

/// The two sites; dropping them removes everything.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) router: Node,
    pub(crate) gateways: [Node; 2],
    pub(crate) pcs: [Node; 2],
    lines: usize,
}

/// Further lines of a gateway's configuration.
pub(crate) struct Tuning<'a> {
    /// In `[gateway]`.
    pub(crate) gateway: &'a str,
    /// In each `[port.NAME]`.
    pub(crate) ports: &'a str,
}

/// The number of a line.
const fn number(side: usize, line: usize) -> usize {
    10 * side + line
}

/// The router's end of a line.
pub(crate) fn router_v4(side: usize, line: usize) -> String {
    format!("10.9.{}.1", number(side, line))
}

/// The router's end of a line.
pub(crate) fn router_v6(side: usize, line: usize) -> String {
    format!("2001:db8:{}::1", number(side, line))
}

/// The gateway's end of a line.
pub(crate) fn gateway_v4(side: usize, line: usize) -> String {
    format!("10.9.{}.2", number(side, line))
}

/// The gateway's end of a line.
pub(crate) fn gateway_v6(side: usize, line: usize) -> String {
    format!("2001:db8:{}::2", number(side, line))
}

/// A gateway's address on its loopback.
pub(crate) fn loopback_v4(side: usize) -> String {
    format!("10.9.99.{}", side + 1)
}

/// A gateway's address on its loopback.
pub(crate) fn loopback_v6(side: usize) -> String {
    format!("2001:db8:99::{}", side + 1)
}

impl Pair {
    /// The network, with so many lines per gateway.
    pub(crate) fn laid_out(name: &str, lines: usize) -> Self {
        let lab = Lab::new(name).expect("needs root");
        let node = |name| lab.node(name).unwrap();
        let router = node("router");
        router.sysctl("ipv4.ip_forward", "1").unwrap();
        router.sysctl("ipv6.conf.all.forwarding", "1").unwrap();
        let gateways = GATEWAYS.map(node);
        let pcs = ["pc1", "pc2"].map(node);
        for node in [&router].into_iter().chain(&gateways).chain(&pcs) {
            // Loose reverse-path check, whatever the machine's default is: a namespace inherits that.
            ["all", "default"].iter().for_each(|scope| {
                node.sysctl(&format!("ipv4.conf.{scope}.rp_filter"), "2").unwrap();
            });
        }
        let pair = Self { lab, router, gateways, pcs, lines };
        for side in 0..2 {
            (0..lines).for_each(|line| pair.lay_line(side, line));
            pair.lay_loopback(side);
            pair.lay_lan(side);
        }
        pair
    }

    fn lay_line(&self, side: usize, line: usize) {
        let (gateway, port, far) = (&self.gateways[side], PORTS[line], ROUTER[side][line]);
        let options = LinkOptions { mtu_bytes: UNDERLAY_MTU_BYTES, ..LinkOptions::default() };
        self.lab.link((&self.router, far), (gateway, port), &options).unwrap();
        let ends = [
            (&self.router, far, router_v4(side, line), router_v6(side, line)),
            (gateway, port, gateway_v4(side, line), gateway_v6(side, line)),
        ];
        for (node, interface, v4, v6) in ends {
            act_like_hardware(node, interface).unwrap();
            node.ip(&format!("address add {v4}/30 dev {interface}")).unwrap();
            node.ip(&format!("address add {v6}/64 dev {interface}")).unwrap();
        }
    }

    fn lay_loopback(&self, side: usize) {
        let gateway = &self.gateways[side];
        gateway.ip(&format!("address add {}/32 dev lo", loopback_v4(side))).unwrap();
        gateway.ip(&format!("address add {}/128 dev lo", loopback_v6(side))).unwrap();
        gateway.ip(&format!("route add default via {}", router_v4(side, 0))).unwrap();
        gateway.ip(&format!("-6 route add default via {}", router_v6(side, 0))).unwrap();
        self.router.ip(&format!("route add {}/32 via {}", loopback_v4(side), gateway_v4(side, 0))).unwrap();
        self.router
            .ip(&format!("-6 route add {}/128 via {}", loopback_v6(side), gateway_v6(side, 0)))
            .unwrap();
    }

    fn lay_lan(&self, side: usize) {
        let (gateway, pc) = (&self.gateways[side], &self.pcs[side]);
        let options = LinkOptions { mtu_bytes: LAN_MTU_BYTES, ..LinkOptions::default() };
        self.lab.link((gateway, "eth1"), (pc, "eth0"), &options).unwrap();
        act_like_hardware(pc, "eth0").unwrap();
        // Multicast listener reports of a stack that nobody uses would be counted among the frames of a test.
        pc.ipv6_sysctl("conf.all.disable_ipv6", "1").unwrap();
        pc.ip(&format!("address add {}/24 dev eth0", PCS[side])).unwrap();
    }

    /// Where a gateway's file with this ending is.
    fn file(&self, side: usize, ending: &str) -> PathBuf {
        self.lab.dir().join(format!("{}.{ending}", GATEWAYS[side]))
    }

    /// Starts a gateway. `tunnels` is TOML: tables of tunnels with their sessions; every session joins the LAN.
    pub(crate) fn start(&self, side: usize, tunnels: &str) -> Process {
        self.start_tuned(side, &Tuning { gateway: "", ports: "" }, tunnels)
    }

    /// Starts a gateway with further lines in its tables.
    pub(crate) fn start_tuned(&self, side: usize, tuning: &Tuning<'_>, tunnels: &str) -> Process {
        let Tuning { gateway, ports } = tuning;
        let sessions = tunnels.lines().filter_map(|line| line.split(".session.").nth(1)?.strip_suffix(']'));
        let members: Vec<_> = ["eth1"].into_iter().chain(sessions).map(|name| format!("{name:?}")).collect();
        let underlay: String = PORTS[..self.lines]
            .iter()
            .map(|port| format!("[port.{port}]\nrole = \"underlay\"\n{ports}"))
            .collect();
        let text = format!(
            "[gateway]\nname = \"{}\"\n{gateway}{underlay}[port.eth1]\nrole = \"access\"\n{ports}{tunnels}\n\
             [bridge.lan]\nmembers = [{}]\n",
            GATEWAYS[side],
            members.join(", ")
        );
        self.run(side, &text)
    }

    /// Starts a gateway with this configuration.
    fn run(&self, side: usize, text: &str) -> Process {
        let path = self.file(side, "toml");
        fs::write(&path, text).unwrap();
        let directory = self.lab.dir().to_str().unwrap();
        let words = [SPANWIRE, "run", "--config", path.to_str().unwrap(), "--runtime-directory", directory];
        self.gateways[side].spawn(GATEWAYS[side], &words).unwrap()
    }

    /// Starts a gateway as an import of this script makes it.
    pub(crate) fn start_imported(&self, side: usize, script: &str) -> Process {
        let path = self.file(side, "sh");
        fs::write(&path, script).unwrap();
        let mut import = Command::new(SPANWIRE);
        import.args(["import", "--underlay", "eth0", "--name", GATEWAYS[side]]).arg(&path);
        let output = import.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.run(side, &String::from_utf8(output.stdout).unwrap())
    }

    /// The rows of `spanwire OBJECT show --json`.
    pub(crate) fn rows(&self, side: usize, object: &str) -> Result<Vec<Value>, String> {
        rows_of(&self.file(side, "sock"), object)
    }

    /// Waits until the rows of a `show` satisfy a condition.
    pub(crate) fn await_rows(
        &self,
        side: usize,
        object: &str,
        what: &str,
        holds: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        self.lab
            .wait_until(what, SOON, || {
                let rows = self.rows(side, object)?;
                if holds(&rows) { Ok(rows) } else { Err(format!("{rows:?}")) }
            })
            .unwrap()
    }

    /// Waits until all sessions of a gateway are up.
    pub(crate) fn await_up(&self, side: usize) {
        self.await_rows(side, "session", "all sessions to be up", |rows| {
            !rows.is_empty() && rows.iter().all(|row| row["state"] == "up")
        });
    }

    /// The only session of a gateway.
    pub(crate) fn session(&self, side: usize) -> Value {
        let rows = self.rows(side, "session").unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// Frames that a gateway dropped for a reason.
    pub(crate) fn dropped(&self, side: usize, reason: &str) -> u64 {
        let rows = self.rows(side, "drop").unwrap();
        rows.iter().find(|row| row["reason"] == reason).map_or(0, |row| row["frames"].as_u64().unwrap())
    }

    /// Pings from one PC to the other with further words, and returns what is printed.
    pub(crate) fn ping(&self, from: usize, words: &[&str]) -> anyhow::Result<String> {
        let head = ["ping", "-c", "3", "-i", "0.05", "-W", "10"];
        self.pcs[from].run(&[&head, words, &[PCS[1 - from]]].concat())
    }

    /// Pings as [`Self::ping`] does, until something refuses it or nothing has answered for ten seconds, and returns what is printed.
    pub(crate) fn refused_ping(&self, from: usize, words: &[&str]) -> String {
        // With a deadline ping ends with the first ICMP error.
        let head = ["ping", "-c", "3", "-i", "0.05", "-w", "10"];
        self.pcs[from].run(&[&head, words, &[PCS[1 - from]]].concat()).unwrap_err().to_string()
    }

    /// Pings both ways and expects no loss.
    pub(crate) fn expect_pings(&self) {
        for from in 0..2 {
            let text = self
                .ping(from, &[])
                .unwrap_or_else(|error| panic!("from pc{}: {error:#}\n{}", from + 1, self.lab.log_tails(20)));
            assert!(text.contains(" 0% packet loss"), "{text}");
        }
    }

    /// Waits until every worker accounts for every frame, and expects every chunk to be known.
    pub(crate) fn expect_conserved(&self) {
        for side in 0..2 {
            let rows = self
                .await_rows(side, "worker", "one verdict per frame", |rows| rows.iter().all(has_ended_all));
            assert!(rows.iter().all(|worker| worker["chunks"]["conserved"] == true), "{rows:?}");
        }
    }
}

/// A tunnel of gateway `side` between these addresses, with one session; `lines` go into the tunnel's table.
pub(crate) fn tunnel(side: usize, [local, remote]: [String; 2], lines: &str) -> String {
    let (own, peer) = (IDS[side], IDS[1 - side]);
    format!(
        "[tunnel.t]\nlocal = \"{local}\"\nremote = \"{remote}\"\ntunnel_id = {own}\npeer_tunnel_id = {peer}\n{lines}\n\
         [tunnel.t.session.pw]\nsession_id = {own}\npeer_session_id = {peer}\n"
    )
}

/// UDP between fixed ports, seen from gateway `side`.
pub(crate) fn udp(side: usize) -> String {
    let ports = [5001, 6001];
    format!("encap = \"udp\"\nudp_sport = {}\nudp_dport = {}\n", ports[side], ports[1 - side])
}

/// The two ends of a tunnel as gateway `side` sees them; `end` gives a gateway's.
pub(crate) fn ends(side: usize, end: impl Fn(usize) -> String) -> [String; 2] {
    [end(side), end(1 - side)]
}

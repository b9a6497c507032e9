//! Open vSwitch with its user-space datapath: no module, frames by packet sockets, one thread.
//!
//! Its programs keep their files in the gateway's own folder, and talk over sockets there.

use anyhow::Result;

use super::super::site::{Ready, Site, Step, run, words};
use super::super::tools::Tools;

/// Two ports and no tunnel.
pub(super) fn bare(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    let Site { lan, wan, .. } = site;
    let ovs = Ovs::new(site, tools)?;
    let mut steps = ovs.start()?;
    steps.push(ovs.configure(&add_bridge("br0")));
    steps.push(ovs.configure(&format!("add-port br0 {lan} -- add-port br0 {wan}")));
    Ok(steps)
}

/// A VXLAN tunnel with one fixed peer. The address has to be where the datapath sees it: on a bridge of its own.
pub(super) fn vxlan(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    let Site { lan, wan, local, remote, .. } = site;
    let ovs = Ovs::new(site, tools)?;
    let mut steps = ovs.start()?;
    steps.push(ovs.configure(&format!("{} -- {}", add_bridge("br0"), add_bridge("phy"))));
    steps.push(ovs.configure(&format!("add-port br0 {lan} -- add-port phy {wan}")));
    let tunnel = format!(
        "add-port br0 vx0 -- set interface vx0 type=vxlan options:local_ip={local} options:remote_ip={remote} \
         options:key=1000"
    );
    for line in [
        format!("ip address flush dev {wan}"),
        format!("ip address add {local}/30 dev phy"),
        "ip link set phy up".to_owned(),
    ] {
        steps.push(run(line));
    }
    steps.push(ovs.configure(&tunnel));
    Ok(steps)
}

fn add_bridge(name: &str) -> String {
    format!("add-br {name} -- set bridge {name} datapath_type=netdev")
}

/// The programs, and where they meet.
struct Ovs<'a> {
    site: &'a Site,
    tools: &'a Tools,
    vsctl: Vec<String>,
    database: String,
}

impl<'a> Ovs<'a> {
    fn new(site: &'a Site, tools: &'a Tools) -> Result<Self> {
        let database = format!("unix:{}", site.file("db.sock"));
        let vsctl = [tools.program("ovs-vsctl")?, words(&format!("--db={database} --timeout=20"))].concat();
        Ok(Self { site, tools, vsctl, database })
    }

    /// Database and switch.
    fn start(&self) -> Result<Vec<Step>> {
        let Self { site, tools, vsctl, database } = self;
        let (file, socket) = (site.file("conf.db"), site.file("db.sock"));
        let with = |program: &str, options: String| -> Result<Vec<String>> {
            Ok([tools.program(program)?, words(&options)].concat())
        };
        let create = with("ovsdb-tool", format!("create {file} {}", tools.ovs_schema()))?;
        let server = with(
            "ovsdb-server",
            format!("{file} --remote=punix:{socket} --unixctl={} --no-chdir", site.file("db.ctl")),
        )?;
        let options = format!("{database} --unixctl={} --disable-system --no-chdir", site.file("switch.ctl"));
        let switch = [words(&format!("taskset -c {}", site.cpu)), with("ovs-vswitchd", options)?].concat();
        // What it is told before it runs, it is told without waiting for its answer.
        let early = |arguments: &str| [vsctl.clone(), words("--no-wait"), words(arguments)].concat();
        let show = with("ovs-appctl", format!("-t {} version", site.file("switch.ctl")))?;
        Ok(vec![
            Step::Run(create),
            Step::Start {
                name: "ovsdb-server".to_owned(),
                words: server,
                ready: Ready::Answers(early("get-manager"), ""),
            },
            Step::Run(early("init")),
            Step::Start {
                name: "ovs-vswitchd".to_owned(),
                words: switch,
                ready: Ready::Answers(show, "ovs-vswitchd"),
            },
        ])
    }

    /// Changes the configuration and waits until the switch has taken it over.
    fn configure(&self, arguments: &str) -> Step {
        Step::Run([self.vsctl.clone(), words(arguments)].concat())
    }
}

//! The network, the gateways, their control sockets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use netlab::{
    Lab, Process,
    article::{Article, COMMANDS, SITES, UNDERLAY_MTU_BYTES, lay_out_over},
};
use serde_json::Value;

/// The binary under test.
pub(crate) const SPANWIRE: &str = env!("CARGO_BIN_EXE_spanwire");

/// Time for anything that has to happen by itself.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The rows of `spanwire OBJECT show --json` at a control socket.
pub(crate) fn rows_of(socket: &Path, object: &str) -> Result<Vec<Value>, String> {
    let mut show = Command::new(SPANWIRE);
    show.args([object, "show", "--json", "--control-socket"]).arg(socket);
    let output = show.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The three sites; dropping them removes everything.
pub(crate) struct Sites {
    pub(crate) lab: Lab,
    pub(crate) net: Article,
    pub(crate) gateways: Vec<Process>,
}

impl Sites {
    /// The network, without gateways.
    pub(crate) fn laid_out(name: &str) -> Self {
        Self::with_queues(name, 1)
    }

    /// The network with this many queues on every interface of a gateway, without gateways.
    pub(crate) fn with_queues(name: &str, queue_count: u32) -> Self {
        Self::over(name, queue_count, UNDERLAY_MTU_BYTES)
    }

    /// The same with another MTU of the underlay.
    pub(crate) fn over(name: &str, queue_count: u32, underlay_mtu_bytes: u32) -> Self {
        let lab = Lab::new(name).expect("needs root");
        let net = lay_out_over(&lab, queue_count, underlay_mtu_bytes).unwrap();
        Self { lab, net, gateways: Vec::new() }
    }

    /// Three gateways with imported configurations, all sessions up.
    pub(crate) fn running(name: &str) -> Self {
        Self::running_with_queues(name, 1)
    }

    /// The same, each with a worker per queue as far as there are CPUs.
    pub(crate) fn running_with_queues(name: &str, queue_count: u32) -> Self {
        Self::with_queues(name, queue_count).up()
    }

    /// Starts three gateways with imported configurations, and waits until all sessions are up.
    pub(crate) fn up(mut self) -> Self {
        for position in 0..3 {
            let gateway = self.start(position, &[]);
            self.gateways.push(gateway);
        }
        (0..3).for_each(|position| self.await_up(position));
        self
    }

    /// Where a gateway's file with this ending is.
    pub(crate) fn file(&self, position: usize, ending: &str) -> PathBuf {
        self.lab.dir().join(format!("{}.{ending}", SITES[position].gateway))
    }

    /// Pings without fragments between two PCs and expects no loss; `payload_bytes` is what ICMP carries.
    pub(crate) fn expect_whole_ping(&self, from: usize, to: usize, payload_bytes: usize) {
        let (target, payload) = (SITES[to].lan.to_string(), payload_bytes.to_string());
        // Not `-w`: up to a deadline ping sends more requests than asked for while replies are late.
        let words = ["ping", "-M", "do", "-s", &payload, "-c", "5", "-i", "0.05", "-W", "10", &target];
        let text = self.net.pcs[from].run(&words).unwrap_or_else(|error| {
            panic!("pc{} to pc{}: {error:#}\n{}", from + 1, to + 1, self.lab.log_tails(20))
        });
        assert!(text.contains(" 0% packet loss"), "{text}");
    }

    /// Sum of a number over a gateway's workers.
    pub(crate) fn workers_sum(&self, position: usize, key: &str) -> u64 {
        self.rows(position, "worker").unwrap().iter().map(|worker| worker[key].as_u64().unwrap()).sum()
    }

    /// Writes a gateway's configuration, as `spanwire import` makes it of the article's commands.
    pub(crate) fn import(&self, position: usize) -> PathBuf {
        let script = self.file(position, "sh");
        fs::write(&script, COMMANDS[position]).unwrap();
        let output = Command::new(SPANWIRE)
            .args(["import", "--underlay", "eth0", "--name", SITES[position].gateway])
            .arg(&script)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = self.file(position, "toml");
        fs::write(&path, output.stdout).unwrap();
        path
    }

    /// Starts a gateway with its imported configuration.
    pub(crate) fn start(&self, position: usize, options: &[&str]) -> Process {
        self.start_with(position, &self.import(position), options)
    }

    /// Starts a gateway with a configuration of the test's own.
    pub(crate) fn start_with(&self, position: usize, config: &Path, options: &[&str]) -> Process {
        let directory = self.lab.dir().to_str().unwrap();
        let words = [SPANWIRE, "run", "--config", config.to_str().unwrap(), "--runtime-directory", directory];
        self.net.gateways[position].spawn(SITES[position].gateway, &[&words, options].concat()).unwrap()
    }

    /// Starts a gateway with its imported configuration and these lines added to session `l2tpeth0`.
    pub(crate) fn start_with_session(&self, position: usize, lines: &str) -> Process {
        let path = self.import(position);
        let text = fs::read_to_string(&path).unwrap();
        let head = "session.l2tpeth0]\n";
        assert_eq!(text.matches(head).count(), 1, "{text}");
        fs::write(&path, text.replace(head, &format!("{head}{lines}\n"))).unwrap();
        self.start_with(position, &path, &[])
    }

    /// Waits until all sessions of a gateway are up.
    pub(crate) fn await_up(&self, position: usize) {
        self.await_rows(position, "session", "all sessions to be up", |rows| {
            !rows.is_empty() && rows.iter().all(|row| row["state"] == "up")
        });
    }

    /// Waits until the rows of a `show` satisfy a condition.
    pub(crate) fn await_rows(
        &self,
        position: usize,
        object: &str,
        what: &str,
        holds: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        self.lab
            .wait_until(what, SOON, || {
                let rows = self.rows(position, object)?;
                if holds(&rows) { Ok(rows) } else { Err(format!("{rows:?}")) }
            })
            .unwrap()
    }

    /// The rows of `spanwire OBJECT show --json`.
    pub(crate) fn rows(&self, position: usize, object: &str) -> Result<Vec<Value>, String> {
        rows_of(&self.file(position, "sock"), object)
    }

    /// The only row with this name.
    pub(crate) fn row(&self, position: usize, object: &str, name: &str) -> Value {
        let rows = self.rows(position, object).unwrap();
        rows.into_iter().find(|row| row["name"] == name).expect("a row of that name")
    }

    /// Pings from one PC to another and expects no loss.
    pub(crate) fn expect_ping(&self, from: usize, to: usize) {
        let target = SITES[to].lan.to_string();
        let node = &self.net.pcs[from];
        let output = node.run(&["ping", "-c", "3", "-i", "0.05", "-W", "10", &target]);
        let text = output.unwrap_or_else(|error| {
            panic!("pc{} to pc{}: {error:#}\n{}", from + 1, to + 1, self.lab.log_tails(20))
        });
        assert!(text.contains(" 0% packet loss"), "{text}");
    }

    /// Waits until every worker of every running gateway accounts for every frame, and expects every chunk to be known.
    pub(crate) fn expect_conserved(&self) {
        for position in 0..self.gateways.len() {
            let rows = self.await_rows(position, "worker", "one verdict per frame", |rows| {
                rows.iter().all(has_ended_all)
            });
            assert!(rows.iter().all(|worker| worker["chunks"]["conserved"] == true), "{rows:?}");
        }
    }
}

/// Whether a worker has one end for each frame that it received or took over.
pub(crate) fn has_ended_all(worker: &Value) -> bool {
    let number = |key: &str| worker[key].as_u64().unwrap();
    let ends: u64 = ["forwarded", "flooded", "dropped", "handed", "reassembled"].map(number).iter().sum();
    let came = number("received") + number("taken");
    worker["state"] == "running" && came == ends + number("parked")
}

//! The network, the gateways, their control sockets.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use netlab::{
    Lab, Process,
    article::{Article, COMMANDS, SITES, lay_out},
};
use serde_json::Value;

/// The binary under test.
pub(crate) const SPANWIRE: &str = env!("CARGO_BIN_EXE_spanwire");

/// Time for anything that has to happen by itself.
pub(crate) const SOON: Duration = Duration::from_secs(20);

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
    fn with_queues(name: &str, queue_count: u32) -> Self {
        let lab = Lab::new(name).expect("needs root");
        let net = lay_out(&lab, queue_count).unwrap();
        Self { lab, net, gateways: Vec::new() }
    }

    /// Three gateways with imported configurations, all sessions up.
    pub(crate) fn running(name: &str) -> Self {
        Self::running_with_queues(name, 1)
    }

    /// The same, each with a worker per queue as far as there are CPUs.
    pub(crate) fn running_with_queues(name: &str, queue_count: u32) -> Self {
        let mut sites = Self::with_queues(name, queue_count);
        for position in 0..3 {
            let gateway = sites.start(position, &[]);
            sites.gateways.push(gateway);
        }
        (0..3).for_each(|position| sites.await_up(position));
        sites
    }

    /// Where a gateway's file with this ending is.
    pub(crate) fn file(&self, position: usize, ending: &str) -> PathBuf {
        self.lab.dir().join(format!("{}.{ending}", SITES[position].gateway))
    }

    /// Writes a gateway's configuration, as `spanwire import` makes it of the article's commands.
    pub(crate) fn import(&self, position: usize) -> PathBuf {
        let script = self.file(position, "sh");
        fs::write(&script, COMMANDS[position]).unwrap();
        let name =
            format!("{}-{}", self.lab.dir().file_name().unwrap().to_string_lossy(), SITES[position].gateway);
        let output = Command::new(SPANWIRE)
            .args(["import", "--underlay", "eth0", "--name", &name])
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
        let config = self.import(position);
        let (config, socket) = (config.to_str().unwrap(), self.file(position, "sock"));
        let words =
            [&[SPANWIRE, "run", "--config", config, "--control-socket", socket.to_str().unwrap()], options]
                .concat();
        self.net.gateways[position].spawn(SITES[position].gateway, &words).unwrap()
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
        let output = self.show(position, object);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    fn show(&self, position: usize, object: &str) -> Output {
        Command::new(SPANWIRE)
            .args([object, "show", "--json", "--control-socket"])
            .arg(self.file(position, "sock"))
            .output()
            .unwrap()
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
        let output = node.run(&["ping", "-c", "3", "-i", "0.05", "-w", "10", &target]);
        let text = output.unwrap_or_else(|error| {
            panic!("pc{} to pc{}: {error:#}\n{}", from + 1, to + 1, self.lab.log_tails(20))
        });
        assert!(text.contains(" 0% packet loss"), "{text}");
    }

    /// Every worker of every running gateway accounts for every chunk, and for every frame.
    pub(crate) fn expect_conserved(&self) {
        for position in 0..self.gateways.len() {
            for worker in self.rows(position, "worker").unwrap() {
                assert_eq!(worker["chunks"]["conserved"], true, "{worker}");
                let number = |key: &str| worker[key].as_u64().unwrap();
                let ends = number("forwarded") + number("flooded") + number("dropped");
                assert_eq!(number("received"), ends, "{worker}");
                assert_eq!(worker["state"], "running");
            }
        }
    }
}

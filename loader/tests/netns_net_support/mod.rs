//! Network namespaces for the privileged tests: made by the test, removed with it, whatever happens.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Lets one test of a file run at a time.
///
/// A process that another test starts holds copies of all descriptors until it has become `ip`: what a test closes would
/// stay open for that moment, and with it the program, the lock or the promiscuous mode that it held.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A network namespace of its own, gone when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with loopback up and without duplicate address detection.
    pub(crate) fn new(label: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sw-net-{}-{count}-{label}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip WORDS` inside.
    pub(crate) fn ip(&self, words: &str) {
        let words: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split(' ')).collect();
        run("ip", &words);
    }

    /// Runs `ip WORDS` inside and returns what it prints.
    pub(crate) fn ip_output(&self, words: &str) -> String {
        let words: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split(' ')).collect();
        run("ip", &words)
    }

    /// Runs a command line inside and returns what it prints.
    pub(crate) fn exec(&self, line: &str) -> String {
        let words = ["netns", "exec", &self.name].into_iter().chain(line.split(' '));
        run("ip", &words.collect::<Vec<_>>())
    }

    /// Runs code inside, on a thread of its own with a tokio runtime of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce(&tokio::runtime::Runtime) -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("namespace exists");
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("namespace can be entered");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            work(&runtime)
        };
        std::thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Joins this namespace to another by a veth pair, both ends up.
    pub(crate) fn join(&self, here: &str, other: &Self, there: &str) {
        self.ip(&format!("link add {here} type veth peer name {there} netns {}", other.name));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// This test binary once more, inside a namespace, running one test; killed when dropped.
pub(crate) struct Rerun(Child);

impl Rerun {
    /// Tells the second run from the first.
    const MARK: &str = "SPANWIRE_TEST_RERUN";

    /// Whether this process is the second run.
    pub(crate) fn is_this() -> bool {
        std::env::var_os(Self::MARK).is_some()
    }

    /// Starts it and waits until it has printed `ready`.
    pub(crate) fn start(namespace: &Namespace, test: &str, argument: &str) -> Self {
        let child = Command::new("ip")
            .args(["netns", "exec", namespace.name()])
            .arg(std::env::current_exe().expect("own path"))
            .args(["--ignored", "--exact", "--nocapture", test])
            .env(Self::MARK, argument)
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip starts");
        let mut rerun = Self(child);
        let output = BufReader::new(rerun.0.stdout.take().expect("piped"));
        let is_ready = output.lines().map_while(Result::ok).any(|line| line.ends_with("ready"));
        assert!(is_ready, "second run ended before it was ready");
        rerun
    }

    /// In the second run: what the first one gave along.
    pub(crate) fn argument() -> String {
        std::env::var(Self::MARK).expect("second run")
    }

    /// In the second run: says that it is ready and waits to be killed.
    pub(crate) fn ready_to_be_killed() -> ! {
        println!("ready");
        loop {
            std::thread::park();
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("is running");
        self.0.wait().expect("is our child");
    }
}

impl Drop for Rerun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect("command starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {complaint}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

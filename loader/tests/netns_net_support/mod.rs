//! The privileged tests' labs: one at a time, with a runtime inside, and this test once more in a process of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod following;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netlab::{LinkOptions, Node, Process};
use tokio::runtime::Runtime;

/// Time for anything that has to happen by itself.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A lab that one test of a file has at a time; dropping it, or Ctrl-C, removes everything in it.
///
/// A process that another test starts holds copies of all descriptors until it has become `ip`: what a test closes would
/// stay open for that moment, and with it the program, the lock or the promiscuous mode that it held.
pub(crate) struct Lab {
    lab: netlab::Lab,
    /// Last, so that it outlives the lab.
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// Makes an empty one; `name` is the test file's, so that a later run finds what a killed one left.
    pub(crate) fn new(name: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { lab: netlab::Lab::new(name).expect("needs root"), _alone: alone }
    }

    /// Adds a machine.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        Machine(self.lab.node(name).expect("the machine's namespace"))
    }

    /// Joins two machines by a veth pair, both ends up.
    pub(crate) fn join(&self, left: (&Machine, &str), right: (&Machine, &str)) {
        let options = LinkOptions::default();
        self.lab.link((&left.0.0, left.1), (&right.0.0, right.1), &options).expect("the veth pair");
    }

    /// A folder for the test's files, which goes with the lab.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.lab.dir().join(name);
        std::fs::create_dir_all(&path).expect("the lab's folder takes another");
        path
    }

    /// Waits until a condition holds; gives up when a process of the lab ends by itself.
    pub(crate) fn await_that(&self, what: &str, holds: impl Fn() -> bool) {
        let probe = || if holds() { Ok(()) } else { Err("not yet".to_owned()) };
        self.lab.wait_until(what, SOON, probe).expect(what);
    }
}

impl Deref for Lab {
    type Target = netlab::Lab;

    fn deref(&self) -> &netlab::Lab {
        &self.lab
    }
}

/// A machine of a lab, whose commands have to succeed.
pub(crate) struct Machine(Node);

impl Machine {
    /// Runs `ip WORDS` inside and returns what it prints.
    pub(crate) fn ip(&self, words: &str) -> String {
        self.0.ip(words).expect("ip succeeds")
    }

    /// The index of an interface.
    pub(crate) fn ifindex(&self, interface: &str) -> u32 {
        self.0.ifindex(interface).expect("the interface exists")
    }

    /// Runs code inside, on a thread of its own with a tokio runtime of its own.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce(&Runtime) -> T + Send) -> T {
        let body = || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            work(&runtime)
        };
        self.0.inside(body).expect("what runs inside does not panic")
    }
}

impl Deref for Machine {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

/// This test binary once more, inside a namespace, running one test.
pub(crate) struct Rerun;

impl Rerun {
    /// Tells the second run from the first.
    const MARK: &str = "SPANWIRE_TEST_RERUN";

    /// In the second run: what the first one gave along; `None` in the first.
    pub(crate) fn argument() -> Option<String> {
        std::env::var(Self::MARK).ok()
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(lab: &Lab, machine: &Machine, test: &str, argument: &str) -> Process {
        let process = Self::spawn(machine, &[], test, argument);
        lab.await_that("the second run", || process.log().lines().any(|line| line.ends_with("ready")));
        process
    }

    /// Runs it to its end behind the command `wrapper`, and returns what it wrote.
    pub(crate) fn output(machine: &Machine, wrapper: &[&str], test: &str, argument: &str) -> String {
        let process = Self::spawn(machine, wrapper, test, argument);
        let status = process.wait(SOON).expect("the second run ends by itself");
        assert!(status.success(), "{}", process.log());
        process.log()
    }

    fn spawn(machine: &Machine, wrapper: &[&str], test: &str, argument: &str) -> Process {
        let binary = std::env::current_exe().expect("own path");
        let binary = binary.to_str().expect("a path of Unicode");
        let mark = format!("{}={argument}", Self::MARK);
        let run = ["env", &mark, binary, "--ignored", "--exact", "--nocapture", test];
        machine.spawn("second-run", &[wrapper, &run].concat()).expect("the second run starts")
    }

    /// In the second run: says that it is ready and waits to be killed.
    pub(crate) fn ready_to_be_killed() -> ! {
        println!("ready");
        loop {
            std::thread::park();
        }
    }
}

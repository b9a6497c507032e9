//! Rivals: workers of other gateways on this machine, and the CPUs that they are bound to.
//!
//! Found by their threads in `/proc`: a worker's thread has a name that tells, and is bound to one CPU for as long as it lives. So nothing
//! is left of a killed gateway. Network namespaces do not matter; gateways in another PID namespace, or of another user where `/proc` is
//! mounted with `hidepid`, are not seen.

use super::cpu_list;
use crate::tree::Tree;

/// What the name of a worker's thread begins with; its number follows.
pub(crate) const WORKER_THREAD: &str = "spanwire-w";

/// A worker of another gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rival {
    /// The gateway's process.
    pub(crate) pid: u32,
    /// The CPU that the worker is bound to.
    pub(crate) cpu: usize,
}

/// The workers of all gateways but the process `own`.
pub(crate) fn look(tree: &Tree, own: u32) -> Vec<Rival> {
    let pids = tree.names("proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    pids.filter(|pid| *pid != own).flat_map(|pid| workers_of(tree, pid)).collect()
}

/// The workers of a process. Threads end at any time: one that cannot be read is gone.
fn workers_of(tree: &Tree, pid: u32) -> impl Iterator<Item = Rival> {
    let threads = format!("proc/{pid}/task");
    let rival = move |thread: String| {
        let file = |name: &str| tree.text(&format!("{threads}/{thread}/{name}"));
        if !is_worker(&file("comm")?) {
            return None;
        }
        // One that is just being started is not bound to one CPU yet.
        match cpus_allowed(&file("status")?)?.as_slice() {
            [cpu] => Some(Rival { pid, cpu: *cpu }),
            _ => None,
        }
    };
    tree.names(&format!("proc/{pid}/task")).into_iter().filter_map(rival)
}

fn is_worker(name: &str) -> bool {
    let number = name.strip_prefix(WORKER_THREAD);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The CPUs in a text of `/proc/PID/task/TID/status`.
fn cpus_allowed(status: &str) -> Option<Vec<usize>> {
    cpu_list::read(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::Planted;

    fn thread(planted: &Planted, path: &str, name: &str, cpus: &str) {
        planted.write(&format!("proc/{path}/comm"), name);
        let status =
            format!("Name:\t{name}\nCpus_allowed:\tff\nCpus_allowed_list:\t{cpus}\nMems_allowed:\t1");
        planted.write(&format!("proc/{path}/status"), &status);
    }

    #[test]
    fn bound_workers_of_other_processes_are_found_by_their_threads() {
        let planted = Planted::new(&[("proc/self/comm", "spanwire"), ("proc/uptime", "1 2")]);
        for (path, name, cpus) in [
            ("17/task/17", "spanwire", "0-7"),
            ("17/task/18", "spanwire-w0", "3"),
            ("17/task/19", "spanwire-w10", "5"),
            ("20/task/21", "spanwire-w0", "0-7"),
            ("22/task/23", "spanwire-wide", "1"),
            ("22/task/24", "spanwire-w", "1"),
            ("30/task/31", "spanwire-w0", "2"),
        ] {
            thread(&planted, path, name, cpus);
        }
        planted.write("proc/40/task/41/comm", "spanwire-w0");
        let expected = [Rival { pid: 17, cpu: 3 }, Rival { pid: 17, cpu: 5 }];
        assert_eq!(look(&planted.tree, 30), expected, "not our own, not one that is not bound yet");
        assert_eq!(look(&Planted::new(&[]).tree, 30), []);
    }

    #[test]
    fn a_thread_of_this_machine_is_found_while_it_is_bound() {
        let (tree, cpu) = (Tree::of_this_machine(), dataplane::worker::pin::allowed_cpus()[0]);
        let found = std::thread::Builder::new().name(format!("{WORKER_THREAD}77")).spawn(move || {
            dataplane::worker::pin::pin(cpu).unwrap();
            // As another process would see it: this one's threads are not its own.
            look(&tree, 0)
        });
        let (found, ours) = (found.unwrap().join().unwrap(), Rival { pid: std::process::id(), cpu });
        assert!(found.contains(&ours), "{found:?}");
        assert!(!look(&Tree::of_this_machine(), std::process::id()).contains(&ours));
    }
}

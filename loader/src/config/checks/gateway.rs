//! Checks of `[gateway]` and `[umem]`.

use std::path::Path;

use crate::config::draft::Draft;
use crate::config::model::Gateway;
use crate::config::names::{MAX_SOCKET_PATH_BYTES, gateway_name_fault};
use crate::config::report::Report;

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    if let Some(problem) = draft.gateway.configured_name.as_deref().and_then(gateway_name_fault) {
        report.fault(
            "gateway.name",
            format!("the name {problem}"),
            "begin with a letter or digit; at most 64 characters",
        );
    }
    if let Some(path) = &draft.gateway.configured_control_socket {
        check_socket(path, report);
    }
    check_cpus(&draft.gateway, report);
    check_chunks(draft, report);
}

fn check_socket(path: &Path, report: &mut Report<'_>) {
    let key = "gateway.control_socket";
    if !path.is_absolute() {
        report.fault(key, "is no absolute path", "begin it with \"/\"");
    }
    if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
        let problem = format!("has {} bytes", path.as_os_str().len());
        report.fault(key, problem, format!("give a path of at most {MAX_SOCKET_PATH_BYTES} bytes"));
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        report.fault(key, "contains a zero byte", "leave it out");
    }
}

fn check_cpus(gateway: &Gateway, report: &mut Report<'_>) {
    let Some(cpus) = &gateway.cpus else { return };
    for (index, cpu) in cpus.iter().enumerate() {
        if cpus[..index].contains(cpu) {
            report.fault(
                &format!("gateway.cpus[{index}]"),
                format!("CPU {cpu} stands twice"),
                "name each CPU once",
            );
        }
    }
    let workers = gateway.workers.unwrap_or_default();
    if usize::try_from(workers) != Ok(cpus.len()) {
        let problem = format!("has {} CPUs for {workers} workers", cpus.len());
        report.fault("gateway.cpus", problem, "name one CPU per worker, or leave one of the two keys out");
    } else if cpus.is_empty() {
        report.fault("gateway.cpus", "is empty", "name one CPU per worker, or leave the key out");
    }
}

/// How many queues the ports have is known only on the host: there `run` refuses what is too few.
fn check_chunks(draft: &Draft, report: &mut Report<'_>) {
    let Some(umem) = draft.umem else { return };
    let rings =
        draft.ports.iter().filter_map(|port| Some(u64::from(port.rx_ring?) + u64::from(port.tx_ring?)));
    let wanted: u64 = rings.sum();
    if let Some(chunks) = umem.chunks
        && u64::from(chunks) < wanted
    {
        let problem =
            format!("{chunks} chunks do not fill the ports' rings, which hold {wanted} with one queue each");
        report.note(
            "umem.chunks",
            problem,
            format!("give at least {wanted}, smaller rings, or leave the key out"),
        );
    }
}

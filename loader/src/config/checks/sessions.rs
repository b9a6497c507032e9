//! Checks of `[tunnel.NAME.session.NAME]`: ids and names that must differ, cookies and sequence numbers that must fit.
//!
//! A packet over IP protocol 115 shows its session id and nothing of its tunnel but the addresses, so its session id
//! is unique among all such tunnels; over UDP the ports tell tunnels apart.

use std::collections::HashSet;

use super::repeats;
use crate::config::draft::{Draft, DraftSession, DraftTunnel};
use crate::config::model::SessionId;
use crate::config::report::Report;
use crate::config::{ids, sequencing, spread};

/// A session and its tunnel.
type InTunnel<'d> = (&'d DraftTunnel, &'d DraftSession);

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    let sessions: Vec<InTunnel<'_>> = draft
        .tunnels
        .iter()
        .flat_map(|tunnel| tunnel.sessions.iter().map(move |session| (tunnel, session)))
        .collect();
    check_names(&sessions, report);
    check_rx_ids(&sessions, report);
    check_tx_ids(&sessions, report);
    check_port_clashes(draft, &sessions, report);
    check_use(draft, &sessions, report);
    for (tunnel, session) in sessions {
        check_second_cookie(session, report);
        if let Some(sequencing) = session.sequencing {
            spread::check(&session.path, tunnel.spread, sequencing, report);
            sequencing::check(&session.path, sequencing, session.sublayer, report);
        }
    }
}

fn check_second_cookie(session: &DraftSession, report: &mut Report<'_>) {
    let path = format!("{}.peer_cookie_also", session.path);
    let (Some(first), Some(second)) = (session.rx_cookie, session.rx_cookie_also) else { return };
    if !report.has_place(&path) {
        return;
    }
    if let Some(problem) = ids::second_cookie_fault(first, second) {
        report.fault(&path, problem, "give one as long as peer_cookie, or leave the key out");
    } else if first == second {
        report.note(&path, "is the same as peer_cookie", "give the cookie that the peer changes over to");
    }
}

fn check_names(sessions: &[InTunnel<'_>], report: &mut Report<'_>) {
    for ((_, first), (_, second)) in repeats(sessions, |(_, session)| Some(session.name.as_str())) {
        let problem = format!("the name is also that of {} ({})", first.path, report.line_of(&first.path));
        report.fault(&second.path, problem, "give each session of the file a name of its own");
    }
}

fn check_rx_ids(sessions: &[InTunnel<'_>], report: &mut Report<'_>) {
    for (first, second) in repeats(sessions, rx_scope) {
        let problem = format!("is also the id of {} ({})", first.1.path, report.line_of(&first.1.path));
        let remedy = match first.0.path == second.0.path {
            true => "give each session of a tunnel an id of its own",
            false => "session ids are unique among all tunnels with encap = \"ip\": give it another",
        };
        report.fault(&format!("{}.session_id", second.1.path), problem, remedy);
    }
}

/// Where a received session id must be unique: all IP tunnels together, each UDP tunnel by itself.
fn rx_scope((tunnel, session): &InTunnel<'_>) -> Option<(String, SessionId)> {
    let scope = if tunnel.is_udp == Some(false) { String::new() } else { tunnel.path.clone() };
    Some((scope, session.rx_session_id?))
}

fn check_tx_ids(sessions: &[InTunnel<'_>], report: &mut Report<'_>) {
    for ((_, first), (_, second)) in repeats(sessions, tx_scope) {
        let problem = format!("is also that of {} ({})", first.path, report.line_of(&first.path));
        let remedy = "the peer could not tell the two apart: give each the peer's own session_id";
        report.fault(&format!("{}.peer_session_id", second.path), problem, remedy);
    }
}

/// Where a sent session id must be unique: all IP tunnels to one peer together, each UDP tunnel by itself.
fn tx_scope((tunnel, session): &InTunnel<'_>) -> Option<(String, SessionId)> {
    let peer = tunnel.remote.filter(|_| tunnel.is_udp == Some(false)).map(|remote| remote.to_string());
    Some((peer.unwrap_or_else(|| tunnel.path.clone()), session.tx_session_id?))
}

fn check_port_clashes(draft: &Draft, sessions: &[InTunnel<'_>], report: &mut Report<'_>) {
    for port in &draft.ports {
        for (_, session) in sessions.iter().filter(|(_, session)| session.name == port.name) {
            let problem = format!("the name is also that of {} ({})", port.path, report.line_of(&port.path));
            report.fault(
                &session.path,
                problem,
                "give the session or the port another name: bridges name both",
            );
        }
    }
}

fn check_use(draft: &Draft, sessions: &[InTunnel<'_>], report: &mut Report<'_>) {
    let bridged: HashSet<_> = draft.members().map(|(_, member)| member.name.as_str()).collect();
    for (_, session) in sessions.iter().filter(|(_, session)| !bridged.contains(session.name.as_str())) {
        let remedy = format!("add {:?} to the members of a bridge", session.name);
        report.note(&session.path, "no bridge has it as a member: all it receives is dropped", remedy);
    }
}

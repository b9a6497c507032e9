//! spanwire itself.

use anyhow::Result;

use super::super::site::{Ready, Site, Step, Tuning};
use super::super::tools::Tools;

/// L2TPv3 over UDP, with the kernel's own defaults: a sublayer, no cookie, no checksum.
pub(super) fn udp(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    gateway(site, tools, &udp_keys(site), "")
}

/// L2TPv3 over IP.
pub(super) fn ip(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    gateway(site, tools, "encap = \"ip\"\n", "")
}

/// L2TPv3 over UDP with cookies of eight bytes.
pub(super) fn cookie(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    let (own, peer) = site.side.numbers();
    let keys = format!("cookie = \"c0ffee00c0ffee0{own}\"\npeer_cookie = \"c0ffee00c0ffee0{peer}\"\n");
    gateway(site, tools, &udp_keys(site), &keys)
}

fn udp_keys(site: &Site) -> String {
    let (own, peer) = site.side.numbers();
    format!("encap = \"udp\"\nudp_sport = 500{own}\nudp_dport = 500{peer}\n")
}

fn gateway(site: &Site, tools: &Tools, tunnel_keys: &str, session_keys: &str) -> Result<Vec<Step>> {
    let Site { lan, wan, local, remote, cpu, tuning, .. } = site;
    let Tuning { gateway, ports, umem } = tuning;
    let umem = if umem.is_empty() { String::new() } else { format!("[umem]\n{umem}\n\n") };
    let (own, peer) = site.side.numbers();
    let name = site.side.name();
    let text = format!(
        "[gateway]\nname = \"{name}\"\nworkers = 1\ncpus = [{cpu}]\n{gateway}\n{umem}\
         [port.lan]\ninterface = \"{lan}\"\nrole = \"access\"\n{ports}\n\
         [port.wan]\ninterface = \"{wan}\"\nrole = \"underlay\"\n{ports}\n\
         [tunnel.t]\nlocal = \"{local}\"\nremote = \"{remote}\"\n\
         tunnel_id = {own}\npeer_tunnel_id = {peer}\n{tunnel_keys}\n\
         [tunnel.t.session.s]\nsession_id = {own}\npeer_session_id = {peer}\n{session_keys}\n\
         [bridge.br0]\nmembers = [\"lan\", \"s\"]\n"
    );
    let path = site.file("spanwire.toml");
    let program = tools.program("spanwire")?;
    let with = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        program.iter().cloned().chain(words).collect::<Vec<String>>()
    };
    let socket = site.file(&format!("{name}.sock"));
    Ok(vec![
        Step::File { path: path.clone(), text },
        Step::Start {
            name: "spanwire".to_owned(),
            words: with(&["run", "--config", &path, "--runtime-directory", &site.file("")]),
            ready: Ready::Answers(
                with(&["session", "show", "--json", "--control-socket", &socket]),
                "\"state\": \"up\"",
            ),
        },
    ])
}

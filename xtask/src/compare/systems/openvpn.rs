//! OpenVPN with a TAP device on a bridge: what was tried before L2TPv3.

use anyhow::Result;

use super::super::site::{Ready, Side, Site, Step, run, words};
use super::super::tools::Tools;
use super::kernel::{bridged, no_offloads};

/// Neither cipher nor authentication.
pub(super) fn plain(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    // Without keys of any kind, everything goes in the clear; these words say that this is meant.
    tunnel(site, tools, "--cipher none --auth none")
}

/// TLS, and AES-256-GCM for the frames. Both sides have the same key, for it protects nothing.
pub(super) fn aes(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    let (certificate, key) = (site.file("openvpn.crt"), site.file("openvpn.key"));
    let role = if site.side == Side::A { "--tls-server --dh none" } else { "--tls-client" };
    let options = format!(
        "{role} --ca {certificate} --cert {certificate} --key {key} --cipher AES-256-GCM --data-ciphers AES-256-GCM"
    );
    let files = tools.certificate()?;
    let files = [
        Step::File { path: certificate, text: files.certificate },
        Step::File { path: key, text: files.key },
    ];
    Ok([files.to_vec(), tunnel(site, tools, &options)?].concat())
}

/// A TAP device on a bridge, and the program behind it.
fn tunnel(site: &Site, tools: &Tools, options: &str) -> Result<Vec<Step>> {
    let Site { local, remote, cpu, .. } = site;
    let command = format!(
        "--dev tap0 --dev-type tap --proto udp --local {local} --remote {remote} --port 1194 --tun-mtu 1500 --mssfix 0 \
         --txqueuelen 1000 {options}"
    );
    let program = [words(&format!("taskset -c {cpu}")), tools.program("openvpn")?, words(&command)].concat();
    let mut steps = vec![run("ip tuntap add dev tap0 mode tap"), no_offloads("tap0")];
    steps.extend(bridged(site, "tap0"));
    // Bound, that is; whether the two found each other shows when frames are sent.
    let ready = Ready::Writes("link remote");
    steps.push(Step::Start { name: "openvpn".to_owned(), words: program, ready });
    Ok(steps)
}

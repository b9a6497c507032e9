//! The control port of a guest that is told what to do: a virtio serial line, and a first process that runs what comes over it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// The guest's first process.
pub(crate) const INIT: &str = include_str!("init.sh");

/// The words that give a machine its console, written to a file, and its control port, a unix socket.
pub(crate) fn devices(console: &Path, socket: &Path) -> Vec<String> {
    let mut words = vec!["-serial".to_owned(), format!("file:{}", console.display())];
    let chardev = format!("socket,id=control,path={},server=on,wait=off", socket.display());
    let devices = ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control"];
    words.extend(["-chardev", &chardev].into_iter().chain(devices).map(str::to_owned));
    words
}

/// Sends a script and returns its exit status and output.
///
/// # Errors
/// The port fails, or the answer does not come in time or not in form, or `is_running` says no.
pub(crate) fn ask(
    port: &mut UnixStream,
    script: &str,
    deadline: Duration,
    is_running: &dyn Fn() -> bool,
) -> Result<(i32, String)> {
    let end = Instant::now() + deadline;
    write!(port, "{}\n{script}", script.len()).context("sending a script to the guest")?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match port.read(&mut buffer) {
            Ok(0) => bail!("the emulator closed the control port"),
            Ok(len) => answer.extend_from_slice(&buffer[..len]),
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                ensure!(is_running(), "the emulator ended");
            }
            Err(fault) => return Err(fault).context("reading the guest's answer"),
        }
        if let Some(whole) = whole_answer(&answer)? {
            return Ok(whole);
        }
        ensure!(Instant::now() < end, "the guest gave no answer within {} s", deadline.as_secs());
    }
}

/// Exit status and output, once all of it is there.
fn whole_answer(answer: &[u8]) -> Result<Option<(i32, String)>> {
    let Some(line_end) = answer.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..line_end]);
    let numbers =
        head.split_once(' ').and_then(|(status, len)| Some((status.parse().ok()?, len.parse().ok()?)));
    let (status, len): (i32, usize) =
        numbers.with_context(|| format!("the guest's answer begins with {head:?}"))?;
    let output = answer[line_end + 1..].get(..len);
    Ok(output.map(|output| (status, String::from_utf8_lossy(output).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        assert_eq!(whole_answer(b"0 ").unwrap(), None);
        assert_eq!(whole_answer(b"0 5\nfour").unwrap(), None);
        assert_eq!(whole_answer(b"1 5\nfour\n").unwrap(), Some((1, "four\n".to_owned())));
        assert_eq!(whole_answer(b"0 0\n").unwrap(), Some((0, String::new())));
        assert!(whole_answer(b"what\n").is_err());
    }

    #[test]
    fn a_guest_that_ended_is_not_waited_for() {
        let (mut port, _other) = UnixStream::pair().unwrap();
        port.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let fault = ask(&mut port, "true", Duration::from_secs(60), &|| false).unwrap_err();
        assert_eq!(fault.to_string(), "the emulator ended");
    }
}

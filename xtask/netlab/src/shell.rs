//! Short commands: run, wait, and say everything when they fail.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs `command` to its end and returns what it wrote to standard output.
///
/// # Errors
/// The command cannot be started, or exits with a failure; the text then holds the command line and its error output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", line(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    bail!("{} failed ({}): {}", line(command), output.status, first_filled(stderr.trim(), stdout.trim()));
}

/// Runs `ip` with the words of `arguments`.
pub(crate) fn ip(arguments: &str) -> Result<String> {
    run(Command::new("ip").args(arguments.split_whitespace()))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    format!("`{}`", words.join(" "))
}

/// The first text that is not empty.
fn first_filled<'t>(first: &'t str, second: &'t str) -> &'t str {
    if first.is_empty() { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_error_output() {
        let fault =
            run(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err().to_string();
        assert!(fault.contains("no such thing"), "{fault}");
        assert!(fault.contains("exit status: 3"), "{fault}");
    }

    #[test]
    fn standard_output_is_returned() {
        assert_eq!(run(Command::new("echo").arg("eth0")).unwrap(), "eth0\n");
    }
}

//! Site: where a gateway stands, and the steps that set one up there.
//!
//! Steps are data, so that the lab can carry them out in a namespace, and `--commands` can print them for a real server.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// One of the two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Side {
    /// The one on the generator's side.
    A,
    /// The one on the sink's side.
    B,
}

impl Side {
    /// Both, from the generator on.
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Its place in arrays of both.
    pub(super) fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        ["a", "b"][self.index()]
    }

    /// Its number and its peer's: ids and ports of tunnels.
    pub(super) fn numbers(self) -> (u32, u32) {
        match self {
            Self::A => (1, 2),
            Self::B => (2, 1),
        }
    }
}

/// Where a gateway stands.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Which of the two it is.
    pub(super) side: Side,
    /// The interface towards the LAN.
    pub(super) lan: String,
    /// The interface towards the other gateway; it has the address `local`.
    pub(super) wan: String,
    /// Its address.
    pub(super) local: Ipv4Addr,
    /// The other gateway's address.
    pub(super) remote: Ipv4Addr,
    /// The CPU for its threads; what the kernel does in softirqs is where the kernel does it.
    pub(super) cpu: usize,
    /// A folder for its files.
    pub(super) dir: PathBuf,
    /// What is not as it comes.
    pub(super) tuning: Tuning,
}

/// Further lines of a spanwire gateway's configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tuning {
    /// In `[gateway]`.
    pub(super) gateway: &'static str,
    /// In each `[port.NAME]`.
    pub(super) ports: &'static str,
    /// In `[umem]`.
    pub(super) umem: &'static str,
}

impl Site {
    /// A file of this gateway.
    pub(super) fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// One step of setting a gateway up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes a file.
    File {
        /// Its path.
        path: String,
        /// What is in it.
        text: String,
    },
    /// Runs a command to its end.
    Run(Vec<String>),
    /// Starts a program that goes on running.
    Start {
        /// Its name.
        name: String,
        /// Its command line.
        words: Vec<String>,
        /// What tells that it is ready.
        ready: Ready,
    },
}

/// What tells that a program is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ready {
    /// A text in what it writes.
    Writes(&'static str),
    /// A command that succeeds and writes a text.
    Answers(Vec<String>, &'static str),
}

/// A command from words in one text: no word has a space in it.
pub(super) fn run(text: impl AsRef<str>) -> Step {
    Step::Run(words(text.as_ref()))
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The steps as a shell script.
pub(super) fn script(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let _ = match step {
            Step::File { path, text: content } => {
                let end = if content.ends_with('\n') { "" } else { "\n" };
                writeln!(text, "cat > {path} <<'EOF'\n{content}{end}EOF")
            }
            Step::Run(words) => writeln!(text, "{}", line(words)),
            Step::Start { words, ready, .. } => match ready {
                Ready::Writes(sign) => writeln!(text, "{} &\n# ready when it says: {sign}", line(words)),
                Ready::Answers(probe, sign) => {
                    let probe = line(probe);
                    writeln!(text, "{} &\nuntil {probe} | grep -q '{sign}'; do sleep 0.1; done", line(words))
                }
            },
        };
    }
    text
}

/// A command line for a shell.
fn line(words: &[String]) -> String {
    let is_plain =
        |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c));
    let quoted = |word: &String| match word {
        word if !word.is_empty() && is_plain(word) => word.clone(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_does_what_the_steps_say() {
        let steps = [
            Step::File { path: "/tmp/x/gw.toml".to_owned(), text: "a = 1".to_owned() },
            run("ip link set br0 up"),
            Step::Run(vec!["echo".to_owned(), "it's so".to_owned()]),
            Step::Start {
                name: "gw".to_owned(),
                words: words("spanwire run"),
                ready: Ready::Answers(words("spanwire session show"), " up"),
            },
        ];
        let expected = "cat > /tmp/x/gw.toml <<'EOF'\na = 1\nEOF\nip link set br0 up\necho 'it'\\''s so'\n\
            spanwire run &\nuntil spanwire session show | grep -q ' up'; do sleep 0.1; done\n";
        assert_eq!(script(&steps), expected);
    }

    #[test]
    fn the_two_sides_ids_mirror_each_other() {
        let [(a, of_a), (b, of_b)] = Side::BOTH.map(Side::numbers);
        assert_eq!((a, of_a), (of_b, b));
    }
}

//! What an object was built from and with, in a small text file beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::toolchain::Toolchain;

const TOOLCHAIN: &str = "toolchain: ";
const SOURCES: &str = "sources (sha256): ";
const OBJECT: &str = "object (sha256): ";

/// The contents of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The tools' versions, in one line.
    pub(super) toolchain: String,
    /// Digest over the program's own sources.
    pub(super) sources: String,
    /// Digest of the object.
    object: String,
}

impl Record {
    /// Describes a build.
    pub(super) fn new(
        toolchain: &Toolchain,
        root: &Path,
        sources: &[PathBuf],
        object: &Path,
    ) -> Result<Self> {
        let mut contents = Vec::new();
        for source in sources {
            let name = source.strip_prefix(root).unwrap_or(source).to_string_lossy();
            contents.extend_from_slice(format!("{name}\n").as_bytes());
            contents.extend(std::fs::read(source).with_context(|| format!("reading {name}"))?);
        }
        Ok(Self {
            toolchain: toolchain.name().to_owned(),
            sources: sha256(&contents)?,
            object: sha256(&std::fs::read(object)?)?,
        })
    }

    /// Reads the file; what it does not say is empty.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
        Self { toolchain: value(TOOLCHAIN), sources: value(SOURCES), object: value(OBJECT) }
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        let Self { toolchain, sources, object } = self;
        format!(
            "Written by `cargo xtask ebpf`; `cargo xtask ebpf --check` builds again and compares.\n\
             {TOOLCHAIN}{toolchain}\n{SOURCES}{sources}\n{OBJECT}{object}\n"
        )
    }
}

/// The digest that the tool `sha256sum` prints.
fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting sha256sum")?;
    child.stdin.take().context("sha256sum has no input")?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "sha256sum failed ({})", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("sha256sum printed nothing")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_written() {
        let record =
            Record { toolchain: "rustc 1; linker 2".into(), sources: "ab".into(), object: "cd".into() };
        assert_eq!(Record::parse(&record.to_text()), record);
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, "abc"
        assert_eq!(sha256(b"abc").unwrap(), expected);
    }
}

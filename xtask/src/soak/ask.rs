//! Questions to the running gateways.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::de::DeserializeOwned;

use crate::lab::gateways;

/// Asks gateways over their control sockets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    /// The gateway's program.
    pub(super) binary: &'a Path,
    /// The folder with the control sockets.
    pub(super) dir: &'a Path,
}

impl Asker<'_> {
    /// The rows of `spanwire <object> show --json`.
    ///
    /// # Errors
    /// The gateway does not answer, or in words that are not understood.
    pub(super) fn rows<R: DeserializeOwned>(&self, gateway: &str, object: &str) -> Result<Vec<R>> {
        // Reasons for which nothing was dropped count too, with zero.
        let options: &[&str] = if object == "drop" { &["--json", "--all"] } else { &["--json"] };
        let text = gateways::show(self.binary, self.dir, gateway, object, options)
            .map_err(|fault| anyhow!("{fault}"))?;
        serde_json::from_str(&text).with_context(|| format!("{gateway}: {object} show --json"))
    }
}

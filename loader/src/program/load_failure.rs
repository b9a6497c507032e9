//! Why the kernel refused object or program, in one line.
//!
//! The verifier writes down every instruction that it looked at: thousands of lines, of which the last one that is no
//! statistics tells the reason. That one goes into the error's text, all of them into the log at debug level.

use std::fmt;
use std::io;

use aya::programs::ProgramError as AyaProgramError;
use aya::{BtfError, EbpfError};

/// Why object or program could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// The verifier refused.
    #[error("verifier says: {verdict}")]
    Verifier {
        /// The line of its output that tells the reason.
        verdict: String,
        /// The cause.
        source: io::Error,
    },
    /// The object is not usable, or one of its maps could not be made.
    #[error(transparent)]
    Object(EbpfError),
    /// The program could not be loaded for another reason.
    #[error(transparent)]
    Program(AyaProgramError),
}

impl From<EbpfError> for LoadFailure {
    fn from(error: EbpfError) -> Self {
        match error {
            EbpfError::BtfError(BtfError::LoadError { io_error, verifier_log }) => {
                refused(io_error, &verifier_log)
            }
            EbpfError::ProgramError(error) => error.into(),
            error => Self::Object(error),
        }
    }
}

impl From<AyaProgramError> for LoadFailure {
    fn from(error: AyaProgramError) -> Self {
        match error {
            AyaProgramError::LoadError { io_error, verifier_log } => refused(io_error, &verifier_log),
            AyaProgramError::Btf(BtfError::LoadError { io_error, verifier_log }) => {
                refused(io_error, &verifier_log)
            }
            error => Self::Program(error),
        }
    }
}

fn refused(source: io::Error, output: &impl fmt::Display) -> LoadFailure {
    let output = output.to_string();
    tracing::debug!("the verifier's whole output:\n{output}");
    LoadFailure::Verifier { verdict: verdict(&output).to_owned(), source }
}

/// The last line that is no statistics.
fn verdict(output: &str) -> &str {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let is_verdict =
        |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    output.lines().rev().map(str::trim).find(is_verdict).unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::program::ProgramError;

    /// As kernel 6.18 wrote it when CAP_PERFMON was missing, shortened in the middle.
    const OUTPUT: &str = "0: R1=ctx() R10=fp0
; let frame = LinearView { start: metadata.data as usize, end: metadata.data_end as usize }; @ main.rs:109
0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2=pkt_end()
; let address = self.start + offset; @ main.rs:64
116: (bf) r1 = r6                     ; R1=22 R6=22
117: (79) r3 = *(u64 *)(r10 -224)     ; R3=pkt(r=22) R10=fp0 fp-224=pkt(r=22)
118: (0f) r1 += r3
R3 has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root
verification time 714 usec
stack depth 232+0
processed 97 insns (limit 1000000) max_states_per_insn 0 total_states 7 peak_states 7 mark_read 0
";

    #[test]
    fn only_the_line_with_the_reason_is_shown_with_its_cause() {
        let error = ProgramError::Load(refused(Errno::ACCESS.into(), &OUTPUT));
        let text = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(
            text,
            "load steering program spanwire_steer into the kernel: verifier says: R3 has pointer with \
             unsupported alu operation, pointer arithmetic with it prohibited for !root: Permission denied (os error 13)"
        );
        assert!(ProgramError::Load(refused(Errno::ACCESS.into(), &OUTPUT)).is_permission());
    }

    #[test]
    fn an_output_without_a_verdict_says_so() {
        assert_eq!(verdict("processed 10 insns (limit 1000000)\n\n"), "nothing");
        assert_eq!(verdict(""), "nothing");
    }

    #[test]
    fn a_failure_without_verifier_keeps_its_own_text() {
        let error = LoadFailure::from(AyaProgramError::NotLoaded);
        assert_eq!(error.to_string(), "the program is not loaded");
    }
}

//! The `spanwire` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    loader::cli::main()
}

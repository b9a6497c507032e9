//! Compiles the BPF programs in `bpf/` with clang, against the headers of the libbpf that is linked.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs: `bpf/<name>.bpf.c` becomes `<OUT_DIR>/<name>.bpf.o`.
const PROGRAMS: [&str; 4] = ["generate", "live_frames", "redirect", "sink"];

fn main() {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    for program in PROGRAMS {
        if let Err(fault) = compile(&clang, program, &out_dir) {
            println!("cargo:error={fault}");
            std::process::exit(1);
        }
    }
}

/// Compiles one program to a BPF object with BTF.
fn compile(clang: &str, program: &str, out_dir: &Path) -> Result<(), String> {
    let source = format!("bpf/{program}.bpf.c");
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-c", &source, "-o"]);
    command.arg(out_dir.join(format!("{program}.bpf.o")));
    for folder in include_folders() {
        command.arg("-I").arg(folder);
    }
    let status = command.status().map_err(|cause| {
        format!("cannot run {clang} ({cause}): install it with `apt-get install clang`, or name one in CLANG")
    })?;
    if status.success() { Ok(()) } else { Err(format!("{clang} does not compile {source}: {status}")) }
}

/// libbpf's headers, and the folder of the host's `asm/` headers that the BPF target does not search.
fn include_folders() -> Vec<PathBuf> {
    let libbpf = env::var_os("DEP_BPF_INCLUDE").map(PathBuf::from);
    let machine = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let multiarch = PathBuf::from(format!("/usr/include/{machine}-linux-gnu"));
    libbpf.into_iter().chain(Some(multiarch).filter(|folder| folder.is_dir())).collect()
}

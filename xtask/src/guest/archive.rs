//! The guest's first file system: a few programs, the kernel's modules, its first process, packed as the kernel takes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::empty_folder;
use super::kernel::Kernel;
use super::packages::Unpacked;
use crate::workspace::succeed;

/// What a guest holds besides busybox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents<'c> {
    /// The first process: a script, which runs as `/init`.
    pub(crate) init: &'c str,
    /// Programs that are not busybox, as paths in the packages; they stand in `/tools`.
    pub(crate) tools: &'c [&'c str],
    /// Kernel modules below `kernel/`, without suffix, each behind those it needs; they stand in `/modules`, sorted in
    /// this order. One that is part of the kernel itself is left out.
    pub(crate) modules: &'c [&'c str],
    /// Further files: name in `/` and content.
    pub(crate) files: &'c [(&'c str, &'c str)],
    /// Programs of this machine; they stand in `/tools`, and the libraries that they need take the place of the packages'.
    pub(crate) programs: &'c [&'c Path],
}

/// Builds the archive in `folder` and returns its path.
///
/// # Errors
/// A file is missing in the packages, or cannot be written.
pub(crate) fn build(
    unpacked: &Unpacked,
    kernel: &Kernel,
    folder: &Path,
    contents: &Contents<'_>,
) -> Result<PathBuf> {
    let tree = folder.join("guest");
    empty_folder(&tree)?;
    for folder in ["bin", "dev", "lib", "lib64", "modules", "proc", "run", "sys", "tmp", "tools"] {
        fs::create_dir_all(tree.join(folder)).with_context(|| format!("creating {folder} for the guest"))?;
    }
    copy(&unpacked.path("bin/busybox"), &tree.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", tree.join("bin/sh")).context("linking the guest's shell")?;
    copy(&unpacked.loader(), &tree.join("lib64/ld-linux-x86-64.so.2"))?;
    for tool in contents.tools {
        copy(&unpacked.path(tool), &tree.join("tools").join(file_name(Path::new(tool))))?;
        for library in unpacked.libraries(tool)? {
            copy(&library, &tree.join("lib").join(file_name(&library)))?;
        }
    }
    for program in contents.programs {
        add_program(program, &tree)?;
    }
    unpack_modules(unpacked, kernel, &tree, contents.modules)?;
    for (name, text) in [("init", contents.init)].iter().chain(contents.files) {
        fs::write(tree.join(name), text).with_context(|| format!("writing the guest's {name}"))?;
    }
    succeed(Command::new("chmod").arg("+x").arg(tree.join("init")))?;
    pack(&unpacked.path("bin/busybox"), &tree, folder)
}

/// Adds a program of this machine, with the libraries and the loader that it is linked with. Those of a machine that is older than the
/// packages would not do for the packages' programs; it can build no such guest.
fn add_program(program: &Path, tree: &Path) -> Result<()> {
    copy(program, &tree.join("tools").join(file_name(program)))?;
    let output = Command::new("ldd").arg(program).output().context("starting ldd")?;
    ensure!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    for path in String::from_utf8_lossy(&output.stdout).lines().filter_map(library) {
        let folder = if file_name(&path).starts_with("ld-linux") { "lib64" } else { "lib" };
        copy(&path, &tree.join(folder).join(file_name(&path)))?;
    }
    Ok(())
}

/// The file in a line of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x...)` or `/lib64/ld-linux-x86-64.so.2 (0x...)`. The kernel's own
/// library has none.
fn library(line: &str) -> Option<PathBuf> {
    let place = line.split_once(" => ").map_or(line, |(_, place)| place);
    place.split_whitespace().next().filter(|path| path.starts_with('/')).map(PathBuf::from)
}

/// Decompresses the modules, numbered in the order they are to be loaded in.
fn unpack_modules(unpacked: &Unpacked, kernel: &Kernel, tree: &Path, modules: &[&str]) -> Result<()> {
    let builtin = kernel.modules.join("modules.builtin");
    let builtin = fs::read_to_string(&builtin).with_context(|| format!("reading {}", builtin.display()))?;
    for (index, module) in modules.iter().enumerate() {
        if builtin.lines().any(|line| line == format!("kernel/{module}.ko")) {
            continue;
        }
        let packed = kernel.modules.join(format!("kernel/{module}.ko.xz"));
        let path = tree.join(format!("modules/{index:02}-{}.ko", file_name(Path::new(module))));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        succeed(Command::new(unpacked.path("bin/busybox")).arg("xzcat").arg(packed).stdout(file))?;
    }
    Ok(())
}

/// Makes the archive that the kernel takes as its first file system.
fn pack(busybox: &Path, tree: &Path, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("guest.cpio");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut command = Command::new(busybox);
    command.args(["sh", "-c", "find . | cpio -o -H newc"]).current_dir(tree).stdout(file);
    succeed(command.stderr(Stdio::null()))?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_the_path_in_a_line_of_ldd() {
        let path = |line| library(line).map(|path| path.display().to_string());
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007f83)"), None);
        assert_eq!(
            path("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0)").unwrap(),
            "/lib/x86_64-linux-gnu/libc.so.6"
        );
        assert_eq!(
            path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f83)").unwrap(),
            "/lib64/ld-linux-x86-64.so.2"
        );
    }
}

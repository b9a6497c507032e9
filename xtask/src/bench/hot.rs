//! Hot: which functions and lines the engine's instructions are in, inlined ones included.
//!
//! callgrind knows the functions that the machine code still has, which after inlining are few. The debug information knows for
//! every instruction the chain of functions that were inlined there, and `llvm-symbolizer` reads it. An instruction counts for
//! the innermost function of that chain whose source is in this workspace: what a loop or a check of the standard library costs
//! is the cost of who asked for it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::report::Grid;
use crate::workspace;

/// Rows of a table.
const ROWS: usize = 40;

/// Where an instruction is in the source, and how often it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Path in the workspace; the path as it is of source that is not in it.
    file: String,
    line: u32,
    function: String,
    count: u64,
}

/// What `llvm-symbolizer --output-style=JSON` says of an address: the innermost inlined function first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Symbolized {
    symbol: Vec<Symbol>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Symbol {
    function_name: String,
    file_name: String,
    line: u32,
}

/// Looks the source of instructions up.
///
/// # Errors
/// `llvm-symbolizer` is missing, or does not answer for every address.
pub(super) fn places(program: &Path, addresses: &BTreeMap<u64, u64>) -> Result<Vec<Place>> {
    let mut command = Command::new("llvm-symbolizer");
    command.args(["--inlines", "--output-style=JSON"]).arg(format!("--obj={}", program.display()));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting llvm-symbolizer; it is in the package llvm")?;
    let questions: String = addresses.keys().map(|address| format!("{address:#x}\n")).collect();
    let mut input = child.stdin.take().context("llvm-symbolizer reads questions")?;
    // From another thread: it answers while it reads, and would wait for us to read the answers.
    let writer = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = child.wait_with_output().context("reading from llvm-symbolizer")?;
    writer.join().ok().context("asking llvm-symbolizer")??;
    let answers = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<&str> = answers.lines().filter(|line| !line.is_empty()).collect();
    ensure!(answers.len() == addresses.len(), "{} answers to {} addresses", answers.len(), addresses.len());
    let root = format!("{}/", workspace::root().display());
    let place = |(answer, count): (&str, &u64)| {
        let answer: Symbolized = serde_json::from_str(answer).context("reading from llvm-symbolizer")?;
        Ok(innermost(&answer.symbol, &root, *count))
    };
    answers.into_iter().zip(addresses.values()).map(place).collect()
}

/// The innermost of inlined functions whose source is below `root`.
fn innermost(chain: &[Symbol], root: &str, count: u64) -> Place {
    let own = chain.iter().find(|symbol| symbol.file_name.starts_with(root));
    let Some(symbol) = own.or(chain.first()) else {
        return Place { file: "?".to_owned(), line: 0, function: "?".to_owned(), count };
    };
    let file = symbol.file_name.strip_prefix(root).unwrap_or(&symbol.file_name).to_owned();
    Place { file, line: symbol.line, function: short(&symbol.function_name), count }
}

/// A function's name without its path, its type arguments and the hash of a mangled one.
fn short(name: &str) -> String {
    let hash = |part: &&str| part.len() == 17 && part.starts_with('h');
    let plain = name.split_once('<').filter(|(start, _)| !start.is_empty()).map_or(name, |(start, _)| start);
    plain.split("::").filter(|part| !hash(part)).last().unwrap_or(plain).to_owned()
}

/// Instructions per frame by function, most first.
pub(super) fn by_function(places: &[Place], frames: u64) -> Grid {
    let rows = sums(places, frames, |place| (place.file.clone(), place.function.clone()));
    let row = |((file, function), sum): ((String, String), f64)| {
        vec![format!("{file} {function}"), format!("{sum:.1}")]
    };
    grid("function", rows.into_iter().map(row))
}

/// Instructions per frame by line, most first.
pub(super) fn by_line(places: &[Place], frames: u64) -> Grid {
    let rows = sums(places, frames, |place| (place.file.clone(), place.line, place.function.clone()));
    let row = |((file, line, function), sum): ((String, u32, String), f64)| {
        vec![format!("{file}:{line} {function}"), format!("{sum:.1}")]
    };
    grid("line", rows.into_iter().map(row))
}

fn grid(what: &str, rows: impl Iterator<Item = Vec<String>>) -> Grid {
    Grid { columns: vec![what.to_owned(), "instructions per frame".to_owned()], rows: rows.collect() }
}

/// Sums by key, the largest first.
#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn sums<K: Ord>(places: &[Place], frames: u64, key: impl Fn(&Place) -> K) -> Vec<(K, f64)> {
    let mut counts = BTreeMap::new();
    for place in places {
        *counts.entry(key(place)).or_insert(0) += place.count;
    }
    let mut sums: Vec<(K, f64)> =
        counts.into_iter().map(|(key, count)| (key, count as f64 / frames.max(1) as f64)).collect();
    sums.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    sums.truncate(ROWS);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(function: &str, file: &str, line: u32) -> Symbol {
        Symbol { function_name: function.to_owned(), file_name: file.to_owned(), line }
    }

    #[test]
    fn the_standard_librarys_work_is_that_of_who_asked_for_it() {
        let chain = [
            symbol("next<T>", "/rustc/1/library/core/src/iter.rs", 9),
            symbol("learn", "/w/dataplane/src/fdb.rs", 185),
            symbol("run<P>", "/w/dataplane/src/learn.rs", 20),
        ];
        let expected = Place {
            file: "dataplane/src/fdb.rs".to_owned(),
            line: 185,
            function: "learn".to_owned(),
            count: 4,
        };
        assert_eq!(innermost(&chain, "/w/", 4), expected);
        assert_eq!(innermost(&chain[..1], "/w/", 4).file, "/rustc/1/library/core/src/iter.rs");
    }

    #[test]
    fn names_lose_path_type_arguments_and_hash() {
        let names = ["dataplane::stages::send::leave::hea000308890be075", "run<bench::Port>", "{closure#0}"];
        assert_eq!(names.map(short), ["leave", "run", "{closure#0}"]);
        assert_eq!(short("_$LT$bench..Rig$u20$as$u20$Work$GT$::run::h36f6433a28a38800"), "run");
    }

    #[test]
    fn the_largest_sum_comes_first() {
        let place = |line, count| Place { file: "f".to_owned(), line, function: "g".to_owned(), count };
        let places = [place(1, 10), place(2, 30), place(1, 25)];
        assert_eq!(by_line(&places, 10).rows, [["f:1 g", "3.5"], ["f:2 g", "3.0"]]);
        assert_eq!(by_function(&places, 10).rows, [["f g", "6.5"]]);
    }
}

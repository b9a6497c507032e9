//! `count`: a few passes of each case, laid out so that valgrind can count the instructions of the passes alone.
//!
//! ```sh
//! valgrind --tool=callgrind --toggle-collect='*bench::count::counted_pass*' --dump-before='*bench::count::end_of_case*' \
//!     spanwire-bench count
//! ```
//! Counting is on only inside `counted_pass`, and each case ends with a dump of its own. By itself the command measures nothing;
//! it tells which dump belongs to which case. `cargo xtask bench` does both.

use std::hint::black_box;

use serde::Serialize;

use crate::harness::{HarnessError, Work};
use crate::memory::{self, Choice};

/// Counted passes of each case.
const PASSES: u64 = 4;

/// What was there to count, case by case, in the order of the dumps.
#[derive(Debug, Serialize)]
pub struct Counted {
    /// The cases.
    pub cases: Vec<CountedCase>,
}

/// One case.
#[derive(Debug, Serialize)]
pub struct CountedCase {
    /// Its name.
    pub name: String,
    /// Frames in all counted passes.
    pub frames: u64,
}

/// Runs every case.
///
/// # Errors
/// A case cannot be made, or loses frames.
pub fn run(choice: &Choice) -> anyhow::Result<Counted> {
    let mut scenarios = memory::scenarios(choice);
    // valgrind places mappings itself, where huge pages cannot be; the instructions are those of small ones.
    scenarios.retain(|scenario| !scenario.huge_pages);
    let counted = memory::with_cases(choice, &scenarios, |cases| {
        let mut counted = Vec::with_capacity(cases.len());
        for case in cases {
            case.pass(|work| (work.run(), ()))?;
            let mut frames = 0;
            for _ in 0..PASSES {
                frames += case.pass(|work| {
                    let count = counted_pass(work);
                    (count, count)
                })?;
            }
            end_of_case();
            counted.push(CountedCase { name: case.name().to_owned(), frames });
        }
        Ok::<_, HarnessError>(counted)
    })??;
    Ok(Counted { cases: counted })
}

/// What is counted. A function of its own, under a name that can be told to valgrind.
#[inline(never)]
fn counted_pass(work: &mut dyn Work) -> u64 {
    black_box(work.run())
}

/// Where one case's counts end.
#[inline(never)]
fn end_of_case() {
    black_box(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counted_passes_count() {
        let choice = Choice { short: true, case: Some("ethernet, one tag".to_owned()) };
        let counted = run(&choice).expect("counted");
        let cases: Vec<_> = counted.cases.iter().map(|case| (case.name.as_str(), case.frames)).collect();
        assert_eq!(cases, [("headers, ethernet, one tag", 4 * 16 * 1024)]);
    }
}

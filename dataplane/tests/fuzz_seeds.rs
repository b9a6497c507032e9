//! The seeds of the fuzz targets are what their names say, and hold to what the targets check.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{fs, path::Path};

use dataplane::verdict::Verdict;
use rig::{any_bytes::AnyBytes, reassembly::Judge};

/// Gives every seed of a target to the engine and compares what became of it with its name.
fn assert_named_rightly(target: &str, mut arrive: impl FnMut(&mut AnyBytes, &[u8]) -> Option<Verdict>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut engine = AnyBytes::new();
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let verdict = arrive(&mut engine, &fs::read(&path).unwrap()).unwrap();
        match verdict {
            Verdict::Dropped(reason) => assert!(name.starts_with(reason.name()), "{name}: {verdict:?}"),
            Verdict::Forwarded | Verdict::Flooded => assert!(name.starts_with("good"), "{name}: {verdict:?}"),
            Verdict::Handed | Verdict::Reassembled => panic!("{name}: {verdict:?} by a worker on its own"),
        }
        seeds += 1;
    }
    assert!(seeds >= 8, "{seeds} seeds of {target}");
}

#[test]
fn seeds_of_decap_bytes_are_what_they_are_named() {
    assert_named_rightly("decap_bytes", AnyBytes::arrive_on_wan);
}

#[test]
fn seeds_of_reassembly_are_what_they_are_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/reassembly");
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut judge = Judge::new(Judge::LIMITS);
        judge.take_bytes(&fs::read(&path).unwrap());
        match name.strip_prefix("good_") {
            Some(_) => assert!(judge.whole > 0 && judge.seen.is_empty(), "{name}: {:?}", judge.seen),
            None => assert!(
                judge.seen.iter().any(|reason| name.starts_with(reason.name())),
                "{name}: {:?}",
                judge.seen
            ),
        }
        seeds += 1;
    }
    assert!(seeds >= 8, "{seeds} seeds of reassembly");
}

#[test]
fn seeds_of_frames_are_what_they_are_named() {
    assert_named_rightly("frames", AnyBytes::arrive_on_lan);
}

//! The fuzzer: libFuzzer around one target, which `IMCAST_FUZZ_TARGET` names. `./scripts/fuzz` runs it.
//!
//! With `IMCAST_FUZZ_INTO` it first writes the target's seeds and words into that folder.

#![no_main]

mod memory;
mod targets;

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::memory::Counting;
use crate::targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: Counting = Counting::new();

/// Most bytes that one input may make the process hold beside what it held before.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// Most time that one input may take.
const MOST_TIME: Duration = Duration::from_millis(100);

/// How often a slow input is tried: other processes slow a machine down, but not every time.
const CHANCES: usize = 6;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: prepare(), |input: &[u8]| run(input));

#[expect(
    clippy::disallowed_methods,
    reason = "arguments belong to libFuzzer, so that the choice comes from here"
)]
fn prepare() {
    let name = std::env::var("IMCAST_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = targets::find(&name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("IMCAST_FUZZ_TARGET must be one of: {}", names.join(", "));
    };
    let seeds = (target.seeds)();
    if let Ok(folder) = std::env::var("IMCAST_FUZZ_INTO") {
        write(Path::new(&folder), &seeds);
    }
    // Before anything is measured: what is made once is made now.
    let first = seeds.first().expect("a target has seeds");
    (target.run)(first);
    TARGET.get_or_init(|| target);
}

fn write(folder: &Path, seeds: &[Vec<u8>]) {
    let seed_folder = folder.join("seeds");
    std::fs::create_dir_all(&seed_folder).unwrap();
    for (index, seed) in seeds.iter().enumerate() {
        std::fs::write(seed_folder.join(format!("{index:04}")), seed).unwrap();
    }
    std::fs::write(folder.join("words"), targets::seeds::dictionary(seeds)).unwrap();
}

fn run(input: &[u8]) {
    let target = TARGET.get().unwrap();
    for _ in 0..CHANCES {
        if measure(target, input) <= MOST_TIME {
            return;
        }
    }
    panic!("this input takes more than {MOST_TIME:?}, every time");
}

#[expect(clippy::disallowed_methods, reason = "the targets' own clock is paused; this is about real time")]
fn measure(target: &Target, input: &[u8]) -> Duration {
    let started = Instant::now();
    let held = MEMORY.restart();
    (target.run)(input);
    let bytes = MEMORY.peak().saturating_sub(held);
    assert!(bytes <= MOST_BYTES, "this input takes {bytes} bytes of memory");
    started.elapsed()
}

//! The runs: with kills, and without.

use crate::figures::Figures;
use crate::rig;
use crate::verdict::judge;

/// Kills of a run unless `IMCAST_CYCLES` says otherwise.
const KILLS: u64 = 50;

/// Most broken promises that are printed.
const MOST_SHOWN: usize = 20;

#[expect(clippy::disallowed_methods, reason = "the rig's own knobs, not the gateway's")]
fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[expect(clippy::print_stdout, reason = "the figures are there to be read")]
async fn run(kills: u64) -> Figures {
    let seed = knob("IMCAST_SEED").unwrap_or(1);
    let books = rig::run(seed, usize::try_from(kills).unwrap()).await;
    let (figures, broken) = judge(&books);
    println!("seed {seed}: {figures}");
    if !broken.is_empty() {
        let shown: Vec<&str> = broken.iter().take(MOST_SHOWN).map(String::as_str).collect();
        let replay = format!("IMCAST_SEED={seed} IMCAST_CYCLES={kills} cargo test --test crash");
        panic!("{} promises broken:\n{}\nThe same choices again: {replay}", broken.len(), shown.join("\n"));
    }
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_survives_kills() {
    let figures = run(knob("IMCAST_CYCLES").unwrap_or(KILLS)).await;
    assert!(figures.promised() > 0, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_unknown_without_a_kill() {
    let figures = run(0).await;
    assert!(figures.promised() > 0 && figures.unknown() == 0, "{figures}");
}

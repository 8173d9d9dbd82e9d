//! The runs: over a file and over a database, with faults and without.

use crate::dice::Dice;
use crate::engine::Engine;
use crate::faults::{of_database, of_file};
use crate::figures::Figures;
use crate::rig::{self, Course};
use crate::verdict::judge;

/// Kills of a gateway unless `IMCAST_CYCLES` says otherwise: of the one on a file, and of the three on a database.
const FILE_KILLS: usize = 50;
const DATABASE_KILLS: usize = 20;

/// Callers that keep so many gateways busy; with several of them many wait for the batches of the dead.
const FILE_CALLERS: usize = 16;
const DATABASE_CALLERS: usize = 32;

/// Most broken promises that are printed.
const MOST_SHOWN: usize = 20;

#[expect(clippy::disallowed_methods, reason = "the rig's own knobs, not the gateway's")]
fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn seed() -> u64 {
    knob("IMCAST_SEED").unwrap_or(1)
}

fn cycles(default: usize) -> usize {
    knob("IMCAST_CYCLES").map_or(default, |count| usize::try_from(count).unwrap())
}

async fn on_a_file(kills: usize) -> Figures {
    let (engine, faults) = (Engine::file(), of_file(kills));
    let course = Course { seed: seed(), engine, gateways: 1, callers: FILE_CALLERS, faults };
    run("file", kills, course).await
}

async fn on_a_database(kills: usize) -> Figures {
    let engine = Engine::database().await;
    let faults = of_database(kills, &Dice::about(seed(), "faults"));
    let course = Course { seed: seed(), engine, gateways: 3, callers: DATABASE_CALLERS, faults };
    run("database", kills, course).await
}

#[expect(clippy::print_stdout, reason = "the figures are there to be read")]
async fn run(store: &str, kills: usize, course: Course) -> Figures {
    let seed = course.seed;
    let books = rig::run(course).await;
    let (figures, broken) = judge(&books);
    println!("{store}, seed {seed}: {figures}");
    if !broken.is_empty() {
        let shown: Vec<&str> = broken.iter().take(MOST_SHOWN).map(String::as_str).collect();
        let replay = format!("IMCAST_SEED={seed} IMCAST_CYCLES={kills} cargo test --test crash on_a_{store}");
        panic!("{} promises broken:\n{}\nThe same choices again: {replay}", broken.len(), shown.join("\n"));
    }
    assert!(figures.promised() > 0 && figures.told() > 0, "{figures}");
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_survives_kills_on_a_file() {
    on_a_file(cycles(FILE_KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_survives_kills_on_a_database() {
    on_a_database(cycles(DATABASE_KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_unknown_without_a_fault() {
    for figures in [on_a_file(0).await, on_a_database(0).await] {
        assert_eq!(figures.unknown(), 0, "{figures}");
    }
}

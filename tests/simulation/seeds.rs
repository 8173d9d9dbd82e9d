//! Many worlds: every promise in each, the same world twice, and one channel's trouble beside the others.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invariants;
use crate::ledger::Sent;
use crate::scenario::{ROOMY, Scenario};
use crate::world::{Played, play};

/// A number from the environment, for longer runs and for replays.
#[expect(clippy::disallowed_methods, reason = "the simulation's own knobs, not the gateway's")]
fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Runs `check` for each seed, on every core; stops at the first one that is broken.
fn each(seeds: u64, check: impl Fn(u64) -> Result<(), String> + Sync) {
    let next = AtomicU64::new(0);
    let failure = Mutex::new(None);
    let work = || {
        while failure.lock().unwrap().is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            if let Err(text) = check(seed) {
                failure.lock().unwrap().get_or_insert(text);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(text) = failure.into_inner().unwrap() {
        panic!("{text}");
    }
}

fn keeps_every_promise(seed: u64) -> Result<(), String> {
    let scenario = Scenario::draw(seed);
    let played = play(&scenario);
    let broken = invariants::broken(&scenario, &played);
    if broken.is_empty() {
        return Ok(());
    }
    let replay = format!("IMCAST_SEED={seed} cargo test --test simulation every_promise");
    let log = played.book.log.join("\n");
    Err(format!("seed {seed}: {}\n\n{log}\n\n{scenario:?}\n\nReplay: {replay}", broken.join("\n")))
}

#[test]
fn every_promise_holds_in_every_world() {
    if let Some(seed) = knob("IMCAST_SEED") {
        show(seed);
        return keeps_every_promise(seed).unwrap_or_else(|text| panic!("{text}"));
    }
    each(knob("IMCAST_SEEDS").unwrap_or(10_000), keeps_every_promise);
}

#[expect(clippy::print_stdout, reason = "a replay is there to be read")]
fn show(seed: u64) {
    println!("{}", play(&Scenario::draw(seed)).book.log.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_world() {
    each(1000, |seed| {
        let log = || play(&Scenario::draw(seed)).book.log;
        let (first, second) = (log(), log());
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        if first.len() == second.len() && differs.is_none() {
            return Ok(());
        }
        let line = differs.unwrap_or(first.len().min(second.len()));
        Err(format!("seed {seed} differs from line {line} on: {:?} {:?}", first.get(line), second.get(line)))
    });
}

/// When which call reached a channel's provider, whatever the order within one instant.
fn calls(played: &Played, channel: usize) -> Vec<String> {
    let of_channel = played.book.sent.iter().filter(|sent| sent.channel == channel);
    let mut calls: Vec<_> = of_channel
        .map(|Sent { at, marker, ids, fate, ended, .. }| {
            format!("{at:?} {marker:?} {ids:?} {fate:?} {ended:?}")
        })
        .collect();
    calls.sort_unstable();
    calls
}

#[test]
fn a_channel_in_trouble_changes_nothing_for_the_others() {
    let compared = AtomicU64::new(0);
    each(1000, |seed| {
        // A batch that finds no room on one of its channels starts on none.
        let scenario = Scenario { channel_routes: ROOMY, ..Scenario::draw(seed) };
        let is_healthy = |index: usize| scenario.channels[index].is_healthy();
        let healthy = (0..scenario.channels.len()).find(|index| is_healthy(*index));
        let has_trouble = (0..scenario.channels.len()).any(|index| !is_healthy(index));
        let (Some(healthy), true) = (healthy, has_trouble) else { return Ok(()) };
        compared.fetch_add(1, Ordering::Relaxed);
        let beside_trouble = calls(&play(&scenario), healthy);
        let beside_calm = calls(&play(&scenario.with_healthy_neighbours(healthy)), healthy);
        if beside_trouble == beside_calm {
            return Ok(());
        }
        let differs = beside_trouble.iter().zip(&beside_calm).find(|(trouble, calm)| trouble != calm);
        Err(format!("seed {seed}: channel {healthy} fares otherwise: {differs:#?}"))
    });
    assert!(compared.into_inner() > 200);
}

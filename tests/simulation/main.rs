//! The dispatcher under a model of the world: model providers, paused time, everything from one seed.
//!
//! `IMCAST_SEEDS=1000000` plays more seeds, `IMCAST_SEED=17` replays one and prints what happened in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod adapter;
mod circuit;
mod dice;
mod directed;
mod invariants;
mod ledger;
mod pace;
mod provider;
mod scenario;
mod seeds;
mod world;

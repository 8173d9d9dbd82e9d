//! The crash rig: the real program on a real file, or three of it on a real database, killed at random moments under
//! load and started again; and so is the database.
//!
//! Four books are kept: the providers' ledgers say who was sent to, the client's record says what was asked for and
//! what was answered, the receiver of callbacks says what it was told, and the gateway's own reports say what it
//! claims. The parties that keep the first three never die. In the end all are joined, and the ledgers are right.
//!
//! `IMCAST_CYCLES=1000` kills more often, `IMCAST_SEED=17` makes other choices. The seed decides what is asked for,
//! what the providers do and what is killed when; how far the gateway got until then it cannot decide.

#![cfg(all(feature = "sqlite", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/accounts.rs"]
mod accounts;
mod client;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../it/cluster.rs"]
mod cluster;
#[path = "../simulation/dice.rs"]
mod dice;
mod engine;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/fake_provider/mod.rs"]
mod fake_provider;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/fault_proxy/mod.rs"]
mod fault_proxy;
mod faults;
mod figures;
mod gateway;
#[expect(dead_code, unused_imports, reason = "the integration tests use all of it")]
#[path = "../it/ledger/mod.rs"]
mod ledger;
mod lives;
mod load;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/outputs.rs"]
mod outputs;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/process.rs"]
mod process;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/raw.rs"]
mod raw;
mod reading;
mod receiver;
mod record;
mod rig;
mod runs;
mod told;
mod verdict;
mod witness;

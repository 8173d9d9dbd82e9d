//! The crash rig: the real program on a real file, killed at random moments under load and started again.
//!
//! Three parties that never die keep books: the providers' ledgers say who was sent to, the client's record says what
//! was asked for and what was answered, and the gateway's own reports say what it claims. In the end all three are
//! joined, and the ledgers are right.
//!
//! `IMCAST_CYCLES=1000` kills more often than 50 times, `IMCAST_SEED=17` makes other choices. The seed decides what is
//! asked for, what the providers do and how the kills are timed; how far the gateway got until then it cannot decide.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/accounts.rs"]
mod accounts;
mod client;
#[path = "../simulation/dice.rs"]
mod dice;
#[expect(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/fake_provider/mod.rs"]
mod fake_provider;
mod figures;
#[expect(dead_code, unused_imports, reason = "the integration tests use all of it")]
#[path = "../it/ledger/mod.rs"]
mod ledger;
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
mod record;
mod rig;
mod runs;
mod verdict;
mod witness;

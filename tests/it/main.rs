//! The gateway from the outside: over real HTTP, against providers that misbehave on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod accounts;
mod architecture;
#[cfg(feature = "sqlite")]
mod callbacks;
mod check_connect;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "the tests of the store itself use the rest")]
mod cluster;
mod command_line;
mod conformance;
mod contract;
#[expect(dead_code, reason = "the simulation uses all of it")]
#[path = "../simulation/dice.rs"]
mod dice;
mod fake_provider;
#[expect(dead_code, reason = "the crash rig uses the rest")]
mod fault_proxy;
mod fixtures;
mod harness;
mod leaving;
#[expect(dead_code, reason = "the crash rig uses the rest")]
mod ledger;
mod metrics;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod outages;
mod outputs;
mod process;
mod promises;
mod raw;
mod reload;
mod replay;
#[cfg(feature = "postgres")]
mod replicas;
mod sandbox;
mod signatures;
#[cfg(feature = "sqlite")]
mod store;
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;
mod tls;

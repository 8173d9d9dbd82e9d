//! What the tests of all providers share: channels, routes, fixtures, and the engine in short.
//!
//! No provider is named here: its row, its folder of fixtures and its name come in as arguments.

pub(super) mod channel;
pub(super) mod engine;
pub(super) mod fixture;
pub(super) mod intent;

//! The API as a whole, on a paused clock, with a made-up provider behind a scripted transport.

mod durable;
mod keys;
mod lines;
mod metrics;
mod quotas;
mod reading;
mod rig;
mod sending;
mod tracing;

//! The API as a whole, on a paused clock, with a made-up provider behind a scripted transport.

mod document;
mod keys;
mod metrics;
mod quotas;
mod reading;
mod rig;
mod sending;
mod tracing;

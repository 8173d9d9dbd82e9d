//! The engine as a whole, on a paused clock, with a made-up provider behind a scripted transport.

mod bad_days;
mod cancel;
mod delivery;
mod durable;
mod log;
mod metrics;
mod replace;
mod resend;
mod rig;
mod sealed_options;
mod shared;
mod shared_model;
mod tokens;
mod unsteady_store;

//! The engine as a whole, on a paused clock, with a made-up provider behind a scripted transport.

mod delivery;
mod resend;
mod rig;
mod tokens;
mod unsteady_store;

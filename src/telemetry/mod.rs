//! What operators see of the running process: logs.

pub mod logs;
mod settings;

pub use crate::telemetry::settings::{Format, Settings};

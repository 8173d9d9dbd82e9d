//! What operators see of the running process: logs, metrics, traces.

mod escape;
pub mod logs;
pub mod metrics;
mod settings;
pub mod trace_context;
pub mod traces;
#[cfg(test)]
pub(crate) mod written;

pub use crate::telemetry::settings::{Format, Settings, TraceSettings};

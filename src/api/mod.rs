//! Our HTTP: the only place that knows it.
//!
//! Takes requests apart, hands batches to the dispatcher and writes reports. Knows no provider. Once the
//! dispatcher has a batch, every answer about it is a 2xx.

mod accept;
pub mod dto;
mod page_token;
mod prefer;
pub mod problem;
pub mod report;
pub mod settings;

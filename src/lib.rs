//! imcast: one HTTP gateway in front of many instant-messaging providers.

pub mod adapter;
pub mod api;
pub mod app;
pub mod callbacks;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod providers;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod transport;

//! imcast: one HTTP gateway in front of many instant-messaging providers.

pub mod adapter;
pub mod api;
pub mod domain;
pub mod providers;

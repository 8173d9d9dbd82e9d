//! From the bytes of a request to a [`Batch`](crate::domain::batch::Batch), with every fault at once.

pub mod common;
pub mod entries;
pub mod lines;
pub mod message;
pub mod options;
pub mod request;
pub mod resend;
pub mod routes;
pub mod source;

#[cfg(test)]
mod tests;

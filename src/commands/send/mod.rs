//! `imcast send`: sends a batch through a running gateway and waits for its report.
//!
//! Exit codes: 0 = everybody was accepted, 2 = some were, 3 = nobody was. Whoever is cut off learns the batch's id, or
//! else the key under which the send can be repeated without a second batch.

mod delivery;
mod idempotency_key;
mod progress;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use http::StatusCode;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::gateway::{Gateway, GatewayError};
use crate::commands::refusal::Refusal;
use crate::commands::send::delivery::{Delivery, Repeats};
use crate::commands::{CommandError, InputError, Sources, batch_request, gateway, small_runtime};
use crate::dispatch::clock::{Clock, Randomness};

/// What to send, and through which gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    request: batch_request::Arguments,
    /// A name of this send: repeated with it, nothing is sent twice [default: a new one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Send without such a name, for a gateway that keeps batches in memory only: no lost answer is asked for again
    #[arg(long, conflicts_with = "idempotency_key")]
    no_idempotency_key: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: gateway::Arguments,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    AllAccepted,
    Partial,
    NoneAccepted,
}

/// A send of which the end is not known.
#[derive(Debug)]
pub(super) struct SendError {
    failure: Failure,
    /// What is known of the batch, and what can be done.
    pub(super) advice: String,
}

/// What got in the way.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Unanswered(#[from] GatewayError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("what answers there is no gateway: status {0}, and nothing about a batch")]
    Foreign(StatusCode),
    #[error("interrupted")]
    Interrupted,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(formatter)
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}

impl Outcome {
    const fn exit_code(self) -> u8 {
        match self {
            Self::AllAccepted => 0,
            Self::Partial => 2,
            Self::NoneAccepted => 3,
        }
    }
}

/// Prints the report; progress and advice go to `errors`.
pub(super) fn run(
    sources: Sources,
    arguments: &Arguments,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<ExitCode, CommandError> {
    let key = key(arguments)?;
    let gateway = Gateway::find(&arguments.gateway, sources)?;
    let request = arguments.request.read(&mut io::stdin().lock())?;
    let mut delivery = Delivery::new(&gateway, &request, key, Repeats::DEFAULT);
    delivery.accept = if arguments.json { "application/json" } else { "text/plain" };
    delivery.shows_progress = io::stderr().is_terminal();
    let runtime = small_runtime()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            signal = interrupted() => {
                signal.map_err(CommandError::System)?;
                Err(CommandError::Send(Box::new(delivery.give_up(Failure::Interrupted))))
            }
            ended = delivery.run(errors) => Ok(ended.map_err(Box::new)?),
        }
    });
    // A name may still be looked up: nobody waits for it.
    runtime.shutdown_background();
    let (outcome, answer) = ended?;
    output.write_all(&answer.body)?;
    if !answer.body.ends_with(b"\n") {
        writeln!(output)?;
    }
    Ok(ExitCode::from(outcome.exit_code()))
}

fn key(arguments: &Arguments) -> Result<Option<String>, InputError> {
    let is_sound =
        |key: &str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match &arguments.idempotency_key {
        Some(key) if is_sound(key) => Ok(Some(key.clone())),
        Some(_) => Err(InputError::IdempotencyKey),
        None if arguments.no_idempotency_key => Ok(None),
        None => {
            let (now, randomness) = (Clock::system().now(), Randomness::from_entropy());
            Ok(Some(idempotency_key::generate(now, &randomness)))
        }
    }
}

/// Until the process is asked to end.
async fn interrupted() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

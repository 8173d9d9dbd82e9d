//! `imcast plan`: asks a running gateway for the calls that a send would make. Sends nothing.

use std::io::{self, Write};

use http::Method;
use serde::Deserialize;

use crate::api::report::text::printable;
use crate::commands::gateway::{Answer, Gateway, Question};
use crate::commands::{CommandError, Sources, batch_request, gateway, small_runtime};

/// What to plan, and whom to ask.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    request: batch_request::Arguments,
    /// Print the plan as JSON, every call with its headers and body
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: gateway::Arguments,
}

#[derive(Deserialize)]
struct Plan {
    call_count: usize,
    recipient_count: usize,
    unsent_count: usize,
    calls: Vec<Call>,
    warnings: Vec<Warning>,
    eta: Option<Eta>,
}

#[derive(Deserialize)]
struct Call {
    channel: String,
    provider: String,
    method: String,
    url: String,
    recipient_count: usize,
}

#[derive(Deserialize)]
struct Warning {
    channel: Option<String>,
    pointer: Option<String>,
    detail: String,
}

#[derive(Deserialize)]
struct Eta {
    seconds: f64,
}

/// Prints the plan, as a table or as it came.
pub(super) fn run(
    sources: Sources,
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let gateway = Gateway::find(&arguments.gateway, sources)?;
    let request = arguments.request.read(&mut io::stdin().lock())?;
    let question = Question {
        method: Method::POST,
        path: "/v1/batches/plan",
        accept: "application/json",
        wait_seconds: None,
        idempotency_key: None,
        body: Some((request.content_type, request.body)),
    };
    let answer: Answer = small_runtime()?.block_on(gateway.ask(question))?.accepted()?;
    if arguments.json {
        output.write_all(&answer.body)?;
        return Ok(writeln!(output)?);
    }
    let plan: Plan = serde_json::from_slice(&answer.body).map_err(CommandError::Plan)?;
    Ok(write(&plan, output)?)
}

fn write(plan: &Plan, output: &mut dyn Write) -> io::Result<()> {
    writeln!(
        output,
        "{} calls, {} recipients, {} of them without a call; nothing was sent",
        plan.call_count, plan.recipient_count, plan.unsent_count
    )?;
    if let Some(eta) = &plan.eta {
        writeln!(output, "eta  {:.1} s", eta.seconds)?;
    }
    if !plan.calls.is_empty() {
        writeln!(
            output,
            "\n{:>5}  {:<24} {:<18} {:>10}  request",
            "call", "channel", "provider", "recipients"
        )?;
    }
    for (index, call) in plan.calls.iter().enumerate() {
        writeln!(
            output,
            "{:>5}  {:<24} {:<18} {:>10}  {} {}",
            index + 1,
            printable(&call.channel),
            printable(&call.provider),
            call.recipient_count,
            printable(&call.method),
            printable(&call.url)
        )?;
    }
    let left_out = plan.call_count.saturating_sub(plan.calls.len());
    if left_out > 0 {
        writeln!(output, "... and {left_out} more")?;
    }
    for warning in &plan.warnings {
        let [channel, pointer] =
            [&warning.channel, &warning.pointer].map(|text| printable(text.as_deref().unwrap_or_default()));
        writeln!(output, "warning  {channel} {pointer}  {}", printable(&warning.detail))?;
    }
    Ok(())
}

//! `imcast demo`: a whole gateway in this process, its sandbox, and one batch per provider over real HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::adapter::channel::Provider;
use crate::app::App;
use crate::commands::{CommandError, exchange, small_runtime};
use crate::config::{self, Sandbox};
use crate::dispatch::clock::{Clock, Randomness};
use crate::providers::REGISTRY;
use crate::store::settings::Place;

/// Stand-ins answer at once; a batch that takes this long is not as expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints one report per provider; an error if one is not as expected.
pub(super) fn run(output: &mut dyn Write) -> Result<(), CommandError> {
    small_runtime()?.block_on(rehearse(output))
}

async fn rehearse(output: &mut dyn Write) -> Result<(), CommandError> {
    // No file and no environment: a demonstration that depends on neither.
    let mut settings = config::compiled_in()?;
    settings.sandbox = Sandbox::Only;
    settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.shutdown.drain_delay = Duration::ZERO;
    settings.store.place = Place::Memory;
    let app = App::start(settings, Clock::system(), Randomness::from_entropy()).await?;
    let address = app.local_addr();
    writeln!(output, "A gateway with its sandbox runs at http://{address} for a moment.")?;
    let mut is_as_expected = true;
    for provider in REGISTRY {
        let (status, report) = send(address, provider).await?;
        is_as_expected &= check(status, &report, provider);
        print(output, status, &report, provider)?;
    }
    app.shutdown().await;
    if is_as_expected {
        writeln!(
            output,
            "\nEvery report is as expected: one recipient accepted, one refused by the provider."
        )?;
        Ok(())
    } else {
        Err(CommandError::Unexpected)
    }
}

/// The request: a text to somebody whom the stand-in accepts and somebody whom it refuses.
///
/// Each in a route and so a call of their own: some providers only ever refuse a whole call.
fn request(provider: &Provider) -> Value {
    let sandbox = &provider.sandbox;
    let (accepted, refused) = sandbox.recipients;
    let mut request = json!({
        "message": { "type": "text", "text": "hello from imcast demo" },
        "routes": [
            { "channel": sandbox.channel, "to": [accepted] },
            { "channel": sandbox.channel, "to": [refused] },
        ],
    });
    if !sandbox.sender.is_empty()
        && let Some(fields) = request.as_object_mut()
    {
        fields.insert("from".to_owned(), sandbox.sender.into());
    }
    request
}

async fn send(address: SocketAddr, provider: &Provider) -> Result<(StatusCode, Value), CommandError> {
    let address = address.to_string();
    let body = Full::new(Bytes::from(request(provider).to_string()));
    let request = Request::post("/v1/batches")
        .header(HOST, &address)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|_| CommandError::Url)?;
    let exchanged = exchange::exchange(&address, request, PATIENCE).await;
    let (head, body) = exchanged.map_err(|source| CommandError::Exchange { address, source })?;
    // What is no JSON is not as expected either.
    Ok((head.status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Whether the first recipient was accepted and the second refused by the provider.
fn check(status: StatusCode, report: &Value, provider: &Provider) -> bool {
    let (accepted, refused) = provider.sandbox.recipients;
    let result = |index: usize| report.get("results").and_then(|results| results.get(index));
    let fits = |index, recipient: &str, status: &str| {
        result(index)
            .is_some_and(|result| text(result, "recipient") == recipient && text(result, "status") == status)
    };
    let source = result(1).and_then(|result| result.get("error")).map(|error| text(error, "source"));
    status == StatusCode::MULTI_STATUS
        && fits(0, accepted, "accepted")
        && fits(1, refused, "failed")
        && source == Some("provider")
}

fn print(
    output: &mut dyn Write,
    status: StatusCode,
    report: &Value,
    provider: &Provider,
) -> Result<(), CommandError> {
    let channel = provider.sandbox.channel;
    writeln!(output, "\n{} ({channel}): {status}, {}", provider.name, text(report, "id"))?;
    let results = report.get("results").and_then(Value::as_array);
    let Some(results) = results else {
        // A refusal says what is wrong with the request, and there are no secrets in it.
        writeln!(output, "  {report}")?;
        return Ok(());
    };
    let heading = ["recipient", "status", "why", "provider code", "evidence"];
    write_row(output, heading)?;
    for result in results {
        let error = result.get("error").unwrap_or(&Value::Null);
        let row = [
            text(result, "recipient"),
            text(result, "status"),
            text(error, "code"),
            text(error, "provider_code"),
            text(result, "evidence"),
        ];
        write_row(output, row)?;
    }
    Ok(())
}

fn write_row(output: &mut dyn Write, row: [&str; 5]) -> std::io::Result<()> {
    let [recipient, status, why, code, evidence] = row;
    writeln!(output, "  {recipient:<20} {status:<10} {why:<18} {code:<14} {evidence}")
}

/// The text of a field; `-` if it has none.
fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or("-")
}

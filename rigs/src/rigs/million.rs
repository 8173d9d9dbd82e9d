//! A million recipients in one durable batch: memory, time against the calls' own, and growth.
//!
//! The calls' own time is what the rig itself takes for the same calls, made back to back on as many connections
//! as the channel has calls in flight: to a provider that answers at once, and to one that takes 20 ms, which is
//! quicker than any real one.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::RigError;
use crate::database::Database;
use crate::exchange::Connection;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::provider::{Kind, Mode, Provider};
use crate::requests::{self, Headers};
use crate::rigs::Bench;
use crate::statistics::ratio;

const MILLION: u64 = 1_000_000;
const SIZES: [u64; 3] = [10_000, 100_000, MILLION];
const RECIPIENTS_PER_CALL: u64 = 500;

/// The channel's default.
const CALLS_IN_FLIGHT: u64 = 16;

/// What the slower provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(20);

const UNPACED: &str = "calls_per_second = 1000000\n";

const MOST_MIB: f64 = 200.0;
const MOST_TIMES_OWN: f64 = 1.5;
/// A recipient of the largest batch may cost so much more than one of the batch before.
const MOST_GROWTH: f64 = 1.25;

/// How a request is written.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Lines,
}

/// Where batches are kept, and how they come.
struct Case<'a> {
    name: &'static str,
    store: Option<&'a str>,
    form: Form,
}

/// What one batch took.
struct Taken {
    /// From the first byte of the request to its 202.
    acceptance: Duration,
    /// From there to the end of the batch.
    work: Duration,
    peak_mib: Option<f64>,
    cpu_seconds: f64,
}

impl fmt::Display for Taken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "accepted after {:.3} s, over {:.3} s later; the gateway's core worked {:.2} s; at most {:.0} MiB",
            self.acceptance.as_secs_f64(),
            self.work.as_secs_f64(),
            self.cpu_seconds,
            self.peak_mib.unwrap_or_default()
        )
    }
}

/// A provider and how long it alone takes for the largest batch.
struct Mock {
    name: &'static str,
    provider: Provider,
    own: Duration,
}

impl Mock {
    async fn start(name: &'static str, latency: Duration) -> Result<Self, RigError> {
        let provider = Provider::start(Kind::Tim, Mode::Fine(latency)).await?;
        // Once before it counts, so that connections and memory are warm as the gateway's are.
        calls_alone(&provider, 10_000).await?;
        let own = calls_alone(&provider, MILLION).await?;
        Ok(Self { name, provider, own })
    }
}

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let at_once = Mock::start("at once", Duration::ZERO).await?;
    let later = Mock::start("after 20 ms", LATENCY).await?;
    for mock in [&at_once, &later] {
        let calls = MILLION / RECIPIENTS_PER_CALL;
        sheet.note(format!("answers {}: {calls} calls alone: {:.3} s", mock.name, mock.own.as_secs_f64()));
    }
    let database = Database::start().await?;
    let url = database.url();
    let cases = [
        Case { name: "SQLite, JSON", store: None, form: Form::Json },
        Case { name: "SQLite, lines", store: None, form: Form::Lines },
        Case { name: "PostgreSQL, lines", store: Some(&url), form: Form::Lines },
    ];
    for case in &cases {
        growth(bench, &at_once, case, sheet).await?;
        for mock in [&at_once, &later] {
            against_calls(bench, mock, case, sheet).await?;
        }
    }
    sheet.note(format!("changed settings: {}", UNPACED.trim()));
    Ok(())
}

/// Memory, and what a recipient costs in small and large batches.
async fn growth(bench: &Bench<'_>, mock: &Mock, case: &Case<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let name = case.name;
    let mut costs = Vec::new();
    for size in SIZES {
        let taken = send(bench, &mock.provider, case, size).await?;
        sheet.note(format!("{name}: {size}: {taken}"));
        let memory = (taken.peak_mib, "MiB");
        sheet.add(("M", &format!("{name}: {size}: most memory")), memory, Bound::AtMost(MOST_MIB));
        costs.push((taken.acceptance + taken.work).as_secs_f64() / size as f64);
    }
    if let [.., before, after] = costs[..] {
        let what = format!("{name}: a recipient of {MILLION} / of 100000");
        sheet.add(("M", &what), (ratio(Some(after), Some(before)), "x"), Bound::AtMost(MOST_GROWTH));
    }
    Ok(())
}

/// The time of the largest batch.
async fn against_calls(
    bench: &Bench<'_>,
    mock: &Mock,
    case: &Case<'_>,
    sheet: &mut Sheet,
) -> Result<(), RigError> {
    let (name, answers) = (case.name, mock.name);
    let taken = send(bench, &mock.provider, case, MILLION).await?;
    let times = ratio(Some(taken.work.as_secs_f64()), Some(mock.own.as_secs_f64()));
    let what = format!("{name}: answers {answers}: time / the calls' own");
    sheet.add(("M", &what), (times, "x"), Bound::AtMost(MOST_TIMES_OWN));
    sheet.note(format!("{name}: answers {answers}: {taken}"));
    Ok(())
}

async fn send(bench: &Bench<'_>, provider: &Provider, case: &Case<'_>, size: u64) -> Result<Taken, RigError> {
    let general = case.store.map(|url| format!("[store]\nurl = '{url}'\n")).unwrap_or_default();
    let changes = Changes { general: &general, channel: UNPACED };
    // A new one for each batch, since the most memory is that of its whole life.
    let mut gateway = Gateway::start(bench.options, bench.cores, &[provider], &changes).await?;
    let headers = Headers { prefer: Some("respond-async"), key: None };
    let recipients = 1..size + 1;
    let request = match case.form {
        Form::Json => requests::send_with(provider.kind, recipients, headers),
        Form::Lines => requests::send_lines(provider.kind, recipients, headers),
    };
    let sent_before = provider.recipient_count();
    let mut connection = Connection::open(gateway.address).await.map_err(RigError::system("a connection"))?;
    let begin = Instant::now();
    let answer = connection.exchange(&request).await.map_err(RigError::system("a batch"))?;
    let acceptance = begin.elapsed();
    if answer.status != 202 {
        return Err(RigError::Answer("a batch with respond-async is not taken with 202"));
    }
    let id = member(connection.body(), "/id")?;
    let id = id.as_str().ok_or(RigError::Answer("a batch without an id"))?;
    let look = requests::get_with(&format!("/v1/batches/{id}"), "prefer: wait=25\r\n");
    loop {
        connection.exchange(&look).await.map_err(RigError::system("a look at a batch"))?;
        if member(connection.body(), "/status")? != "processing" {
            break;
        }
    }
    let work = begin.elapsed() - acceptance;
    gateway.check_alive()?;
    let accepted = member(connection.body(), "/counts/accepted")?;
    if accepted != size || provider.recipient_count() - sent_before != size {
        return Err(RigError::Answer("not everybody was sent to once"));
    }
    let process = gateway.process();
    Ok(Taken { acceptance, work, peak_mib: process.peak_mib(), cpu_seconds: process.cpu_seconds() })
}

fn member(body: &[u8], pointer: &str) -> Result<Value, RigError> {
    let report: Value = serde_json::from_slice(body).map_err(|_| RigError::Answer("a report is no JSON"))?;
    report.pointer(pointer).cloned().ok_or(RigError::Answer("a report lacks what it always has"))
}

/// How long the rig takes for the same calls.
async fn calls_alone(provider: &Provider, size: u64) -> Result<Duration, RigError> {
    let call_count = size / RECIPIENTS_PER_CALL;
    let calls_of = move |lane| (lane..call_count).step_by(CALLS_IN_FLIGHT as usize);
    let begin = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..CALLS_IN_FLIGHT {
        let address = provider.address;
        lanes.spawn(async move {
            let mut connection = Connection::open(address).await?;
            for call in calls_of(lane) {
                let first = call * RECIPIENTS_PER_CALL + 1;
                connection.exchange(&requests::tim_call(first..first + RECIPIENTS_PER_CALL)).await?;
            }
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(done) = lanes.join_next().await {
        done.map_err(std::io::Error::other).flatten().map_err(RigError::system("a call"))?;
    }
    Ok(begin.elapsed())
}

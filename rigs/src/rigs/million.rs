//! A million recipients in one durable batch: memory, time against the calls' own, and growth.
//!
//! The calls' own time is what the rig itself takes for the same calls, made back to back on as many connections
//! as the channel has calls in flight.

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

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
const RECIPIENTS_PER_CALL: u64 = 500;

/// The channel's default.
const CALLS_IN_FLIGHT: u64 = 16;

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

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let provider = Provider::start(Kind::Tim, Mode::Fine(Duration::ZERO)).await?;
    // Once before it counts, so that connections and memory are warm as the gateway's are.
    calls_alone(&provider, 10_000).await?;
    let own = calls_alone(&provider, 1_000_000).await?;
    sheet.note(format!(
        "the calls' own time, 1000000 recipients in {} calls: {:.3} s; changed settings: {}",
        1_000_000 / RECIPIENTS_PER_CALL,
        own.as_secs_f64(),
        UNPACED.trim()
    ));
    for (name, form) in [("SQLite, JSON", Form::Json), ("SQLite, lines", Form::Lines)] {
        measure(bench, &provider, &Case { name, store: None, form }, own, sheet).await?;
    }
    let database = Database::start().await?;
    let url = database.url();
    let case = Case { name: "PostgreSQL, lines", store: Some(&url), form: Form::Lines };
    measure(bench, &provider, &case, own, sheet).await
}

async fn measure(
    bench: &Bench<'_>,
    provider: &Provider,
    case: &Case<'_>,
    own: Duration,
    sheet: &mut Sheet,
) -> Result<(), RigError> {
    let name = case.name;
    let mut costs = Vec::new();
    for size in SIZES {
        let taken = send(bench, provider, case, size).await?;
        let Taken { acceptance, work, peak_mib, cpu_seconds } = taken;
        let (acceptance, work) = (acceptance.as_secs_f64(), work.as_secs_f64());
        sheet.note(format!(
            "{name}: {size}: accepted after {acceptance:.3} s, over {work:.3} s later; the gateway's core worked \
             {cpu_seconds:.2} s; at most {:.0} MiB",
            peak_mib.unwrap_or_default()
        ));
        sheet.add(("M", &format!("{name}: {size}: most memory")), (peak_mib, "MiB"), Bound::AtMost(MOST_MIB));
        costs.push((size, acceptance + work));
        if size == 1_000_000 {
            let times = ratio(Some(work), Some(own.as_secs_f64()));
            sheet.add(
                ("M", &format!("{name}: {size}: time / calls' own")),
                (times, "x"),
                Bound::AtMost(MOST_TIMES_OWN),
            );
        }
    }
    if let [.., (few, before), (many, after)] = costs[..] {
        let growth = ratio(Some(after / many as f64), Some(before / few as f64));
        let what = format!("{name}: a recipient of {many} / of {few}");
        sheet.add(("M", &what), (growth, "x"), Bound::AtMost(MOST_GROWTH));
    }
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

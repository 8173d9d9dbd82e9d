//! O1 to O4: ten times the load that can be served, then half of it.
//!
//! Two limits are tried, since they fill different queues. *provider*: the calls in flight bind, the gateway
//! idles. *core*: the gateway's core binds; a request is fifty calls, so that the generator's core can carry
//! ten times the peak and a refusal is cheap beside a send.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::RigError;
use crate::exchange;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway, Memory};
use crate::load::{End, Load, Running, Sample};
use crate::provider::{Kind, Mode, Provider};
use crate::requests;
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::{Latencies, count_ends, ratio};

/// An answer that comes later is of no use to anybody.
const USEFUL: Duration = Duration::from_secs(1);

/// A step of the search for the peak asks for so much more than the one before.
const STEP: f64 = 1.3;

/// Between two probes of the gateway's health, and two looks at its memory.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// Longer than any probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// What limits the gateway.
struct Limit {
    name: &'static str,
    channel: &'static str,
    recipients: u64,
    latency: Duration,
    first_rate: f64,
}

const LIMITS: [Limit; 2] = [
    Limit {
        name: "provider",
        channel: "calls_per_second = 1000000\n",
        recipients: 1,
        latency: Duration::from_millis(50),
        first_rate: 100.0,
    },
    Limit {
        name: "core",
        channel: "calls_per_second = 1000000\nrecipients_per_call = 1\nmax_in_flight = 64\n",
        recipients: 50,
        latency: Duration::ZERO,
        first_rate: 50.0,
    },
];

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    for limit in &LIMITS {
        let provider = Provider::start(Kind::Tim, Mode::Fine(limit.latency)).await?;
        let changes = Changes { general: "", channel: limit.channel };
        let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
        let stage = Stage { bench, gateway: &gateway, limit };
        let peak = stage.find_peak().await?;
        let calm = stage.load(0.5 * peak, bench.options.seconds(10, 20))?.finish().await;
        let calm = Latencies::of(&calm);
        crate::say(format_args!("{}: peak {peak:.0}/s, at half of it {calm}", limit.name));
        let health = Health::watch(&gateway);
        let storm_time = bench.options.seconds(20, 120);
        let storm = stage.load(10.0 * peak, storm_time)?;
        tokio::time::sleep(storm_time).await;
        // Not `finish`: the load falls while answers are still owed.
        let health = health.end().await;
        let after = stage.load(0.5 * peak, Duration::from_secs(20))?.finish().await;
        let storm = storm.finish().await;
        gateway.check_alive()?;
        let name = limit.name;
        sheet.note(format!("{name}: changed settings: {}", limit.channel.trim().replace('\n', ", ")));
        judge_storm(name, peak, storm_time, &storm, sheet);
        judge_health(name, &health, sheet);
        judge_calm(name, &calm, &after, sheet);
        judge_truth(name, limit, &provider, &storm, sheet);
    }
    Ok(())
}

struct Stage<'a> {
    bench: &'a Bench<'a>,
    gateway: &'a Gateway,
    limit: &'a Limit,
}

impl Stage<'_> {
    fn load(&self, rate: f64, duration: Duration) -> Result<Running, RigError> {
        let requests = vec![requests::send(Kind::Tim, 1..self.limit.recipients + 1, None)];
        Load { target: self.gateway.address, requests, rate, duration, patience: PATIENCE }.start()
    }

    /// The most requests per second that were ever served in useful time, by asking for more and more.
    async fn find_peak(&self) -> Result<f64, RigError> {
        let duration = self.bench.options.seconds(3, 6);
        let (mut rate, mut peak) = (self.limit.first_rate, 0.0_f64);
        loop {
            let samples = self.load(rate, duration)?.finish().await;
            let goodput = goodput(&samples, duration);
            crate::say(format_args!(
                "  {rate:.0}/s asked, {goodput:.0}/s served; {}",
                Latencies::of(&samples)
            ));
            peak = peak.max(goodput);
            if goodput < 0.95 * rate {
                return Ok(peak);
            }
            rate *= STEP;
        }
    }
}

fn goodput(samples: &[Sample], duration: Duration) -> f64 {
    let useful = samples.iter().filter(|sample| sample.is_served_within(USEFUL)).count();
    useful as f64 / duration.as_secs_f64()
}

fn judge_storm(name: &str, peak: f64, duration: Duration, storm: &[Sample], sheet: &mut Sheet) {
    let served = goodput(storm, duration);
    let part = ratio(Some(served), Some(peak));
    sheet.add(("O1", &format!("{name}: goodput at 10 P / P")), (part, "x"), Bound::AtLeast(0.90));
    let refusals: Vec<_> = storm.iter().filter(|sample| matches!(sample.status(), 429 | 503)).collect();
    let refused = Latencies::of(refusals.iter().copied());
    let p99 = (refused.p99_ms(), "ms");
    sheet.add(("O1", &format!("{name}: p99 of refusals")), p99, Bound::AtMost(50.0));
    let is_bare = |sample: &&&Sample| !matches!(sample.end, End::Answered(answer) if answer.has_retry_after);
    let bare = refusals.iter().filter(is_bare).count() as f64;
    sheet.add(("O1", &format!("{name}: refusals without Retry-After")), (Some(bare), ""), Bound::AtMost(0.0));
    let other = storm.iter().filter(|sample| sample.status() >= 500 && sample.status() != 503).count() as f64;
    sheet.add(("O1", &format!("{name}: 5xx other than 503")), (Some(other), ""), Bound::AtMost(0.0));
    let lost = storm.iter().filter(|sample| sample.status() == 0).count() as f64;
    sheet.add(("O1", &format!("{name}: requests without an answer")), (Some(lost), ""), Bound::Shown);
    let useful: Vec<_> = storm.iter().filter(|sample| sample.status() == 200).collect();
    sheet.note(format!("{name}: P = {peak:.0}/s; at 10 P useful {served:.0}/s; {}", count_ends(storm)));
    sheet.note(format!("{name}: at 10 P served: {}", Latencies::of(useful)));
    sheet.note(format!("{name}: at 10 P refused: {refused}"));
}

fn judge_health(name: &str, health: &Health, sheet: &mut Sheet) {
    let most = health.resident_mib.iter().copied().reduce(f64::max);
    sheet.add(("O2", &format!("{name}: most memory")), (most, "MiB"), Bound::AtMost(512.0));
    // The first quarter is the first 30 s of the full 120 s.
    let (early, late) = health.resident_mib.split_at(health.resident_mib.len() / 4);
    let early = early.iter().copied().reduce(f64::max);
    let late = late.iter().copied().reduce(f64::max);
    let growth = early.zip(late).map(|(early, late)| (late - early).max(0.0));
    // What an allocator's own rounding moves is no growth.
    sheet.add(
        ("O2", &format!("{name}: growth after the first quarter")),
        (growth, "MiB"),
        Bound::AtMost(4.0),
    );
    let latencies: Latencies = health.probes.iter().flatten().copied().collect();
    let p99 = (latencies.p99_ms(), "ms");
    sheet.add(("O4", &format!("{name}: p99 of /livez at 10 P")), p99, Bound::AtMost(100.0));
    let failed = health.probes.iter().filter(|probe| probe.is_none()).count() as f64;
    sheet.add(("O4", &format!("{name}: /livez failed")), (Some(failed), ""), Bound::AtMost(0.0));
    sheet.note(format!("{name}: /livez {latencies}; memory {early:?} then {late:?} MiB"));
}

fn judge_calm(name: &str, calm: &Latencies, after: &[Sample], sheet: &mut Sheet) {
    let ten = Duration::from_secs(10);
    let recovered = Latencies::of(after.iter().filter(|sample| sample.due >= ten));
    let slower = ratio(recovered.p99_ms(), calm.p99_ms());
    let what = format!("{name}: p99 at 0.5 P, 10 s after / before");
    sheet.add(("O3", &what), (slower, "x"), Bound::AtMost(1.5));
    let bad = after.iter().filter(|sample| sample.due >= ten && sample.status() != 200).count() as f64;
    sheet.add(("O3", &format!("{name}: not served from 10 s on")), (Some(bad), ""), Bound::AtMost(0.0));
    let at_once = Latencies::of(after.iter().filter(|sample| sample.due < ten));
    sheet.note(format!("{name}: at 0.5 P before: {calm}"));
    sheet.note(format!("{name}: at 0.5 P in the first 10 s after: {at_once}; then {recovered}"));
}

/// A refusal means that nothing was sent: the provider cannot have served more than what was not refused.
fn judge_truth(name: &str, limit: &Limit, provider: &Provider, storm: &[Sample], sheet: &mut Sheet) {
    let refused = storm.iter().filter(|sample| matches!(sample.status(), 429 | 503)).count();
    let called = provider.recipient_count() / limit.recipients.max(1);
    sheet.note(format!("{name}: {called} requests' recipients reached the provider in all phases, {refused} requests were refused"));
}

/// Probes of the gateway during the storm.
struct Health {
    /// The latency of each; `None` = it failed.
    probes: Vec<Option<Duration>>,
    resident_mib: Vec<f64>,
}

struct HealthWatch {
    stop: tokio::sync::oneshot::Sender<()>,
    watching: JoinSet<Health>,
}

impl Health {
    fn watch(gateway: &Gateway) -> HealthWatch {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut watching = JoinSet::new();
        let (address, memory) = (gateway.address, gateway.memory());
        watching.spawn(probe_until(address, memory, stopped));
        HealthWatch { stop, watching }
    }
}

impl HealthWatch {
    async fn end(mut self) -> Health {
        drop(self.stop);
        let health = self.watching.join_next().await.and_then(Result::ok);
        health.unwrap_or(Health { probes: vec![None], resident_mib: Vec::new() })
    }
}

/// Every probe has a connection of its own, as an orchestrator's has.
async fn probe_until(
    address: std::net::SocketAddr,
    memory: Memory,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Health {
    let request = requests::get("/livez");
    let mut health = Health { probes: Vec::new(), resident_mib: Vec::new() };
    while matches!(stopped.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
        let start = tokio::time::Instant::now();
        let probe = tokio::time::timeout(PROBE_PATIENCE, exchange::once(address, &request)).await;
        let is_alive = matches!(probe, Ok(Ok((answer, _))) if answer.status == 200);
        health.probes.push(is_alive.then(|| start.elapsed()));
        health.resident_mib.extend(memory.resident_mib());
        tokio::time::sleep_until(start + PROBE_EVERY).await;
    }
    health
}

//! O1 to O4: ten times the load that can be served, then half of it.
//!
//! Two limits are tried, since they fill different queues. *provider*: the calls in flight bind, the gateway
//! idles. *core*: the gateway's core binds; a request is fifty calls, so that the generator's core can carry
//! ten times the peak and a refusal is cheap beside a send. Callers need their answer within a second and say
//! so (`Prefer: wait=1`).

use std::time::Duration;

use crate::RigError;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::health::Health;
use crate::load::{End, Load, Running, Sample};
use crate::process::{Shares, Usage};
use crate::provider::{Kind, Mode, Provider};
use crate::requests;
use crate::rigs::{Bench, PATIENCE, USEFUL};
use crate::statistics::{Latencies, count_ends, ratio};

/// A step of the search for the peak asks for so much more than the one before.
const STEP: f64 = 1.3;

/// What limits the gateway.
struct Limit {
    name: &'static str,
    /// Few finished batches are kept, so that the store is full before memory is judged.
    general: &'static str,
    channel: &'static str,
    recipients: u64,
    latency: Duration,
    first_rate: f64,
}

const LIMITS: [Limit; 2] = [
    Limit {
        name: "provider",
        general: "[store]\nmemory_batches = 1000\n",
        channel: "calls_per_second = 1000000\n",
        recipients: 1,
        latency: Duration::from_millis(50),
        first_rate: 150.0,
    },
    Limit {
        name: "core",
        general: "[store]\nmemory_batches = 1000\n",
        channel: "calls_per_second = 1000000\nrecipients_per_call = 1\nmax_in_flight = 64\n",
        recipients: 50,
        latency: Duration::ZERO,
        first_rate: 50.0,
    },
];

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    for limit in &LIMITS {
        measure(bench, limit, sheet).await?;
    }
    Ok(())
}

async fn measure(bench: &Bench<'_>, limit: &Limit, sheet: &mut Sheet) -> Result<(), RigError> {
    let name = limit.name;
    let provider = Provider::start(Kind::Tim, Mode::Fine(limit.latency)).await?;
    let changes = Changes { general: limit.general, channel: limit.channel };
    let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
    let stage = Stage { bench, gateway: &gateway, limit };
    let peak = stage.find_peak().await?;
    let calm = stage.load(0.5 * peak, bench.options.seconds(10, 20))?.finish().await;
    let storm_time = bench.options.seconds(20, 120);
    let (health, usage) = (Health::watch(&gateway), Usage::start(gateway.process()));
    let sent_before = provider.recipient_count();
    let storm = stage.load(10.0 * peak, storm_time)?;
    tokio::time::sleep(storm_time).await;
    // The load falls while answers are still owed.
    let sent = provider.recipient_count() - sent_before;
    let (health, shares) = (health.end().await, usage.shares());
    let after = stage.load(0.5 * peak, Duration::from_secs(20))?.finish().await;
    let storm = storm.finish().await;
    gateway.check_alive()?;
    let changed = format!("{}{}", limit.general, limit.channel).trim().replace('\n', ", ");
    sheet.note(format!("{name}: changed settings: {changed}"));
    let sent = sent as f64 / limit.recipients as f64 / storm_time.as_secs_f64();
    sheet.note(format!("{name}: at 10 P the provider served {sent:.0} requests/s, soon enough or not"));
    judge_storm(name, (peak, goodput(&storm, storm_time)), &storm, sheet);
    note_storm(name, &storm, shares, sheet);
    judge_health(name, &health, bench.options.seconds(10, 30), sheet);
    judge_calm(name, &Latencies::of(&calm), &after, sheet);
    Ok(())
}

struct Stage<'a> {
    bench: &'a Bench<'a>,
    gateway: &'a Gateway,
    limit: &'a Limit,
}

impl Stage<'_> {
    fn load(&self, rate: f64, duration: Duration) -> Result<Running, RigError> {
        let requests = vec![requests::send(Kind::Tim, 1..self.limit.recipients + 1, Some("wait=1"))];
        Load { target: self.gateway.address, requests, rate, duration, patience: PATIENCE }.start()
    }

    /// The most requests per second that were ever served in useful time, by asking for more and more.
    async fn find_peak(&self) -> Result<f64, RigError> {
        let duration = self.bench.options.seconds(5, 10);
        let (mut rate, mut peak) = (self.limit.first_rate, 0.0_f64);
        loop {
            let usage = Usage::start(self.gateway.process());
            let load = self.load(rate, duration)?;
            tokio::time::sleep(duration).await;
            let shares = usage.shares();
            let samples = load.finish().await;
            let served = goodput(&samples, duration);
            let latencies = Latencies::of(&samples);
            crate::say(format_args!("  {rate:.0}/s asked, {served:.0}/s served; {latencies}; {shares}"));
            peak = peak.max(served);
            if served < 0.95 * rate {
                return Ok(peak);
            }
            rate *= STEP;
        }
    }
}

/// Useful answers per second that came while the load lasted, without its first second.
fn goodput(samples: &[Sample], duration: Duration) -> f64 {
    let begin = Duration::from_secs(1);
    let is_inside = |sample: &&Sample| (begin..duration).contains(&(sample.due + sample.latency));
    let useful = samples.iter().filter(is_inside).filter(|sample| sample.is_served_within(USEFUL)).count();
    useful as f64 / (duration - begin).as_secs_f64()
}

fn judge_storm(name: &str, (peak, served): (f64, f64), storm: &[Sample], sheet: &mut Sheet) {
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
    sheet.add(("O1", &format!("{name}: requests without an answer")), (Some(lost), ""), Bound::AtMost(0.0));
    sheet.note(format!("{name}: P = {peak:.0}/s; at 10 P useful {served:.0}/s; {}", count_ends(storm)));
    sheet.note(format!("{name}: at 10 P refused: {refused}"));
}

fn note_storm(name: &str, storm: &[Sample], shares: Shares, sheet: &mut Sheet) {
    let served = Latencies::of(storm.iter().filter(|sample| sample.status() == 200));
    sheet.note(format!("{name}: at 10 P served: {served}"));
    let lag = Latencies::of_lags(storm);
    sheet.note(format!("{name}: at 10 P the rig's own lag: {lag}; {shares}"));
}

fn judge_health(name: &str, health: &Health, settling: Duration, sheet: &mut Sheet) {
    let most = health.most_mib(Duration::ZERO..Duration::MAX);
    sheet.add(("O2", &format!("{name}: most memory")), (most, "MiB"), Bound::AtMost(512.0));
    let (early, late) = (health.most_mib(Duration::ZERO..settling), health.most_mib(settling..Duration::MAX));
    // What an allocator's own rounding moves is no growth.
    let what = format!("{name}: memory after the first {settling:?} / before");
    sheet.add(("O2", &what), (ratio(late, early), "x"), Bound::AtMost(1.05));
    let latencies = health.latencies();
    let p99 = (latencies.p99_ms(), "ms");
    sheet.add(("O4", &format!("{name}: p99 of /livez at 10 P")), p99, Bound::AtMost(100.0));
    let failed = (Some(health.failed_count() as f64), "");
    sheet.add(("O4", &format!("{name}: /livez failed")), failed, Bound::AtMost(0.0));
    sheet.note(format!("{name}: /livez {latencies}"));
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
    sheet.note(format!("{name}: at 0.5 P in the first 10 s after: {at_once}; then: {recovered}"));
}

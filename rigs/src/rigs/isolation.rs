//! F1 and F2: one provider is ill, the others' callers notice nothing, and it comes back by itself.
//!
//! Five channels, one per provider, get the same load. One of them is made ill in each of four ways, another
//! one each time; before each illness lies a baseline, after it the recovery.

use std::time::{Duration, Instant};

use crate::RigError;
use crate::circuits::Watch;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::{Load, Running, Sample};
use crate::process::{Shares, Usage};
use crate::provider::{Kind, Mode, Provider};
use crate::requests;
use crate::rigs::{Bench, PATIENCE, USEFUL};
use crate::statistics::{Latencies, count_ends, ratio};

/// Requests per second of one channel: half of what the smallest `max_in_flight` (4) carries at [`LATENCY`].
const RATE: f64 = 200.0;

/// What a healthy provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(10);

/// A breaker that opened stays open for 30 s, give or take 20 %: the longest such time, and the shortest.
const LONGEST_INTERVAL: Duration = Duration::from_secs(36);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(24);

/// Budgets out of the way: this rig is about illness. With the default `timeout_ms` (10 s) no breaker could
/// open within 10 s of a silence, since nothing has failed before.
const CHANNEL: &str = "calls_per_second = 1000000\nmessages_per_second = 1000000\ntimeout_ms = 4000\n";

const ILLNESSES: [(&str, Mode); 4] = [
    ("black hole", Mode::BlackHole),
    ("502 pages", Mode::Pages),
    ("30 s latency", Mode::Fine(Duration::from_secs(30))),
    ("resets", Mode::Resets),
];

pub(super) async fn run(bench: &Bench<'_>, run: u32, sheet: &mut Sheet) -> Result<(), RigError> {
    let mut providers = Vec::new();
    for kind in Kind::ALL {
        providers.push(Provider::start(kind, Mode::Fine(LATENCY)).await?);
    }
    let changes = Changes { general: "", channel: CHANNEL };
    let all: Vec<&Provider> = providers.iter().collect();
    let mut gateway = Gateway::start(bench.options, bench.cores, &all, &changes).await?;
    let watch = Watch::start(gateway.address);
    if run == 1 {
        sheet.note(format!(
            "{RATE}/s on each of 5 channels, one recipient a request, providers answer after {LATENCY:?}"
        ));
        sheet.note(
            "changed settings: calls_per_second and messages_per_second out of the way, timeout_ms = 4000"
                .into(),
        );
    }
    for (index, (name, illness)) in ILLNESSES.into_iter().enumerate() {
        // Each illness meets another provider, and in the next run another one again.
        let ill_lane = (index + run as usize - 1) % providers.len();
        let Some(ill) = providers.get(ill_lane) else { continue };
        crate::say(format_args!("{name} at {}", ill.kind.name()));
        let stage = Stage { bench, gateway: &gateway, watch: &watch, ill, ill_lane };
        let story = stage.play(illness).await?;
        story.judge(name, ill, sheet);
        gateway.check_alive()?;
    }
    Ok(())
}

/// One illness.
struct Stage<'a> {
    bench: &'a Bench<'a>,
    gateway: &'a Gateway,
    watch: &'a Watch,
    ill: &'a Provider,
    ill_lane: usize,
}

/// What happened, in times since the start of the load.
struct Story {
    samples: Vec<Sample>,
    ill_lane: usize,
    baseline: std::ops::Range<Duration>,
    illness: std::ops::Range<Duration>,
    opened: Option<Duration>,
    calls_while_open: Option<u64>,
    /// Changes of the other channels' breakers.
    moves: usize,
    end: Duration,
    shares: Shares,
}

impl Stage<'_> {
    async fn play(&self, illness: Mode) -> Result<Story, RigError> {
        let options = self.bench.options;
        let (warm, calm) = (Duration::from_secs(3), options.seconds(10, 30));
        let ill_for = options.seconds(20, 120);
        let load = self.load(warm + calm + ill_for + LONGEST_INTERVAL * 20)?;
        let moves_before = self.watch.moves_of_others(self.ill.kind.name());
        let usage = Usage::start(self.gateway.process());
        tokio::time::sleep(warm + calm).await;
        let healthy_until = load.now();
        self.ill.set(illness);
        let cure_at = Instant::now() + ill_for;
        let name = self.ill.kind.name();
        self.watch.wait_for(name, "open", cure_at).await;
        let is_open = self.watch.state(name).as_deref() == Some("open");
        let calls_before = self.ill.call_count();
        let opened = is_open.then(|| load.now());
        tokio::time::sleep_until(cure_at.into()).await;
        let calls_while_open = is_open.then(|| self.ill.call_count() - calls_before);
        let cured = load.now();
        self.ill.set(Mode::Fine(LATENCY));
        // A breaker that never opened has nothing to recover from; what waits is done within the timeout.
        let most = if is_open { interval(ill_for) * 2 } else { Duration::from_secs(10) };
        self.watch.wait_for(name, "closed", Instant::now() + most).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        load.stop();
        let (end, shares) = (load.now(), usage.shares());
        let moves = self.watch.moves_of_others(name) - moves_before;
        let (ill_lane, samples) = (self.ill_lane, load.finish().await);
        let baseline = warm..healthy_until;
        Ok(Story {
            samples,
            ill_lane,
            baseline,
            illness: healthy_until..cured,
            opened,
            calls_while_open,
            moves,
            end,
            shares,
        })
    }

    fn load(&self, most: Duration) -> Result<Running, RigError> {
        let requests = Kind::ALL.map(|kind| requests::send(kind, 1..2, None));
        let rate = RATE * requests.len() as f64;
        let target = self.gateway.address;
        Load { target, requests: requests.into(), rate, duration: most, patience: PATIENCE }.start()
    }
}

/// How long a breaker may stay open at the end of such an illness: it doubles with every probe that fails.
fn interval(illness: Duration) -> Duration {
    let (mut passed, mut interval) = (Duration::ZERO, LONGEST_INTERVAL);
    while passed + interval < illness {
        passed += interval;
        interval *= 2;
    }
    interval
}

impl Story {
    fn judge(&self, name: &str, ill: &Provider, sheet: &mut Sheet) {
        self.judge_others(name, sheet);
        self.judge_breaker(name, sheet);
        self.judge_recovery(name, sheet);
        let lost = self.samples.iter().filter(|sample| sample.status() == 0).count();
        sheet.add(
            ("F2", &format!("{name}: requests without an answer")),
            (Some(lost as f64), ""),
            Bound::AtMost(0.0),
        );
        let during: Vec<_> =
            self.during(&self.illness).filter(|sample| sample.lane == self.ill_lane).collect();
        sheet.note(format!(
            "{name} ({}): its own requests during the illness: {}; {}",
            ill.kind.name(),
            count_ends(during.iter().copied()),
            Latencies::of(during)
        ));
        let lag = Latencies::of_lags(&self.samples);
        sheet.note(format!("{name}: the rig's own lag: {lag}; {}", self.shares));
    }

    fn judge_others(&self, name: &str, sheet: &mut Sheet) {
        let others = |stretch: &std::ops::Range<Duration>| -> (Latencies, f64) {
            let samples: Vec<_> =
                self.during(stretch).filter(|sample| sample.lane != self.ill_lane).collect();
            let served = samples.iter().filter(|sample| sample.status() == 200).count() as f64;
            (Latencies::of(samples), served / (stretch.end - stretch.start).as_secs_f64())
        };
        let (calm, calm_rate) = others(&self.baseline);
        let (ill, ill_rate) = others(&self.illness);
        let slower = ratio(ill.p99_ms(), calm.p99_ms());
        sheet.add(("F1", &format!("{name}: others' p99 / baseline")), (slower, "x"), Bound::AtMost(1.10));
        let served = ratio(Some(ill_rate), Some(calm_rate));
        sheet.add(
            ("F1", &format!("{name}: others' throughput / baseline")),
            (served, "x"),
            Bound::AtLeast(0.95),
        );
        sheet.note(format!("{name}: others before: {calm}"));
        sheet.note(format!("{name}: others during: {ill}"));
    }

    fn judge_breaker(&self, name: &str, sheet: &mut Sheet) {
        let opened = self.opened.map(|opened| (opened - self.illness.start).as_secs_f64());
        sheet.add(("F1", &format!("{name}: breaker open after")), (opened, "s"), Bound::AtMost(10.0));
        // One probe when each interval ends; none may come before the first one has.
        let extra = self.opened.zip(self.calls_while_open).map(|(opened, calls)| {
            let intervals = (self.illness.end - opened).as_secs_f64() / SHORTEST_INTERVAL.as_secs_f64();
            (calls as f64 - intervals.floor()).max(0.0)
        });
        let what = format!("{name}: calls while open beyond a probe an interval");
        sheet.add(("F1", &what), (extra, ""), Bound::AtMost(0.0));
        let moves = Some(self.moves as f64);
        sheet.add(("F1", &format!("{name}: moves of other breakers")), (moves, ""), Bound::AtMost(0.0));
    }

    fn judge_recovery(&self, name: &str, sheet: &mut Sheet) {
        let cured = self.illness.end;
        let interval = interval(cured - self.illness.start).as_secs_f64();
        let served = |sample: &&Sample| sample.lane == self.ill_lane && sample.status() == 200;
        let first = self.samples.iter().filter(served).map(|sample| sample.due + sample.latency);
        let first = first.filter(|end| *end >= cured).min().map(|end| (end - cured).as_secs_f64());
        sheet.add(
            ("F2", &format!("{name}: first success / probe interval")),
            (first.map(|first| first / interval), "x"),
            Bound::AtMost(1.0),
        );
        let full = self.full_rate_after().map(|after| after as f64 / interval);
        sheet.add(("F2", &format!("{name}: full rate / probe interval")), (full, "x"), Bound::AtMost(2.0));
        let after = first.map_or_else(|| "never".to_owned(), |first| format!("{first:.2} s"));
        sheet.note(format!("{name}: first success after {after}, the interval is {interval} s at most"));
    }

    /// Whole seconds from the cure until one of whose requests 95 % are served, each within [`USEFUL`].
    fn full_rate_after(&self) -> Option<u64> {
        let seconds = (self.end - self.illness.end).as_secs();
        (0..seconds).find(|second| {
            let start = self.illness.end + Duration::from_secs(*second);
            let of_it = self.during(&(start..start + Duration::from_secs(1)));
            let mine = of_it.filter(|sample| sample.lane == self.ill_lane);
            let served = mine.filter(|sample| sample.is_served_within(USEFUL)).count();
            served as f64 >= 0.95 * RATE
        })
    }

    fn during(&self, stretch: &std::ops::Range<Duration>) -> impl Iterator<Item = &Sample> + use<'_> {
        let stretch = stretch.clone();
        self.samples.iter().filter(move |sample| stretch.contains(&sample.due))
    }
}

//! P7: thousands of clients that are slow on purpose cost good ones nothing and are sent away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::RigError;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::Load;
use crate::process::Usage;
use crate::provider::{Kind, Mode, Provider};
use crate::requests;
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::{Latencies, count_ends, ratio};

/// Good requests per second.
const RATE: f64 = 500.0;

/// What the provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(5);

/// A dripping client sends one byte in this time.
const DRIP: Duration = Duration::from_secs(1);

/// Every slow client is watched for so long; whoever is still connected then shows this time.
const WATCH: Duration = Duration::from_secs(20);

/// How long good clients send: until the last slow one has been watched.
const GOOD_FOR: Duration = Duration::from_secs(26);

/// So many slow clients come in a millisecond, so that the rig's own core keeps time for the good ones.
const CLIENTS_AT_ONCE: usize = 2;

/// How a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slowness {
    /// Connects and says nothing.
    Silent,
    /// Sends the head of a request byte by byte.
    DripsHead,
    /// Sends the body of a request byte by byte.
    DripsBody,
    /// Says that it will speak HTTP/2, and then nothing.
    PrefaceOnly,
}

const CROWD: [(Slowness, usize, &str); 4] = [
    (Slowness::Silent, 2000, "silent: last one closed after"),
    (Slowness::DripsHead, 1000, "dripping head: last one closed after"),
    (Slowness::DripsBody, 1000, "dripping body: last one closed after"),
    (Slowness::PrefaceOnly, 500, "HTTP/2 preface only: last one closed after"),
];

impl Slowness {
    const fn opening(self) -> &'static [u8] {
        match self {
            Self::Silent => b"",
            Self::DripsHead => b"POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\nx-filler: ",
            Self::DripsBody => {
                b"POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                  content-length: 4096\r\n\r\n{"
            }
            Self::PrefaceOnly => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        }
    }

    const fn drips(self) -> bool {
        match self {
            Self::DripsHead | Self::DripsBody => true,
            Self::Silent | Self::PrefaceOnly => false,
        }
    }
}

/// How long each slow client lived; `None` = it could not even connect.
type Lives = Vec<(Slowness, Option<Duration>)>;

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let provider = Provider::start(Kind::Tim, Mode::Fine(LATENCY)).await?;
    let changes = Changes { general: "", channel: "calls_per_second = 1000000\n" };
    let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
    let load = |duration: Duration| {
        let requests = vec![requests::send(Kind::Tim, 1..2, None)];
        Load { target: gateway.address, requests, rate: RATE, duration, patience: PATIENCE }
    };
    load(Duration::from_secs(2)).run().await?;
    let calm = load(bench.options.seconds(10, 20)).run().await?;
    let memory = gateway.process();
    let usage = Usage::start(gateway.process());
    let before = memory.resident_mib();
    let good = load(GOOD_FOR).start()?;
    let mut crowd = JoinSet::new();
    crowd.spawn(send_crowd(gateway.address));
    let mut most = before;
    while good.now() < GOOD_FOR {
        tokio::time::sleep(Duration::from_millis(200)).await;
        most = most.into_iter().chain(memory.resident_mib()).reduce(f64::max);
    }
    let lives = crowd.join_next().await.and_then(Result::ok).unwrap_or_default();
    let shares = usage.shares();
    let good = good.finish().await;
    gateway.check_alive()?;
    let growth = most.zip(before).map(|(most, before)| most - before);
    judge_lives(&lives, sheet);
    let (calm_p99, p99) = (Latencies::of(&calm).p99_ms(), Latencies::of(&good).p99_ms());
    sheet.add(("P7", "good clients' p99 / baseline"), (ratio(p99, calm_p99), "x"), Bound::AtMost(1.25));
    let bad = good.iter().filter(|sample| sample.status() != 200).count() as f64;
    sheet.add(("P7", "good requests not served"), (Some(bad), ""), Bound::AtMost(0.0));
    sheet.add(("P7", "memory more"), (growth, "MiB"), Bound::AtMost(64.0));
    sheet.note(format!("good before: {}", Latencies::of(&calm)));
    sheet.note(format!("good during: {}; {}", count_ends(&good), Latencies::of(&good)));
    sheet.note(format!("the rig's own lag: {}; {shares}", Latencies::of_lags(&good)));
    sheet.note(format!("memory before: {before:?} MiB; calls_per_second out of the way"));
    Ok(())
}

fn judge_lives(lives: &Lives, sheet: &mut Sheet) {
    for (slowness, count, what) in CROWD {
        let mine: Vec<_> =
            lives.iter().filter(|(of, _)| *of == slowness).filter_map(|(_, life)| *life).collect();
        let longest = mine.iter().max().map(Duration::as_secs_f64);
        sheet.add(("P7", what), (longest, "s"), Bound::AtMost(12.0));
        let latencies: Latencies = mine.iter().copied().collect();
        let open = mine.iter().filter(|life| **life >= WATCH).count();
        let connected = mine.len();
        sheet.note(format!(
            "{slowness:?}: {connected} of {count} connected, {open} never closed: {latencies}"
        ));
    }
}

/// Connects all of them and waits until they are closed or the watch is over.
async fn send_crowd(gateway: SocketAddr) -> Lives {
    let mut clients = JoinSet::new();
    let mut lives = Lives::new();
    for (slowness, count, _) in CROWD {
        for number in 0..count {
            if number.is_multiple_of(CLIENTS_AT_ONCE) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            match TcpStream::connect(gateway).await {
                Ok(stream) => {
                    clients.spawn(async move { (slowness, Some(live(stream, slowness).await)) });
                }
                Err(_) => lives.push((slowness, None)),
            }
        }
    }
    while let Some(life) = clients.join_next().await {
        lives.extend(life.ok());
    }
    lives
}

/// How long the gateway bears this client.
async fn live(stream: TcpStream, slowness: Slowness) -> Duration {
    let start = Instant::now();
    // Either the gateway closes it or the watch is over.
    let _ = tokio::time::timeout(WATCH, be_slow(stream, slowness)).await;
    start.elapsed()
}

/// Returns once the gateway closes the connection; what it says before that does not matter.
async fn be_slow(mut stream: TcpStream, slowness: Slowness) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(slowness.opening()).await?;
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        while slowness.drips() {
            tokio::time::sleep(DRIP).await;
            writer.write_all(b" ").await?;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let read = async {
        let mut bytes = [0; 1024];
        while reader.read(&mut bytes).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = drip => ended,
        ended = read => ended,
    }
}

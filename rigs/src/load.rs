//! Load in open loop: every arrival time is fixed before the first request, and a latency counts from there.
//!
//! A slow gateway therefore cannot slow the load down and so hide its own slowness. Every sample is kept, so
//! that any percentile of any stretch of time can be computed exactly afterwards.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::RigError;
use crate::exchange::{Answer, Connection};
use crate::pace::Pacer;

/// What to send, and when.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    /// Sent in turns; a sample's lane is the index of its request.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Requests per second, over all lanes.
    pub(crate) rate: f64,
    /// When the last request is due; earlier if the load is stopped.
    pub(crate) duration: Duration,
    /// How long after its arrival time a request may take before it counts as lost.
    pub(crate) patience: Duration,
}

/// Most connections at once; further requests wait in the rig, and their latency grows.
///
/// A little below what the gateway takes by default.
const MOST_CONNECTIONS: usize = 16_000;

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Its arrival time, from the start of the load.
    pub(crate) due: Duration,
    /// From the arrival time to the last byte of the answer.
    pub(crate) latency: Duration,
    /// Of the latency, what the rig itself took before it began to send.
    pub(crate) lag: Duration,
    pub(crate) lane: usize,
    pub(crate) end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered(Answer),
    /// Sent, and no answer came, or the connection broke.
    Lost,
    /// Never sent, because all connections were busy for all its patience.
    Unsent,
}

impl Sample {
    /// The status; 0 if there was no answer.
    pub(crate) const fn status(&self) -> u16 {
        match self.end {
            End::Answered(answer) => answer.status,
            End::Lost | End::Unsent => 0,
        }
    }

    /// Whether the answer says when to come back.
    pub(crate) const fn has_retry_after(&self) -> bool {
        matches!(self.end, End::Answered(answer) if answer.has_retry_after)
    }

    /// Whether everybody was served in this time.
    pub(crate) fn is_served_within(&self, most: Duration) -> bool {
        self.status() == 200 && self.latency <= most
    }
}

/// A load at work; dropping it ends it.
pub(crate) struct Running {
    pub(crate) started: Instant,
    shared: Arc<Shared>,
    work: JoinSet<()>,
}

struct Shared {
    load: Load,
    started: Instant,
    is_stopped: AtomicBool,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
    samples: Mutex<Vec<Sample>>,
}

impl Load {
    /// Starts it.
    pub(crate) fn start(self) -> Result<Running, RigError> {
        let pacer = Pacer::new()?;
        let started = Instant::now();
        let shared = Arc::new(Shared {
            load: self,
            started,
            is_stopped: AtomicBool::new(false),
            idle: Mutex::default(),
            room: Semaphore::new(MOST_CONNECTIONS),
            samples: Mutex::default(),
        });
        let mut work = JoinSet::new();
        work.spawn(Arc::clone(&shared).send_all(pacer));
        Ok(Running { started, shared, work })
    }

    /// Sends all of it and waits for the last answer.
    pub(crate) async fn run(self) -> Result<Vec<Sample>, RigError> {
        Ok(self.start()?.finish().await)
    }
}

impl Running {
    /// No request is sent any more; those that are out go on.
    pub(crate) fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the last answer; the samples are in the order of their ends.
    pub(crate) async fn finish(mut self) -> Vec<Sample> {
        while self.work.join_next().await.is_some() {}
        std::mem::take(&mut *lock(&self.shared.samples))
    }

    /// The time since the start, as the samples have it.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Shared {
    async fn send_all(self: Arc<Self>, mut pacer: Pacer) {
        let mut exchanges = JoinSet::new();
        let count = (self.load.duration.as_secs_f64() * self.load.rate).round() as u64;
        for index in 0..count {
            let due = Duration::from_secs_f64(index as f64 / self.load.rate);
            pacer.until(self.started + due).await;
            if self.is_stopped.load(Ordering::Relaxed) {
                break;
            }
            while exchanges.try_join_next().is_some() {}
            let lane = index as usize % self.load.requests.len().max(1);
            exchanges.spawn(Arc::clone(&self).send(due, lane));
        }
        while exchanges.join_next().await.is_some() {}
    }

    async fn send(self: Arc<Self>, due: Duration, lane: usize) {
        let lag = self.started.elapsed().saturating_sub(due);
        let deadline = self.started + due + self.load.patience;
        let is_sent = AtomicBool::new(false);
        let answer = tokio::time::timeout_at(deadline.into(), self.exchange(lane, &is_sent)).await;
        let end = match answer {
            Ok(Ok(answer)) => End::Answered(answer),
            Err(_) if !is_sent.into_inner() => End::Unsent,
            Ok(Err(_)) | Err(_) => End::Lost,
        };
        let latency = self.started.elapsed().saturating_sub(due);
        lock(&self.samples).push(Sample { due, latency, lag, lane, end });
    }

    async fn exchange(&self, lane: usize, is_sent: &AtomicBool) -> std::io::Result<Answer> {
        let _room = self.room.acquire().await.map_err(std::io::Error::other)?;
        is_sent.store(true, Ordering::Relaxed);
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => Connection::open(self.load.target).await?,
        };
        let request = self.load.requests.get(lane).map(Vec::as_slice).unwrap_or_default();
        let answer = connection.exchange(request).await?;
        lock(&self.idle).push(connection);
        Ok(answer)
    }

    /// The connection that rested last, so that those that are not needed close for their idleness.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        while let Some(connection) = idle.pop() {
            if connection.is_reusable() {
                return Some(connection);
            }
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

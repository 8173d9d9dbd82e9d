//! What one connection is doing, so that it can be ended when nothing comes of it.
//!
//! hyper tells apart neither a connection that rests from one whose head drips in, nor one that has sent the
//! HTTP/2 preface from one that asks. The request path only notes what happens, with a few atomics; one lazy
//! timer for each connection draws the conclusions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Set in [`Activity::since`] while a head is on its way.
const HEAD: u64 = 1;

/// One connection's state; lives as long as the connection or one of its bodies.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Requests whose handler is at work.
    handled: AtomicUsize,
    /// Requests whose answer is not over.
    open: AtomicUsize,
    /// Twice the milliseconds from `began` to the last change, plus [`HEAD`].
    since: AtomicU64,
    /// Whether the last request was answered before its body was read.
    is_unread: AtomicBool,
}

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a head to its dispatch.
    pub(super) head: Duration,
    /// Between two requests, and between two pieces of an answer that the peer takes.
    pub(super) rest: Duration,
}

/// One request of a connection; dropping it ends the request.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    is_handled: bool,
}

impl Activity {
    /// A connection whose first byte has just come: the time of its first head runs.
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            handled: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            since: AtomicU64::new(HEAD),
            is_unread: AtomicBool::new(false),
        })
    }

    /// Bytes came: they begin a head unless one has begun or a request is open.
    pub(super) fn bytes_came(&self) {
        let rests = self.since.load(Ordering::Relaxed) & HEAD == 0;
        if rests && self.open.load(Ordering::Relaxed) == 0 {
            self.mark(HEAD);
        }
    }

    /// A head was read to its end.
    pub(super) fn ask(self: &Arc<Self>) -> OpenRequest {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.is_unread.store(false, Ordering::Relaxed);
        OpenRequest { activity: Arc::clone(self), is_handled: true }
    }

    /// A request was answered before its body was read.
    pub(super) fn leave_unread(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending what nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Waits until the connection has used up its time.
    pub(super) async fn overdue(&self, patience: Patience) {
        let Patience { head, rest } = patience;
        // Whatever happens from now on has at least this long, so that nothing needs to wake this timer.
        let most = head.min(rest);
        loop {
            let now = Instant::now();
            let deadline = self.deadline(patience);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            tokio::time::sleep_until(deadline.map_or(now + most, |deadline| deadline.min(now + most))).await;
        }
    }

    /// `None` while a handler is at work: the handlers know their own time.
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        // In this order: a handler notes the time before it ends.
        if self.handled.load(Ordering::Acquire) > 0 {
            return None;
        }
        let since = self.since.load(Ordering::Acquire);
        let limit = if since & HEAD == 0 { patience.rest } else { patience.head };
        Some(self.began + Duration::from_millis(since >> 1) + limit)
    }

    fn mark(&self, phase: u64) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store((elapsed << 1) | phase, Ordering::Release);
    }
}

impl OpenRequest {
    /// The handler has an answer: from now on the peer must take it.
    pub(super) fn answer(&mut self) {
        self.activity.mark(0);
        if std::mem::take(&mut self.is_handled) {
            self.activity.handled.fetch_sub(1, Ordering::Release);
        }
    }

    /// The peer made room for a further piece of the answer.
    pub(super) fn piece(&self) {
        self.activity.mark(0);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.answer();
        self.activity.open.fetch_sub(1, Ordering::Release);
    }
}

//! The only witness: what reached the providers, what they accepted, and everything else in its order.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::scenario::Fate;

/// Which route of which batch a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marker {
    pub(crate) batch: usize,
    pub(crate) route: usize,
}

/// One call as its provider saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) channel: usize,
    pub(crate) marker: Marker,
    pub(crate) ids: Vec<String>,
    pub(crate) fate: Fate,
    /// Whom the provider took the message for.
    pub(crate) accepted: Vec<String>,
    /// Who is missing in the answer.
    pub(crate) forgotten: Vec<String>,
    /// When the gateway had the answer.
    pub(crate) ended: Option<Duration>,
}

/// One request for a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) at: Duration,
    pub(crate) channel: usize,
    pub(crate) ended: Duration,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) sent: Vec<Sent>,
    pub(crate) grants: Vec<Granted>,
    /// Most calls out at once, by channel.
    pub(crate) most_out: Vec<u32>,
    out: Vec<u32>,
    /// Everything, one line each, in order.
    pub(crate) log: Vec<String>,
}

/// The book while it is written.
pub(crate) struct Ledger {
    started: Instant,
    book: Mutex<Book>,
}

impl Ledger {
    pub(crate) fn new(channel_count: usize) -> Arc<Self> {
        let book = Book { most_out: vec![0; channel_count], out: vec![0; channel_count], ..Book::default() };
        Arc::new(Self { started: Instant::now(), book: Mutex::new(book) })
    }

    /// How long the world has existed.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn log(&self, what: &str) {
        let at = self.now().as_secs_f64();
        self.book().log.push(format!("{at:>12.6} {what}"));
    }

    /// Notes a call before it is answered.
    pub(crate) fn arrived(self: &Arc<Self>, sent: Sent) -> Out {
        let Sent { channel, marker: Marker { batch, route }, ref ids, fate, ref accepted, .. } = sent;
        let ids = ids.join(",");
        self.log(&format!("c{channel} <- b{batch}.{route} [{ids}] {fate:?}, {} accepted", accepted.len()));
        let mut book = self.book();
        book.out[channel] += 1;
        book.most_out[channel] = book.most_out[channel].max(book.out[channel]);
        book.sent.push(sent);
        Out { ledger: Arc::clone(self), channel, index: book.sent.len() - 1 }
    }

    pub(crate) fn granted(&self, granted: Granted) {
        self.book().grants.push(granted);
    }

    pub(crate) fn close(&self) -> Book {
        std::mem::take(&mut *self.book())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// A call that is out.
pub(crate) struct Out {
    ledger: Arc<Ledger>,
    channel: usize,
    index: usize,
}

impl Drop for Out {
    fn drop(&mut self) {
        let ended = self.ledger.now();
        let mut book = self.ledger.book();
        if let Some(sent) = book.sent.get_mut(self.index) {
            sent.ended = Some(ended);
            book.out[self.channel] -= 1;
        }
    }
}

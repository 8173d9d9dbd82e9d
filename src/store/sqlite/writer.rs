//! The task that writes: it gathers changes and makes them one transaction.

use std::fs::File;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::{IdempotencyKey, KnownKey};
use crate::store::queue;
use crate::store::sqlite::apply::{self, Flaw};
use crate::store::sqlite::orphans::{Orphans, Unclaimed};
use crate::store::sqlite::retention::Ages;
use crate::store::stored::rows::{BatchRows, ChunkRow};
use crate::store::unrecorded::Unrecorded;
use crate::store::{Link, Linked, StoreError};

/// Most changes of one transaction.
const MOST_CHANGES: usize = 512;

/// Most bytes of one transaction, roughly; one change alone may be larger.
const MOST_BYTES: usize = 8 << 20;

/// Most reports of batches that are not durable beside them, so that these do not hold up the others.
const MOST_RECORDS: usize = 16;

/// One change to the file.
pub(super) enum Change {
    Accept(Box<BatchRows>, Option<IdempotencyKey>),
    Begin(BatchId, ChunkRow),
    Release(BatchId, usize, i64),
    /// With the recipients of its route from now on; `None` = they stay.
    Settle(BatchId, ChunkRow, Option<Vec<u8>>),
    Finish(Arc<Report>),
    Record(Box<BatchRows>),
    Cancel(BatchId),
    Link(Link),
    /// Takes back the link of this child.
    Unlink(BatchId),
    /// Takes callbacks that are due `now` and lets them be due again at `until`.
    TakeCallbacks {
        now: i64,
        until: i64,
        most: usize,
    },
    EndCallback(BatchId),
    DelayCallback {
        batch: BatchId,
        failed_tries: u32,
        due_at: i64,
    },
    Sweep(Ages),
    Pulse,
    /// Lets the file grow to so many pages and no further.
    #[cfg(test)]
    Limit(u32),
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Done {
    /// It is written; whether there was anything to change.
    Changed(bool),
    /// A batch is written.
    Written(Unclaimed),
    /// Another batch has the key.
    KeyTaken(KnownKey),
    Linked(Linked),
    /// The batches whose callbacks were taken, and how many tries of each failed.
    Taken(Vec<(BatchId, u32)>),
}

/// A change and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Done, StoreError>>,
}

/// Owns the only connection that writes.
pub(super) struct Writer {
    /// `None` after a fault: the next change opens a new one, whose state is known.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) options: SqliteConnectOptions,
    pub(super) changes: mpsc::Receiver<Job>,
    pub(super) records: queue::Receiver<Job>,
    pub(super) orphans: Arc<Orphans>,
    /// Reports that nobody waited for and that were not written.
    pub(super) unrecorded: Arc<Unrecorded>,
    pub(super) closing: CancellationToken,
    /// Held as long as this task may write.
    pub(super) _lock: File,
}

/// Why a transaction was not made.
enum Broken {
    /// One of its changes is at fault, as far as one can see.
    Change(Flaw),
    /// Nothing can be written now.
    All(sqlx::Error),
    /// Nobody knows whether it was written.
    Unsettled,
}

impl Writer {
    /// Writes until the store closes and everything that was handed over is written.
    pub(super) async fn run(mut self) {
        let mut is_open = true;
        loop {
            let first = tokio::select! {
                biased;
                () = self.closing.cancelled(), if is_open => {
                    is_open = false;
                    self.changes.close();
                    self.records.close();
                    continue;
                }
                Some(job) = self.changes.recv() => job,
                Some(job) = self.records.recv() => job,
                else => break,
            };
            let jobs = self.gather(first);
            self.write(jobs).await;
        }
        if let Some(connection) = self.connection {
            // What is committed is on disk whether or not this tidies up.
            let _ = connection.close().await;
        }
    }

    /// Takes what waits beside `first`.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.change.bytes();
        let mut jobs = vec![first];
        while jobs.len() < MOST_CHANGES
            && bytes < MOST_BYTES
            && let Ok(job) = self.changes.try_recv()
        {
            bytes += job.change.bytes();
            jobs.push(job);
        }
        for _ in 0..MOST_RECORDS {
            let Ok(job) = (if bytes < MOST_BYTES { self.records.try_recv() } else { break }) else { break };
            bytes += job.change.bytes();
            jobs.push(job);
        }
        jobs
    }

    async fn write(&mut self, jobs: Vec<Job>) {
        let (changes, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.change, job.reply)).unzip();
        let answers: Vec<Result<Done, StoreError>> = match self.transact(&changes).await {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(Broken::Change(_)) if changes.len() > 1 => {
                // One of them spoils it for all: each alone, so that it only spoils its own.
                let mut answers = Vec::with_capacity(changes.len());
                for change in &changes {
                    let done = self.transact(std::slice::from_ref(change)).await;
                    let done = done.map(|done| done.into_iter().next().unwrap_or(Done::Changed(false)));
                    answers.push(done.map_err(Broken::into_error));
                }
                answers
            }
            Err(broken) => {
                let broken = Arc::new(broken.into_error());
                changes.iter().map(|_| Err(again(&broken))).collect()
            }
        };
        for ((change, reply), answer) in changes.iter().zip(replies).zip(answers) {
            if let (Err(error), Change::Record(_), true) = (&answer, change, reply.is_closed()) {
                self.unrecorded.add(1, error);
            }
            // Whoever stopped waiting is told nothing; a batch that he left becomes an orphan.
            let _ = reply.send(answer);
        }
    }

    /// Makes all changes or none; says what became of each.
    async fn transact(&mut self, changes: &[Change]) -> Result<Vec<Done>, Broken> {
        #[cfg(test)]
        self.limit(changes);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(Broken::All)?,
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(Broken::All)?;
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            match apply::apply(&mut transaction, change, &self.orphans).await {
                Ok(applied) => done.push(applied),
                Err(Flaw::Database(error)) if !apply::is_about_one_change(&error) => {
                    give_up(done);
                    return Err(Broken::All(error));
                }
                Err(flaw) => {
                    give_up(done);
                    return Err(Broken::Change(flaw));
                }
            }
        }
        if let Err(error) = transaction.commit().await {
            give_up(done);
            return Err(if apply::may_be_written(&error) { Broken::Unsettled } else { Broken::All(error) });
        }
        // Only now: after any fault above the connection is closed, and its transaction with it.
        self.connection = Some(connection);
        Ok(done)
    }

    #[cfg(test)]
    fn limit(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Limit(pages) = change {
                self.options = self.options.clone().pragma("max_page_count", pages.to_string());
                self.connection = None;
            }
        }
    }
}

/// Batches that were not written after all are nobody's.
fn give_up(done: Vec<Done>) {
    for done in done {
        if let Done::Written(unclaimed) = done {
            unclaimed.take();
        }
    }
}

impl Broken {
    fn into_error(self) -> StoreError {
        match self {
            Self::Change(Flaw::Unreadable(unreadable)) => unreadable.into(),
            Self::Change(Flaw::Database(error)) | Self::All(error) => StoreError::Away(error.into()),
            Self::Unsettled => StoreError::Unsettled,
        }
    }
}

/// The same error for another of those that wait.
fn again(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::Away(_) => StoreError::Away(Box::new(Arc::clone(error))),
        StoreError::Unsettled => StoreError::Unsettled,
        StoreError::Lost => StoreError::Lost,
        StoreError::Corrupt(detail) => StoreError::Corrupt(detail.clone()),
    }
}

impl Change {
    /// Bytes that it writes, roughly.
    fn bytes(&self) -> usize {
        match self {
            Self::Accept(rows, _) | Self::Record(rows) => rows.bytes(),
            Self::Begin(_, chunk) => chunk.bytes(),
            Self::Settle(_, chunk, recipients) => chunk.bytes() + recipients.as_ref().map_or(0, Vec::len),
            Self::Finish(_)
            | Self::Release(..)
            | Self::Cancel(_)
            | Self::Link(_)
            | Self::Unlink(_)
            | Self::TakeCallbacks { .. }
            | Self::EndCallback(_)
            | Self::DelayCallback { .. }
            | Self::Sweep(_)
            | Self::Pulse => 256,
            #[cfg(test)]
            Self::Limit(_) => 0,
        }
    }
}

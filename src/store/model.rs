//! A durable store in memory that outlives the dispatchers which use it, and writes down what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::domain::id::BatchId;
use crate::domain::recipients::Positions;
use crate::domain::report::{Report, Settled};
use crate::store::durable::{
    Accepted, Chunk, DueCallback, Durable, IdempotencyKey, KnownKey, NewBatch, Unfinished,
};
use crate::store::{Filter, Link, Linked, Store, StoreError, StoreFuture, Summary};

/// One process's view of the store; clones are views of other processes.
#[derive(Clone, Default)]
pub(crate) struct ModelStore {
    pub(crate) shared: Arc<Mutex<Kept>>,
}

#[derive(Default)]
pub(crate) struct Kept {
    batches: BTreeMap<BatchId, Row>,
    keys: BTreeMap<(Arc<str>, Arc<str>), KnownKey>,
    /// What happened, in order; the rig adds the calls.
    pub(crate) log: Vec<String>,
    /// Whether every change fails.
    pub(crate) is_away: bool,
    /// Whether another process has taken the batches over.
    pub(crate) is_taken: bool,
}

struct Row {
    report: Report,
    in_flight: Vec<Chunk>,
    is_canceled: bool,
}

impl Kept {
    /// As if a cancel had been written after somebody read the batch.
    pub(crate) fn forget_cancel(&mut self, id: BatchId) {
        self.batches.get_mut(&id).unwrap().is_canceled = false;
    }
}

impl ModelStore {
    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
    {
        let mut kept = self.shared.lock().unwrap();
        let result =
            if kept.is_away { Err(StoreError::Away("planted".into())) } else { Ok(change(&mut kept)) };
        Box::pin(std::future::ready(result))
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.lock().unwrap().log.clone()
    }
}

fn range(positions: &Positions) -> String {
    positions.iter().map(|position| position.to_string()).collect::<Vec<_>>().join(",")
}

impl Store for ModelStore {
    fn record(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.log.push("record".into());
            let row = Row { report: (*report).clone(), in_flight: Vec::new(), is_canceled: false };
            kept.batches.insert(report.batch.id, row);
        })
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        self.change(|kept| kept.batches.get(&id).map(|row| Arc::new(row.report.clone())))
    }

    fn link(&self, link: Link) -> StoreFuture<'_, Linked> {
        self.change(move |kept| match kept.batches.get_mut(&link.parent) {
            None => Linked::ParentGone,
            Some(row) => {
                row.report.resends.push(link.child);
                Linked::Noted
            }
        })
    }

    fn unlink(&self, link: Link) -> StoreFuture<'_, ()> {
        self.change(move |kept| {
            if let Some(row) = kept.batches.get_mut(&link.parent) {
                row.report.resends.retain(|known| *known != link.child);
            }
        })
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        self.change(|kept| {
            let rows = kept.batches.values().rev().map(|row| &row.report);
            rows.filter(|report| filter.takes(report)).take(filter.most).map(Summary::of).collect()
        })
    }

    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }
}

impl Durable for ModelStore {
    fn accept(&self, batch: NewBatch) -> StoreFuture<'_, Accepted> {
        self.change(|kept| {
            let id = batch.report.batch.id;
            if let Some(IdempotencyKey { caller, key, fingerprint }) = batch.key {
                if let Some(known) = kept.keys.get(&(Arc::clone(&caller), Arc::clone(&key))) {
                    return Accepted::KeyTaken(*known);
                }
                kept.keys.insert((caller, key), KnownKey { batch: id, fingerprint });
            }
            kept.log.push("accept".into());
            let row = Row { report: (*batch.report).clone(), in_flight: batch.in_flight, is_canceled: false };
            kept.batches.insert(id, row);
            Accepted::Written
        })
    }

    fn find_key(&self, caller: Arc<str>, key: Arc<str>) -> StoreFuture<'_, Option<KnownKey>> {
        self.change(|kept| kept.keys.get(&(caller, key)).copied())
    }

    fn begin(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, bool> {
        self.change(|kept| {
            if kept.is_taken {
                return false;
            }
            kept.log.push(format!("begin {}", range(&chunk.positions)));
            let row = kept.batches.get_mut(&batch).unwrap();
            row.in_flight.retain(|known| *known != chunk);
            row.in_flight.push(chunk);
            true
        })
    }

    fn release(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.log.push(format!("release {}", range(&chunk.positions)));
            kept.batches.get_mut(&batch).unwrap().in_flight.retain(|known| *known != chunk);
        })
    }

    fn settle(&self, batch: BatchId, route_index: usize, settled: Settled) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.log.push(format!("settle {}", range(&settled.positions)));
            let row = kept.batches.get_mut(&batch).unwrap();
            row.in_flight
                .retain(|known| known.route_index != route_index || known.positions != settled.positions);
            row.report.routes[route_index].settle(settled);
        })
    }

    fn finish(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.log.push("finish".into());
            kept.batches.get_mut(&report.batch.id).unwrap().report = (*report).clone();
        })
    }

    fn cancel(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        self.change(move |kept| {
            kept.log.push("cancel".into());
            kept.batches.get_mut(&batch).unwrap().is_canceled = true;
        })
    }

    fn canceled_elsewhere(&self) -> StoreFuture<'_, Vec<BatchId>> {
        self.change(|kept| {
            let canceled = kept.batches.iter().filter(|(_, row)| row.is_canceled);
            canceled.map(|(id, _)| *id).collect()
        })
    }

    fn due_callbacks(&self, _: usize) -> StoreFuture<'_, Vec<DueCallback>> {
        self.change(|_| Vec::new())
    }

    fn end_callback(&self, _: BatchId) -> StoreFuture<'_, ()> {
        self.change(|_| ())
    }

    fn delay_callback(&self, _: BatchId, _: Duration) -> StoreFuture<'_, ()> {
        self.change(|_| ())
    }

    fn claim(&self, most: usize, except: Vec<BatchId>) -> StoreFuture<'_, Vec<Unfinished>> {
        self.change(|kept| {
            let open = kept.batches.iter().filter(|(id, row)| !row.report.is_over() && !except.contains(id));
            let unfinished = open.map(|(_, row)| Unfinished {
                report: Arc::new(row.report.clone()),
                in_flight: row.in_flight.clone(),
                is_canceled: row.is_canceled,
            });
            unfinished.take(most).collect()
        })
    }

    fn holds(&self) -> bool {
        !self.shared.lock().unwrap().is_taken
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.change(|_| ())
    }
}

//! A durable store in memory that outlives the dispatchers which use it, and writes down what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::BatchId;
use crate::domain::recipients::Positions;
use crate::domain::report::{Remarks, Report, Settled};
use crate::store::durable::{
    Accepted, CALLBACK_LEASE, Chunk, DueCallback, Durable, IdempotencyKey, KnownKey, NewBatch, Unfinished,
};
use crate::store::{Filter, Head, Link, Linked, Recording, Store, StoreError, StoreFuture, Summary};

/// One process's view of the store; clones are views of other processes.
#[derive(Clone, Default)]
pub(crate) struct ModelStore {
    pub(crate) shared: Arc<Mutex<Kept>>,
}

#[derive(Default)]
pub(crate) struct Kept {
    batches: BTreeMap<BatchId, Row>,
    keys: BTreeMap<(Arc<str>, Arc<str>), KnownKey>,
    /// When each is due, and how many of its tries failed.
    pub(crate) callbacks: BTreeMap<BatchId, (Instant, u32)>,
    /// What happened, in order; the rig adds the calls.
    pub(crate) log: Vec<String>,
    /// How often a whole report was read.
    pub(crate) finds: usize,
    /// Whether every change fails.
    pub(crate) is_away: bool,
    /// Reports that came meanwhile.
    unrecorded_count: u64,
    /// What becomes of the next acceptance, whose answer is lost.
    doubt: Option<Doubt>,
    /// Whether the store is away from then on.
    is_away_after_doubt: bool,
    /// Whether another process has taken the batches over.
    pub(crate) is_taken: bool,
}

/// What becomes of a commit whose answer is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doubt {
    Written,
    NotWritten,
}

struct Row {
    report: Report,
    in_flight: Vec<Chunk>,
    is_canceled: bool,
}

impl Kept {
    /// As if a batch had been too old.
    pub(crate) fn forget(&mut self, id: BatchId) {
        self.batches.remove(&id).unwrap();
    }

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

    pub(crate) fn set_away(&self, is_away: bool) {
        self.shared.lock().unwrap().is_away = is_away;
    }

    /// Loses the answer to the next acceptance.
    pub(crate) fn set_doubt(&self, doubt: Doubt) {
        self.shared.lock().unwrap().doubt = Some(doubt);
    }

    /// Is away once that has happened.
    pub(crate) fn set_away_after_doubt(&self) {
        self.shared.lock().unwrap().is_away_after_doubt = true;
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.lock().unwrap().log.clone()
    }
}

fn range(positions: &Positions) -> String {
    positions.iter().map(|position| position.to_string()).collect::<Vec<_>>().join(",")
}

impl Store for ModelStore {
    fn record(&self, report: Arc<Report>) -> Recording<'_> {
        let mut kept = self.shared.lock().unwrap();
        if kept.is_away {
            kept.unrecorded_count += 1;
        } else {
            kept.log.push("record".into());
            let row = Row { report: (*report).clone(), in_flight: Vec::new(), is_canceled: false };
            kept.batches.insert(report.batch.id, row);
        }
        Box::pin(std::future::ready(()))
    }

    fn unrecorded_count(&self) -> u64 {
        self.shared.lock().unwrap().unrecorded_count
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        self.change(|kept| {
            kept.finds += 1;
            kept.batches.get(&id).map(|row| Arc::new(row.report.clone()))
        })
    }

    fn head(&self, id: BatchId) -> StoreFuture<'_, Option<Head>> {
        self.change(|kept| kept.batches.get(&id).map(|row| Head::of(&row.report)))
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
            kept.log.push(format!("list {}", filter.most));
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
        let doubt = self.shared.lock().unwrap().doubt.take();
        if matches!(doubt, Some(Doubt::NotWritten)) {
            return Box::pin(std::future::ready(Err(StoreError::Unsettled)));
        }
        let accepted = self.change(|kept| {
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
        });
        let mut kept = self.shared.lock().unwrap();
        kept.is_away |= doubt.is_some() && kept.is_away_after_doubt;
        if doubt.is_some() { Box::pin(std::future::ready(Err(StoreError::Unsettled))) } else { accepted }
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

    fn settle(
        &self,
        batch: BatchId,
        route_index: usize,
        settled: Settled,
        remarks: Remarks,
    ) -> StoreFuture<'_, ()> {
        if self.shared.lock().unwrap().is_taken {
            return Box::pin(std::future::ready(Err(StoreError::Lost)));
        }
        self.change(|kept| {
            kept.log.push(format!("settle {}", range(&settled.positions)));
            let row = kept.batches.get_mut(&batch).unwrap();
            row.in_flight
                .retain(|known| known.route_index != route_index || known.positions != settled.positions);
            let route = &mut row.report.routes[route_index];
            if let Some(recipients) = remarks.recipients {
                kept.log.push(format!("name {}", recipients.len()));
                route.recipients = recipients;
                // Nothing but its one call was out.
                row.in_flight.retain(|known| known.route_index != route_index);
            }
            route.settle(settled);
            route.provider_request_ids.extend(remarks.request_id);
            remarks.warnings.into_iter().for_each(|warning| warning.add_to(&mut row.report.warnings));
        })
    }

    fn finish(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.log.push("finish".into());
            kept.batches.get_mut(&report.batch.id).unwrap().report = (*report).clone();
            if report.batch.callback.is_some() {
                kept.callbacks.entry(report.batch.id).or_insert_with(|| (Instant::now(), 0));
            }
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

    fn due_callbacks(&self, most: usize) -> StoreFuture<'_, Vec<DueCallback>> {
        self.change(|kept| {
            let now = Instant::now();
            let mut due: Vec<_> = kept.callbacks.iter_mut().filter(|(_, (at, _))| *at <= now).collect();
            due.sort_by_key(|(_, (at, _))| *at);
            let taken = due.into_iter().take(most).map(|(id, (at, failed_tries))| {
                *at = now + CALLBACK_LEASE;
                let report = &kept.batches.get(id).unwrap().report;
                let url = report.batch.callback.clone().unwrap();
                DueCallback { summary: Summary::of(report), url, failed_tries: *failed_tries }
            });
            taken.collect()
        })
    }

    fn end_callback(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            kept.callbacks.remove(&batch);
        })
    }

    fn delay_callback(&self, batch: BatchId, failed_tries: u32, after: Duration) -> StoreFuture<'_, ()> {
        self.change(|kept| {
            *kept.callbacks.get_mut(&batch).unwrap() = (Instant::now() + after, failed_tries);
        })
    }

    fn claim(&self, most: usize, except: Vec<BatchId>) -> StoreFuture<'_, Vec<Unfinished>> {
        self.change(|kept| {
            let open = kept.batches.iter().filter(|(id, row)| !row.report.is_over() && !except.contains(id));
            let unfinished = open.map(|(_, row)| Unfinished {
                report: Arc::new(row.report.clone()),
                in_flight: row.in_flight.clone(),
                is_canceled: row.is_canceled,
            });
            let unfinished: Vec<_> = unfinished.take(most).collect();
            if !unfinished.is_empty() {
                kept.log.push(format!("claim {}", unfinished.len()));
            }
            unfinished
        })
    }

    fn holds(&self, _batch: BatchId) -> bool {
        !self.shared.lock().unwrap().is_taken
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.change(|_| ())
    }
}

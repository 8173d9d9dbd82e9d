//! F7: a replica that was stopped sends nothing for batches that another one took over meanwhile.

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, query, query_scalar};
use tokio::time::Instant;

use super::{Holding, batch, end, id, send};
use crate::cluster;
use crate::ledger::judge;
use crate::process::Process;

/// Calls of each channel that are out at once.
const IN_FLIGHT: usize = 4;

/// Connections to the database, and so calls that begin at once. The fewer they are, the surer each of them has begun
/// calls before: one that has not asks what the statement means first, and would not have begun by the stop.
const CONNECTIONS: usize = 2;

/// Calls that are answered before the provider holds the others.
const ANSWERED: usize = 10;

/// Lets nobody write a chunk until it is dropped: calls wait for the answer to their beginning meanwhile.
struct Locked(PgConnection);

impl Locked {
    async fn chunks(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        query("BEGIN").execute(&mut connection).await.unwrap();
        query("LOCK TABLE chunks IN SHARE MODE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Waits until so many others wait for it.
    async fn awaited_by(&mut self, count: usize) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'chunks'::regclass AND NOT granted";
        let mut waits = 0;
        while waits < count {
            let counted: i64 = query_scalar(waiting).fetch_one(&mut self.0).await.unwrap();
            waits = usize::try_from(counted).unwrap();
        }
    }

    async fn release(self) {
        self.0.close().await.unwrap();
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how long the take-over took is there to be read")]
async fn a_replica_that_was_stopped_sends_nothing_for_what_was_taken_over() {
    let url = cluster::shared().database();
    // Of one batch calls are on the wire when the replica stops; of the other one they are about to be.
    let (wire, brink) = (Holding::after(ANSWERED).await, Holding::after(usize::MAX).await);
    let channels = [wire.channel("wire", IN_FLIGHT), brink.channel("brink", IN_FLIGHT)].concat();
    let toml = format!("[store]\nurl = '{url}'\nconnections = {CONNECTIONS}\n{channels}");
    let first = Process::start(&toml).await;
    let batches = [batch("on-the-wire", 40), batch("on-the-brink", 40)];
    let durable = "prefer: respond-async\r\n";
    let on_wire = id(&send(&first, durable, "wire", &batches[0]).await);
    wire.ledger.fake.arrived(ANSWERED + IN_FLIGHT).await;
    let mut locked = Locked::chunks(&url).await;
    let on_brink = id(&send(&first, durable, "brink", &batches[1]).await);
    locked.awaited_by(CONNECTIONS).await;
    let other = Process::start(&toml).await;

    first.signal("-STOP");
    let stopped = Instant::now();
    wire.hold_no_more();
    // The calls that were about to be written have now begun, as far as the database knows.
    locked.release().await;
    wire.ledger.fake.arrived(ANSWERED + IN_FLIGHT + 1).await;
    println!("F7: taken over {:.1} s after the stop", stopped.elapsed().as_secs_f64());
    let reports = [end(&other, &on_wire).await, end(&other, &on_brink).await];
    let providers = [&wire, &brink];
    let unknown = |report: &Value| usize::try_from(report["counts"]["unknown"].as_u64().unwrap()).unwrap();
    assert_eq!(unknown(&reports[0]), IN_FLIGHT, "what was on the wire: {}", reports[0]);
    assert!((1..=CONNECTIONS).contains(&unknown(&reports[1])), "what was to be written: {}", reports[1]);
    // Of what is unknown only the calls on the wire were ever sent.
    let sent = [40, 40 - unknown(&reports[1])];
    for ((batch, provider), calls) in batches.iter().zip(providers).zip(sent) {
        assert_eq!(provider.calls(batch), calls, "{}", batch.marker);
    }

    first.signal("-CONT");
    wire.release();
    // The resumed replica reports what the database says only once none of its own calls is left.
    assert_eq!(end(&first, &on_wire).await, reports[0]);
    assert_eq!(end(&first, &on_brink).await, reports[1]);
    for (channel, provider) in [("wire", &wire), ("brink", &brink)] {
        let later = batch(&format!("later-{channel}"), 3);
        let report = end(&first, &id(&send(&first, durable, channel, &later).await)).await;
        assert_eq!(judge(channel, &report, &later, &provider.ledger, 0), 0);
        assert_eq!(report["counts"]["accepted"], 3, "{report}");
    }
    for (((batch, provider), calls), report) in batches.iter().zip(providers).zip(sent).zip(&reports) {
        assert_eq!(provider.calls(batch), calls, "sent after it was taken over: {}", batch.marker);
        judge(&batch.marker, report, batch, &provider.ledger, IN_FLIGHT);
    }
}

//! D10: the disk is full, or nothing can be written to it at all.
//!
//! A limit on the size of files, set from outside, stands for both: at 0 no file can be written, as on a file system
//! that can only be read; a little above the present sizes they stop growing, as on a full one. It needs no rights.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, query_scalar};
use tempfile::TempDir;

use super::{Holding, batch, becomes, end, id, send};
use crate::ledger::{Batch, judge};
use crate::process::Process;

const IN_FLIGHT: usize = 4;

/// How far the files may grow in the test of a full disk: a few dozen changes.
const ROOM: u64 = 200_000;

/// A file for batches in a folder of its own.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("imcast.db"), _folder: folder }
    }

    fn configuration(&self, channel: &str) -> String {
        format!("[store]\nurl = 'sqlite:{}'\n{channel}", self.path.display())
    }

    /// The size of the largest file that SQLite writes to.
    fn size(&self) -> u64 {
        let size = |end: &str| {
            let path = format!("{}{end}", self.path.display());
            std::fs::metadata(Path::new(&path)).map_or(0, |metadata| metadata.len())
        };
        size("").max(size("-wal"))
    }

    /// What SQLite itself says about it, once nobody has it open.
    async fn integrity(&self) -> String {
        let options = SqliteConnectOptions::new().filename(&self.path);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let integrity = query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        integrity
    }
}

/// What a report says of everybody. Its end is written behind and may come again after a kill, with another time.
fn outcomes(report: &Value) -> [&Value; 3] {
    [&report["status"], &report["counts"], &report["results"]]
}

async fn assert_refused(process: &Process, headers: &str, provider: &Holding, batch: &Batch) {
    let refused = send(process, headers, "held", batch).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{refused:?}");
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    assert_eq!(provider.calls(batch), 0, "a refused batch was sent");
}

#[tokio::test]
async fn calls_that_are_out_while_nothing_can_be_written_are_settled_once_it_can() {
    let file = File::new();
    let provider = Holding::after(0).await;
    let (held, free) = (provider.channel("held", IN_FLIGHT), provider.channel("free", IN_FLIGHT));
    let toml = file.configuration(&format!("{held}{free}"));
    let process = Process::start(&toml).await;
    let running = batch("running", 12);
    let accepted = id(&send(&process, "prefer: respond-async\r\n", "held", &running).await);
    provider.ledger.fake.arrived(IN_FLIGHT).await;

    process.limit_files(Some(0));
    let meanwhile = batch("meanwhile", 3);
    let headers = "idempotency-key: meanwhile\r\nprefer: wait=25\r\n";
    assert_refused(&process, headers, &provider, &meanwhile).await;
    becomes(&process, "/readyz", 503).await;
    assert_eq!(process.ask(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.0, 200);
    provider.release();
    // A batch that need not survive the process needs no disk.
    let small = batch("small", 1);
    assert_eq!(send(&process, "prefer: wait=25\r\n", "free", &small).await.status, 200);
    for headers in [headers, "prefer: respond-async\r\n"] {
        assert_refused(&process, headers, &provider, &meanwhile).await;
    }
    assert_eq!(provider.calls(&running), IN_FLIGHT, "no call begins while that cannot be written");

    process.limit_files(None);
    becomes(&process, "/readyz", 200).await;
    let report = end(&process, &accepted).await;
    assert_eq!(judge("running", &report, &running, &provider.ledger, 0), 0);
    assert_eq!(report["counts"]["accepted"], 12, "{report}");
    let again = end(&process, &id(&send(&process, headers, "held", &meanwhile).await)).await;
    assert_eq!(judge("meanwhile", &again, &meanwhile, &provider.ledger, 0), 0);
    assert_eq!((again["counts"]["accepted"].as_u64(), provider.calls(&meanwhile)), (Some(3), 3), "{again}");
    // What it says is what is on the disk.
    drop(process);
    assert_eq!(file.integrity().await, "ok");
    let process = Process::start(&toml).await;
    assert_eq!(outcomes(&end(&process, &accepted).await), outcomes(&report));
}

#[tokio::test]
async fn a_cancel_that_cannot_be_written_is_refused_in_time_and_holds_all_the_same() {
    let file = File::new();
    let provider = Holding::after(0).await;
    let process = Process::start(&file.configuration(&provider.channel("held", IN_FLIGHT))).await;
    let running = batch("running", 12);
    let accepted = id(&send(&process, "prefer: respond-async\r\n", "held", &running).await);
    provider.ledger.fake.arrived(IN_FLIGHT).await;

    process.limit_files(Some(0));
    becomes(&process, "/readyz", 503).await;
    let cancel = format!(
        "POST /v1/batches/{accepted}/cancel HTTP/1.1\r\nhost: x\r\nprefer: wait=0\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(process.ask(cancel.as_bytes()).await, (503, "store_unavailable".to_owned()));
    provider.release();

    process.limit_files(None);
    let report = end(&process, &accepted).await;
    assert_eq!(judge("running", &report, &running, &provider.ledger, 0), 0);
    assert_eq!(
        (report["status"].as_str(), provider.calls(&running)),
        (Some("canceled"), IN_FLIGHT),
        "{report}"
    );
    assert_eq!(process.ask(cancel.as_bytes()).await.0, 200);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_load_loses_nothing_that_was_promised() {
    let file = File::new();
    let provider = Holding::after(usize::MAX).await;
    let toml = file.configuration(&provider.channel("held", IN_FLIGHT));
    let process = Process::start(&toml).await;
    process.limit_files(Some(file.size() + ROOM));
    let mut promised = Vec::new();
    let refused = loop {
        let next = batch(&format!("batch-{}", promised.len()), 5);
        let headers = format!("idempotency-key: {}\r\nprefer: respond-async\r\n", next.marker);
        let answer = send(&process, &headers, "held", &next).await;
        if answer.status == 503 {
            assert_eq!(answer.code(), "store_unavailable", "{answer:?}");
            assert!(answer.head.contains("retry-after: "), "{answer:?}");
            break next;
        }
        promised.push((id(&answer), next));
    };
    assert!(!promised.is_empty(), "there was room");
    becomes(&process, "/readyz", 503).await;
    assert_eq!(provider.calls(&refused), 0, "a refused batch was sent");

    process.limit_files(None);
    becomes(&process, "/readyz", 200).await;
    let headers = format!("idempotency-key: {}\r\nprefer: respond-async\r\n", refused.marker);
    promised.push((id(&send(&process, &headers, "held", &refused).await), refused));
    let mut reports = Vec::new();
    for (id, batch) in &promised {
        let report = end(&process, id).await;
        assert_eq!(judge(&batch.marker, &report, batch, &provider.ledger, 0), 0);
        assert_eq!(report["counts"]["accepted"], 5, "{report}");
        reports.push(report);
    }
    drop(process);
    assert_eq!(file.integrity().await, "ok");
    let process = Process::start(&toml).await;
    for ((id, _), report) in promised.iter().zip(&reports) {
        assert_eq!(outcomes(&end(&process, id).await), outcomes(report));
    }
}

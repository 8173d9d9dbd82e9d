//! F8: PostgreSQL goes away and comes back.

use std::process::{Command, Stdio};

use sqlx::{Connection as _, PgConnection, query_scalar};

use super::{Holding, batch, becomes, end, id, send};
use crate::cluster::{Cluster, Flush};
use crate::ledger::judge;
use crate::process::Process;
use crate::raw::post;

const IN_FLIGHT: usize = 4;

/// A server all of whose processes are stopped; dropping it lets them go on.
struct Stopped(Vec<String>);

impl Stopped {
    async fn all_of(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let pid: i32 = query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
        let postmaster = parent(&pid.to_string()).unwrap();
        let mut stopped = Self(vec![postmaster.clone()]);
        // First whoever could make another one.
        signal("-STOP", &stopped.0);
        let processes = std::fs::read_dir("/proc").unwrap();
        let names = processes.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let children: Vec<_> = names.filter(|id| parent(id).is_some_and(|id| id == postmaster)).collect();
        signal("-STOP", &children);
        stopped.0.extend(children);
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

/// Who started a process; `None` = it is none, or gone.
fn parent(id: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Some(line.trim().to_owned())
}

fn signal(name: &str, ids: &[String]) {
    // One that ended meanwhile is no loss.
    let mut kill = Command::new("kill");
    kill.arg(name).args(ids).stderr(Stdio::null()).status().unwrap();
}

/// How it is away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outage {
    Killed,
    Stopped,
}

#[tokio::test]
async fn calls_that_are_out_while_the_database_is_killed_are_settled_when_it_is_back() {
    outlives(Outage::Killed).await;
}

#[tokio::test]
async fn calls_that_are_out_while_the_database_is_stopped_are_settled_when_it_is_back() {
    outlives(Outage::Stopped).await;
}

async fn outlives(outage: Outage) {
    let cluster = Cluster::start(Flush::Always);
    let url = cluster.database();
    let provider = Holding::after(0).await;
    let channel = provider.channel("held", IN_FLIGHT);
    let process = Process::start(&format!("[store]\nurl = '{url}'\n{channel}")).await;
    let running = batch("running", 12);
    let accepted = id(&send(&process, "prefer: respond-async\r\n", "held", &running).await);
    provider.ledger.fake.arrived(IN_FLIGHT).await;

    let stopped = match outage {
        Outage::Killed => {
            cluster.crash();
            None
        }
        Outage::Stopped => Some(Stopped::all_of(&url).await),
    };
    becomes(&process, "/readyz", 503).await;
    assert_eq!(process.ask(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.0, 200);
    // What is out is answered now, and what becomes of it cannot be written.
    provider.release();
    let meanwhile = batch("meanwhile", 3);
    let headers = "idempotency-key: meanwhile\r\nprefer: wait=25\r\n";
    let mut caller = process.connect().await.unwrap();
    if outage == Outage::Killed {
        let refused = send(&process, headers, "held", &meanwhile).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{refused:?}");
        assert!(refused.head.contains("retry-after: "), "{refused:?}");
    } else {
        // Whether it is there nobody can tell yet.
        let body = serde_json::json!({"channel": "held", "from": "admin", "to": meanwhile.to,
            "message": {"type": "text", "text": "meanwhile"}});
        caller.write(&post(headers, body.to_string().as_bytes())).await;
    }
    assert_eq!(provider.calls(&meanwhile), 0, "nothing is sent before it is written");
    assert_eq!(provider.calls(&running), IN_FLIGHT, "no call begins while that cannot be written");

    match stopped {
        None => cluster.up(),
        Some(stopped) => drop(stopped),
    }
    becomes(&process, "/readyz", 200).await;
    let report = end(&process, &accepted).await;
    assert_eq!(judge("running", &report, &running, &provider.ledger, 0), 0);
    assert_eq!(report["counts"]["accepted"], 12, "{report}");
    // Its key makes it one batch, however often it is asked for.
    let again = id(&send(&process, headers, "held", &meanwhile).await);
    let report = end(&process, &again).await;
    assert_eq!(judge("meanwhile", &report, &meanwhile, &provider.ledger, 0), 0);
    assert_eq!((report["counts"]["accepted"].as_u64(), provider.calls(&meanwhile)), (Some(3), 3), "{report}");
}

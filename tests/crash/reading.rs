//! Reads in the end what the gateways report, each batch from whichever is asked first.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::record::Line;
use crate::rig::Rig;
use crate::told::Told;
use crate::verdict::books::Final;

/// How many reports are read at the same time.
const READERS: usize = 8;

/// How often a report is waited for 25 s.
const MOST_WAITS: usize = 4;

/// How often a gateway is asked that cannot read, every 100 ms: it may not know yet that its database is back.
const MOST_TRIES: usize = 100;

/// The reports of all batches, each once it is over.
pub(crate) async fn reports(rig: &Arc<Rig>) -> Vec<Final> {
    let addresses: Vec<SocketAddr> = rig.up.borrow().iter().map(|up| up.address).collect();
    let (mut ids, promised) = known(rig);
    for address in &addresses {
        ids.extend(listed(rig, *address).await);
    }
    ids.sort_unstable();
    ids.dedup();
    let turns = Arc::new(Semaphore::new(READERS));
    let mut readers = JoinSet::new();
    for (number, id) in ids.into_iter().enumerate() {
        let (rig, turns) = (Arc::clone(rig), Arc::clone(&turns));
        let mut asked = addresses.clone();
        asked.rotate_left(number % addresses.len());
        // Any of them knows what was promised; anything else may be in one memory only.
        asked.truncate(if promised.contains(&id) { 1 } else { asked.len() });
        readers.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            for address in asked {
                if let Some(found) = report(&rig, address, &id).await {
                    return Some(found);
                }
            }
            None
        });
    }
    readers.join_all().await.into_iter().flatten().collect()
}

/// The batches of which the client knows, and those of them that were promised to survive.
fn known(rig: &Rig) -> (Vec<String>, HashSet<String>) {
    let lines = rig.record.lines();
    let named = |line: &Line| line.batch().map(str::to_owned);
    let promised = lines.iter().filter(|line| line.is_promised()).filter_map(named);
    (lines.iter().filter_map(named).collect(), promised.collect())
}

/// The batches of whose end somebody wants to be told.
pub(crate) fn ends_to_tell(rig: &Rig, finals: &[Final]) -> HashSet<String> {
    let lines = rig.record.lines();
    let wanted: HashSet<&str> =
        lines.iter().filter(|line| line.has_callback).map(|line| &*line.marker).collect();
    let told = finals.iter().filter(|found| found.resend_of.is_none() && wanted.contains(&*found.marker));
    told.map(|found| found.id.clone()).collect()
}

/// The names of all batches that a gateway knows.
async fn listed(rig: &Rig, address: SocketAddr) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/batches?page_size=500&page_token={token}");
        let (status, text) = get(rig, address, &path, &[]).await;
        assert_eq!(status, 200, "{text}");
        let page: Value = serde_json::from_str(&text).unwrap();
        let lines = page["batches"].as_array().unwrap_or_else(|| panic!("{text}"));
        ids.extend(lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()));
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return ids;
        }
    }
}

/// The report of a batch once it is over; `None`: this gateway knows no such batch.
async fn report(rig: &Rig, address: SocketAddr, id: &str) -> Option<Final> {
    let path = format!("/v1/batches/{id}");
    let mut report = Value::Null;
    for _ in 0..MOST_WAITS {
        let (status, text) = get(rig, address, &path, &[("prefer", "wait=25")]).await;
        if status == 404 {
            return None;
        }
        assert_eq!(status, 200, "{text}");
        report = serde_json::from_str(&text).unwrap();
        if report["status"] != "processing" {
            break;
        }
    }
    let results = if report["results_truncated"] == true {
        let accept = [("accept", "application/x-ndjson")];
        let (status, text) = get(rig, address, &format!("{path}/results"), &accept).await;
        assert_eq!(status, 200, "{text}");
        text.lines().map(|line| Told::new(&serde_json::from_str(line).unwrap())).collect()
    } else {
        Told::all(report["results"].as_array().unwrap_or_else(|| panic!("{report}")))
    };
    Some(Final::new(&report, results))
}

/// Asks until the gateway can read.
async fn get(rig: &Rig, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    for _ in 0..MOST_TRIES {
        let answer = rig.client.get(address, path, headers).await;
        if answer.0 != 503 {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} cannot be read")
}

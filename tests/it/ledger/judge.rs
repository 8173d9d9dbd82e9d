//! Compares a report with the ledger. The ledger is right.

use serde_json::Value;

use crate::ledger::{Entry, Ledger};

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The text of its message, which no other batch has.
    pub(crate) marker: String,
    pub(crate) to: Vec<String>,
    /// Most recipients of one call.
    pub(crate) per_call: usize,
    /// Whether the caller accepts duplicates.
    pub(crate) accepts_duplicates: bool,
}

/// Asserts that the report of one batch is true.
///
/// `broken` counts the connections that came about and were broken on purpose; each can have cost one call.
/// Returns how many calls the report leaves open.
pub(crate) fn judge(what: &str, report: &Value, batch: &Batch, ledger: &Ledger, broken: usize) -> usize {
    let results = report["results"].as_array().unwrap_or_else(|| panic!("{what}: {report}"));
    everybody_once_in_order(what, report, results, batch);
    for (result, recipient) in results.iter().zip(&batch.to) {
        let taken = ledger.times_taken(&batch.marker, recipient);
        let what = || format!("{what}: taken {taken} times: {result}");
        match result["status"].as_str().unwrap() {
            "accepted" => assert_ne!(taken, 0, "falsely accepted: {}", what()),
            "failed" => assert_eq!(taken, 0, "falsely failed: {}", what()),
            _ => {}
        }
        assert!(taken <= 1 || batch.accepts_duplicates, "sent twice: {}", what());
    }
    let open = open_calls(results, batch, ledger);
    let unclear = unclear_calls(ledger, Some(&batch.marker));
    assert!(open <= unclear + broken, "{what}: {open} calls open, {unclear} + {broken} broken: {report}");
    open
}

/// The same for all batches of a ledger; together they may leave no more calls open than were broken.
pub(crate) fn judge_together(what: &str, reports: &[(Batch, Value)], ledger: &Ledger, broken: usize) {
    let judged = reports.iter().map(|(batch, report)| judge(what, report, batch, ledger, broken));
    let (open, unclear) = (judged.sum::<usize>(), unclear_calls(ledger, None));
    assert!(open <= unclear + broken, "{what}: {open} calls open, {unclear} + {broken} broken");
}

fn everybody_once_in_order(what: &str, report: &Value, results: &[Value], batch: &Batch) {
    let named: Vec<_> = results.iter().map(|result| result["recipient"].as_str().unwrap()).collect();
    assert_eq!(named, batch.to, "{what}: everybody once, in order");
    assert_ne!(report["status"], "processing", "{what}");
    let mut counts = [("accepted", 0), ("failed", 0), ("unknown", 0)];
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index, "{what}: {result}");
        let known = counts.iter_mut().find(|(status, _)| result["status"] == *status);
        known.unwrap_or_else(|| panic!("{what}: not terminal: {result}")).1 += 1;
    }
    for (status, count) in counts {
        assert_eq!(report["counts"][status], count, "{what}: {status}");
    }
    assert_eq!(report["counts"]["total"], batch.to.len(), "{what}");
}

/// The fewest calls that can hold everybody who is unknown and whom a clear answer did not simply leave out.
fn open_calls(results: &[Value], batch: &Batch, ledger: &Ledger) -> usize {
    let entries = ledger.entries();
    // Where an answer cannot name those it refuses, they are unknown without anything being broken.
    let is_left_out = |recipient: &str| {
        !ledger.dialect().names_refused
            && entries.iter().any(|entry| {
                entry.is_clear
                    && entry.place(&batch.marker, recipient).is_some_and(|place| !entry.is_taken[place])
            })
    };
    let is_open =
        |result: &Value| result["status"] == "unknown" && !is_left_out(result["recipient"].as_str().unwrap());
    // A call takes neighbours; where its first one stands depends on the calls before it.
    let (mut count, mut rest) = (0, results);
    while let Some(first) = rest.iter().position(is_open) {
        count += 1;
        rest = rest.get(first + batch.per_call..).unwrap_or_default();
    }
    count
}

/// Calls of a batch, or of all, that the provider itself may have left open: those that it did not answer clearly,
/// and those that met the end of a connection it had just closed.
fn unclear_calls(ledger: &Ledger, marker: Option<&str>) -> usize {
    let entries = ledger.entries();
    let cost = |entry: &Entry| {
        // Which batch the next call belonged to, nobody can tell.
        let is_unclear = !entry.is_clear && marker.is_none_or(|marker| entry.marker == marker);
        usize::from(is_unclear) + usize::from(entry.is_last)
    };
    entries.iter().map(cost).sum()
}

//! What every answer of the API keeps to, read apart from the code that writes it.

use serde_json::Value;

use crate::targets::gateway::Exchanged;

const STATUSES: [&str; 4] = ["accepted", "failed", "unknown", "pending"];

/// A refusal: a problem document about this request, and no provider was called.
pub(crate) fn check_refusal(answer: &Exchanged) {
    assert_eq!(answer.calls, 0, "a refused request called a provider");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
    assert_eq!(problem["status"], answer.status);
    assert!(answer.status < 500 || problem["code"] != "internal", "a fault of the gateway: {problem}");
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    for text in ["code", "title", "detail", "instance"] {
        assert!(problem[text].is_string(), "{text}: {problem}");
    }
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let pointer = fault["pointer"].as_str().expect("a pointer");
        assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer} is no pointer");
    }
}

/// A report: exactly one result per recipient, in order, and counts that add up.
///
/// `expected` are the recipients as the request spells them, where they can be told without the gateway.
pub(crate) fn check_report(text: &[u8], expected: Option<&[String]>) -> Value {
    let report: Value = serde_json::from_slice(text).expect("a report is JSON");
    let counts = &report["counts"];
    let total = number(&counts["total"]);
    assert_eq!(STATUSES.iter().map(|status| number(&counts[status])).sum::<u64>(), total, "{counts}");
    let routes = report["routes"].as_array().expect("routes");
    for name in STATUSES.iter().chain(&["total"]) {
        let sum: u64 = routes.iter().map(|route| number(&route["counts"][name])).sum();
        assert_eq!(sum, number(&counts[name]), "the routes' counts of {name} do not add up");
    }
    if report["status"] != "processing" {
        assert_eq!(counts["pending"], 0, "pending in a report that is final");
    }
    let results = report["results"].as_array().expect("results");
    if report["results_truncated"] != true {
        assert_eq!(results.len(), usize::try_from(total).unwrap(), "one result per recipient");
        for status in STATUSES {
            let found = results.iter().filter(|result| result["status"] == status).count();
            assert_eq!(u64::try_from(found).unwrap(), number(&counts[status]), "results that are {status}");
        }
        if let Some(expected) = expected {
            let found: Vec<_> = results.iter().map(|result| result["recipient"].as_str().unwrap()).collect();
            assert_eq!(found, expected, "the recipients of the request");
        }
    }
    for (index, result) in results.iter().enumerate() {
        check_result(index, result);
    }
    report
}

fn check_result(index: usize, result: &Value) {
    assert_eq!(result["index"], index);
    assert_ne!(result["error"]["code"], "internal", "a fault of the gateway");
    let is_accepted = result["status"] == "accepted";
    assert_eq!(result["evidence"].is_string(), is_accepted, "evidence belongs to acceptance: {result}");
    let is_refused = result["status"] == "failed" || result["status"] == "unknown";
    assert_eq!(result["error"].is_object(), is_refused, "whoever is not served has a reason: {result}");
    if is_accepted {
        assert!(number(&result["attempts"]) > 0, "accepted without a call");
    }
}

/// CSV: as many cells in every line as in the first, and none that a spreadsheet would take for a formula.
pub(crate) fn check_csv(text: &[u8], count: usize) {
    let text = std::str::from_utf8(text).expect("CSV is text");
    let (mut lines, mut cells, mut width) = (0, 1, None);
    let mut letters = text.chars().peekable();
    let (mut is_quoted, mut is_start) = (false, true);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
            }
            '"' => {
                is_quoted = !is_quoted;
                // The first letter of a quoted cell stands behind its quote.
                continue;
            }
            ',' if !is_quoted => {
                cells += 1;
                is_start = true;
                continue;
            }
            '\r' if !is_quoted => {
                assert_eq!(letters.next(), Some('\n'), "half an end of line");
                assert_eq!(*width.get_or_insert(cells), cells, "a line has other cells than the first");
                (lines, cells, is_start) = (lines + 1, 1, true);
                continue;
            }
            '=' | '+' | '-' | '@' | '\t' | '\r' => assert!(!is_start, "a formula in {text:?}"),
            _ => {}
        }
        is_start = false;
    }
    assert_eq!(lines, count + 1, "one line per recipient below the first");
}

/// A stream of results: one object a line, in order.
pub(crate) fn check_lines(text: &[u8], count: usize) {
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), count, "one line per recipient");
    for (index, line) in lines.iter().enumerate() {
        check_result(index, &serde_json::from_slice(line).expect("a line is JSON"));
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

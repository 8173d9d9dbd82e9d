//! Streams of recipients, a line each.

use super::*;
use crate::api::dto::lines::{MOST_HEAD_BYTES, MOST_LINE_BYTES};

fn head() -> String {
    format!(r#"{{"channel":"one",{TEXT}}}"#)
}

fn ids(decoded: &Decoded) -> Vec<&str> {
    decoded.batch.routes[0].to.iter().collect()
}

/// Reads a body that comes in pieces of `size` bytes.
fn decode_pieces(body: &[u8], size: usize) -> Result<Decoded, Refusal> {
    let context = context();
    let mut reader = LineReader::new(context.most_recipients, context.most_routes, None);
    for piece in body.chunks(size) {
        reader.push(piece)?;
    }
    reader.finish(&context)
}

#[track_caller]
fn check_lines(body: &str, expected: &[&str]) {
    for size in [1, 7, usize::MAX] {
        assert_eq!(faults(decode_pieces(body.as_bytes(), size)), expected, "{size}: {body:.300}");
    }
}

#[test]
fn reads_a_stream_of_recipients() {
    let head = head();
    let body = format!("{head}\n\"a\"\r\n7\n\n {{\"id\":\"c\",\"ref\":\"r\"}}\n");
    let decoded = decode_lines(&body, &context()).unwrap();
    assert_eq!(ids(&decoded), ["a", "7", "c"]);
    assert_eq!(decoded.batch.routes[0].to.reference(2).map(|text| &**text), Some("r"));
    // A file that went through two conversions of line ends.
    let twice_converted = format!("{head}\r\r\n\"a\"\r\r\n\r\r\n7\r\r\n");
    assert_eq!(ids(&decode_lines(&twice_converted, &context()).unwrap()), ["a", "7"]);
    check_lines(&format!("{head}\n\"a\"\ntrue"), &["/to/1 wrong_type"]);
    check_lines(&format!("{head}\n\"a"), &["not JSON"]);
    check_lines(&head, &["sound"]);
    check_lines("", &["not JSON"]);
    check_lines("\n\"a\"", &["not JSON"]);
    check_lines("[]\n\"a\"", &[" wrong_type"]);
    for own in ["to", "routes"] {
        check_lines(&format!("{{\"channel\":\"one\",\"{own}\":[],{TEXT}}}\n1"), &["/to conflict"]);
    }
    check_lines(&format!("{head}\n1\n2\n3\n4\n5\n6\n7"), &["/to too_large"]);
    let both = format!("{{\"channel\":\"one\",\"x\":1,{TEXT}}}\n\"a\"\n{{\"ref\":\"b\"}}\n\"c\"\n[]");
    check_lines(&both, &["/to/1/id required", "/to/3 wrong_type", "/x unknown_field"]);
}

#[test]
fn names_line_and_recipient_of_what_is_no_json() {
    let detail = |body: &[u8]| match decode_pieces(body, 5) {
        Err(Refusal::NotJson(detail)) => detail,
        other => panic!("{other:?}"),
    };
    let after_head = |rest: &[u8]| detail(&[head().as_bytes(), b"\n", rest].concat());
    assert!(after_head(b"\"a\"\n\n\"b\"\nc\n").starts_with("line 5, /to/2: expected value at column 1"));
    assert!(after_head(b"\"a\"\n\"\xff\"\n\"b\"").starts_with("line 3, /to/1: not UTF-8: "));
    assert!(after_head(b"\"a\" \"b\"\n").starts_with("line 2, /to/0: trailing characters"));
    assert!(detail(b"{\n\"a\"\n").starts_with("line 1: EOF"));
    assert!(detail(b"\xff\n\"a\"\n").starts_with("line 1: not UTF-8"));
}

#[test]
fn a_line_without_end_is_named_and_not_kept() {
    let head = head();
    let long = "x".repeat(MOST_LINE_BYTES);
    let body = format!("{head}\n\"a\"\n\"{long}\"\n\"b\"\nfalse\n\"{long}\"");
    check_lines(&body, &["/to/1 too_large", "/to/3 wrong_type", "/to/4 too_large"]);
    let fits = "x".repeat(MOST_LINE_BYTES - 2);
    check_lines(&format!("{head}\n\"{fits}\"\n"), &["sound"]);
    let mut reader = LineReader::new(5, 3, None);
    reader.push(head.as_bytes()).unwrap();
    reader.push(b"\n\"").unwrap();
    for _ in 0..100 {
        reader.push(long.as_bytes()).unwrap();
        assert!(reader.held_bytes() <= head.len() + MOST_LINE_BYTES, "{}", reader.held_bytes());
    }
    let mut reader = LineReader::new(5, 3, None);
    let refusal = reader.push(&vec![b' '; MOST_HEAD_BYTES + 1]).unwrap_err();
    assert_eq!(faults(Err(refusal)), [" too_large"]);
    let long_head = format!("{}{head}\n1", " ".repeat(MOST_HEAD_BYTES));
    check_lines(&long_head, &[" too_large"]);
}

#[test]
fn raw_lines_are_not_kept() {
    let mut reader = LineReader::new(10_000, 1, None);
    reader.push(format!("{}\n", head()).as_bytes()).unwrap();
    let spacious = format!("{}{{\"id\" : \"abcd\"}}{}\n", " ".repeat(500), " ".repeat(500));
    for _ in 0..1000 {
        reader.push(spacious.as_bytes()).unwrap();
    }
    assert_eq!(reader.held_bytes(), head().len() + 1000 * (4 + 4));
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        lines in prop::collection::vec("[ \t\r\n\"{}a-z:é0-9]{0,12}", 0..5),
        size in 1_usize..20,
    ) {
        let body = format!("{}\n\"é\"\n{}", head(), lines.join("\n"));
        let show = |decoded: Result<Decoded, Refusal>| match decoded {
            Ok(decoded) => format!("{:?} {:?}", ids(&decoded), decoded.faults),
            Err(refusal) => format!("{refusal:?}"),
        };
        let whole = show(decode_pieces(body.as_bytes(), usize::MAX));
        prop_assert_eq!(show(decode_pieces(body.as_bytes(), size)), whole);
    }
}

use super::*;

fn text(recipients: &[&str]) -> Arguments {
    Arguments {
        recipients: recipients.iter().copied().map(str::to_owned).collect(),
        channel: Some("tim".to_owned()),
        text: Some("hi \"you\"".to_owned()),
        ..Arguments::default()
    }
}

fn read(arguments: &Arguments, input: &str) -> Result<BatchRequest, String> {
    arguments.read(&mut input.as_bytes()).map_err(|error| error.to_string())
}

fn body(request: &BatchRequest) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

#[test]
fn a_short_list_is_one_json_value() {
    let request = read(&text(&["a", "-5", "{b"]), "").unwrap();
    assert_eq!((request.content_type, request.is_long), ("application/json", false));
    let expected = r#"{"channel":"tim","message":{"text":"hi \"you\"","type":"text"},"options":{},"to":["a","-5","{b"]}"#;
    assert_eq!(body(&request), expected);
}

#[test]
fn every_option_has_its_field_and_json_is_passed_on_as_it_is() {
    let some = |text: &str| Some(text.to_owned());
    let arguments = Arguments {
        from: some("dave"),
        target_type: some("group"),
        text: None,
        message: some(
            "{\"type\": \"custom\",\n\"data\": {\"n\": 12345678901234567890123, \"é\": \"\\u00e9\"}}",
        ),
        ext: some("not { json"),
        push: some("{\"title\":\"T\"}"),
        provider_options: some("{\"openim\":{}}"),
        client_ref: some("c"),
        expires_at: some("2026-11-21T15:00:00Z"),
        on_invalid: some("reject"),
        retry_unknown: true,
        ..text(&["a"])
    };
    let expected = r#"{"client_ref":"c","channel":"tim","from":"dave","target_type":"group","message":{"type":"custom","data":{"n":12345678901234567890123,"é":"é"}},"ext":"not { json","push":{"title":"T"},"provider_options":{"openim":{}},"options":{"expires_at":"2026-11-21T15:00:00Z","on_invalid":"reject","retry_unknown":true},"to":["a"]}"#;
    assert_eq!(body(&read(&arguments, "").unwrap()), expected);
    let arguments = Arguments { ext: some(" {\"a\": 1}"), ..text(&["a"]) };
    assert!(body(&read(&arguments, "").unwrap()).contains(r#""ext":{"a":1}"#));
}

#[test]
fn a_long_list_is_lines() {
    let list: String = (0..1001).map(|number| format!("{number}\n")).collect();
    let request = read(&text(&["-"]), &list).unwrap();
    assert_eq!((request.content_type, request.is_long), ("application/x-ndjson", true));
    let lines: Vec<_> = body(&request).lines().collect();
    assert_eq!(lines[0], r#"{"channel":"tim","message":{"text":"hi \"you\"","type":"text"},"options":{}}"#);
    assert_eq!((lines.len(), lines[1], lines[1001]), (1002, "\"0\"", "\"1000\""));
    let request = read(&text(&["-"]), "a\n").unwrap();
    assert_eq!((request.content_type, request.is_long), ("application/json", true));
}

#[test]
fn a_whole_body_is_sent_as_it_came() {
    let whole = Arguments { body: Some("-".into()), ..Arguments::default() };
    for (input, expected) in [
        ("{\n \"to\": [] }\n", Ok("application/json")),
        ("{}\n\"a\"\n7\n", Ok("application/x-ndjson")),
        ("{}\nnot judged here", Ok("application/x-ndjson")),
        ("{\n \"to\": ] }", Err("--body: not valid JSON")),
        ("", Err("--body: not valid JSON")),
    ] {
        let found = read(&whole, input);
        let shown = found.as_ref().map(|request| request.content_type).map_err(String::as_str);
        assert_eq!(shown, expected, "{input}");
        assert!(found.is_err() || body(&found.unwrap()) == input);
    }
}

#[test]
fn a_message_must_be_an_object() {
    for (message, expected) in [
        ("\"hi\"", "--message: must be a JSON object"),
        ("{\"a\":\"\\ud800\"}", "--message: cannot be sent"),
        ("{\"a\":1}}", "--message: not valid JSON"),
        ("@/no/such/file", "/no/such/file cannot be read"),
    ] {
        let arguments = Arguments { text: None, message: Some(message.to_owned()), ..text(&["a"]) };
        let fault = read(&arguments, "").unwrap_err();
        assert!(fault.starts_with(expected), "{fault}");
    }
}

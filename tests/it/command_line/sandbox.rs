//! Against a gateway with its sandbox.

use serde_json::Value;

use super::{Ended, end, start_with};
use crate::process::Process;

/// Sends a text through the sandbox's TIM channel.
const TEXT: [&str; 6] = ["--channel", "sandbox-tim", "--from", "dave", "--text", "hi"];

struct Shell {
    gateway: Process,
}

impl Shell {
    async fn new() -> Self {
        Self { gateway: Process::start("").await }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let url = format!("http://{}", self.gateway.address());
        end(start_with(arguments, &[("IMCAST_URL", &url)], input.as_bytes())).await
    }

    async fn send(&self, arguments: &[&str], input: &str) -> Ended {
        self.run(&[&["send"], &TEXT[..], arguments].concat(), input).await
    }
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> String {
    file.path().display().to_string()
}

#[tokio::test]
async fn the_exit_code_says_who_was_accepted() {
    let shell = Shell::new().await;
    for (to, code, outcome) in [
        (&["bonnie", "rong"][..], 0, "all_accepted"),
        (&["bonnie", "magic-refuse"], 2, "partial"),
        (&["magic-refuse"], 3, "none_accepted"),
    ] {
        let ended = shell.send(to, "").await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(code), ""), "{ended:?}");
        assert!(ended.output.starts_with("bat_"), "{ended:?}");
        assert!(ended.output.lines().next().unwrap().contains(&format!("completed, {outcome}")), "{ended:?}");
        let json = shell.send(&[to, &["--json"]].concat(), "").await;
        let report: Value = serde_json::from_str(&json.output).unwrap();
        assert_eq!((json.code, &report["outcome"]), (Some(code), &outcome.into()));
        assert_eq!(report["results"].as_array().unwrap().len(), to.len());
    }
}

#[tokio::test]
async fn recipients_come_from_arguments_a_file_and_standard_input() {
    let shell = Shell::new().await;
    let list = file("from-file\n\n{\"id\":\"with-ref\",\"ref\":\"r1\"}\r\n");
    let ended =
        shell.send(&["from-argument", "-", "--to-file", &path(&list), "--json"], "\"from-input\"\n7\n").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.output).unwrap();
    let results = report["results"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|result| result["recipient"].as_str().unwrap()).collect();
    assert_eq!(names, ["from-argument", "from-input", "7", "from-file", "with-ref"]);
    assert_eq!(results[4]["ref"], "r1");
}

#[tokio::test]
async fn a_long_list_goes_out_as_lines_and_its_end_is_waited_for() {
    let shell = Shell::new().await;
    let list: String = (0..3000).map(|number| format!("user-{number}\n")).collect();
    let message = file("{\n  \"type\": \"text\",\n  \"text\": \"two\\nlines\"\n}\n");
    let head = ["send", "--channel", "sandbox-tim", "--from", "dave", "--message"];
    let reference = format!("@{}", path(&message));
    let tail = [&reference, "--client-ref", "c1", "--retry-unknown", "--on-invalid", "skip", "--json", "-"];
    let ended = shell.run(&[&head[..], &tail].concat(), &format!("{list}magic-refuse\n")).await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(2), ""), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!((&report["client_ref"], &report["results_truncated"]), (&"c1".into(), &true.into()));
    assert_eq!(
        report["counts"],
        serde_json::json!({"total": 3001, "accepted": 3000, "failed": 1, "unknown": 0, "pending": 0})
    );
}

#[tokio::test]
async fn a_whole_request_is_sent_as_it_is() {
    let shell = Shell::new().await;
    let message = r#""message":{"type":"text","text":"hi"}"#;
    let json = file(&format!(
        "{{\n\"routes\":[{{\"channel\":\"sandbox-tim\",\"from\":\"dave\",\"to\":[\"a\"]}}],\n{message}}}\n"
    ));
    let ended = shell.run(&["send", "--body", &path(&json)], "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines =
        format!("{{\"channel\":\"sandbox-tim\",\"from\":\"dave\",{message}}}\n\"a\"\n\"magic-refuse\"\n");
    let ended = shell.run(&["send", "--json", "--body", "-"], &lines).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[tokio::test]
async fn a_plan_is_shown_and_sends_nothing() {
    let shell = Shell::new().await;
    let plan = ["plan", "--channel", "sandbox-tim", "--from", "dave", "--text", "hi"];
    let ended = shell.run(&[&plan[..], &["bonnie", "bonnie", "rong"]].concat(), "").await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    assert!(
        ended.output.starts_with("1 calls, 3 recipients, 1 of them without a call; nothing was sent\n"),
        "{ended:?}"
    );
    assert!(
        ended
            .output
            .contains("\n    1  sandbox-tim              tencent_tim                 2  POST http://"),
        "{ended:?}"
    );
    assert!(ended.output.contains("usersig=[redacted]"), "{ended:?}");
    let list: String = (0..60_000).map(|number| format!("user-{number}\n")).collect();
    let ended = shell.run(&[&plan[..], &["-"]].concat(), &list).await;
    assert!(ended.output.starts_with("120 calls, 60000 recipients, 0 of them"), "{}", ended.errors);
    assert!(ended.output.contains("\n... and 20 more\n"), "{}", ended.output);
    let ended = shell.run(&[&plan[..], &["--json", "bonnie"]].concat(), "").await;
    let json: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(
        (ended.code, &json["calls"][0]["body"]["To_Account"]),
        (Some(0), &serde_json::json!(["bonnie"]))
    );
    let sent = shell.run(&["plan", "--channel", "nowhere", "--text", "hi", "x"], "").await;
    assert_eq!((sent.code, sent.output.as_str()), (Some(1), ""), "{sent:?}");
    assert!(sent.errors.contains("no channel is named `nowhere`"), "{sent:?}");
    let metrics = shell.gateway.get("/metrics").await;
    assert!(
        metrics.contains("imcast_calls_total{channel=\"sandbox-tim\",result=\"answered\"} 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_cannot_be_used_exits_64_and_is_named() {
    let shell = Shell::new().await;
    let list = file("a\nb\n{\"ref\":\"x\"}\n");
    let list = path(&list);
    let named = format!("imcast: {list}, line 3: missing field `id`");
    for (arguments, input, beginning) in [
        (&[][..], "", "imcast: there is no recipient\n"),
        (&["-"], "\n \n", "imcast: there is no recipient\n"),
        (&["a", "--to-file", &list], "", &named),
        (&["-"], "a\n{\"id\":true}", "imcast: standard input, line 2: `id` must be"),
        (&["-", "-"], "a", "imcast: standard input can be named once\n"),
        (&["--to-file", "/no/such/file"], "", "imcast: /no/such/file cannot be read: "),
        (&["a", "--push", "[]"], "", "imcast: --push: must be a JSON object"),
        (&["a", "--ext", "{\"a\":}"], "", "imcast: --ext: not valid JSON: expected value at line 1"),
        (
            &["a", "--idempotency-key", "x", "--no-idempotency-key"],
            "",
            "error: the argument '--idempotency-key <KEY>' cannot be used",
        ),
        (&["a", "--message", "{}"], "", "error: the argument '--text <TEXT>' cannot be used"),
        (&["--body", "x"], "", "error: the argument '--channel <CHANNEL>' cannot be used with '--body"),
        (&["a", "--target-type", "planet"], "", "error: invalid value 'planet'"),
        (&["a", "--key", "imc_x"], "", "error: unexpected argument '--key'"),
        (&["a", "--url", "ftp://x"], "", "imcast: the URL must read http"),
        (&["a", "--url", "http://me:secret@x"], "", "imcast: the URL must read http"),
    ] {
        let ended = shell.send(arguments, input).await;
        assert_eq!((ended.code, ended.output.as_str()), (Some(64), ""), "{arguments:?}: {ended:?}");
        assert!(ended.errors.starts_with(beginning), "{arguments:?}: {ended:?}");
        assert!(!ended.errors.contains("secret"), "{ended:?}");
    }
    let ended = shell.run(&["send", "--text", "hi", "a"], "").await;
    assert_eq!(ended.code, Some(64), "a channel is needed: {ended:?}");
}

#[tokio::test]
async fn what_the_gateway_refuses_exits_1_with_every_fault() {
    let shell = Shell::new().await;
    let ended =
        shell.send(&["a", "--ext", "some text", "--expires-at", "soon", "--push", "{\"x\":1}"], "").await;
    assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{ended:?}");
    assert!(
        ended.errors.starts_with("imcast: the gateway refuses: 422 invalid_request: 2 faults"),
        "{ended:?}"
    );
    for fault in ["\n  /push/x: ", "\n  /options/expires_at: ", "\nNothing was sent.\n"] {
        assert!(ended.errors.contains(fault), "{fault}: {ended:?}");
    }
}

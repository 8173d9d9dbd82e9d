//! The adapter against the stand-in, and the stand-in against mistakes.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::sandbox::{
    BAD_GATEWAY, DROP, EXPIRE, GARBAGE, HANG, REFUSE, REJECT_CALL, SANDBOX, THROTTLE, THROTTLE_ONCE,
    UNDECIDED,
};
use super::test_rig::{FOLDER, build, call, route, vector_time};
use crate::adapter::sandbox::{StandIn, StandInAnswer};
use crate::adapter::wire::WireRequest;
use crate::adapter::{Answer, Attempt, DecodeError, Prepared, Repeat, Verdict};
use crate::domain::outcome::{Counts, Outcome};
use crate::providers::test_rig::channel::TestChannel;
use crate::providers::test_rig::engine::{arrive, everybody, responded, settle};
use crate::providers::test_rig::fixture::fixtures;

/// A channel, its stand-in, and one route.
struct Stage {
    rig: TestChannel,
    stand_in: Box<dyn StandIn>,
}

fn stage() -> Stage {
    Stage { rig: build(SANDBOX.settings).unwrap(), stand_in: (SANDBOX.build)() }
}

impl Stage {
    /// Sends one try of the call with this nonce.
    fn send(&self, intent: &Value, nonce: u64, now: SystemTime) -> (usize, Result<Answer, DecodeError>) {
        let route = route(intent).unwrap();
        let prepared = self.rig.adapter.prepare(&route).unwrap();
        let positions = everybody(&route.to);
        let call = call(&route.to, &positions, nonce);
        let request = prepared.encode(&call);
        let attempt = Attempt { route: &route, now, nonce: nonce + 1 };
        let request = self.rig.signed(&attempt, request);
        let response = responded(arrive(&*self.stand_in, &request, now));
        (route.to.len(), prepared.decode(&call, &response))
    }

    fn counts(&self, to: &[&str], nonce: u64) -> Counts {
        let (count, answer) = self.send(&text(to), nonce, vector_time());
        settle(&answer.unwrap(), count).counts()
    }

    fn code(&self, to: &[&str], nonce: u64) -> String {
        match self.send(&text(to), nonce, vector_time()).1.unwrap().verdict {
            Verdict::Refused { failure, repeat, .. } => {
                format!("{} {repeat:?}", failure.provider_code.unwrap())
            }
            Verdict::Undecided(failure) => format!("{} undecided", failure.provider_code.unwrap()),
            Verdict::Answered(_) | Verdict::Listed(_) => "answered".to_owned(),
        }
    }
}

fn text(to: &[&str]) -> Value {
    json!({"from": "dave", "to": to, "message": {"type": "text", "text": "hi"}})
}

#[test]
fn ordinary_accounts_are_accepted_with_one_message_id() {
    let (count, answer) = stage().send(&text(&["bonnie", "rong"]), 7, vector_time());
    let outcomes = settle(&answer.unwrap(), count);
    assert_eq!((outcomes.counts().accepted, outcomes.distinct().len()), (2, 1));
    let Some(Outcome::Accepted(acceptance)) = outcomes.get(0) else {
        panic!("not accepted");
    };
    assert_eq!(acceptance.message_id.as_deref(), Some("1_7_1763683200"));
}

#[test]
fn a_refused_recipient_fails_alone() {
    let stage = stage();
    let counts = stage.counts(&["bonnie", REFUSE, "rong"], 7);
    assert_eq!((counts.accepted, counts.failed), (2, 1));
    let counts = stage.counts(&[REFUSE], 8);
    assert_eq!((counts.accepted, counts.failed), (0, 1));
}

#[test]
fn whole_calls_are_refused_by_code() {
    let stage = stage();
    for (nonce, (magic, first, repeated)) in (7..).zip([
        (REJECT_CALL, "90012 Never", "90012 Never"),
        (THROTTLE, "60007 Safe", "60007 Safe"),
        (THROTTLE_ONCE, "60007 Safe", "answered"),
        (EXPIRE, "70001 WithNewToken", "answered"),
        (UNDECIDED, "60008 undecided", "60008 undecided"),
    ]) {
        assert_eq!(stage.code(&["bonnie", magic], nonce), first, "{magic}");
        assert_eq!(stage.code(&["bonnie", magic], nonce), repeated, "{magic}");
    }
}

#[test]
fn broken_answers_say_nothing() {
    for magic in [BAD_GATEWAY, GARBAGE] {
        let (_, answer) = stage().send(&text(&[magic]), 7, vector_time());
        assert_eq!(answer.unwrap_err(), DecodeError::NotDocumented, "{magic}");
    }
}

fn signed(stage: &Stage, to: &[&str]) -> (Box<dyn Prepared>, WireRequest) {
    let route = route(&text(to)).unwrap();
    let prepared = stage.rig.adapter.prepare(&route).unwrap();
    let positions = everybody(&route.to);
    let request = prepared.encode(&call(&route.to, &positions, 7));
    let attempt = Attempt { route: &route, now: vector_time(), nonce: 8 };
    let request = stage.rig.signed(&attempt, request);
    (prepared, request)
}

#[test]
fn connections_break_and_hang_on_demand() {
    let stage = stage();
    let (_, request) = signed(&stage, &[DROP]);
    assert!(matches!(arrive(&*stage.stand_in, &request, vector_time()), StandInAnswer::Drop));
    let (_, request) = signed(&stage, &[HANG]);
    assert!(matches!(arrive(&*stage.stand_in, &request, vector_time()), StandInAnswer::Hang));
}

#[test]
fn every_message_of_the_fixtures_passes_the_stand_ins_checks() {
    let stage = stage();
    for (nonce, fixture) in (0..).zip(fixtures(FOLDER, "request", 21)) {
        let (count, answer) = stage.send(&fixture["intent"], nonce, vector_time());
        let counts = settle(&answer.unwrap(), count).counts();
        assert_eq!(counts.accepted, count, "{}", fixture["id"]);
    }
}

#[test]
fn the_hundred_and_first_call_of_a_second_is_too_fast() {
    let stage = stage();
    for nonce in 0..100 {
        assert_eq!(stage.code(&["bonnie"], nonce), "answered");
    }
    assert_eq!(stage.code(&["bonnie"], 100), "60007 Safe");
    let (count, answer) = stage.send(&text(&["bonnie"]), 100, vector_time() + Duration::from_secs(1));
    assert_eq!(settle(&answer.unwrap(), count).counts().accepted, 1);
}

/// The code that a request is answered with; 0 = taken.
fn code(stand_in: &dyn StandIn, request: &WireRequest, now: SystemTime) -> u64 {
    let response = responded(arrive(stand_in, request, now));
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    answer["ErrorCode"].as_u64().unwrap()
}

#[test]
fn urls_are_checked_parameter_by_parameter() {
    let stage = stage();
    let (_, request) = signed(&stage, &["bonnie"]);
    let check = |name: &str, value: &str, expected: u64| {
        let mut request = request.clone();
        let found = request.query.iter_mut().find(|parameter| parameter.name == name);
        found.unwrap().value = value.to_owned();
        assert_eq!(code(&*(SANDBOX.build)(), &request, vector_time()), expected, "{name}={value}");
    };
    check("contenttype", "xml", 60002);
    check("random", "4294967296", 60002);
    check("sdkappid", "x", 60006);
    check("sdkappid", "1", 70020);
    check("identifier", "", 60004);
    check("identifier", "somebody", 70013);
    check("usersig", "", 70002);
    check("usersig", "eJyrVgrx", 70003);
    let mut moved = request.clone();
    moved.path = "/v4/openim/sendmsg".to_owned();
    assert_eq!(code(&*stage.stand_in, &moved, vector_time()), 60009);
    assert_eq!(code(&*stage.stand_in, &request, vector_time() + Duration::from_secs(86_399)), 0);
    assert_eq!(code(&*stage.stand_in, &request, vector_time() + Duration::from_secs(86_400)), 70001);
}

#[test]
fn a_wrong_key_is_noticed_and_locks_after_ten_tries() {
    let wrong = SANDBOX.settings.replace("stand-in-key", "another-key");
    let stage = Stage { rig: build(&wrong).unwrap(), stand_in: (SANDBOX.build)() };
    for nonce in 0..10 {
        assert_eq!(stage.code(&["bonnie"], nonce), format!("70009 {:?}", Repeat::EndsRoute));
    }
    assert_eq!(stage.code(&["bonnie"], 11), "70050 EndsRoute");
    let right = super::sandbox_tests::stage();
    let (_, request) = signed(&right, &["bonnie"]);
    assert_eq!(code(&*stage.stand_in, &request, vector_time() + Duration::from_secs(60)), 0);
}

/// Replaces one member of a valid body and checks the code that answers.
fn check_members(members: &[(&str, Value, u64)]) {
    let (_, mut request) = signed(&stage(), &["bonnie"]);
    let valid: Value = serde_json::from_slice(&request.body).unwrap();
    for (name, value, expected) in members {
        let mut body = valid.clone();
        body[*name] = value.clone();
        request.body = body.to_string().into();
        let found = code(&*(SANDBOX.build)(), &request, vector_time());
        assert_eq!(found, *expected, "{name}={value}");
    }
}

#[test]
fn bodies_are_checked_field_by_field() {
    check_members(&[
        ("To_Account", json!("bonnie"), 90028),
        ("To_Account", json!([]), 90029),
        ("To_Account", json!([1]), 90003),
        ("To_Account", json!([""]), 90003),
        ("To_Account", json!(vec!["a"; 501]), 90011),
        ("To_Account", json!(vec!["a"; 500]), 0),
        ("From_Account", json!(""), 90008),
        ("MsgRandom", json!("7"), 90005),
        ("MsgRandom", json!(4_294_967_296_u64), 90005),
        ("MsgSeq", json!(-1), 90004),
        ("MsgTimeStamp", json!("x"), 90006),
        ("SyncFromOldSystem", json!("x"), 90030),
        ("SyncOtherMachine", json!(3), 90031),
        ("MsgLifeTime", json!("60"), 90044),
        ("MsgLifeTime", json!(604_801), 90026),
        ("OnlineOnlyFlag", json!(true), 90010),
        ("CloudCustomData", json!({}), 90010),
        ("SendMsgControl", json!(["Loud"]), 90010),
        ("OfflinePushInfo", json!({"PushFlag": "0"}), 90043),
        ("OfflinePushInfo", json!({"ApnsInfo": {"BadgeMode": 2}}), 90043),
        ("From_Accout", json!("dave"), 90010),
    ]);
}

#[test]
fn messages_are_checked_field_by_field() {
    check_members(&[
        ("MsgBody", json!({}), 90007),
        ("MsgBody", json!([]), 90002),
        ("MsgBody", json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": 1}}]), 90002),
        ("MsgBody", json!([{"MsgType": "TIMTextElem", "MsgContent": {"text": "x"}}]), 90002),
        ("MsgBody", json!([{"MsgType": "TIMRelayElem", "MsgContent": {}}]), 90002),
        ("MsgBody", json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x".repeat(12_288)}}]), 93000),
    ]);
}

#[test]
fn a_body_is_a_json_object() {
    let (_, mut request) = signed(&stage(), &["bonnie"]);
    for (body, expected) in [("{", 90001), ("[]", 90010), ("{}", 90003)] {
        request.body = body.into();
        let found = code(&*(SANDBOX.build)(), &request, vector_time());
        assert_eq!(found, expected, "{body}");
    }
}

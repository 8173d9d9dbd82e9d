//! What the stand-in checks: signature, shape and documented limits of a request.
//!
//! Written from the provider's documents and apart from the adapter, so that one mistake cannot cancel the
//! other. Errors are those that the documents list, in the order in which a gateway finds them.
//!
//! Sources, read 2026-11-21: `BatchSendMessage`; Volcengine RTC, common request parameters; volc-sdk-golang,
//! `base/sign.go`; the common error pages.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::adapter::sandbox::Arrival;

/// The application that exists here.
pub(super) const APP_ID: i64 = 666_675;
/// The access key that exists here.
pub(super) const ACCESS_KEY_ID: &str = "AKLTSANDBOX0000000000000000000000";
/// Its secret.
pub(super) const SECRET_ACCESS_KEY: &str = "SandboxSecretOfNobody";

/// Most receivers of one call.
const MOST_RECEIVERS: usize = 500;
/// How long a signature is valid, before and after its date.
const SIGNATURE_LIFE: Duration = Duration::from_secs(900);

/// A documented error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: u16,
    /// `Code`.
    pub(super) code: &'static str,
    /// `CodeN`; 0 = an error of the service itself.
    pub(super) number: u32,
    /// `Message`.
    pub(super) message: &'static str,
}

impl Refusal {
    /// An error of the gateway.
    pub(super) const fn gateway(status: u16, code: &'static str, number: u32, message: &'static str) -> Self {
        Self { status, code, number, message }
    }

    /// An error of the service behind it.
    pub(super) const fn service(code: &'static str, message: &'static str) -> Self {
        Self::gateway(400, code, 0, message)
    }
}

/// The documented body. Types are exact: a string where a number belongs is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Body {
    app_id: Option<i64>,
    sender: Option<i64>,
    receiver: Option<Vec<i64>>,
    msg_type: Option<i32>,
    #[expect(dead_code, reason = "only its type is checked: the provider passes it on")]
    inbox_type: Option<i32>,
    content: Option<String>,
    #[expect(dead_code, reason = "only its type is checked")]
    is_normal_user: Option<bool>,
    #[expect(dead_code, reason = "only its type is checked: the provider passes it on")]
    ext: Option<BTreeMap<String, String>>,
}

/// Checks everything; returns the receivers.
pub(super) fn check(request: &Arrival<'_>, now: SystemTime) -> Result<Vec<i64>, Refusal> {
    check_action(request)?;
    check_signature(request, now)?;
    check_body(request)
}

fn check_action(request: &Arrival<'_>) -> Result<(), Refusal> {
    const UNKNOWN: Refusal = Refusal::gateway(
        404,
        "InvalidActionOrVersion",
        100_008,
        "Could not find operation for this action and version.",
    );
    const MISSING: Refusal = Refusal::gateway(
        400,
        "MissingParameter",
        100_002,
        "The request is missing Action or Version parameter.",
    );
    if request.method != "POST" || !matches!(request.path, "" | "/") {
        return Err(UNKNOWN);
    }
    let action = request.query_value("Action").ok_or(MISSING)?;
    let version = request.query_value("Version").ok_or(MISSING)?;
    if action == "BatchSendMessage" && version == "2020-12-01" { Ok(()) } else { Err(UNKNOWN) }
}

/// `Authorization` taken apart.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

fn read_authorization<'a>(request: &'a Arrival<'_>) -> Result<Authorization<'a>, Refusal> {
    const MALFORMED: Refusal =
        Refusal::gateway(400, "InvalidAuthorization", 0, "The Authorization is malformed.");
    let text = request.header("authorization").ok_or(Refusal::gateway(
        401,
        "MissingAuthenticationToken",
        100_003,
        "The request has no authentication data.",
    ))?;
    let rest = text.strip_prefix("HMAC-SHA256 ").ok_or(MALFORMED)?;
    let part = |name: &str| rest.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    Ok(Authorization {
        credential: part("Credential").ok_or(MALFORMED)?,
        signed_headers: part("SignedHeaders").ok_or(MALFORMED)?,
        signature: part("Signature").ok_or(Refusal::gateway(
            401,
            "MissingSignature",
            100_005,
            "The request is missing its signature.",
        ))?,
    })
}

fn check_signature(request: &Arrival<'_>, now: SystemTime) -> Result<(), Refusal> {
    const MISMATCH: Refusal = Refusal::gateway(
        401,
        "SignatureDoesNotMatch",
        100_010,
        "The request signature we calculated does not match the signature you provided.",
    );
    let authorization = read_authorization(request)?;
    let x_date = request.header("x-date").ok_or(Refusal::gateway(
        400,
        "MissingRequestInfo",
        100_004,
        "The request is missing its date.",
    ))?;
    let region = check_scope(authorization.credential, x_date)?;
    check_date(x_date, now)?;
    if request.header("x-security-token").is_some() {
        let message = "The security token is invalid or expired.";
        return Err(Refusal::gateway(401, "InvalidSecretToken", 0, message));
    }
    let body_digest = hexadecimal(&Sha256::digest(request.body));
    if request.header("x-content-sha256") != Some(&body_digest) {
        return Err(MISMATCH);
    }
    let names: Vec<&str> = authorization.signed_headers.split(';').collect();
    let signs_enough = ["host", "x-content-sha256", "x-date"].iter().all(|name| names.contains(name));
    if !signs_enough || !names.is_sorted() {
        return Err(MISMATCH);
    }
    let mut lines = vec!["POST".to_owned(), "/".to_owned(), sorted_query(request.query)];
    for name in &names {
        let value = request.header(name).ok_or(MISMATCH)?;
        lines.push(format!("{name}:{}", value.trim()));
    }
    lines.push(String::new());
    lines.push(authorization.signed_headers.to_owned());
    lines.push(body_digest);
    let digest = hexadecimal(&Sha256::digest(lines.join("\n")));
    let (date, _) = x_date.split_at_checked(8).ok_or(MISMATCH)?;
    let text = format!("HMAC-SHA256\n{x_date}\n{date}/{region}/rtc/request\n{digest}");
    let mut key = SECRET_ACCESS_KEY.as_bytes().to_vec();
    for step in [date, region, "rtc", "request", &text] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| MISMATCH)?;
        mac.update(step.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    if hexadecimal(&key) == authorization.signature { Ok(()) } else { Err(MISMATCH) }
}

/// Checks `<key>/<date>/<region>/rtc/request`; returns the region.
fn check_scope<'a>(credential: &'a str, x_date: &str) -> Result<&'a str, Refusal> {
    const MALFORMED: Refusal = Refusal::gateway(400, "InvalidCredential", 0, "The credential is malformed.");
    let parts: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, service, "request"] = parts.as_slice() else {
        return Err(MALFORMED);
    };
    if *access_key != ACCESS_KEY_ID {
        let message = "The accesskey included in the request is invalid.";
        return Err(Refusal::gateway(401, "InvalidAccessKey", 100_009, message));
    }
    if *service != "rtc" {
        return Err(Refusal::gateway(404, "ServiceNotFound", 100_007, "Service not found."));
    }
    if x_date.starts_with(date) && date.len() == 8 && !region.is_empty() {
        Ok(region)
    } else {
        Err(MALFORMED)
    }
}

fn check_date(x_date: &str, now: SystemTime) -> Result<(), Refusal> {
    let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", x_date)
        .ok()
        .filter(|_| x_date.len() == 16)
        .and_then(|date| date.to_zoned(TimeZone::UTC).ok())
        .map(|date| SystemTime::from(date.timestamp()));
    let distance = signed_at.map(|signed_at| match now.duration_since(signed_at) {
        Ok(age) => age,
        Err(ahead) => ahead.duration(),
    });
    match distance {
        Some(distance) if distance <= SIGNATURE_LIFE => Ok(()),
        Some(_) | None => Err(EXPIRED),
    }
}

/// The answer to a signature that is too old.
pub(super) const EXPIRED: Refusal =
    Refusal::gateway(403, "InvalidTimestamp", 100_006, "The Signature of the request is expired.");

fn check_body(request: &Arrival<'_>) -> Result<Vec<i64>, Refusal> {
    if request.body.is_empty() {
        return Err(Refusal::service("InvalidParameter.BodyIsEmpty", "body is empty"));
    }
    let is_json = request
        .header("content-type")
        .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some("application/json"));
    if !is_json {
        let message = "Content-Type must be application/json";
        return Err(Refusal::service("InvalidParameter", message));
    }
    let body: Body = serde_json::from_slice(request.body).map_err(|_| {
        Refusal::service("InvalidParameter.Unmarshal", "body does not have the documented types")
    })?;
    check_fields(body)
}

fn check_fields(body: Body) -> Result<Vec<i64>, Refusal> {
    let missing = |message| Refusal::service("InvalidParameter", message);
    let app_id = body.app_id.ok_or(missing("AppId is required"))?;
    let sender = body.sender.ok_or(missing("Sender is required"))?;
    let receivers = body.receiver.ok_or(missing("Receiver is required"))?;
    body.msg_type.ok_or(missing("MsgType is required"))?;
    body.content.ok_or(missing("Content is required"))?;
    if app_id <= 0 {
        return Err(Refusal::service("InvalidParameter.IllegalAppId", "illegal AppId"));
    }
    if app_id != APP_ID {
        return Err(Refusal::service("InvalidParameter.NotExistAppId", "AppId does not exist"));
    }
    if sender < 0 {
        return Err(Refusal::service("InvalidParameter.IllegalFrom", "illegal Sender"));
    }
    if receivers.is_empty() || receivers.iter().any(|receiver| *receiver < 0) {
        return Err(Refusal::service("InvalidParameter.IllegalTo", "illegal Receiver"));
    }
    if receivers.len() > MOST_RECEIVERS {
        let message = "more than 500 receivers";
        return Err(Refusal::service("InvalidParameter.UserCountOverLimit", message));
    }
    Ok(receivers)
}

/// The query as it came, its parts sorted: names and values are already encoded as the canonical form wants.
fn sorted_query(query: &str) -> String {
    let mut parts: Vec<&str> = query.split('&').collect();
    parts.sort_unstable();
    parts.join("&")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! What the stand-in checks in the URL: parameters and UserSig.
//!
//! Source: REST API introduction, "request URL"; UserSig (documents 32688 and 1655); error codes 60002 to
//! 70014; read 2026-11-21. Which code answers which mistake is Assumed where the table has two that fit.

use std::io::Read;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::adapter::sandbox::Arrival;
use crate::providers::tencent_tim::sandbox::Refusal;

/// The only application that the stand-in knows; the settings of its channel say the same.
const APPLICATION: u64 = 1_499_990_001;
/// Its only administrator.
const ADMINISTRATOR: &str = "sandbox-admin";
/// Its key.
const KEY: &[u8] = b"stand-in-key-that-opens-nothing";

/// Most bytes that an inflated signature may have; a real one has a few hundred.
const MOST_INFLATED: u64 = 4096;

/// Checks the URL's parameters.
pub(super) fn check(request: &Arrival<'_>, now: SystemTime) -> Result<(), Refusal> {
    if request.query_value("contenttype").as_deref() != Some("json") {
        return Err((60002, "contenttype must be json"));
    }
    let random: Option<u32> = request.query_value("random").and_then(|text| text.parse().ok());
    if random.is_none() {
        return Err((60002, "random must be an unsigned 32-bit integer"));
    }
    let application = request.query_value("sdkappid").ok_or((60012, "sdkappid is missing"))?;
    let application: u64 = application.parse().map_err(|_| (60006, "sdkappid is not a number"))?;
    if application != APPLICATION {
        return Err((70020, "sdkappid not found"));
    }
    let identifier = request
        .query_value("identifier")
        .filter(|identifier| !identifier.is_empty())
        .ok_or((60004, "identifier is missing"))?;
    let signature = request.query_value("usersig").ok_or((60004, "usersig is missing"))?;
    if signature.is_empty() {
        return Err((70002, "usersig is empty"));
    }
    verify(&signature, application, &identifier, now)?;
    if identifier != ADMINISTRATOR {
        return Err((90009, "identifier is not an administrator"));
    }
    Ok(())
}

fn verify(signature: &str, application: u64, identifier: &str, now: SystemTime) -> Result<(), Refusal> {
    const UNREADABLE: Refusal = (70003, "usersig is invalid or truncated");
    let ticket = unpack(signature).ok_or(UNREADABLE)?;
    let number = |name: &str| ticket.get(name).and_then(Value::as_u64).ok_or(UNREADABLE);
    let text = |name: &str| ticket.get(name).and_then(Value::as_str).ok_or(UNREADABLE);
    let (time, expire) = (number("TLS.time")?, number("TLS.expire")?);
    let (signed_application, signed_identifier) = (number("TLS.sdkappid")?, text("TLS.identifier")?);
    if text("TLS.ver")? != "2.0" {
        return Err((70005, "usersig has an unknown version"));
    }
    if signed_identifier != identifier {
        return Err((70013, "identifier does not match usersig"));
    }
    if signed_application != application {
        return Err((70014, "sdkappid does not match usersig"));
    }
    let mut lines = String::new();
    for (name, value) in [
        ("identifier", identifier.to_owned()),
        ("sdkappid", application.to_string()),
        ("time", time.to_string()),
        ("expire", expire.to_string()),
    ] {
        lines.extend(["TLS.", name, ":", &value, "\n"]);
    }
    let seal = STANDARD.decode(text("TLS.sig")?).map_err(|_| UNREADABLE)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).map_err(|_| UNREADABLE)?;
    mac.update(lines.as_bytes());
    mac.verify_slice(&seal).map_err(|_| (70009, "usersig verification failed"))?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now >= time.saturating_add(expire) {
        return Err((70001, "usersig is expired"));
    }
    Ok(())
}

/// The JSON inside a signature.
pub(super) fn unpack(signature: &str) -> Option<Value> {
    let plain: String = signature
        .chars()
        .map(|symbol| match symbol {
            '*' => Some('+'),
            '-' => Some('/'),
            '_' => Some('='),
            // The plain alphabet's own symbols have no place here.
            '+' | '/' | '=' => None,
            other => Some(other),
        })
        .collect::<Option<_>>()?;
    let packed = STANDARD.decode(plain).ok()?;
    let mut json = Vec::new();
    ZlibDecoder::new(packed.as_slice()).take(MOST_INFLATED).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

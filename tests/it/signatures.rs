//! The providers' signatures, recomputed from their documents and checked against the vectors.
//!
//! Nothing of the adapters is used here: one mistake must not cancel the other.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fake_provider::Arrival;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What a TIM `UserSig` holds: unpacked from its URL-safe base64 and zlib.
pub(crate) fn unpack_usersig(text: &str) -> Result<Value, String> {
    let standard = text.replace('*', "+").replace('-', "/").replace('_', "=");
    let packed = STANDARD.decode(standard).map_err(|error| error.to_string())?;
    let mut unpacked = String::new();
    flate2::read::ZlibDecoder::new(&packed[..])
        .read_to_string(&mut unpacked)
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&unpacked).map_err(|error| error.to_string())
}

/// The signature inside a TIM `UserSig`.
pub(crate) fn usersig_signature(unpacked: &Value, key: &str) -> String {
    let mut text = format!(
        "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
        unpacked["TLS.identifier"].as_str().unwrap_or_default(),
        unpacked["TLS.sdkappid"],
        unpacked["TLS.time"],
        unpacked["TLS.expire"]
    );
    if let Some(room_rights) = unpacked["TLS.userbuf"].as_str() {
        text.push_str(&format!("TLS.userbuf:{room_rights}\n"));
    }
    STANDARD.encode(hmac(key.as_bytes(), &text))
}

/// The key that a Volcengine request was signed with.
pub(crate) struct VolcKey<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) secret_key: &'a str,
    pub(crate) region: &'a str,
}

/// The `Authorization` that a request as it arrived ought to have.
pub(crate) fn volc_authorization(arrival: &Arrival, key: &VolcKey<'_>) -> String {
    let mut names = vec!["content-type", "host", "x-content-sha256", "x-date"];
    if arrival.header("x-security-token").is_some() {
        names.push("x-security-token");
    }
    names.sort_unstable();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", arrival.header(name).unwrap_or_default())).collect();
    let mut query: Vec<&str> = arrival.query.split('&').collect();
    query.sort_unstable();
    let signed = names.join(";");
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        arrival.method,
        arrival.path,
        query.join("&"),
        sha256_hex(&arrival.body)
    );
    let time = arrival.header("x-date").unwrap_or_default();
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/rtc/request", key.region);
    let to_sign = format!("HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let signing_key = [key.region, "rtc", "request"]
        .iter()
        .fold(hmac(key.secret_key.as_bytes(), day), |outer, part| hmac(&outer, part));
    format!(
        "HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={}",
        key.access_key,
        hex(&hmac(&signing_key, &to_sign))
    )
}

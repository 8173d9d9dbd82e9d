//! Signs requests: HMAC-SHA256 over a canonical form, version-4 style.
//!
//! The signature covers the body, so it is made last; it lives 15 minutes, so every try gets its own.
//!
//! Source: volc-sdk-golang, `base/sign.go`; Volcengine RTC, common request parameters; read 2026-11-21.

use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, Uri, header};
use sha2::{Digest, Sha256};

use crate::adapter::wire::{WireRequest, percent_encode};
use crate::adapter::{Attempt, AuthError, GivenCredentials, Sign};
use crate::providers::volcengine_rtc::settings::Credentials;

const ALGORITHM: &str = "HMAC-SHA256";
const SERVICE: &str = "rtc";
const TERMINATOR: &str = "request";

const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");
const X_DATE: HeaderName = HeaderName::from_static("x-date");
const X_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// Puts the four (with a session token five) signed headers and the signature into a request.
pub(super) struct Signer {
    credentials: Credentials,
    host: String,
}

/// The `Host` header that the transport sends for `base_url`: with the port unless it is 80 or 443.
///
/// `None` if the URL has a path, since the canonical path is `/`.
pub(super) fn signed_host(base_url: &Uri) -> Option<String> {
    if !matches!(base_url.path(), "" | "/") {
        return None;
    }
    let host = base_url.host()?.to_ascii_lowercase();
    Some(match base_url.port_u16() {
        None | Some(80 | 443) => host,
        Some(port) => format!("{host}:{port}"),
    })
}

impl Signer {
    /// Signs with `credentials` for `host`, the text of the `Host` header.
    pub(super) fn new(credentials: Credentials, host: String) -> Self {
        Self { credentials, host }
    }

    /// The canonical request and the names of its signed headers.
    ///
    /// # Errors
    /// [`AuthError::Unusable`] if a header is not text.
    pub(super) fn canonical_request(
        &self,
        request: &WireRequest,
        body_hash: &str,
    ) -> Result<(String, String), AuthError> {
        let (headers, names) = self.canonical_headers(request)?;
        let query = canonical_query(request);
        let text = format!("{}\n/\n{query}\n{headers}\n{names}\n{body_hash}", request.method);
        Ok((text, names))
    }

    /// The text that the key signs.
    pub(super) fn string_to_sign(&self, x_date: &str, canonical_request: &str) -> String {
        let scope = self.scope(x_date);
        let request_hash = hex(&Sha256::digest(canonical_request.as_bytes()));
        format!("{ALGORITHM}\n{x_date}\n{scope}\n{request_hash}")
    }

    /// The key of one day, region and service.
    ///
    /// # Errors
    /// [`AuthError::Unusable`] if the secret cannot be a key.
    pub(super) fn signing_key(&self, x_date: &str) -> Result<[u8; 32], AuthError> {
        let secret = self.credentials.secret_access_key.expose().as_bytes();
        let by_date = keyed_hash(secret, day(x_date))?;
        let by_region = keyed_hash(&by_date, &self.credentials.region)?;
        let by_service = keyed_hash(&by_region, SERVICE)?;
        keyed_hash(&by_service, TERMINATOR)
    }

    /// The `Authorization` header of a request that has all other headers.
    ///
    /// # Errors
    /// [`AuthError::Unusable`] as above.
    pub(super) fn authorization(
        &self,
        request: &WireRequest,
        x_date: &str,
        body_hash: &str,
    ) -> Result<String, AuthError> {
        let (canonical_request, names) = self.canonical_request(request, body_hash)?;
        let text = self.string_to_sign(x_date, &canonical_request);
        let signature = hex(&keyed_hash(&self.signing_key(x_date)?, &text)?);
        Ok(format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.credentials.access_key_id.expose(),
            self.scope(x_date),
        ))
    }

    fn scope(&self, x_date: &str) -> String {
        let region = &self.credentials.region;
        format!("{}/{region}/{SERVICE}/{TERMINATOR}", day(x_date))
    }

    /// The signed headers as lines, and their names; both in the order of the names.
    fn canonical_headers(&self, request: &WireRequest) -> Result<(String, String), AuthError> {
        let mut lines = String::with_capacity(256);
        let mut names = String::with_capacity(64);
        for name in [header::CONTENT_TYPE, header::HOST, X_CONTENT_SHA256, X_DATE, X_SECURITY_TOKEN] {
            // The transport adds `Host` after the signing.
            let value = match request.headers.get(&name) {
                _ if name == header::HOST => self.host.as_str(),
                Some(value) => value.to_str().map_err(|_| AuthError::Unusable("header"))?,
                None => continue,
            };
            for part in [name.as_str(), ":", value.trim(), "\n"] {
                lines.push_str(part);
            }
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name.as_str());
        }
        Ok((lines, names))
    }
}

impl Sign for Signer {
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        let x_date = format_date(attempt.now)?;
        let body_hash = hex(&Sha256::digest(&request.body));
        if !request.set_header(X_DATE, &x_date) || !request.set_header(X_CONTENT_SHA256, &body_hash) {
            return Err(AuthError::Unusable("date"));
        }
        if let Some(token) = &self.credentials.session_token
            && !request.set_secret_header(X_SECURITY_TOKEN, token.expose())
        {
            return Err(AuthError::Unusable("session_token"));
        }
        let authorization = self.authorization(request, &x_date, &body_hash)?;
        if request.set_secret_header(header::AUTHORIZATION, &authorization) {
            Ok(())
        } else {
            Err(AuthError::Unusable("access_key_id"))
        }
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        None
    }
}

/// `YYYYMMDD'T'HHMMSS'Z'` in UTC.
fn format_date(now: SystemTime) -> Result<String, AuthError> {
    let now = jiff::Timestamp::try_from(now).map_err(|_| AuthError::Unusable("date"))?;
    Ok(now.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// `YYYYMMDD` of an `X-Date`.
fn day(x_date: &str) -> &str {
    x_date.get(..8).unwrap_or_default()
}

/// Keys sorted, names and values percent-encoded.
fn canonical_query(request: &WireRequest) -> String {
    let mut parameters: Vec<_> = request.query.iter().collect();
    parameters.sort_by(|one, other| one.name.cmp(other.name));
    let mut text = String::with_capacity(64);
    for parameter in parameters {
        if !text.is_empty() {
            text.push('&');
        }
        percent_encode(&mut text, parameter.name);
        text.push('=');
        percent_encode(&mut text, &parameter.value);
    }
    text
}

fn keyed_hash(key: &[u8], text: &str) -> Result<[u8; 32], AuthError> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| AuthError::Unusable("secret_access_key"))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

//! One HTTP exchange with a provider, as data.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::adapter::secret::REDACTED;

/// What goes to a provider.
///
/// The host is not in it: the transport joins `path` to the channel's base URL, so no request can leave it.
#[derive(Clone)]
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// Path below the base URL, starting with `/`, already percent-encoded.
    pub path: String,
    /// Query parameters in order, not yet percent-encoded.
    pub query: Vec<QueryParameter>,
    /// Headers; values that are secret are marked with [`HeaderValue::set_sensitive`].
    pub headers: HeaderMap,
    /// The body, exactly as sent.
    pub body: Bytes,
    /// Whether the body holds a credential, so that nobody may see it.
    pub has_secret_body: bool,
    /// Most time from the start of the try to the end of the answer.
    pub timeout: Duration,
}

/// One parameter of a query.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryParameter {
    /// The name.
    pub name: &'static str,
    /// The value, not yet percent-encoded.
    pub value: String,
    /// Whether the value must never be shown.
    pub is_secret: bool,
}

impl WireRequest {
    /// A JSON POST.
    #[must_use]
    pub fn post_json(path: impl Into<String>, body: impl Into<Bytes>, timeout: Duration) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            method: Method::POST,
            path: path.into(),
            query: Vec::new(),
            headers,
            body: body.into(),
            has_secret_body: false,
            timeout,
        }
    }

    /// Appends a query parameter that anybody may see.
    pub fn push_query(&mut self, name: &'static str, value: impl Into<String>) {
        self.query.push(QueryParameter { name, value: value.into(), is_secret: false });
    }

    /// Appends a query parameter that must never be shown.
    pub fn push_secret_query(&mut self, name: &'static str, value: impl Into<String>) {
        self.query.push(QueryParameter { name, value: value.into(), is_secret: true });
    }

    /// Sets a header; `false` if the value has characters that no header may carry.
    #[must_use]
    pub fn set_header(&mut self, name: HeaderName, value: &str) -> bool {
        self.insert_header(name, value, false)
    }

    /// Sets a header that must never be shown; `false` as in [`Self::set_header`].
    #[must_use]
    pub fn set_secret_header(&mut self, name: HeaderName, value: &str) -> bool {
        self.insert_header(name, value, true)
    }

    fn insert_header(&mut self, name: HeaderName, value: &str, is_secret: bool) -> bool {
        let Ok(mut value) = HeaderValue::from_str(value) else {
            return false;
        };
        value.set_sensitive(is_secret);
        self.headers.insert(name, value);
        true
    }

    /// The path and the query below `prefix`, percent-encoded: what stands in the request's first line.
    #[must_use]
    pub fn target(&self, prefix: &str) -> String {
        let query_bytes: usize =
            self.query.iter().map(|known| known.name.len() + known.value.len() + 8).sum();
        let mut text = String::with_capacity(prefix.len() + self.path.len() + query_bytes);
        text.push_str(prefix);
        text.push_str(&self.path);
        let mut separator = '?';
        for parameter in &self.query {
            text.push(separator);
            push_parameter(&mut text, parameter.name, &parameter.value);
            separator = '&';
        }
        text
    }

    /// The percent-encoded query without `?`; empty if there is none.
    #[must_use]
    pub fn encoded_query(&self) -> String {
        let mut text = String::new();
        for parameter in &self.query {
            push_separator(&mut text);
            push_parameter(&mut text, parameter.name, &parameter.value);
        }
        text
    }

    /// The query as a person may see it: secrets are `[redacted]`.
    #[must_use]
    pub fn redacted_query(&self) -> String {
        let mut text = String::new();
        for parameter in &self.query {
            push_separator(&mut text);
            if parameter.is_secret {
                text.push_str(parameter.name);
                text.push('=');
                text.push_str(REDACTED);
            } else {
                push_parameter(&mut text, parameter.name, &parameter.value);
            }
        }
        text
    }
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WireRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn push_separator(text: &mut String) {
    if !text.is_empty() {
        text.push('&');
    }
}

fn push_parameter(text: &mut String, name: &str, value: &str) {
    percent_encode(text, name);
    text.push('=');
    percent_encode(text, value);
}

/// Appends `value` percent-encoded: only `A-Z a-z 0-9 - _ . ~` stay (RFC 3986, section 2.3).
pub fn percent_encode(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // What stays is copied run by run; inside a letter of several bytes a run is empty.
    let mut start = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            continue;
        }
        text.push_str(value.get(start..at).unwrap_or_default());
        start = at + 1;
        text.push('%');
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(HEX.get(usize::from(digit)).copied().unwrap_or(b'0')));
        }
    }
    text.push_str(value.get(start..).unwrap_or_default());
}

/// What came back from a provider, whole.
#[derive(Clone)]
pub struct WireResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most as long as the transport allows.
    pub body: Bytes,
}

impl WireResponse {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: body.into() }
    }

    /// The `Retry-After` header in seconds, at most an hour; dates are not understood.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        let seconds: u64 = text.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(crate::domain::failure::MAX_RETRY_AFTER))
    }
}

impl fmt::Debug for WireResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WireResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Appends `text` as a JSON string, quotes included (RFC 8259, section 7).
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        push_escaped(out, text);
    }
    out.push(b'"');
}

/// Whether a JSON string holds these bytes as they are: no quote, backslash or control character.
///
/// Looks at eight bytes at once: ids are short and many.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | marks(*word));
    // The last eight bytes once more, so that only texts shorter than that are read byte by byte.
    let found_in_rest = match bytes.last_chunk::<8>() {
        Some(last) => marks(*last) != 0,
        None => rest.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')),
    };
    found == 0 && !found_in_rest
}

/// Not zero if one of the eight bytes cannot stand in a JSON string as it is.
///
/// Source of the arithmetic: S. E. Anderson, Bit Twiddling Hacks, "Determine if a word has a byte less than n".
fn marks(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST_BITS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_ne_bytes(bytes);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & HIGHEST_BITS
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control if control < 0x20 => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_the_query_and_hides_secrets() {
        let mut request = WireRequest::post_json("/x", "{}", Duration::from_secs(1));
        request.push_query("identifier", "admin user");
        request.push_secret_query("usersig", "eJy*-_+");
        assert_eq!(request.encoded_query(), "identifier=admin%20user&usersig=eJy%2A-_%2B");
        assert_eq!(request.redacted_query(), "identifier=admin%20user&usersig=[redacted]");
        assert!(!format!("{request:?}").contains("eJy"));
    }

    #[test]
    fn json_strings_agree_with_serde_json() {
        for text in ["", "bonnie", "a\"b\\c", "tab\tnew\nline\r\u{1}\u{1f}", "中文 😀", "\u{7f}\u{2028}"]
        {
            let mut out = Vec::new();
            push_json_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn a_character_that_needs_an_escape_is_found_wherever_it_stands() {
        for length in 1..20 {
            for place in 0..length {
                for byte in 0..=127_u8 {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    let needs_escape = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(is_plain(&text), !needs_escape, "{byte} at {place} of {length}");
                }
            }
        }
        assert!(is_plain(b"") && is_plain("中文 😀 \u{7f}\u{2028}".as_bytes()));
    }

    #[test]
    fn what_stays_and_what_is_encoded_alternate_freely() {
        for (text, expected) in [
            ("", ""),
            ("a-b_c.d~9", "a-b_c.d~9"),
            (" a  b", "%20a%20%20b"),
            ("中a/", "%E4%B8%ADa%2F"),
            ("é", "%C3%A9"),
        ] {
            let mut encoded = String::new();
            percent_encode(&mut encoded, text);
            assert_eq!(encoded, expected);
        }
        let mut request = WireRequest::post_json("/x", "{}", Duration::from_secs(1));
        assert_eq!(request.target("/prefix"), "/prefix/x");
        request.push_query("a", "1 2");
        request.push_query("b", "3");
        assert_eq!(request.target("/prefix"), "/prefix/x?a=1%202&b=3");
    }

    #[test]
    fn reads_retry_after_in_seconds() {
        let mut response = WireResponse::json(StatusCode::OK, "");
        assert_eq!(response.retry_after(), None);
        for (text, expected) in [("7", Some(7)), ("999999", Some(3600)), ("soon", None), ("-1", None)] {
            response.headers.insert("retry-after", HeaderValue::from_str(text).unwrap());
            assert_eq!(response.retry_after(), expected.map(Duration::from_secs), "{text}");
        }
    }
}

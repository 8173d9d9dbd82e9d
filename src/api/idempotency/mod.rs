//! The `Idempotency-Key` header, and what it stands for.

pub mod fingerprint;

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::api::problem::{Problem, ProblemCode};

/// The header's name.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Most characters of a key.
const MOST_CHARACTERS: usize = 255;

/// Reads the caller's key: 1 to 255 visible ASCII characters, bare or as a quoted string (RFC 9651, section 3.3.3),
/// which mean the same.
///
/// # Errors
/// A [`Problem`] if it is no such key, or if there are several.
pub fn read(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refusal("is given twice"));
    }
    let text = value.to_str().map_err(|_| refusal("must be visible ASCII characters"))?;
    let key = match text.strip_prefix('"') {
        None => text.to_owned(),
        Some(rest) => unquote(rest).ok_or_else(|| refusal("is a quoted string that does not end as one"))?,
    };
    if !(1..=MOST_CHARACTERS).contains(&key.len()) {
        return Err(refusal("must have 1 to 255 characters"));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refusal("must be visible ASCII characters"));
    }
    Ok(Some(key.into()))
}

/// What follows the first quotation mark.
fn unquote(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

fn refusal(why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidHeader, format!("`Idempotency-Key` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: Option<Option<&str>>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let read = read(&headers).ok();
        assert_eq!(read.as_ref().map(Option::as_deref), expected, "{values:?}");
    }

    #[test]
    fn a_key_is_visible_ascii_quoted_or_bare() {
        check(&[], Some(None));
        check(&["order-1"], Some(Some("order-1")));
        check(&["\"order-1\""], Some(Some("order-1")));
        check(&[r#""a\"b\\c""#], Some(Some("a\"b\\c")));
        check(&[&"k".repeat(255)], Some(Some(&"k".repeat(255))));
        check(&[r#"a"b"#], Some(Some("a\"b")));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        check(&[""], None);
        check(&["\"\""], None);
        check(&[&"k".repeat(256)], None);
        check(&["two words"], None);
        check(&["\"two words\""], None);
        check(&["\u{e9}"], None);
        check(&["\"open"], None);
        check(&["\"a\"b"], None);
        check(&[r#""a\b""#], None);
        check(&[r#""a\"#], None);
        check(&["a", "a"], None);
    }
}

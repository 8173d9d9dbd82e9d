//! A hash of what a request asks for: its path and its JSON values, whatever their white space and order of keys.

use std::borrow::Cow;

use serde::de::{Error as _, IgnoredAny};
use serde_json::Error;
use sha2::{Digest as _, Sha256};

/// Deepest nesting of a body: more than any request has that is not refused for it.
const MOST_DEPTH: usize = 128;

/// A hash on its way. Memory does not grow with the length of an array.
#[derive(Clone, Debug)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Begins with the path of the request.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let mut hash = Sha256::new();
        push_text(&mut hash, b'p', path);
        Self(hash)
    }

    /// Takes the next JSON value of the body.
    ///
    /// # Errors
    /// If it is none; what was taken of it cannot be taken back.
    pub fn push(&mut self, json: &str) -> serde_json::Result<()> {
        serde_json::from_str::<IgnoredAny>(json)?;
        Walk { rest: json }.value(&mut self.0, 0)
    }

    /// Takes a value that is too long to be read; the request is refused for it.
    pub fn push_unread(&mut self) {
        self.0.update(b"u");
    }

    /// The hash of everything that was taken.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Every value begins with a letter for its type, and says how long it is or where it ends.
fn push_text(hash: &mut Sha256, letter: u8, text: &str) {
    hash.update([letter]);
    hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(text.as_bytes());
}

/// Goes through JSON that is known to be some, value by value.
///
/// By hand, since a number has to be taken as it is written: no type of number holds every one that a caller may write,
/// and two that are not the same must not become it.
struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    /// Takes the next value into a hash.
    fn value(&mut self, hash: &mut Sha256, depth: usize) -> serde_json::Result<()> {
        if depth > MOST_DEPTH {
            return Err(Error::custom(format_args!("nested deeper than {MOST_DEPTH} levels")));
        }
        match self.peek() {
            Some('{') => self.object(hash, depth),
            Some('[') => {
                hash.update(b"[");
                self.items(']', |walk| walk.value(hash, depth + 1))?;
                hash.update(b"]");
                Ok(())
            }
            Some('"') => {
                push_text(hash, b's', &self.text()?);
                Ok(())
            }
            // A number, or one of the three words; none of these is another one's text.
            _ => {
                push_text(hash, b'v', self.take_until([',', ']', '}', ' ', '\t', '\r', '\n']));
                Ok(())
            }
        }
    }

    fn object(&mut self, hash: &mut Sha256, depth: usize) -> serde_json::Result<()> {
        let mut hashes = Vec::new();
        self.items('}', |walk| {
            let mut member = Sha256::new();
            push_text(&mut member, b'k', &walk.text()?);
            walk.peek();
            walk.skip(1);
            walk.value(&mut member, depth + 1)?;
            hashes.push(member.finalize());
            Ok(())
        })?;
        // By their hashes: any order will do that is not the caller's.
        hashes.sort_unstable();
        hash.update(b"{");
        for member in hashes {
            hash.update(member);
        }
        hash.update(b"}");
        Ok(())
    }

    /// Takes what stands between a bracket and the `close` that belongs to it, item by item.
    fn items(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        self.skip(1);
        while self.peek().is_some_and(|next| next != close) {
            item(self)?;
            if self.peek() == Some(',') {
                self.skip(1);
            }
        }
        self.skip(1);
        Ok(())
    }

    /// Takes a string.
    fn text(&mut self) -> serde_json::Result<Cow<'a, str>> {
        self.peek();
        let mut is_escaped = false;
        let quotation_mark = self.rest.bytes().enumerate().skip(1).find(|(_, byte)| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        });
        let length = quotation_mark.map_or(self.rest.len(), |(index, _)| index + 1);
        let token = self.take(length);
        let inner = token.get(1..length.saturating_sub(1)).unwrap_or_default();
        if inner.contains('\\') {
            serde_json::from_str(token).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(inner))
        }
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.chars().next()
    }

    fn take_until(&mut self, ends: [char; 7]) -> &'a str {
        self.take(self.rest.find(ends).unwrap_or(self.rest.len()))
    }

    fn skip(&mut self, length: usize) {
        self.take(length);
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(path: &str, values: &[&str]) -> [u8; 32] {
        let mut fingerprint = Fingerprint::new(path);
        for value in values {
            fingerprint.push(value).unwrap();
        }
        fingerprint.finish()
    }

    #[test]
    fn white_space_order_of_keys_and_spelling_do_not_matter() {
        let plain = of("/v1/batches", &[r#"{"a":[1,"x",null],"b":{"c":true,"d":-2}}"#]);
        let other = " { \"b\" : {\"d\":-2,\n\"c\":true}, \"\\u0061\" : [1, \"\\u0078\",\tnull] } ";
        assert_eq!(of("/v1/batches", &[other]), plain);
    }

    #[test]
    fn everything_else_matters() {
        let path = "/v1/batches";
        let all = [
            of(path, &[]),
            of("/v1/batches/x/resend", &[]),
            of(path, &["null"]),
            of(path, &["[]"]),
            of(path, &["{}"]),
            of(path, &["[1]"]),
            of(path, &["[[1]]"]),
            of(path, &["[1,2]"]),
            of(path, &["[2,1]"]),
            of(path, &["1", "2"]),
            of(path, &["12"]),
            of(path, &["\"12\""]),
            of(path, &["1.5"]),
            of(path, &["18446744073709551615"]),
            of(path, &["18446744073709551617"]),
            of(path, &["18446744073709551618"]),
            of(path, &["-9223372036854775809"]),
            of(path, &["-9223372036854775810"]),
            of(path, &["0.10000000000000000001"]),
            of(path, &["0.10000000000000000002"]),
            of(path, &["-1"]),
            of(path, &["true"]),
            of(path, &["\"true\""]),
            of(path, &["[]", "[]"]),
            of(path, &["[[],[]]"]),
            of(path, &[r#"["a","bc"]"#]),
            of(path, &[r#"["ab","c"]"#]),
            of(path, &[r#"{"a":"b"}"#]),
            of(path, &[r#"{"b":"a"}"#]),
            of(path, &[r#"{"a":{"b":1},"c":2}"#]),
            of(path, &[r#"{"a":{"b":1,"c":2}}"#]),
            of(path, &[r#"{"a":1,"a":2}"#]),
            of(path, &[r#"{"a":2}"#]),
        ];
        for (index, left) in all.iter().enumerate() {
            for right in all.iter().skip(index + 1) {
                assert_ne!(left, right, "{index}");
            }
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(130) + &"]".repeat(130);
        for text in ["", "{", "1 2", "[1,]", "nul", "\"a", "{\"a\" 1}", r#""\ud800""#, &deep] {
            assert!(Fingerprint::new("/").push(text).is_err(), "{text}");
        }
    }

    /// Anything that JSON can hold, brackets and quotation marks inside texts included.
    fn any_value() -> impl Strategy<Value = Value> {
        let text = "[a\"\\\\{}\\[\\],: \n\u{e9}]{0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::num::f64::NORMAL.prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::vec((text, inner), 0..5)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_has_one_fingerprint_and_no_other_value_has_it(left in any_value(), right in any_value()) {
            let fingerprint = |value: &Value| of("/", &[&value.to_string()]);
            prop_assert_eq!(fingerprint(&left), of("/", &[&serde_json::to_string_pretty(&left).unwrap()]));
            prop_assert_eq!(fingerprint(&left) == fingerprint(&right), left == right);
        }

        #[test]
        fn equal_values_have_one_fingerprint(names in proptest::collection::vec("[a-c]{0,2}", 0..5)) {
            let members = |names: &[String]| -> Value {
                names.iter().map(|name| (name.clone(), json!(name.len()))).collect::<serde_json::Map<_, _>>().into()
            };
            let mut reversed = names.clone();
            reversed.reverse();
            let (left, right) = (members(&names), members(&reversed));
            prop_assert_eq!(of("/", &[&left.to_string()]), of("/", &[&right.to_string()]));
        }
    }
}

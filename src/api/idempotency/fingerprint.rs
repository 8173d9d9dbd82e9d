//! A hash of what a request asks for: its path and its JSON values, whatever their white space and order of keys.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

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
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Feed(&mut self.0).deserialize(&mut deserializer)?;
        deserializer.end()
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

/// Reads one value into a hash.
struct Feed<'a>(&'a mut Sha256);

impl<'de> DeserializeSeed<'de> for Feed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Feed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.update(b"n");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.update(if value { b"t" } else { b"f" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.update(b"i");
        self.0.update(i128::from(value).to_be_bytes());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.update(b"i");
        self.0.update(i128::from(value).to_be_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.update(b"d");
        self.0.update(value.to_bits().to_be_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        push_text(self.0, b's', value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.update(b"[");
        while items.next_element_seed(Feed(self.0))?.is_some() {}
        self.0.update(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut hashes = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            let mut hash = Sha256::new();
            push_text(&mut hash, b'k', &name);
            members.next_value_seed(Feed(&mut hash))?;
            hashes.push(hash.finalize());
        }
        // By their hashes: any order will do that is not the caller's.
        hashes.sort_unstable();
        self.0.update(b"{");
        for hash in hashes {
            self.0.update(hash);
        }
        self.0.update(b"}");
        Ok(())
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
            of(path, &["-1"]),
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
        for text in ["", "{", "1 2", "[1,]", "nul"] {
            assert!(Fingerprint::new("/").push(text).is_err(), "{text}");
        }
    }

    proptest! {
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

//! Reads recipients: one a line, an id as it stands or JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::adapter::fields::read_id;
use crate::commands::InputError;

/// Recipients as JSON values, each ended by a line feed; none of them holds another one.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    lines: String,
    count: usize,
}

/// A recipient with the caller's own reference for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl Recipients {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// One JSON value a line.
    pub(super) fn lines(&self) -> &str {
        &self.lines
    }

    /// The same as a JSON array.
    pub(super) fn array(&self) -> String {
        format!("[{}]", self.lines.trim_end_matches('\n').replace('\n', ","))
    }

    /// Adds an id as it stands.
    pub(super) fn push(&mut self, id: &str) -> Result<(), serde_json::Error> {
        self.push_value(&id)
    }

    /// Adds every line of `content`, which came from `name`; empty lines are skipped.
    pub(super) fn push_lines(&mut self, name: &str, content: &[u8]) -> Result<(), InputError> {
        // Some editors put a mark in front of a text.
        let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let fault = |detail| InputError::Line { name: name.to_owned(), number: index + 1, detail };
            let line = std::str::from_utf8(line).map_err(|error| fault(format!("not UTF-8: {error}")))?;
            self.push_line(line.trim()).map_err(fault)?;
        }
        Ok(())
    }

    fn push_line(&mut self, line: &str) -> Result<(), String> {
        // The line is known already, and by another number.
        let explain =
            |error: serde_json::Error| error.to_string().replace(" at line 1 column ", " at column ");
        match line.as_bytes().first() {
            None => Ok(()),
            Some(b'{') => {
                let Entry { id, reference } = serde_json::from_str(line).map_err(explain)?;
                let id = read_id(id.get()).ok_or("`id` must be a string or a whole number")?;
                self.push_value(&Written { id: &id, reference }).map_err(explain)
            }
            Some(b'"') => {
                let id: String = serde_json::from_str(line).map_err(explain)?;
                self.push(&id).map_err(explain)
            }
            Some(_) => self.push(line).map_err(explain),
        }
    }

    fn push_value(&mut self, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.lines.push_str(&serde_json::to_string(value)?);
        self.lines.push('\n');
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<String, String> {
        let mut found = Recipients::default();
        found.push_lines("list.txt", content).map_err(|error| error.to_string())?;
        assert_eq!(found.lines().lines().count(), found.count());
        Ok(found.array())
    }

    #[test]
    fn takes_ids_as_they_stand_and_json() {
        let content = "\u{feff}bonnie\r\n\n 7 \n{\"id\": 12345678901234567890123, \"ref\": \"a\\nb\"}\n\"q\\\"\"\n{\"id\":\"é\"}\ntrue";
        let expected =
            r#"["bonnie","7",{"id":"12345678901234567890123","ref":"a\nb"},"q\"",{"id":"é"},"true"]"#;
        assert_eq!(read(content.as_bytes()).unwrap(), expected);
        assert_eq!(read(b"\n \n").unwrap(), "[]");
    }

    #[test]
    fn names_the_line_that_cannot_be_read() {
        for (content, expected) in [
            (&b"a\n\n{\"id\":1.5}\n"[..], "list.txt, line 3: `id` must be a string or a whole number"),
            (b"a\n{\"ref\":\"x\"}", "list.txt, line 2: missing field `id` at column 11"),
            (b"{\"id\":1,\"name\":\"x\"}", "list.txt, line 1: unknown field `name`"),
            (b"a\nb\n\"c", "list.txt, line 3: EOF while parsing a string"),
            (b"a\n\xff\n", "list.txt, line 2: not UTF-8"),
        ] {
            let fault = read(content).unwrap_err();
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}

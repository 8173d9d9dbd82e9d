//! Reads a stream of lines: first the short form without `to`, then one recipient a line.
//!
//! Takes the body piece by piece as it comes, and keeps the first line and the packed recipients, never the lines
//! of the recipients themselves. Empty lines are skipped. A caller hands over every piece and then asks for the end.

use serde_json::value::RawValue;

use crate::api::dto::entries::{Allowance, Entries};
use crate::api::dto::request::{Context, Decoded, Refusal, build};
use crate::api::dto::source::{Shape, Unreadable, parse};
use crate::api::idempotency::fingerprint::Fingerprint;
use crate::domain::fault::{Fault, FaultCode};

/// Most bytes of the first line, which holds the message.
pub const MOST_HEAD_BYTES: usize = 1 << 20;

/// Most bytes of any other line: far more than any provider's id and its `ref` take, however they are escaped.
pub const MOST_LINE_BYTES: usize = 64 * 1024;

/// One body on its way.
#[derive(Debug)]
pub struct LineReader {
    allowance: Allowance,
    most_routes: usize,
    /// The first line, once it was there and is an object.
    head: Option<String>,
    entries: Entries,
    /// Number of the line that comes next or is on its way, from 1.
    line_number: usize,
    /// What came of a line whose end is still to come.
    beginning: Vec<u8>,
    /// Whether that line is too long, and so not kept.
    is_too_long: bool,
    /// The hash of all lines so far, if one is wanted.
    fingerprint: Option<Fingerprint>,
}

impl LineReader {
    /// Nothing has come so far; `fingerprint` is what a hash of the body begins with, if one is wanted.
    #[must_use]
    pub fn new(most_recipients: usize, most_routes: usize, fingerprint: Option<Fingerprint>) -> Self {
        Self {
            allowance: Allowance::new(most_recipients),
            most_routes,
            head: None,
            entries: Entries::default(),
            line_number: 1,
            beginning: Vec::new(),
            is_too_long: false,
            fingerprint,
        }
    }

    /// Takes the next piece of the body, cut anywhere.
    ///
    /// # Errors
    /// [`Refusal`] if a line is no JSON, or the first one no object or too long; the rest need not be read.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                None => self.keep(part)?,
                // The usual case: a line that need not be put together.
                Some(line) if self.beginning.is_empty() && !self.is_too_long => self.end_line(line)?,
                Some(end) => {
                    self.keep(end)?;
                    self.end_kept_line()?;
                }
            }
        }
        Ok(())
    }

    /// Bytes in memory, roughly.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, String::len) + self.beginning.len() + self.entries.bytes()
    }

    /// Takes the last line, which needs no end, and gives the hash of all of them if one was wanted.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn end(&mut self) -> Result<Option<Fingerprint>, Refusal> {
        if !self.beginning.is_empty() || self.is_too_long {
            self.end_kept_line()?;
        }
        Ok(self.fingerprint.take())
    }

    /// Makes a request of everything that came.
    ///
    /// # Errors
    /// As [`push`](Self::push), and for a body without a first line; pointers of recipients count the recipients,
    /// not the lines. What is wrong in detail is in [`Decoded::faults`].
    pub fn finish(mut self, context: &Context<'_>) -> Result<Decoded, Refusal> {
        self.end()?;
        let head = self.head.unwrap_or_default();
        let mut source = parse(&head, &Allowance::new(0), self.most_routes).map_err(in_first_line)?;
        source.to = Some(Shape::Right(self.entries));
        source.routes = None;
        Ok(build(source, &self.allowance, context))
    }

    /// Keeps a part of a line whose end has not come.
    fn keep(&mut self, part: &[u8]) -> Result<(), Refusal> {
        if self.is_too_long || self.beginning.len() + part.len() > self.most_bytes() {
            self.beginning = Vec::new();
            self.is_too_long = true;
            // Nothing can be said about the rest without it.
            return if self.head.is_none() { Err(long_head()) } else { Ok(()) };
        }
        self.beginning.extend_from_slice(part);
        Ok(())
    }

    fn end_kept_line(&mut self) -> Result<(), Refusal> {
        if std::mem::take(&mut self.is_too_long) {
            self.skip_long();
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.beginning);
        let ended = self.end_line(&line);
        // Its memory serves the next one.
        line.clear();
        self.beginning = line;
        ended
    }

    /// Reads a whole line.
    fn end_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.len() > self.most_bytes() {
            if self.head.is_none() {
                return Err(long_head());
            }
            self.skip_long();
            return Ok(());
        }
        let text =
            std::str::from_utf8(line).map_err(|error| self.not_json(&format!("not UTF-8: {error}")))?;
        // All that JSON calls white space: a file may have gone through several conversions of line ends.
        let text = text.trim_matches([' ', '\t', '\r']);
        if let Some(fingerprint) = &mut self.fingerprint
            && !text.is_empty()
        {
            // What is no JSON is refused below.
            let _ = fingerprint.push(text);
        }
        if self.head.is_none() {
            self.take_head(text)?;
        } else if !text.is_empty() {
            serde_json::from_str::<&RawValue>(text).map_err(|error| self.not_json(&error.to_string()))?;
            self.entries.read(text, &self.allowance);
        }
        self.line_number += 1;
        Ok(())
    }

    /// Keeps the first line, which is judged as a whole in the end.
    fn take_head(&mut self, text: &str) -> Result<(), Refusal> {
        let source = parse(text, &Allowance::new(0), self.most_routes).map_err(in_first_line)?;
        if source.to.is_some() || source.routes.is_some() {
            let detail = "the first line is the short form without `to`; recipients follow, one a line";
            self.entries.fault(Fault::new("", FaultCode::Conflict, detail), &self.allowance);
        }
        self.head = Some(text.to_owned());
        Ok(())
    }

    fn skip_long(&mut self) {
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.push_unread();
        }
        self.entries.skip_long(MOST_LINE_BYTES, &self.allowance);
        self.line_number += 1;
    }

    const fn most_bytes(&self) -> usize {
        if self.head.is_none() { MOST_HEAD_BYTES } else { MOST_LINE_BYTES }
    }

    fn not_json(&self, detail: &str) -> Refusal {
        if self.head.is_none() {
            return Refusal::NotJson(format!("line 1: {detail}"));
        }
        // The parser saw this line only.
        let detail = detail.replace(" at line 1 column ", " at column ");
        Refusal::NotJson(format!("line {}, /to/{}: {detail}", self.line_number, self.entries.count()))
    }
}

fn in_first_line(unreadable: Unreadable) -> Refusal {
    match unreadable {
        Unreadable::NotJson(detail) => Refusal::NotJson(format!("line 1: {detail}")),
        Unreadable::Fault(fault) => Refusal::Fault(fault),
    }
}

fn long_head() -> Refusal {
    let detail = format!("the first line has more than {MOST_HEAD_BYTES} bytes");
    Refusal::Fault(Fault::new("", FaultCode::TooLarge, detail))
}

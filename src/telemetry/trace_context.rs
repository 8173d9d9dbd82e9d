//! W3C Trace Context: which trace a request belongs to.
//!
//! A `traceparent` that breaks a rule is no error: a new trace begins. `tracestate` is not read, because nothing
//! is passed on to anybody who would want it.
//! Source: W3C Trace Context, section 3.2 (`traceparent`) and section 4 (mutation), level 2.

use std::fmt;

/// The trace of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span; `None` where the trace begins here.
    pub parent: Option<Parent>,
}

/// Names a trace: 16 bytes, not all zero, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

/// The span that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its id, not zero.
    pub span_id: u64,
    /// Whether the caller records it.
    pub is_sampled: bool,
}

impl TraceId {
    /// Takes an id; zero, which is none, becomes one.
    #[must_use]
    pub const fn new(id: u128) -> Self {
        Self(if id == 0 { 1 } else { id })
    }

    /// The 16 bytes as a number, the first byte highest.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl TraceContext {
    /// A trace that begins here.
    #[must_use]
    pub const fn begin(trace_id: TraceId) -> Self {
        Self { trace_id, parent: None }
    }

    /// Reads the value of a `traceparent` header; `None` if it breaks a rule.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version = hexadecimal(parts.next()?, 2)?;
        let trace_id = hexadecimal(parts.next()?, 32)?;
        let span_id = u64::try_from(hexadecimal(parts.next()?, 16)?).ok()?;
        let flags = hexadecimal(parts.next()?, 2)?;
        // A later version may add parts, which are not for us; 255 is none.
        let is_whole = version > 0 || parts.next().is_none();
        if version == 0xff || trace_id == 0 || span_id == 0 || !is_whole {
            return None;
        }
        let parent = Parent { span_id, is_sampled: flags & 1 == 1 };
        Some(Self { trace_id: TraceId(trace_id), parent: Some(parent) })
    }
}

/// Reads exactly `length` lower-case digits.
fn hexadecimal(text: &str, length: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_sound = text.len() == length && text.bytes().all(is_digit);
    if is_sound { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn check(text: &str, expected: Option<bool>) {
        let found = TraceContext::parse(text);
        assert_eq!(found.map(|context| context.parent.unwrap().is_sampled), expected, "{text:?}");
        if let Some(context) = found {
            assert_eq!(context.trace_id.to_string(), TRACE, "{text:?}");
            assert_eq!(format!("{:016x}", context.parent.unwrap().span_id), SPAN, "{text:?}");
        }
    }

    #[test]
    fn a_sound_header_is_continued() {
        check(&format!("00-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-00"), Some(false));
        check(&format!("00-{TRACE}-{SPAN}-03"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-fe"), Some(false));
        check(&format!("cc-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), Some(true));
    }

    #[test]
    fn a_header_that_breaks_a_rule_is_none() {
        let (zero_trace, zero_span) = ("0".repeat(32), "0".repeat(16));
        for text in [
            String::new(),
            "-".into(),
            "---".into(),
            "00".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-001"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("000-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("00-{zero_trace}-{SPAN}-01"),
            format!("00-{TRACE}-{zero_span}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"),
            format!("00-\u{fc}{}-{SPAN}-01", &TRACE[2..]),
        ] {
            check(&text, None);
        }
    }

    #[test]
    fn no_cut_or_changed_header_is_misread() {
        let sound = format!("00-{TRACE}-{SPAN}-01");
        for end in 0..sound.len() {
            check(&sound[..end], None);
        }
        for (place, _) in sound.char_indices() {
            for wrong in ["g", "", " ", "\0", "\u{202e}"] {
                let text = format!("{}{wrong}{}", &sound[..place], &sound[place + 1..]);
                check(&text, None);
            }
        }
    }
}

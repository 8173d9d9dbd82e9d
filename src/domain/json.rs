//! JSON that is passed on without being understood.
//!
//! [`JsonText`] is checked once, at the edge, and is compact from then on, so that its length is the length
//! that a provider counts.

use std::fmt;
use std::sync::Arc;

/// Deepest nesting of objects and arrays in JSON that is only passed on.
pub const MAX_PASSTHROUGH_DEPTH: usize = 32;

/// One valid, compact JSON value as text.
///
/// White space between tokens is gone, number tokens are kept letter by letter (so integers beyond 2^53 stay
/// exact), and characters stand as themselves wherever JSON allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

/// Why a text is not a [`JsonText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonTextError {
    /// The text is not one JSON value, or holds a lone surrogate, which no UTF-8 text can carry.
    #[error("not a valid JSON value")]
    Invalid,
    /// Objects and arrays are nested deeper than allowed.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

impl JsonText {
    /// Checks `text` and makes it compact.
    ///
    /// # Errors
    /// [`JsonTextError`] names the first thing that is wrong; the caller refuses the request.
    pub fn parse(text: &str, max_depth: usize) -> Result<Self, JsonTextError> {
        let mut compactor = Compactor { rest: text, out: String::with_capacity(text.len()), max_depth };
        compactor.value(0)?;
        compactor.skip_white_space();
        if compactor.rest.is_empty() { Ok(Self(compactor.out.into())) } else { Err(JsonTextError::Invalid) }
    }

    /// Wraps text that a JSON serializer has just written.
    #[must_use]
    pub fn from_serialized(text: String) -> Self {
        Self(text.into())
    }

    /// The compact text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Custom data that a caller gives either as text or as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrJson {
    /// A JSON string of the request, unescaped.
    Text(Arc<str>),
    /// Any other JSON value.
    Json(JsonText),
}

impl TextOrJson {
    /// The text that goes into a provider's string field: text verbatim, JSON as its compact text.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Json(json) => json.as_str(),
        }
    }
}

struct Compactor<'a> {
    rest: &'a str,
    out: String,
    max_depth: usize,
}

impl Compactor<'_> {
    fn skip_white_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_white_space();
        self.rest.chars().next()
    }

    fn advance(&mut self, length: usize) -> &str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn expect(&mut self, token: char) -> Result<(), JsonTextError> {
        if self.peek() != Some(token) {
            return Err(JsonTextError::Invalid);
        }
        self.advance(token.len_utf8());
        self.out.push(token);
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonTextError> {
        match self.peek().ok_or(JsonTextError::Invalid)? {
            '{' => self.items('}', depth, |compactor, depth| {
                compactor.string()?;
                compactor.expect(':')?;
                compactor.value(depth)
            }),
            '[' => self.items(']', depth, Self::value),
            '"' => self.string(),
            't' => self.literal("true"),
            'f' => self.literal("false"),
            'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn items(
        &mut self,
        close: char,
        depth: usize,
        item: impl Fn(&mut Self, usize) -> Result<(), JsonTextError>,
    ) -> Result<(), JsonTextError> {
        if depth == self.max_depth {
            return Err(JsonTextError::TooDeep(self.max_depth));
        }
        let open = self.rest.chars().next().ok_or(JsonTextError::Invalid)?;
        self.expect(open)?;
        if self.peek() == Some(close) {
            return self.expect(close);
        }
        loop {
            item(self, depth + 1)?;
            if self.peek() == Some(close) {
                return self.expect(close);
            }
            self.expect(',')?;
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonTextError> {
        if !self.rest.starts_with(literal) {
            return Err(JsonTextError::Invalid);
        }
        self.advance(literal.len());
        self.out.push_str(literal);
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonTextError> {
        let length = self
            .rest
            .find(|character: char| !matches!(character, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(self.rest.len());
        let token = self.advance(length).to_owned();
        if !is_number(&token) {
            return Err(JsonTextError::Invalid);
        }
        self.out.push_str(&token);
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonTextError> {
        self.expect('"')?;
        loop {
            let plain = self.rest.find(['"', '\\']).ok_or(JsonTextError::Invalid)?;
            let text = self.advance(plain).to_owned();
            if text.bytes().any(|byte| byte < 0x20) {
                return Err(JsonTextError::Invalid);
            }
            self.out.push_str(&text);
            if self.rest.starts_with('"') {
                return self.expect('"');
            }
            self.advance(1);
            self.escape()?;
        }
    }

    /// Rewrites one escape sequence in its shortest form; the backslash is already consumed.
    fn escape(&mut self) -> Result<(), JsonTextError> {
        let kind = self.rest.chars().next().ok_or(JsonTextError::Invalid)?;
        self.advance(kind.len_utf8());
        match kind {
            '"' | '\\' | 'b' | 'f' | 'n' | 'r' | 't' => {
                self.out.push('\\');
                self.out.push(kind);
            }
            '/' => self.out.push('/'),
            'u' => {
                let character = self.escaped_character()?;
                push_escaped(&mut self.out, character);
            }
            _ => return Err(JsonTextError::Invalid),
        }
        Ok(())
    }

    fn escaped_character(&mut self) -> Result<char, JsonTextError> {
        let first = self.code_unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or(JsonTextError::Invalid);
        }
        if !self.rest.starts_with("\\u") {
            return Err(JsonTextError::Invalid);
        }
        self.advance(2);
        let second = self.code_unit()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(JsonTextError::Invalid);
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or(JsonTextError::Invalid)
    }

    fn code_unit(&mut self) -> Result<u32, JsonTextError> {
        let digits = self.rest.get(..4).ok_or(JsonTextError::Invalid)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(JsonTextError::Invalid);
        }
        let unit = u32::from_str_radix(digits, 16).map_err(|_| JsonTextError::Invalid)?;
        self.advance(4);
        Ok(unit)
    }
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
        other => out.push(other),
    }
}

/// Whether `token` follows the number grammar of RFC 8259, section 6.
fn is_number(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let has_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    has_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(has_digits)
        && exponent.is_none_or(|text| has_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, JsonTextError>) {
        let parsed = JsonText::parse(input, 3);
        assert_eq!(parsed.as_ref().map(JsonText::as_str), expected.as_ref().map(|text| *text), "{input}");
    }

    #[test]
    fn makes_json_compact_and_keeps_its_meaning() {
        check(" { \"a\" : [ 1 , 2.50e+3 ] } ", Ok(r#"{"a":[1,2.50e+3]}"#));
        check("148238038269428232", Ok("148238038269428232"));
        check("99999999999999999999999", Ok("99999999999999999999999"));
        check(r#""\u4e2d\ud83d\ude00\/\n\u0001\u0022""#, Ok("\"中😀/\\n\\u0001\\\"\""));
        check("[[[]]]", Ok("[[[]]]"));
        check("{\"a\":1,\"a\":2}", Ok("{\"a\":1,\"a\":2}"));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for input in
            ["", "{", "[1,]", "{\"a\"}", "tru", "01", "1.", "+1", "-", "1e", "\"a", "\"\\x\"", "1 2", "{a:1}"]
        {
            check(input, Err(JsonTextError::Invalid));
        }
        check(r#""\ud800""#, Err(JsonTextError::Invalid));
        check(r#""\ud800\u0041""#, Err(JsonTextError::Invalid));
        check(r#""\udc00""#, Err(JsonTextError::Invalid));
        check("\"a\nb\"", Err(JsonTextError::Invalid));
    }

    #[test]
    fn refuses_deep_nesting() {
        check("[[[[]]]]", Err(JsonTextError::TooDeep(3)));
        check(r#"{"a":{"b":{"c":{}}}}"#, Err(JsonTextError::TooDeep(3)));
    }
}

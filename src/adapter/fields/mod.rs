//! Reads a JSON object field by field and collects every fault.
//!
//! One reader for requests, provider options and settings: nothing stops at the first mistake, unknown fields
//! are faults, and every fault has a JSON pointer.

pub mod members;

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::adapter::fields::members::{MOST_MEMBERS, Members};
use crate::domain::fault::{Fault, FaultCode, pointer_token};
use crate::domain::json::{JsonText, JsonTextError, MAX_PASSTHROUGH_DEPTH, TextOrJson};

/// An object that is being read.
///
/// Every method takes a field out, so that [`Self::finish`] finds what nobody asked for. A field that is
/// `null` is a fault of type: leave it out instead.
#[derive(Debug)]
pub struct Fields<'a> {
    pointer: String,
    open: Vec<(Cow<'a, str>, &'a RawValue)>,
    faults: Vec<Fault>,
    numbers: Numbers,
}

/// What counts as a number or a boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Only JSON numbers and booleans: requests.
    Strict,
    /// Also their text: settings that come from the environment.
    OrText,
}

impl<'a> Fields<'a> {
    /// Opens the object in `json`, valid JSON; `pointer` is where it stands.
    ///
    /// # Errors
    /// One [`Fault`] if it is no object.
    pub fn parse(json: &'a str, pointer: impl Into<String>, numbers: Numbers) -> Result<Self, Fault> {
        let pointer = pointer.into();
        match serde_json::from_str::<Members<'a>>(json) {
            Ok(Members(members)) => Ok(Self::from_members(members, pointer, numbers)),
            Err(_) => Err(Fault::new(pointer, FaultCode::WrongType, "must be an object")),
        }
    }

    /// Opens an object whose members were already taken apart by [`members::keep`].
    #[must_use]
    pub fn from_members(
        members: Vec<(Cow<'a, str>, &'a RawValue)>,
        pointer: impl Into<String>,
        numbers: Numbers,
    ) -> Self {
        let mut fields = Self { pointer: pointer.into(), open: Vec::new(), faults: Vec::new(), numbers };
        if members.len() > MOST_MEMBERS {
            let detail = format!("has more than {MOST_MEMBERS} fields");
            fields.fault(Fault::new("", FaultCode::TooLarge, detail));
        }
        for (name, value) in members.into_iter().take(MOST_MEMBERS) {
            if fields.open.iter().any(|(known, _)| *known == name) {
                fields.fault_at(&name, FaultCode::Conflict, "is given twice");
            } else {
                fields.open.push((name, value));
            }
        }
        fields
    }

    /// Where the object stands.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Whether the object has this field, not yet taken.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.open.iter().any(|(known, _)| known == name)
    }

    /// Names of the fields not yet taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(|(name, _)| &**name)
    }

    /// Adds a fault whose pointer is relative to this object.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault.within(&self.pointer));
    }

    /// Adds a fault about the field `name`.
    pub fn fault_at(&mut self, name: &str, code: FaultCode, detail: impl Into<String>) {
        self.fault(Fault::new(format!("/{}", pointer_token(name)), code, detail));
    }

    /// Takes over faults that were found further inside; their pointers are already whole.
    pub fn extend_faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// Takes the field as raw JSON.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        // What readers ask for is compared with what the API's document promises.
        #[cfg(test)]
        tests::note(&self.pointer, name);
        let index = self.open.iter().position(|(known, _)| known == name)?;
        Some(self.open.remove(index).1)
    }

    /// Takes a string.
    pub fn text(&mut self, name: &str) -> Option<Arc<str>> {
        let raw = self.raw(name)?;
        let text = match read_text(raw.get()) {
            Some(text) => Some(text),
            // A TOML file or the environment may give a number where a text is meant.
            None if self.numbers == Numbers::OrText && is_scalar(raw.get()) => Some(raw.get().into()),
            None => None,
        };
        if text.is_none() {
            self.fault_at(name, FaultCode::WrongType, "must be a string");
        }
        text
    }

    /// Takes a string that must be there.
    pub fn required_text(&mut self, name: &str) -> Option<Arc<str>> {
        self.require(name);
        self.text(name)
    }

    /// Takes a string that must be there and not be empty.
    pub fn required_filled_text(&mut self, name: &str) -> Option<Arc<str>> {
        let text = self.required_text(name)?;
        if text.is_empty() {
            self.fault_at(name, FaultCode::OutOfRange, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// Takes a string of at most `most` characters without control characters.
    pub fn short_text(&mut self, name: &str, most: usize) -> Option<Arc<str>> {
        let text = self.text(name)?;
        if text.chars().count() > most {
            self.fault_at(name, FaultCode::TooLarge, format!("has more than {most} characters"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.fault_at(name, FaultCode::OutOfRange, "has control characters");
            return None;
        }
        Some(text)
    }

    /// Takes one word of a closed list.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = choices.iter().find(|(word, _)| *word == &*text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.fault_at(name, FaultCode::OutOfRange, format!("must be one of: {}", words.join(", ")));
        }
        found
    }

    /// Takes a boolean.
    pub fn bool(&mut self, name: &str) -> Option<bool> {
        let raw = self.raw(name)?;
        let value = match self.scalar(raw).as_ref() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        if value.is_none() {
            self.fault_at(name, FaultCode::WrongType, "must be true or false");
        }
        value
    }

    /// Takes a whole number.
    pub fn u64(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let raw = self.raw(name)?;
        let scalar = self.scalar(raw);
        let value: Option<u64> = scalar.parse().ok();
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ if scalar.parse::<f64>().is_ok_and(|_| !is_quoted(&scalar)) => {
                let detail = format!("must be a whole number from {} to {}", range.start(), range.end());
                self.fault_at(name, FaultCode::OutOfRange, detail);
                None
            }
            _ => {
                self.fault_at(name, FaultCode::WrongType, "must be a whole number");
                None
            }
        }
    }

    /// Takes a whole number that must be there.
    pub fn required_u64(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.require(name);
        self.u64(name, range)
    }

    /// Takes a whole number that fits 32 bits.
    pub fn u32(&mut self, name: &str) -> Option<u32> {
        self.u64(name, 0..=u64::from(u32::MAX)).and_then(|value| u32::try_from(value).ok())
    }

    /// Takes a signed whole number.
    pub fn i64(&mut self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        let value = self.scalar(raw).parse().ok();
        if value.is_none() {
            self.fault_at(name, FaultCode::WrongType, "must be a whole number of 64 bits");
        }
        value
    }

    /// Takes a number.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let raw = self.raw(name)?;
        let scalar = self.scalar(raw);
        let is_number = scalar.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        match scalar.parse::<f64>() {
            Ok(value) if is_number && range.contains(&value) => Some(value),
            Ok(_) if is_number => {
                let detail = format!("must be from {} to {}", range.start(), range.end());
                self.fault_at(name, FaultCode::OutOfRange, detail);
                None
            }
            Ok(_) | Err(_) => {
                self.fault_at(name, FaultCode::WrongType, "must be a number");
                None
            }
        }
    }

    /// Takes an id that may be written as a string or as an integer.
    pub fn id(&mut self, name: &str) -> Option<Arc<str>> {
        let raw = self.raw(name)?;
        let id = read_id(raw.get());
        if id.is_none() {
            self.fault_at(name, FaultCode::WrongType, "must be a string or a whole number");
        }
        id
    }

    /// Takes any JSON value that is only passed on.
    pub fn json(&mut self, name: &str) -> Option<JsonText> {
        let raw = self.raw(name)?;
        match JsonText::parse(raw.get(), MAX_PASSTHROUGH_DEPTH) {
            Ok(json) => Some(json),
            Err(JsonTextError::TooDeep(most)) => {
                self.fault_at(name, FaultCode::TooLarge, format!("is nested deeper than {most} levels"));
                None
            }
            Err(JsonTextError::Invalid) => {
                self.fault_at(name, FaultCode::WrongType, "holds a text that is not valid Unicode");
                None
            }
        }
    }

    /// Takes an object that is only passed on.
    pub fn json_object(&mut self, name: &str) -> Option<JsonText> {
        let json = self.json(name)?;
        if json.is_object() {
            return Some(json);
        }
        self.fault_at(name, FaultCode::WrongType, "must be an object");
        None
    }

    /// Takes a text or any other JSON value that is only passed on.
    pub fn text_or_json(&mut self, name: &str) -> Option<TextOrJson> {
        let json = self.json(name)?;
        match serde_json::from_str::<String>(json.as_str()) {
            Ok(text) => Some(TextOrJson::Text(text.into())),
            Err(_) => Some(TextOrJson::Json(json)),
        }
    }

    /// Takes a text or an object that is only passed on.
    pub fn text_or_object(&mut self, name: &str) -> Option<TextOrJson> {
        match self.text_or_json(name)? {
            TextOrJson::Json(json) if !json.is_object() => {
                self.fault_at(name, FaultCode::WrongType, "must be an object or a string");
                None
            }
            given @ (TextOrJson::Text(_) | TextOrJson::Json(_)) => Some(given),
        }
    }

    /// Takes an array of strings or integers, read as ids.
    pub fn ids(&mut self, name: &str) -> Option<Vec<Arc<str>>> {
        self.array(name, read_id, "must be a string or a whole number")
    }

    /// Takes an array of strings.
    pub fn texts(&mut self, name: &str) -> Option<Vec<Arc<str>>> {
        self.array(name, |raw| serde_json::from_str::<String>(raw).ok().map(Arc::from), "must be a string")
    }

    fn array<T>(&mut self, name: &str, item: impl Fn(&str) -> Option<T>, detail: &str) -> Option<Vec<T>> {
        let raw = self.raw(name)?;
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            self.fault_at(name, FaultCode::WrongType, "must be an array");
            return None;
        };
        let mut values = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match item(entry.get()) {
                Some(value) => values.push(value),
                None => self.fault(Fault::new(
                    format!("/{}/{index}", pointer_token(name)),
                    FaultCode::WrongType,
                    detail,
                )),
            }
        }
        (values.len() == entries.len()).then_some(values)
    }

    /// Takes an array of objects apart with `read`; `None` stands in the place of one with faults, which become
    /// this object's.
    pub fn objects<T>(
        &mut self,
        name: &str,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        let raw = self.raw(name)?;
        let Ok(entries) = serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) else {
            self.fault_at(name, FaultCode::WrongType, "must be an array of objects");
            return None;
        };
        let pointer = format!("{}/{}", self.pointer, pointer_token(name));
        let entries = entries.into_iter().enumerate();
        Some(entries.map(|(index, raw)| self.inner(raw, format!("{pointer}/{index}"), &read)).collect())
    }

    /// Takes an object apart with `read`; its faults become this object's.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'a>) -> Option<T>) -> Option<T> {
        let raw = self.raw(name)?;
        let pointer = format!("{}/{}", self.pointer, pointer_token(name));
        self.inner(raw, pointer, read)
    }

    fn inner<T>(
        &mut self,
        raw: &'a RawValue,
        pointer: String,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        match Fields::parse(raw.get(), pointer, self.numbers) {
            Ok(mut inner) => {
                let value = read(&mut inner);
                let faults = inner.finish();
                let is_sound = faults.is_empty();
                self.faults.extend(faults);
                value.filter(|_| is_sound)
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    /// Ends the reading: every field that nobody took is a fault.
    #[must_use]
    pub fn finish(mut self) -> Vec<Fault> {
        let unknown: Vec<_> = self.open.iter().map(|(name, _)| name.to_string()).collect();
        for name in unknown {
            self.fault_at(&name, FaultCode::UnknownField, format!("`{name}` is not a known field here"));
        }
        self.faults
    }

    fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
        }
    }

    /// The token of a number or boolean; with [`Numbers::OrText`] also the content of a string.
    fn scalar(&self, raw: &'a RawValue) -> Cow<'a, str> {
        match serde_json::from_str::<String>(raw.get()) {
            Ok(text) if self.numbers == Numbers::OrText => Cow::Owned(text),
            _ => Cow::Borrowed(raw.get()),
        }
    }
}

/// The text of a JSON string; `None` for any other token, and for half a surrogate pair.
fn read_text(token: &str) -> Option<Arc<str>> {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Some(inner.into()),
        Some(_) => serde_json::from_str::<String>(token).ok().map(Arc::from),
        None => None,
    }
}

fn is_scalar(token: &str) -> bool {
    !token.starts_with(['{', '[', 'n'])
}

fn is_quoted(token: &str) -> bool {
    token.starts_with('"')
}

/// Reads an id from a JSON string or integer token; an integer counts as its decimal text, exactly.
#[must_use]
pub fn read_id(token: &str) -> Option<Arc<str>> {
    if is_quoted(token) {
        return read_text(token);
    }
    let digits = token.strip_prefix('-').unwrap_or(token);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.into())
}

//! Reads the entries of `to` straight into a packed list.
//!
//! A plain string costs a copy of its bytes and nothing else. A bad entry is recorded and the reading goes on.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapter::fields::{Fields, Numbers, read_id};
use crate::api::dto::source::{Shape, visit_other_shapes};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::recipients::RecipientList;

/// Most characters of a recipient's `ref`.
pub const MOST_REFERENCE_CHARACTERS: usize = 128;

/// Most faults of recipients that one answer lists.
pub const MOST_RECIPIENT_FAULTS: usize = 100;

/// What one request may still bring, counted over all its routes.
#[derive(Debug)]
pub struct Allowance {
    most_recipients: usize,
    recipients: Cell<usize>,
    faults: Cell<usize>,
    is_exceeded: Cell<bool>,
}

impl Allowance {
    /// At most `recipients` recipients.
    #[must_use]
    pub const fn new(recipients: usize) -> Self {
        Self {
            most_recipients: recipients,
            recipients: Cell::new(recipients),
            faults: Cell::new(MOST_RECIPIENT_FAULTS),
            is_exceeded: Cell::new(false),
        }
    }

    /// Forgets what was brought, because the request is read anew.
    pub fn restart(&self) {
        self.recipients.set(self.most_recipients);
        self.faults.set(MOST_RECIPIENT_FAULTS);
        self.is_exceeded.set(false);
    }

    /// Whether there were more recipients than allowed.
    #[must_use]
    pub const fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    fn take_recipient(&self) -> bool {
        let left = self.recipients.get().checked_sub(1);
        left.map_or_else(|| self.is_exceeded.set(true), |left| self.recipients.set(left));
        left.is_some()
    }

    fn take_fault(&self) -> bool {
        let left = self.faults.get().checked_sub(1);
        self.faults.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// The recipients of one `to`, as far as they could be read.
#[derive(Debug, Default)]
pub struct Entries {
    list: RecipientList,
    faults: Vec<Fault>,
    next_index: usize,
}

impl Entries {
    /// Bytes that the recipients take in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.list.bytes()
    }

    /// The list, and what was wrong with single entries; pointers are relative to `to` (`/3/ref`).
    #[must_use]
    pub fn into_parts(mut self) -> (RecipientList, Vec<Fault>) {
        // It stays as long as the batch is known.
        self.list.shrink_to_fit();
        (self.list, self.faults)
    }

    /// Counts an entry that is not looked at because it has more than `most_bytes` bytes.
    pub fn skip_long(&mut self, most_bytes: usize, allowance: &Allowance) {
        let index = self.next_index;
        self.next_index += 1;
        if allowance.take_recipient() {
            let detail = format!("has more than {most_bytes} bytes");
            self.fault(Fault::new(format!("/{index}"), FaultCode::TooLarge, detail), allowance);
        }
    }

    /// How many entries there were, sound or not.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.next_index
    }

    /// Reads one entry: a valid JSON value without white space around it.
    pub fn read(&mut self, token: &str, allowance: &Allowance) {
        let index = self.next_index;
        self.next_index += 1;
        if !allowance.take_recipient() {
            return;
        }
        match token.as_bytes().first() {
            Some(b'"') => self.read_text(index, token, allowance),
            Some(b'{') => self.read_object(index, token, allowance),
            _ => match read_id(token) {
                Some(digits) => self.list.push(&digits),
                None => {
                    let detail = "must be a string, a whole number or an object with `id`";
                    self.fault(Fault::new(format!("/{index}"), FaultCode::WrongType, detail), allowance);
                }
            },
        }
    }

    /// Takes one entry that is a text.
    fn take_text(&mut self, id: &str, allowance: &Allowance) {
        self.next_index += 1;
        if allowance.take_recipient() {
            self.list.push(id);
        }
    }

    fn read_text(&mut self, index: usize, token: &str, allowance: &Allowance) {
        let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
        if !inner.as_bytes().contains(&b'\\') {
            self.list.push(inner);
            return;
        }
        match serde_json::from_str::<String>(token) {
            Ok(text) => self.list.push(&text),
            Err(_) => {
                let detail = "holds a text that is not valid Unicode";
                self.fault(Fault::new(format!("/{index}"), FaultCode::WrongType, detail), allowance);
            }
        }
    }

    fn read_object(&mut self, index: usize, token: &str, allowance: &Allowance) {
        let mut fields = match Fields::parse(token, format!("/{index}"), Numbers::Strict) {
            Ok(fields) => fields,
            Err(fault) => return self.fault(fault, allowance),
        };
        if !fields.has("id") {
            fields.fault_at("id", FaultCode::Required, "`id` is required");
        }
        let id = fields.id("id");
        let reference = fields.text("ref");
        if reference.as_ref().is_some_and(|text| text.chars().count() > MOST_REFERENCE_CHARACTERS) {
            let detail = format!("has more than {MOST_REFERENCE_CHARACTERS} characters");
            fields.fault_at("ref", FaultCode::TooLarge, detail);
        }
        for fault in fields.finish() {
            self.fault(fault, allowance);
        }
        match (id, reference) {
            (Some(id), Some(reference)) => self.list.push_with_reference(&id, reference),
            (Some(id), None) => self.list.push(&id),
            (None, _) => {}
        }
    }

    /// Records a fault, of which one request lists only the first few; one is enough to refuse it.
    pub fn fault(&mut self, fault: Fault, allowance: &Allowance) {
        if allowance.take_fault() {
            self.faults.push(fault);
        }
    }
}

/// How the entries of `to` are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As texts, the way in which most recipients are given and the fastest; anything else ends the reading.
    Texts,
    /// Each as it stands.
    Any,
}

/// Reads the value of `to`.
pub struct EntriesSeed<'b>(pub &'b Allowance, pub Reading);

impl<'de, 'b> DeserializeSeed<'de> for EntriesSeed<'b> {
    type Value = Shape<Entries>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'b> Visitor<'de> for EntriesSeed<'b> {
    type Value = Shape<Entries>;

    visit_other_shapes!(map);

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let Self(allowance, reading) = self;
        let mut entries = Entries::default();
        match reading {
            Reading::Texts => {
                while sequence.next_element_seed(TextSeed(&mut entries, allowance))?.is_some() {}
            }
            Reading::Any => {
                while let Some(entry) = sequence.next_element::<&'de RawValue>()? {
                    entries.read(entry.get(), allowance);
                }
            }
        }
        Ok(Shape::Right(entries))
    }
}

/// Reads one entry that is a text.
struct TextSeed<'e, 'b>(&'e mut Entries, &'b Allowance);

impl<'de> DeserializeSeed<'de> for TextSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for TextSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E>(self, id: &str) -> Result<(), E> {
        self.0.take_text(id, self.1);
        Ok(())
    }
}

//! Recipients and positions as bytes: lengths and distances as numbers of seven bits a byte.

use std::sync::Arc;

use crate::domain::recipients::{Positions, RecipientList, narrow, widen};
use crate::store::stored::{Unreadable, VERSION};

/// Positions that leave nothing out.
const RANGE: u8 = 0;
/// Positions one by one.
const PICKED: u8 = 1;

/// Bytes that grow.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with the version.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 1);
        bytes.push(VERSION);
        Self(bytes)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_bits(value));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.number(narrow(text.len()));
        self.bytes(text.as_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

fn low_bits(value: u32) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or_default()
}

/// Bytes that are read from the front.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the version.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut reader = Self(bytes);
        if reader.byte()? == VERSION { Ok(reader) } else { Err(Unreadable::new("unknown version")) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u32, Unreadable> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Unreadable::new("a number over 32 bits"))
    }

    /// A count of things that take at least a byte each, so that no count makes us reserve what is not there.
    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        let count = widen(self.number()?);
        if count <= self.0.len() { Ok(count) } else { Err(too_short()) }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let count = widen(self.number()?);
        utf8(self.bytes(count)?)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn finish(self) -> Result<(), Unreadable> {
        if self.0.is_empty() { Ok(()) } else { Err(Unreadable::new("bytes after the end")) }
    }
}

fn too_short() -> Unreadable {
    Unreadable::new("too few bytes")
}

fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable::new("not UTF-8"))
}

/// Packs recipients: the lengths of their ids, their references, and then one text of all ids.
pub(crate) fn encode_recipients(list: &RecipientList) -> Vec<u8> {
    let mut writer = Writer::with_capacity(list.text_bytes() + list.len() + 8);
    writer.number(narrow(list.len()));
    for id in list.iter() {
        writer.number(narrow(id.len()));
    }
    let references = || {
        let positions = 0..narrow(list.len());
        positions.filter_map(|position| Some((position, list.reference(position)?)))
    };
    writer.number(narrow(references().count()));
    let mut next = 0;
    for (position, reference) in references() {
        writer.number(position - next);
        writer.text(reference);
        next = position + 1;
    }
    for id in list.iter() {
        writer.bytes(id.as_bytes());
    }
    writer.finish()
}

/// Reads what [`encode_recipients`] wrote.
pub(crate) fn decode_recipients(bytes: &[u8]) -> Result<RecipientList, Unreadable> {
    let mut reader = Reader::new(bytes)?;
    let count = reader.count()?;
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push(widen(reader.number()?));
    }
    let mut references: Vec<(usize, Arc<str>)> = Vec::new();
    let mut next = 0;
    for _ in 0..reader.count()? {
        let position = widen(reader.number()?).saturating_add(next);
        references.push((position, reader.text()?.into()));
        next = position.saturating_add(1);
    }
    if next > count {
        return Err(Unreadable::new("a reference for nobody"));
    }
    let mut text = utf8(reader.rest())?;
    let mut list = RecipientList::with_capacity(count, text.len());
    let mut references = references.into_iter().peekable();
    for (position, length) in lengths.into_iter().enumerate() {
        let (id, rest) = text.split_at_checked(length).ok_or_else(too_short)?;
        text = rest;
        match references.next_if(|(at, _)| *at == position) {
            Some((_, reference)) => list.push_with_reference(id, reference),
            None => list.push(id),
        }
    }
    Reader(text.as_bytes()).finish()?;
    Ok(list)
}

/// Packs positions: two numbers for a range, else the distance of each from the one before.
pub(crate) fn encode_positions(positions: &Positions) -> Vec<u8> {
    let (first, count) = (positions.get(0).unwrap_or(0), positions.len());
    let last = count.checked_sub(1).and_then(|offset| positions.get(offset));
    let has_gaps = last.is_some_and(|last| widen(last - first) + 1 != count);
    let mut writer = Writer::with_capacity(if has_gaps { count + 8 } else { 11 });
    writer.byte(if has_gaps { PICKED } else { RANGE });
    writer.number(narrow(count));
    writer.number(first);
    if has_gaps {
        let mut next = first.saturating_add(1);
        for position in positions.iter().skip(1) {
            writer.number(position - next);
            next = position.saturating_add(1);
        }
    }
    writer.finish()
}

/// Reads what [`encode_positions`] wrote.
pub(crate) fn decode_positions(bytes: &[u8]) -> Result<Positions, Unreadable> {
    let too_far = || Unreadable::new("a position over 32 bits");
    let mut reader = Reader::new(bytes)?;
    match reader.byte()? {
        RANGE => {
            let (count, first) = (reader.number()?, reader.number()?);
            reader.finish()?;
            Ok(Positions::Range(first..first.checked_add(count).ok_or_else(too_far)?))
        }
        PICKED => {
            let count = reader.count()?;
            let mut picked = Vec::with_capacity(count);
            let mut next = 0_u32;
            for _ in 0..count {
                let position = next.checked_add(reader.number()?).ok_or_else(too_far)?;
                picked.push(position);
                next = position.checked_add(1).ok_or_else(too_far)?;
            }
            reader.finish()?;
            Ok(Positions::Picked(picked.into(), 0..count))
        }
        _ => Err(Unreadable::new("unknown kind of positions")),
    }
}

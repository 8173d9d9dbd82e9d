//! Who a route sends to, packed: one text buffer and offsets instead of a `String` each.
//!
//! A million recipients cost their ids' bytes and 4 bytes each.

use std::ops::Range;
use std::sync::Arc;

/// Widens an offset or a position.
#[expect(clippy::as_conversions, reason = "usize has at least 32 bits on every platform that tokio supports")]
#[must_use]
pub const fn widen(value: u32) -> usize {
    value as usize
}

/// Narrows a length that a body limit keeps far below 4 GiB; larger values saturate.
#[must_use]
pub fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// What a shared text takes in memory beside its own bytes: two counters.
const SHARED_TEXT_BYTES: usize = 2 * size_of::<usize>();

/// The recipients of one route, in the caller's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientList {
    text: String,
    ends: Vec<u32>,
    references: Vec<(u32, Arc<str>)>,
    /// Bytes of the references' own pieces of memory.
    reference_bytes: usize,
}

impl RecipientList {
    /// Reserves room: `count` recipients with `text_bytes` bytes of ids in all.
    #[must_use]
    pub fn with_capacity(count: usize, text_bytes: usize) -> Self {
        Self {
            text: String::with_capacity(text_bytes),
            ends: Vec::with_capacity(count),
            references: Vec::new(),
            reference_bytes: 0,
        }
    }

    /// Appends one recipient.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(narrow(self.text.len()));
    }

    /// Appends one recipient with the caller's own reference for it.
    pub fn push_with_reference(&mut self, id: &str, reference: Arc<str>) {
        self.reference_bytes += reference.len() + SHARED_TEXT_BYTES;
        self.references.push((narrow(self.ends.len()), reference));
        self.push(id);
    }

    /// Gives back room that was set aside for more.
    pub fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.references.shrink_to_fit();
    }

    /// How many recipients there are, repeats included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all ids together.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Bytes that the list takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let reference = size_of::<(u32, Arc<str>)>();
        self.text.len()
            + size_of::<u32>() * self.ends.len()
            + reference * self.references.len()
            + self.reference_bytes
    }

    /// The id at `position`; empty beyond the end.
    #[must_use]
    pub fn id(&self, position: u32) -> &str {
        let position = widen(position);
        let start = match position.checked_sub(1) {
            None => 0,
            Some(previous) => self.ends.get(previous).copied().unwrap_or(u32::MAX),
        };
        let end = self.ends.get(position).copied().unwrap_or(u32::MAX);
        self.text.get(widen(start)..widen(end)).unwrap_or_default()
    }

    /// The caller's reference for the recipient at `position`.
    #[must_use]
    pub fn reference(&self, position: u32) -> Option<&Arc<str>> {
        let found = self.references.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        self.references.get(found).map(|(_, reference)| reference)
    }

    /// All ids in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let place = widen(std::mem::replace(&mut start, *end))..widen(*end);
            self.text.get(place).unwrap_or_default()
        })
    }
}

impl<'a> FromIterator<&'a str> for RecipientList {
    fn from_iter<I: IntoIterator<Item = &'a str>>(ids: I) -> Self {
        let mut list = Self::default();
        for id in ids {
            list.push(id);
        }
        list
    }
}

/// Some positions of a [`RecipientList`], ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Every position of a range: nothing was left out.
    Range(Range<u32>),
    /// A part of an ascending list of positions that is shared by all chunks of a route.
    Picked(Arc<[u32]>, Range<usize>),
}

impl Positions {
    /// How many positions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Picked(_, range) => range.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position at `offset`, counted from the first of these.
    #[must_use]
    pub fn get(&self, offset: usize) -> Option<u32> {
        match self {
            Self::Range(range) => {
                let position = range.start.checked_add(u32::try_from(offset).ok()?)?;
                (position < range.end).then_some(position)
            }
            Self::Picked(all, range) => {
                let index = range.start.checked_add(offset)?;
                if index < range.end { all.get(index).copied() } else { None }
            }
        }
    }

    /// How many of these lie before `position`.
    #[must_use]
    pub fn lower_bound(&self, position: u32) -> usize {
        match self {
            Self::Range(range) => {
                widen(position.clamp(range.start, range.end.max(range.start)) - range.start)
            }
            Self::Picked(all, range) => {
                all.get(range.clone()).map_or(0, |picked| picked.partition_point(|known| *known < position))
            }
        }
    }

    /// Takes the first `count` of these away, or all if there are fewer.
    pub fn take_front(&mut self, count: usize) -> Self {
        let count = count.min(self.len());
        match self {
            Self::Range(range) => {
                let middle = range.start + narrow(count);
                Self::Range(std::mem::replace(&mut range.start, middle)..middle)
            }
            Self::Picked(all, range) => {
                let middle = range.start + count;
                Self::Picked(all.clone(), std::mem::replace(&mut range.start, middle)..middle)
            }
        }
    }

    /// Leaves `other` out.
    pub fn remove(&mut self, other: &Self) {
        let gone: std::collections::BTreeSet<u32> = other.iter().collect();
        let left: Arc<[u32]> = self.iter().filter(|position| !gone.contains(position)).collect();
        let count = left.len();
        *self = Self::Picked(left, 0..count);
    }

    /// All positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).filter_map(|offset| self.get(offset))
    }

    /// Cuts these into runs of at most `size` positions, in order.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Self> + use<> {
        let mut rest = self.clone();
        std::iter::from_fn(move || (!rest.is_empty()).then(|| rest.take_front(size.max(1))))
    }
}

/// The recipients of one call: distinct, in the caller's order.
#[derive(Clone, Copy, Debug)]
pub struct Recipients<'a> {
    list: &'a RecipientList,
    positions: &'a Positions,
}

impl<'a> Recipients<'a> {
    /// The recipients of `list` at `positions`.
    #[must_use]
    pub fn new(list: &'a RecipientList, positions: &'a Positions) -> Self {
        Self { list, positions }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The id at `offset` within the call.
    #[must_use]
    pub fn id(&self, offset: usize) -> Option<&'a str> {
        self.positions.get(offset).map(|position| self.list.id(position))
    }

    /// All ids in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |offset| self.id(offset))
    }

    /// Bytes that the ids take together, at most: an upper bound for sizing buffers.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let average = self.list.text_bytes().div_ceil(self.list.len().max(1));
        average.saturating_mul(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_ids_references_and_order() {
        let mut list = RecipientList::with_capacity(3, 16);
        list.push("bonnie");
        list.push_with_reference("rong", "user-2".into());
        list.push("");
        assert_eq!(list.iter().collect::<Vec<_>>(), ["bonnie", "rong", ""]);
        assert_eq!(list.reference(0), None);
        assert_eq!(list.reference(1).map(|reference| &**reference), Some("user-2"));
        assert_eq!(list.id(9), "");
    }

    #[test]
    fn counts_the_positions_before_another() {
        let counted = |positions: Positions| [0, 2, 3, 4, 9].map(|position| positions.lower_bound(position));
        assert_eq!(counted(Positions::Range(2..4)), [0, 0, 1, 2, 2]);
        assert_eq!(counted(Positions::Picked([0, 2, 3, 7].into(), 1..4)), [0, 0, 1, 2, 3]);
    }

    #[test]
    fn cuts_a_range_and_a_pick_alike() {
        let list: RecipientList = ["a", "b", "c", "d", "e"].into_iter().collect();
        let names = |positions: &Positions| -> Vec<String> {
            positions
                .chunks(2)
                .map(|chunk| Recipients::new(&list, &chunk).iter().collect::<String>())
                .collect()
        };
        assert_eq!(names(&Positions::Range(0..5)), ["ab", "cd", "e"]);
        assert_eq!(names(&Positions::Picked([0, 2, 3].into(), 0..3)), ["ac", "d"]);
        assert_eq!(names(&Positions::Range(0..0)), Vec::<String>::new());
    }
}

//! Finds the recipient that a provider's answer speaks of.

use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::domain::recipients::{Recipients, narrow, widen};

/// Finds recipients of one call by id.
///
/// Answers usually keep the order of the request, so the next recipient is tried first; an index is built
/// only when that guess fails.
pub struct Attribution<'a> {
    recipients: Recipients<'a>,
    next: usize,
    index: Option<Index>,
}

struct Index {
    hasher: hashbrown::DefaultHashBuilder,
    offsets: HashTable<u32>,
}

impl<'a> Attribution<'a> {
    /// Starts at the first recipient.
    #[must_use]
    pub fn new(recipients: Recipients<'a>) -> Self {
        Self { recipients, next: 0, index: None }
    }

    /// The offset of `id` within the call; `None` = nobody asked for it.
    pub fn find(&mut self, id: &str) -> Option<usize> {
        if self.recipients.id(self.next) == Some(id) {
            self.next += 1;
            return Some(self.next - 1);
        }
        let recipients = self.recipients;
        let index = self.index.get_or_insert_with(|| Index::build(recipients));
        let found = index
            .offsets
            .find(index.hasher.hash_one(id), |offset| recipients.id(widen(*offset)) == Some(id))
            .copied()
            .map(widen)?;
        self.next = found + 1;
        Some(found)
    }
}

impl Index {
    fn build(recipients: Recipients<'_>) -> Self {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let mut offsets = HashTable::with_capacity(recipients.len());
        let hash = |offset: &u32| hasher.hash_one(recipients.id(widen(*offset)).unwrap_or_default());
        for offset in 0..narrow(recipients.len()) {
            offsets.insert_unique(hash(&offset), offset, hash);
        }
        Self { hasher, offsets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipients::{Positions, RecipientList};

    #[test]
    fn finds_recipients_in_and_out_of_order() {
        let list: RecipientList = ["a", "b", "c"].into_iter().collect();
        let positions = Positions::Range(0..3);
        let mut attribution = Attribution::new(Recipients::new(&list, &positions));
        let found: Vec<_> = ["a", "b", "a", "c", "x", "b"].map(|id| attribution.find(id)).into();
        assert_eq!(found, [Some(0), Some(1), Some(0), Some(2), None, Some(1)]);
    }
}

//! Names and ids that cross module borders.

use std::fmt;
use std::sync::Arc;

/// Crockford's base 32 alphabet: no I, L, O, U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Names one batch: `bat_` and 26 characters that sort by the time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(u128);

impl BatchId {
    /// Makes an id from the creation time and randomness.
    ///
    /// `unix_ms`: milliseconds since 1970, 48 bits are kept. `randomness`: 80 bits are kept.
    #[must_use]
    pub fn new(unix_ms: u64, randomness: u128) -> Self {
        let time = u128::from(unix_ms) & ((1 << 48) - 1);
        Self((time << 80) | (randomness & ((1 << 80) - 1)))
    }

    /// Reads the text form.
    ///
    /// `None` for anything that [`fmt::Display`] does not write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("bat_")?;
        if digits.len() != 26 {
            return None;
        }
        let mut value: u128 = 0;
        for (index, byte) in digits.bytes().enumerate() {
            let digit = CROCKFORD.iter().position(|letter| *letter == byte)?;
            // 26 digits of 5 bits are 130 bits: the first digit may only carry 3.
            if index == 0 && digit > 7 {
                return None;
            }
            value = (value << 5) | u128::try_from(digit).ok()?;
        }
        Some(Self(value))
    }

    /// The text form, all ASCII.
    #[must_use]
    pub fn letters(self) -> [u8; 30] {
        let mut letters = *b"bat_00000000000000000000000000";
        let mut rest = self.0;
        for letter in letters.iter_mut().skip(4).rev() {
            let digit = usize::try_from(rest & 31).unwrap_or_default();
            *letter = CROCKFORD.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        letters
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

/// Names one configured channel: 1 to 64 characters of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks and takes a name; `None` if it breaks the rule above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_ids_read_back_and_sort_by_time() {
        let earlier = BatchId::new(1_700_000_000_000, u128::MAX);
        let later = BatchId::new(1_700_000_000_001, 0);
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
        assert_eq!(BatchId::parse(&earlier.to_string()), Some(earlier));
        assert_eq!(earlier.to_string().len(), 30);
    }

    #[test]
    fn refuses_foreign_batch_ids() {
        for text in [
            "",
            "bat_",
            "bat_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01JD7Q8Z5R9Q0M4T8K2V6X3W1Y",
            "bat_01jd7q8z5r9q0m4t8k2v6x3w1y",
        ] {
            assert_eq!(BatchId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn channel_names_are_lower_case_letters_digits_and_hyphens() {
        assert!(ChannelName::parse("tim-main-2").is_some());
        for text in ["", "Tim", "tim_main", "tim main", "тим"] {
            assert_eq!(ChannelName::parse(text), None, "{text}");
        }
    }
}

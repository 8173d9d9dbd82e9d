//! Where the next page of results starts, as a text that callers pass back unread (AIP-158).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Marks the format, so that a later one can tell its own tokens.
const VERSION: u8 = 1;

/// Writes the token for the page that starts at `index`, of results filtered by `filter`.
#[must_use]
pub fn write(index: usize, filter: u8) -> String {
    let index = u64::try_from(index).unwrap_or(u64::MAX).to_be_bytes();
    let mut bytes = vec![VERSION, filter];
    bytes.extend_from_slice(&index);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token; `None` if it is no token, or one of another filter.
#[must_use]
pub fn read(token: &str, filter: u8) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let index = bytes.strip_prefix(&[VERSION, filter])?;
    usize::try_from(u64::from_be_bytes(index.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_for_the_same_filter_only() {
        let token = write(123_456, 5);
        assert_eq!(read(&token, 5), Some(123_456));
        assert_eq!(read(&token, 4), None);
        for foreign in ["", "x", "AQUA", "====", "AQUAAAAAAAAB4kAA"] {
            assert_eq!(read(foreign, 5), None, "{foreign}");
        }
    }
}

//! Settings that the clients of all channels share.

use crate::adapter::fields::Fields;

/// Section `[transport]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes of one provider answer's body, 1 024 to 67 108 864; a longer one counts as unreadable.
    pub answer_bytes: usize,
}

impl Settings {
    /// Reads the section; `None` if a fault was added.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let answer_bytes = fields.required_u64("answer_bytes", 1024..=67_108_864)?;
        Some(Self { answer_bytes: usize::try_from(answer_bytes).ok()? })
    }
}

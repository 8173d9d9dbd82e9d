//! What is wrong with a configuration, by key.

use std::fmt;

use crate::domain::fault::Fault;

/// One thing that is wrong, and where; never holds a configured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// The key, e.g. `channels.tim-main.timeout_ms`; or the file or variable that cannot be read.
    pub key: String,
    /// What is wrong, for a person.
    pub detail: String,
}

/// The configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has faults: {}", list(faults))]
pub struct LoadError {
    /// At least one, in the order of the sources and sections.
    pub faults: Vec<SettingFault>,
}

impl SettingFault {
    /// Makes a fault.
    pub fn new(key: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { key: key.to_string(), detail: detail.into() }
    }

    /// Whether this is about the `<key>_file` of the other's key.
    pub(super) fn is_file_of(&self, other: &Self) -> bool {
        self.key.strip_suffix("_file") == Some(&*other.key)
    }
}

impl From<&Fault> for SettingFault {
    fn from(fault: &Fault) -> Self {
        Self::new(key(&fault.pointer), fault.detail.clone())
    }
}

impl fmt::Display for SettingFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.detail)
    }
}

impl From<SettingFault> for LoadError {
    fn from(fault: SettingFault) -> Self {
        Self { faults: vec![fault] }
    }
}

/// The dotted key that a JSON pointer means, as it stands in TOML.
fn key(pointer: &str) -> String {
    if pointer.is_empty() {
        return "configuration".to_owned();
    }
    let names = pointer.split('/').skip(1).map(|token| {
        let name = token.replace("~1", "/").replace("~0", "~");
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !name.is_empty() && name.bytes().all(is_bare) { name } else { format!("{name:?}") }
    });
    names.collect::<Vec<_>>().join(".")
}

fn list(faults: &[SettingFault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

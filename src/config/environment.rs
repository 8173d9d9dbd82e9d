//! Reads `IMCAST__SECTION__KEY` variables.

use std::ffi::OsString;

use ::config::{Map, Value};

use crate::config::fault::SettingFault;
use crate::config::tree::Table;

const PREFIX: &str = "IMCAST__";

/// Between the parts of a key.
const SEPARATOR: &str = "__";

/// Longest key: `channels`, a name, a key and two levels inside it. The tree is walked by recursion.
const MOST_PARTS: usize = 5;

/// The section whose second part is a name in which `_` stands for `-`.
const CHANNELS: &str = "channels";

/// The tree that the variables describe; all values are texts.
pub(super) fn read(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<SettingFault>,
) -> Table {
    let mut given: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    // The system gives no order; faults have one.
    given.sort();
    let mut table = Table::new();
    for (name, value) in given {
        let parts = parts(&name);
        if parts.len() > MOST_PARTS || parts.iter().any(String::is_empty) {
            faults.push(SettingFault::new(name, "must read IMCAST__SECTION__KEY"));
            continue;
        }
        let Ok(value) = value.into_string() else {
            faults.push(SettingFault::new(name, "is not UTF-8"));
            continue;
        };
        if !insert(&mut table, &parts, value) {
            let detail = "contradicts another variable: one is a value where the other has keys";
            faults.push(SettingFault::new(name, detail));
        }
    }
    table
}

/// `IMCAST__CHANNELS__TIM_MAIN__TIMEOUT_MS` is `channels`, `tim-main`, `timeout_ms`.
fn parts(name: &str) -> Vec<String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let mut parts: Vec<_> = rest.split(SEPARATOR).map(str::to_owned).collect();
    if parts.first().is_some_and(|first| first == CHANNELS)
        && let Some(channel) = parts.get_mut(1)
    {
        *channel = channel.replace('_', "-");
    }
    parts
}

/// Whether there was room for it.
fn insert(table: &mut Table, parts: &[String], value: String) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    if rest.is_empty() {
        return table.insert(first.clone(), Value::from(value)).is_none();
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::from(Map::<String, Value>::new()));
    if let ::config::ValueKind::Table(inner) = &mut inner.kind { insert(inner, rest, value) } else { false }
}

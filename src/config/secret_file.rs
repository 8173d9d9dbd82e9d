//! Replaces every `<key>_file` by `<key>` with the contents of that file.

use std::io::Read;

use ::config::{Value, ValueKind};

use crate::config::ReadFile;
use crate::config::fault::SettingFault;
use crate::config::tree::Table;

const SUFFIX: &str = "_file";

/// No secret is longer; what has no end is not a secret.
const MOST_BYTES: u64 = 65_536;

/// Takes out of `table` each `<key>` that `winner` gives as `<key>_file`, and the other way around: one source over
/// another replaces a key, however either spells it.
pub(super) fn give_way(table: &mut Table, winner: &Table) {
    for (name, value) in winner {
        if let ValueKind::Table(inner) = &value.kind {
            if let Some(ValueKind::Table(mine)) = table.get_mut(name).map(|value| &mut value.kind) {
                give_way(mine, inner);
            }
            continue;
        }
        let other = name.strip_suffix(SUFFIX).map_or_else(|| format!("{name}{SUFFIX}"), str::to_owned);
        table.remove(&other);
    }
}

/// Goes through the whole tree; `read_file` is asked for each file.
pub(super) fn resolve(table: &mut Table, read_file: ReadFile<'_>, faults: &mut Vec<SettingFault>) {
    resolve_inside(table, "", read_file, faults);
}

fn resolve_inside(table: &mut Table, prefix: &str, read_file: ReadFile<'_>, faults: &mut Vec<SettingFault>) {
    let mut names: Vec<_> = table.keys().cloned().collect();
    names.sort();
    for name in names {
        let key = format!("{prefix}{name}");
        let Some(value) = table.get_mut(&name) else {
            continue;
        };
        if let ValueKind::Table(inner) = &mut value.kind {
            resolve_inside(inner, &format!("{key}."), read_file, faults);
            continue;
        }
        if let ValueKind::Array(entries) = &mut value.kind {
            for (index, entry) in entries.iter_mut().enumerate() {
                if let ValueKind::Table(inner) = &mut entry.kind {
                    resolve_inside(inner, &format!("{key}.{index}."), read_file, faults);
                }
            }
        }
        let Some(base) = name.strip_suffix(SUFFIX).filter(|base| !base.is_empty()) else {
            continue;
        };
        let contents = if let ValueKind::String(path) = &value.kind {
            read_file(path)
        } else {
            Err("must be the path of a file".to_owned())
        };
        table.remove(&name);
        let is_given_twice = table.contains_key(base);
        // A file that cannot be read leaves an empty value; the caller drops the faults that follow from it.
        let text = contents.unwrap_or_else(|detail| {
            faults.push(SettingFault::new(&key, detail));
            String::new()
        });
        if is_given_twice {
            let detail = format!("is given besides `{base}`: keep one of the two");
            faults.push(SettingFault::new(&key, detail));
        } else {
            table.insert(base.to_owned(), Value::from(text));
        }
    }
}

/// The text of a file without the line ends at its end; paths are relative to the working directory.
///
/// A fault does not repeat the path, which may be the secret itself by mistake.
pub(super) fn contents(path: &str) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("the file cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err(format!("the file has more than {MOST_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

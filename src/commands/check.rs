//! `imcast check`: the configuration, judged without starting anything. Opens no socket.

use std::io::Write;

use crate::api::keys::settings::Rights;
use crate::commands::{CommandError, Sources};
use crate::domain::id::ChannelName;

/// Prints every warning and `ok` with the channels; the caller prints the faults.
pub(super) fn run(sources: Sources, output: &mut dyn Write) -> Result<(), CommandError> {
    let settings = sources.load()?;
    for warning in settings.warnings() {
        writeln!(output, "warning: {warning}")?;
    }
    if settings.channels.is_empty() {
        writeln!(output, "ok: no channel; `imcast serve` starts the sandbox")?;
    } else {
        writeln!(output, "ok: {} channels", settings.channels.len())?;
    }
    for (name, channel) in &settings.channels {
        writeln!(output, "  {name}: {} at {}", channel.provider, channel.settings.base_url)?;
    }
    if settings.keys.is_empty() {
        writeln!(output, "no key: nobody is asked for one")?;
    } else {
        writeln!(output, "{} keys", settings.keys.len())?;
    }
    for key in &settings.keys {
        writeln!(output, "  {}: key {}{}", key.name, key.id, describe(&key.rights))?;
    }
    Ok(())
}

fn describe(rights: &Rights) -> String {
    let mut text = match &rights.channels {
        None => ", all channels".to_owned(),
        Some(channels) => {
            let names: Vec<_> = channels.iter().map(ChannelName::as_str).collect();
            format!(", channels [{}]", names.join(", "))
        }
    };
    for (limit, unit) in [
        (rights.batches_per_second, "batches a second"),
        (rights.recipients_per_minute, "recipients a minute"),
    ] {
        if let Some(limit) = limit {
            text.push_str(&format!(", {limit} {unit}"));
        }
    }
    if rights.is_operator {
        text.push_str(", operator");
    }
    text
}

//! `imcast check`: the configuration, judged without starting anything. Opens no socket.

use std::io::Write;

use crate::commands::{CommandError, Sources};

/// Prints every warning and `ok` with the channels; the caller prints the faults.
pub(super) fn run(sources: Sources, output: &mut dyn Write) -> Result<(), CommandError> {
    let settings = sources.load()?;
    for warning in settings.warnings() {
        writeln!(output, "warning: {warning}")?;
    }
    if settings.channels.is_empty() {
        writeln!(output, "ok: no channel; `imcast serve` starts the sandbox")?;
        return Ok(());
    }
    writeln!(output, "ok: {} channels", settings.channels.len())?;
    for (name, channel) in &settings.channels {
        writeln!(output, "  {name}: {} at {}", channel.provider, channel.settings.base_url)?;
    }
    Ok(())
}

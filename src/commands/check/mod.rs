//! `imcast check`: the configuration, judged without starting anything.
//!
//! Opens no socket unless `--connect` asks for it, and sends nothing to anybody even then.

mod clock_skew;
mod connect;

use std::io::Write;

use crate::api::keys::settings::Rights;
use crate::commands::{CommandError, Sources, small_runtime};
use crate::config::Settings;
use crate::dispatch::clock::{Clock, Randomness};
use crate::domain::id::ChannelName;

/// What is judged besides the configuration itself.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also ask every channel's provider: is it there, do the clocks agree, does it grant a token
    #[arg(long)]
    connect: bool,
}

/// Prints every warning and `ok` with the channels; the caller prints the faults.
pub(super) fn run(
    sources: Sources,
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let settings = sources.load()?;
    for warning in settings.warnings() {
        writeln!(output, "warning: {warning}")?;
    }
    if settings.channels.is_empty() {
        writeln!(output, "ok: no channel; `imcast serve` starts the sandbox")?;
    } else {
        writeln!(output, "ok: {} channels", settings.channels.len())?;
    }
    if arguments.connect {
        return ask_providers(settings, output);
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
        let id = key.id.as_deref().unwrap_or("without an id");
        writeln!(output, "  {}: key {id}{}", key.name, describe(&key.rights))?;
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

/// Prints one line per channel, in the order of the configuration.
fn ask_providers(settings: Settings, output: &mut dyn Write) -> Result<(), CommandError> {
    let (clock, randomness) = (Clock::system(), Randomness::from_entropy());
    let asking = connect::ask(settings.channels, &settings.transport, &clock, &randomness);
    let findings = small_runtime()?.block_on(asking);
    let mut is_usable = true;
    for finding in &findings {
        writeln!(output, "  {finding}")?;
        is_usable &= finding.is_usable();
    }
    if is_usable { Ok(()) } else { Err(CommandError::Unusable) }
}

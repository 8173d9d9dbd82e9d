//! Reads the channels: each is one provider's row with its own defaults under the operator's keys.

use std::net::IpAddr;

use ::config::{Value, ValueKind};
use http::Uri;

use crate::adapter::channel::{Channel, CommonSettings, Provider};
use crate::adapter::fields::{Fields, Numbers};
use crate::config::fault::{LoadError, SettingFault};
use crate::config::tree::{self, Table};
use crate::domain::fault::FaultCode;
use crate::domain::id::ChannelName;

/// Puts the defaults of its provider under every channel that names a known one.
pub(super) fn add_defaults(given: &mut Table, providers: &[Provider]) {
    let Some(ValueKind::Table(channels)) = given.get_mut("channels").map(|value| &mut value.kind) else {
        return;
    };
    for channel in channels.values_mut() {
        let ValueKind::Table(table) = &mut channel.kind else {
            continue;
        };
        let Some(ValueKind::String(name)) = table.get("provider").map(|value| &value.kind) else {
            continue;
        };
        if let Some(provider) = providers.iter().find(|provider| provider.name == name) {
            *table = tree::merge([defaults(provider), std::mem::take(table)]);
        }
    }
}

fn defaults(provider: &Provider) -> Table {
    tree::parse(provider.defaults).unwrap_or_default()
}

/// Reads the section; channels that have faults are left out and their faults added.
pub(super) fn read(fields: &mut Fields<'_>, providers: &[Provider]) -> Vec<(ChannelName, Channel)> {
    let channels = fields.object("channels", |channels| {
        let names: Vec<_> = channels.names().map(str::to_owned).collect();
        Some(names.iter().filter_map(|name| read_named(channels, name, providers)).collect())
    });
    channels.unwrap_or_default()
}

fn read_named(
    channels: &mut Fields<'_>,
    name: &str,
    providers: &[Provider],
) -> Option<(ChannelName, Channel)> {
    let parsed = ChannelName::parse(name);
    if parsed.is_none() {
        let detail = "a channel's name has 1 to 64 characters of a-z, 0-9 and -";
        channels.fault_at(name, FaultCode::OutOfRange, detail);
    }
    let channel = channels.object(name, |fields| read_channel(fields, providers));
    Some((parsed?, channel?))
}

fn read_channel(fields: &mut Fields<'_>, providers: &[Provider]) -> Option<Channel> {
    let known: Vec<_> = providers.iter().map(|provider| (provider.name, provider)).collect();
    if !fields.has("provider") {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let detail = format!("`provider` is required: one of {}", names.join(", "));
        fields.fault_at("provider", FaultCode::Required, detail);
    }
    let Some(provider) = fields.choice("provider", &known) else {
        ignore_rest(fields);
        return None;
    };
    read_keys(fields, provider)
}

fn read_keys(fields: &mut Fields<'_>, provider: &Provider) -> Option<Channel> {
    if let Some(settings) = CommonSettings::read(fields, provider.most_recipients_per_call) {
        let (adapter, auth) = (provider.build)(&settings, fields)?;
        return Some(Channel { provider: provider.name, settings, adapter, auth });
    }
    // The provider's own keys are checked all the same, so that their faults are not found one start later.
    match plain_settings(provider) {
        Some(settings) => drop((provider.build)(&settings, fields)),
        None => ignore_rest(fields),
    }
    None
}

/// The provider's common defaults with a base URL that stands for any.
fn plain_settings(provider: &Provider) -> Option<CommonSettings> {
    let base_url = Table::from([("base_url".to_owned(), Value::from("https://localhost"))]);
    let json = tree::to_json(tree::merge([defaults(provider), base_url]));
    let mut fields = Fields::parse(&json, "", Numbers::OrText).ok()?;
    CommonSettings::read(&mut fields, provider.most_recipients_per_call)
}

/// What the other keys mean depends on a key that is wrong itself.
fn ignore_rest(fields: &mut Fields<'_>) {
    let names: Vec<_> = fields.names().map(str::to_owned).collect();
    for name in names {
        fields.raw(&name);
    }
}

/// Makes a channel of `provider` from TOML that has all its keys but `provider` and `base_url`.
///
/// # Errors
/// Every fault, by the key inside the channel.
pub fn build_channel(provider: &Provider, base_url: &str, keys: &str) -> Result<Channel, LoadError> {
    let given =
        tree::parse(keys).map_err(|detail| LoadError::from(SettingFault::new(provider.name, detail)))?;
    let base_url = Table::from([("base_url".to_owned(), Value::from(base_url))]);
    let json = tree::to_json(tree::merge([defaults(provider), given, base_url]));
    let mut fields = Fields::parse(&json, "", Numbers::OrText)
        .map_err(|fault| LoadError::from(SettingFault::from(&fault)))?;
    let channel = read_keys(&mut fields, provider);
    let faults: Vec<_> = fields.finish().iter().map(SettingFault::from).collect();
    match channel {
        Some(channel) if faults.is_empty() => Ok(channel),
        _ => Err(LoadError { faults }),
    }
}

/// Whether requests to it leave the machine unencrypted.
pub(super) fn is_readable_on_the_way(base_url: &Uri) -> bool {
    let host = base_url.host().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    base_url.scheme_str() == Some("http") && !is_loopback
}

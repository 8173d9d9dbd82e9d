//! From defaults, the operator's file and the environment to checked [`Settings`].
//!
//! Later sources win: the compiled-in `config/default.toml` and each provider's `default.toml`, then
//! `imcast.toml` (or `--config`), then `IMCAST__SECTION__KEY` from the environment. Any key may be given as
//! `<key>_file` instead: the contents of that file are its value. No key of ours ends in `_file` itself.
//! Every fault is listed at once, by key and never with a value. Opens no socket.

mod channels;
pub mod digest;
mod environment;
mod fault;
pub mod files;
mod secret_file;
mod tree;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;

use crate::adapter::channel::{Channel, Provider};
use crate::adapter::fields::{Fields, Numbers};
use crate::api::keys::settings::{self as keys, KeySettings};
use crate::app::settings::{ServerSettings, ShutdownSettings};
use crate::callbacks::settings::Settings as CallbackSettings;
pub use crate::config::channels::build_channel;
use crate::config::digest::Digests;
pub use crate::config::fault::{LoadError, SettingFault};
use crate::config::files::FilesRead;
use crate::config::tree::Table;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::ChannelName;
use crate::{api, dispatch, store, telemetry, transport};

/// Every key but the providers' own, with default, unit and meaning.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Read when no other file is named, if it exists.
const FILE: &str = "imcast.toml";

/// Everything that an operator can choose, checked.
pub struct Settings {
    /// Section `[server]`.
    pub server: ServerSettings,
    /// Section `[shutdown]`.
    pub shutdown: ShutdownSettings,
    /// Section `[store]`.
    pub store: store::settings::StoreSettings,
    /// Section `[delivery]`.
    pub delivery: dispatch::settings::Settings,
    /// Sections `[limits]` and `[batches]`.
    pub api: api::settings::Settings,
    /// Section `[callbacks]`.
    pub callbacks: CallbackSettings,
    /// Tables `[[keys]]`; empty = nobody is asked for one.
    pub keys: Vec<KeySettings>,
    /// Section `[transport]`.
    pub transport: transport::Settings,
    /// Section `[log]`.
    pub log: telemetry::Settings,
    /// Section `[traces]`.
    pub traces: telemetry::TraceSettings,
    /// Section `[channels]`, by name; empty if none is configured.
    pub channels: Vec<(ChannelName, Channel)>,
    /// What tells this configuration from another one.
    pub digests: Digests,
    /// Whether the built-in stand-ins serve in place of `channels`; the command line decides, no key.
    pub sandbox: Sandbox,
}

/// When the built-in stand-ins are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// If no channel is configured.
    WithoutChannels,
    /// Asked for aloud: always, and no configured channel is used.
    Only,
}

/// The process's environment: the only place that reads it.
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Reads all sources.
///
/// `file`: must exist; `None` = `imcast.toml` of the working directory if there is one.
///
/// # Errors
/// Every fault of every source: the operator mends them.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    providers: &[Provider],
) -> Result<Settings, LoadError> {
    load_noting(file, environment, providers, &mut FilesRead::default())
}

/// Like [`load`]; notes every file that was asked for, also if it could not be read.
///
/// # Errors
/// As [`load`].
pub fn load_noting(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    providers: &[Provider],
    files: &mut FilesRead,
) -> Result<Settings, LoadError> {
    let path = file.unwrap_or_else(|| Path::new(FILE));
    // Before it is read, so that what is written from now on is a change.
    files.note(path);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let detail = format!("cannot be read: {error}");
            return Err(LoadError::from(SettingFault::new(path.display(), detail)));
        }
    };
    let files = RefCell::new(files);
    let read_file = |path: &str| {
        files.borrow_mut().note(Path::new(path));
        secret_file::contents(path)
    };
    parse(&path.display().to_string(), &text, environment, providers, &read_file)
}

/// Gives the text of the file that a `<key>_file` names, or says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The compiled-in defaults alone: no channel.
///
/// # Errors
/// None, unless this program is faulty.
pub fn compiled_in() -> Result<Settings, LoadError> {
    read("", "", [], &[])
}

/// Reads the operator's `text`, which came from `origin`, and the environment.
fn read(
    origin: &str,
    text: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    providers: &[Provider],
) -> Result<Settings, LoadError> {
    parse(origin, text, environment, providers, &secret_file::contents)
}

/// Reads all sources where the operator's `text` is at hand already; `origin` names it in faults.
///
/// Opens no file itself: `read_file` does, where the process may.
///
/// # Errors
/// As [`load`].
pub fn parse(
    origin: &str,
    text: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    providers: &[Provider],
    read_file: ReadFile<'_>,
) -> Result<Settings, LoadError> {
    let mut faults = Vec::new();
    let from_environment = environment::read(environment, &mut faults);
    let mut from_file = tree::parse(text).unwrap_or_else(|detail| {
        faults.push(SettingFault::new(origin, detail));
        Table::new()
    });
    if !faults.is_empty() {
        // What these sources meant to say is not known, so that more faults would only mislead.
        return Err(LoadError { faults });
    }
    secret_file::give_way(&mut from_file, &from_environment);
    let mut given = tree::merge([from_file, from_environment]);
    // Before the defaults come in: a file may replace a value that has a default.
    secret_file::resolve(&mut given, read_file, &mut faults);
    channels::add_defaults(&mut given, providers);
    let defaults = tree::parse(DEFAULTS).unwrap_or_default();
    let merged = tree::merge([defaults, given]);
    let digests = Digests::of(&merged, providers);
    let json = tree::to_json(merged);
    match read_sections(&json, providers) {
        Ok(settings) if faults.is_empty() => Ok(Settings { digests, ..settings }),
        Ok(_) => Err(LoadError { faults }),
        Err(found) => {
            let found: Vec<_> = found.iter().map(SettingFault::from).collect();
            // A file that could not be read is the only fault of its key.
            let is_new = |fault: &&SettingFault| !faults.iter().any(|known| known.is_file_of(fault));
            let new: Vec<_> = found.iter().filter(is_new).cloned().collect();
            faults.extend(new);
            Err(LoadError { faults })
        }
    }
}

/// Reads the merged tree.
fn read_sections(json: &str, providers: &[Provider]) -> Result<Settings, Vec<Fault>> {
    let mut fields = Fields::parse(json, "", Numbers::OrText).map_err(|fault| vec![fault])?;
    let server = fields.object("server", ServerSettings::read);
    let shutdown = fields.object("shutdown", ShutdownSettings::read);
    let store = fields.object("store", store::settings::StoreSettings::read);
    let delivery = fields.object("delivery", dispatch::settings::Settings::read);
    let api = api::settings::Settings::read(&mut fields);
    let callbacks = fields.object("callbacks", CallbackSettings::read);
    let transport = fields.object("transport", transport::Settings::read);
    let log = fields.object("log", telemetry::Settings::read);
    let traces = fields.object("traces", telemetry::TraceSettings::read);
    let channels = channels::read(&mut fields, providers);
    let keys = keys::read(&mut fields);
    let mut faults = fields.finish();
    if faults.is_empty() {
        // Not beside other faults: a channel that has some is not known here.
        let exists = |name: &str| {
            channels.iter().any(|(known, _)| known.as_str() == name)
                || providers.iter().any(|provider| provider.sandbox.channel == name)
        };
        faults = keys::unknown_channels(&keys, exists);
    }
    let settings = (|| {
        let callbacks = callbacks?;
        let callback_hosts = callbacks.allowed_hosts.clone();
        Some(Settings {
            server: server?,
            shutdown: shutdown?,
            delivery: dispatch::settings::Settings {
                budget_share: 1.0 / f64::from(store.as_ref()?.replicas),
                ..delivery?
            },
            store: store?,
            api: api::settings::Settings { callback_hosts, ..api? },
            callbacks,
            keys,
            transport: transport?,
            log: log?,
            traces: traces?,
            channels,
            digests: Digests::default(),
            sandbox: Sandbox::WithoutChannels,
        })
    })();
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        _ => {
            if faults.is_empty() {
                faults.push(Fault::new("", FaultCode::Required, "a section is missing"));
            }
            Err(faults)
        }
    }
}

impl Settings {
    /// What is allowed but should be looked at.
    #[must_use]
    pub fn warnings(&self) -> Vec<SettingFault> {
        self.channels
            .iter()
            .filter(|(_, channel)| channels::is_readable_on_the_way(&channel.settings.base_url))
            .map(|(name, _)| {
                let detail =
                    "is plain http to another machine: messages and credentials can be read on the way";
                SettingFault::new(format_args!("channels.{name}.base_url"), detail)
            })
            .collect()
    }
}

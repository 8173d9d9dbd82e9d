//! The `[callbacks]` section.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::callbacks::signature::SigningKey;
use crate::domain::callback::{AllowedHosts, Origin};
use crate::domain::fault::{Fault, FaultCode};
use crate::transport::address::is_public;

/// Most entries of a list.
const MOST_ENTRIES: usize = 1_000;

/// Longest wait before a try: a week, as long as batches are kept by default.
const MOST_DELAY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Whom and how the ends of batches are told. Defaults and meanings: `config/default.toml`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers that callers may name; empty = nobody may ask for a callback.
    pub allowed_hosts: AllowedHosts,
    /// Each makes a signature: one, or two while one replaces the other; empty only if no server is allowed.
    pub signing_keys: Vec<SigningKey>,
    /// Whether a server may have an address that is not public.
    pub allow_private_addresses: bool,
    /// Most time of one try, 1 to 30 000 ms: a try ends long before another process may begin the same one.
    pub timeout: Duration,
    /// Waits between two tries: one less than there are tries.
    pub retry_delays: Vec<Duration>,
    /// Most tries at once to one server, 1 to 1 000.
    pub max_in_flight_per_host: usize,
}

impl Settings {
    /// Reads the section; `None` if a fault was added.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let allow_private_addresses = fields.bool("allow_private_addresses");
        let allowed_hosts = read_hosts(fields, allow_private_addresses == Some(true));
        let current = read_key(fields, "secret");
        let previous = read_key(fields, "previous_secret");
        let timeout = fields.required_u64("timeout_ms", 1..=30_000).map(Duration::from_millis);
        let retry_delays = read_delays(fields);
        let max_in_flight_per_host = fields
            .required_u64("max_in_flight_per_host", 1..=1_000)
            .and_then(|count| usize::try_from(count).ok());
        let (allowed_hosts, current, previous) = (allowed_hosts?, current?, previous?);
        if current.is_none() && (previous.is_some() || !allowed_hosts.origins().is_empty()) {
            let detail = "is required where allowed_hosts names a server: what is sent there is signed";
            fields.fault_at("secret", FaultCode::Required, detail);
            return None;
        }
        Some(Self {
            allowed_hosts,
            signing_keys: current.into_iter().chain(previous).collect(),
            allow_private_addresses: allow_private_addresses?,
            timeout: timeout?,
            retry_delays: retry_delays?,
            max_in_flight_per_host: max_in_flight_per_host?,
        })
    }
}

fn read_hosts(fields: &mut Fields<'_>, allows_private: bool) -> Option<AllowedHosts> {
    let texts = fields.texts("allowed_hosts")?;
    let mut origins: Vec<Origin> = Vec::with_capacity(texts.len().min(MOST_ENTRIES));
    let mut is_sound = true;
    for (index, text) in texts.iter().enumerate().take(MOST_ENTRIES) {
        match read_host(text, allows_private) {
            Ok(origin) if !origins.contains(&origin) => origins.push(origin),
            Ok(_) => {}
            Err(detail) => {
                is_sound = false;
                let pointer = format!("/allowed_hosts/{index}");
                fields.fault(Fault::new(pointer, FaultCode::OutOfRange, detail));
            }
        }
    }
    if texts.len() > MOST_ENTRIES {
        let detail = format!("has more than {MOST_ENTRIES} entries");
        fields.fault_at("allowed_hosts", FaultCode::TooLarge, detail);
        is_sound = false;
    }
    is_sound.then(|| AllowedHosts::new(origins))
}

/// Reads `host`, `host:port` or `http://host:port`.
///
/// # Errors
/// What is wrong.
fn read_host(text: &str, allows_private: bool) -> Result<Origin, &'static str> {
    const SHAPE: &str = "must be a host as in \"hooks.example.com\" or \"hooks.example.com:8443\", \
        or with http:// before it; no wildcard, no path";
    let has_scheme = text.contains("://");
    let url = if has_scheme { text.to_owned() } else { format!("https://{text}") };
    let authority = url.split_once("://").map_or("", |(_, authority)| authority);
    if authority.contains(['/', '?']) {
        return Err(SHAPE);
    }
    let origin = Origin::of(&url).ok_or(SHAPE)?;
    let host = &*origin.host;
    let address: Option<IpAddr> = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => {
            let address: Ipv6Addr = inner.parse().map_err(|_| SHAPE)?;
            if address.to_string() != inner {
                return Err("must be an IPv6 address in its shortest form");
            }
            Some(address.into())
        }
        // What ends in a number is an address for everybody who reads URLs.
        None if host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            let address: Ipv4Addr = host.parse().map_err(|_| SHAPE)?;
            Some(address.into())
        }
        None => None,
    };
    if address.is_some_and(|address| !allows_private && !is_public(address)) {
        return Err("is no public address, and allow_private_addresses is false");
    }
    Ok(origin)
}

/// Reads a secret that may be empty; `None` if a fault was added.
fn read_key(fields: &mut Fields<'_>, name: &str) -> Option<Option<SigningKey>> {
    let text = fields.required_text(name)?;
    if text.is_empty() {
        return Some(None);
    }
    let key = SigningKey::parse(&text);
    if key.is_none() {
        let detail = "must be `whsec_` and 24 to 64 bytes in base64, as `echo whsec_$(openssl rand -base64 32)` \
            prints it";
        fields.fault_at(name, FaultCode::OutOfRange, detail);
    }
    key.map(Some)
}

fn read_delays(fields: &mut Fields<'_>) -> Option<Vec<Duration>> {
    let texts: Vec<Arc<str>> = fields.ids("retry_delays_ms")?;
    let delays: Option<Vec<_>> = texts
        .iter()
        .map(|text| {
            let milliseconds = text.parse().ok().filter(|count| (1..=MOST_DELAY_MS).contains(count))?;
            Some(Duration::from_millis(milliseconds))
        })
        .collect();
    let delays = delays.filter(|delays| delays.len() <= 100);
    if delays.is_none() {
        let detail = format!("must be at most 100 whole numbers from 1 to {MOST_DELAY_MS}");
        fields.fault_at("retry_delays_ms", FaultCode::OutOfRange, detail);
    }
    delays
}

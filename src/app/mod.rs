//! Wires the modules into one running gateway.

mod activity;
mod connection;
pub mod reload;
mod served;
mod server;
pub mod settings;
mod watched;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};

use crate::adapter::channel::Channel;
use crate::api::keys::ring::KeyRing;
use crate::api::{Api, MetricsAt, router};
use crate::app::reload::{AtStart, Reloader};
use crate::app::server::Server;
use crate::app::settings::{ServerSettings, ShutdownSettings};
use crate::callbacks::Courier;
use crate::callbacks::settings::Settings as CallbackSettings;
use crate::config::digest::{ChannelDigests, Digests};
use crate::config::{LoadError, Sandbox, Settings, build_channel};
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::ChannelParts;
use crate::dispatch::clock::{Clock, Randomness};
use crate::domain::id::ChannelName;
use crate::providers::REGISTRY;
use crate::store::opened::{OpenError, Opened};
use crate::{providers, sandbox, store, transport};

/// Connections that the system keeps until they are taken: a caller who finds the queue full tries again only
/// after a second.
const ACCEPT_QUEUE: u32 = 4096;
/// Most time for a scrape that is under way at the end.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// The running gateway; dropping it cuts every connection.
pub struct App {
    dispatcher: Arc<Dispatcher>,
    server: Server,
    /// Probes and metrics; the last to go, so that the end can be watched.
    admin: Option<Server>,
    sandbox: Option<sandbox::Running>,
    /// Runs where callbacks are allowed and can be kept.
    courier: Option<Courier>,
    store: Opened,
    shutdown: ShutdownSettings,
    reloader: Arc<Reloader>,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Other machines could send in the operator's name.
    #[error(
        "refusing to listen on {0}: other machines reach this address and no key is asked for; configure \
         [[keys]] (`imcast keygen` makes one), listen on 127.0.0.1 behind a proxy that authenticates, set \
         server.insecure = true, or use --sandbox"
    )]
    PublicAddress(SocketAddr),
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Batches cannot be kept where they are to be kept.
    #[error("cannot open the store (store.url)")]
    Store(#[source] OpenError),
    /// The stand-ins got no port.
    #[error("the sandbox cannot listen")]
    Sandbox(#[source] io::Error),
    /// A stand-in's own channel is wrong: a fault of this program.
    #[error("the sandbox's own channel `{channel}` cannot be built")]
    SandboxChannel {
        /// Its name.
        channel: &'static str,
        /// What is wrong with its keys; `None` = with its name.
        source: Option<LoadError>,
    },
    /// Callbacks have no client.
    #[error("callbacks cannot be sent (callbacks.allowed_hosts)")]
    Callbacks(#[source] transport::BuildError),
    /// A channel has no client.
    #[error("channel `{channel}` cannot be started")]
    Client {
        /// Its name.
        channel: ChannelName,
        /// What stands in the way.
        source: transport::BuildError,
    },
}

impl App {
    /// Starts everything and takes connections from then on.
    ///
    /// # Errors
    /// [`StartError`]: the operator mends the configuration or the machine.
    pub async fn start(settings: Settings, clock: Clock, randomness: Randomness) -> Result<Self, StartError> {
        let keys = Arc::new(KeyRing::new(&settings.keys));
        check_address(&settings.server, settings.sandbox, !keys.is_empty())?;
        log_warnings(&settings);
        let store = open_store(settings.store.clone(), &clock).await?;
        let address = settings.server.listen;
        let listener = listen(address).map_err(|source| StartError::Listen { address, source })?;
        let wants_sandbox = settings.sandbox == Sandbox::Only || settings.channels.is_empty();
        let (sandbox, channels) = if wants_sandbox {
            if !settings.channels.is_empty() {
                warn!("The configured channels are not used: --sandbox was asked for.");
            }
            let running = start_sandbox(&clock).await?;
            let channels = sandbox_channels(&running)?;
            (Some(running), channels)
        } else {
            (None, settings.channels)
        };
        let digests = sandbox.is_none().then_some(&settings.digests);
        let parts = parts(channels, settings.transport, digests)?;
        let channel_count = parts.len();
        let dispatcher = Dispatcher::new(parts, settings.delivery, store.store(), clock, randomness);
        let courier = start_courier(&dispatcher, settings.callbacks)?;
        let at_start = AtStart {
            server: settings.server.clone(),
            transport: settings.transport,
            sandbox: sandbox.is_some().then_some(settings.sandbox),
            digests: settings.digests,
        };
        let reloader = Arc::new(Reloader::new(Arc::clone(&dispatcher), Arc::clone(&keys), at_start));
        let api =
            Api { dispatcher: Arc::clone(&dispatcher), settings: settings.api, keys, providers: REGISTRY };
        let state = router::State::new(Arc::new(api));
        let admin = start_admin(&state, &settings.server).await?;
        let metrics_at = if admin.is_some() { MetricsAt::Admin } else { MetricsAt::Api };
        let server = Server::start(listener, router::build(&state, metrics_at), settings.server)
            .map_err(|source| StartError::Listen { address, source })?;
        dispatcher.recover();
        let is_sandbox = sandbox.is_some();
        info!(server.address = %server.local_addr(), channel_count, is_sandbox, "Listening.");
        let shutdown = settings.shutdown;
        Ok(Self { dispatcher, server, admin, sandbox, courier, store, shutdown, reloader })
    }

    /// Where it listens: the real port, also if a free one was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where the probes and the metrics are, if they have a listener of their own.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::local_addr)
    }

    /// The engine: what it can send to and what it is doing.
    #[must_use]
    pub const fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Takes another configuration over while everything runs.
    #[must_use]
    pub const fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Leaves without losing anything that was begun.
    ///
    /// Says so for `drain_delay`, then takes no connection any more, and gives calls in flight and open requests
    /// `grace` to finish.
    pub async fn shutdown(self) {
        let ShutdownSettings { drain_delay, grace } = self.shutdown;
        // A load balancer needs the delay to notice; until then it may go on sending work here.
        self.dispatcher.leave();
        info!(
            drain_delay_seconds = drain_delay.as_secs(),
            running_count = self.dispatcher.running_count(),
            "Leaving."
        );
        tokio::time::sleep(drain_delay).await;
        // Both at once: open requests get their answers as their batches end.
        let courier = self.courier;
        let stop_courier = async {
            match courier {
                Some(courier) => courier.stop(grace).await,
                None => true,
            }
        };
        let (is_settled, is_answered, is_told) =
            tokio::join!(self.dispatcher.drain(grace), self.server.stop(grace), stop_courier);
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        // Last: whatever ended above is written.
        self.store.close().await;
        if let Some(admin) = self.admin {
            admin.stop(ADMIN_GRACE).await;
        }
        if is_settled && is_answered && is_told {
            info!("Left in order.");
        } else {
            warn!(is_settled, is_answered, is_told, "Left with work unfinished: the grace was over.");
        }
    }
}

/// Takes the address, with room for a burst of callers.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart finds the address free although old connections are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE)
}

/// Takes connections for the probes and the metrics, if they have an address of their own.
async fn start_admin(state: &router::State, settings: &ServerSettings) -> Result<Option<Server>, StartError> {
    let Some(address) = settings.admin_listen else { return Ok(None) };
    let fault = |source| StartError::Listen { address, source };
    let listener = listen(address).map_err(fault)?;
    let server = Server::start(listener, router::build_admin(state), settings.clone()).map_err(fault)?;
    info!(server.address = %server.local_addr(), "Listening for probes and scrapes.");
    Ok(Some(server))
}

/// Without keys only this machine may reach the API, unless the operator says otherwise.
fn check_address(server: &ServerSettings, sandbox: Sandbox, has_keys: bool) -> Result<(), StartError> {
    if server.listen.ip().is_loopback() || sandbox == Sandbox::Only || has_keys {
        return Ok(());
    }
    if !server.insecure {
        return Err(StartError::PublicAddress(server.listen));
    }
    warn!(server.address = %server.listen, "Whoever reaches this address can send: server.insecure is set.");
    Ok(())
}

async fn open_store(settings: store::settings::StoreSettings, clock: &Clock) -> Result<Opened, StartError> {
    let clock = clock.clone();
    let provider = |name: &str| providers::find(name).map(|provider| provider.name);
    Opened::open(settings, provider, move || clock.now()).await.map_err(StartError::Store)
}

/// Begins to tell the ends of batches, if anybody may be told.
fn start_courier(
    dispatcher: &Arc<Dispatcher>,
    settings: CallbackSettings,
) -> Result<Option<Courier>, StartError> {
    let origins = settings.allowed_hosts.origins();
    if origins.is_empty() || dispatcher.durable().is_none() {
        return Ok(None);
    }
    let options = transport::webhook::WebhookOptions {
        timeout: settings.timeout,
        allows_private_addresses: settings.allow_private_addresses,
        needs_tls: origins.iter().any(|origin| origin.is_tls),
    };
    let service = transport::webhook::client(options).map_err(StartError::Callbacks)?;
    Ok(Some(Courier::start(Arc::clone(dispatcher), service, settings)))
}

/// Says what is allowed but should be looked at.
fn log_warnings(settings: &Settings) {
    for warning in settings.warnings() {
        warn!(setting = warning.key, "The setting {}.", warning.detail);
    }
}

async fn start_sandbox(clock: &Clock) -> Result<sandbox::Running, StartError> {
    let clock = clock.clone();
    sandbox::start(move || clock.now()).await.map_err(StartError::Sandbox)
}

/// One channel for each stand-in.
fn sandbox_channels(running: &sandbox::Running) -> Result<Vec<(ChannelName, Channel)>, StartError> {
    let build = |stand_in: &sandbox::SandboxChannel| {
        let fault = |source| StartError::SandboxChannel { channel: stand_in.name, source };
        let name = ChannelName::parse(stand_in.name).ok_or_else(|| fault(None))?;
        let channel = build_channel(stand_in.provider, &stand_in.base_url, stand_in.settings)
            .map_err(|source| fault(Some(source)))?;
        Ok((name, channel))
    };
    running.channels().iter().map(build).collect()
}

/// Gives every channel its own connections; `digests` = none for the stand-ins, which are this process's own.
fn parts(
    channels: Vec<(ChannelName, Channel)>,
    transport: transport::Settings,
    digests: Option<&Digests>,
) -> Result<Vec<ChannelParts>, StartError> {
    let is_sandbox = digests.is_none();
    let part = |(name, channel): (ChannelName, Channel)| {
        let http = transport::client(&channel.settings, &transport)
            .map_err(|source| StartError::Client { channel: name.clone(), source })?;
        let digests = digests.and_then(|digests| digests.channels.get(name.as_str()));
        let account = digests.map(ChannelDigests::account);
        Ok(ChannelParts { name, channel, http, is_sandbox, account })
    };
    channels.into_iter().map(part).collect()
}

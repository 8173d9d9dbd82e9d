//! Serves the providers' stand-ins on loopback, so that everything can be rehearsed without an account.
//!
//! It knows HTTP and nothing of any provider: what a stand-in answers is its own business.

mod server;

#[cfg(test)]
mod tests;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::adapter::channel::Provider;
use crate::adapter::sandbox::Sandbox;
use crate::providers::REGISTRY;
use crate::sandbox::server::Server;

/// The stand-ins that run; dropping it ends them.
pub struct Running {
    channels: Vec<SandboxChannel>,
    tasks: TaskTracker,
    ending: DropGuard,
}

/// A channel whose provider is a stand-in.
#[derive(Clone)]
pub struct SandboxChannel {
    /// The channel's name, e.g. `sandbox-tim`.
    pub name: &'static str,
    /// The provider that it stands for.
    pub provider: &'static Provider,
    /// Where the stand-in listens.
    pub base_url: String,
    /// The channel's other keys, as TOML.
    pub settings: &'static str,
}

/// Starts every stand-in of the registry, each on a free port of 127.0.0.1.
///
/// `now` tells the stand-ins the time.
///
/// # Errors
/// What the system says when it gives no port.
pub async fn start(now: impl Fn() -> SystemTime + Clone + Send + Sync + 'static) -> io::Result<Running> {
    let tasks = TaskTracker::new();
    let end = CancellationToken::new();
    let ending = end.clone().drop_guard();
    let mut channels = Vec::with_capacity(REGISTRY.len());
    for provider in REGISTRY {
        let sandbox = &provider.sandbox;
        let base_url = listen(sandbox, &tasks, &end, now.clone()).await?;
        channels.push(SandboxChannel {
            name: sandbox.channel,
            provider,
            base_url,
            settings: sandbox.settings,
        });
    }
    tasks.close();
    Ok(Running { channels, tasks, ending })
}

/// Starts one stand-in; returns its base URL.
async fn listen(
    sandbox: &Sandbox,
    tasks: &TaskTracker,
    end: &CancellationToken,
    now: impl Fn() -> SystemTime + Send + Sync + 'static,
) -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let server = Arc::new(Server {
        stand_in: (sandbox.build)(),
        now: Box::new(now),
        tasks: tasks.clone(),
        end: end.clone(),
    });
    tasks.spawn(server.accept_all(listener));
    Ok(base_url)
}

impl Running {
    /// One channel for each provider, in the order of the registry.
    #[must_use]
    pub fn channels(&self) -> &[SandboxChannel] {
        &self.channels
    }

    /// Ends the stand-ins and waits until their ports are free.
    pub async fn stop(self) {
        drop(self.ending);
        self.tasks.wait().await;
    }
}

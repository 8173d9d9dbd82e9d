//! Tells the service manager that started the process how far it is, in the words of systemd.
//!
//! Nothing depends on being heard: where nobody listens, nothing is said.
//! Source: systemd, `sd_notify(3)`, read 2026-11-21.

use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Whoever is told; lives as long as the process serves.
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It takes connections, or goes on after a reload.
    Ready,
    /// It reads its configuration anew.
    Reloading,
    /// It has begun to leave.
    Stopping,
}

impl Progress {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Reloading => "RELOADING=1",
            Self::Stopping => "STOPPING=1",
        }
    }
}

impl ServiceManager {
    /// The one that the environment names, if it names one.
    pub(super) fn of(environment: &[(OsString, OsString)]) -> Self {
        let named = environment.iter().find(|(name, _)| name == SOCKET);
        let connected = named.map(|(_, address)| open(address)).transpose();
        let socket = connected.unwrap_or_else(|error| {
            debug!(%error, "The service manager cannot be told anything.");
            None
        });
        Self { socket }
    }

    /// Says how far the process is.
    pub(super) fn tell(&self, progress: Progress) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(progress.as_str().as_bytes(), address) {
            debug!(%error, ?progress, "The service manager does not hear.");
        }
    }
}

fn open(address: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address.as_encoded_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the gateway.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

//! `imcast health`: asks a running gateway whether it is alive, for a container's health check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Uri};
use http_body_util::Empty;

use crate::commands::{CommandError, Sources, exchange, small_runtime};

/// Longer than any healthy answer takes and shorter than the usual patience of who asks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to ask [default: /livez at the configured address]
    #[arg(long)]
    url: Option<String>,
}

/// Succeeds if the answer is a 2xx.
pub(super) fn run(sources: Sources, arguments: &Arguments) -> Result<(), CommandError> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => format!("http://{}/livez", reachable(sources.load()?.server.listen)),
    };
    let uri: Uri = url.parse().map_err(|_| CommandError::Url)?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(CommandError::Url);
    };
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|_| CommandError::Url)?;
    let exchanged = small_runtime()?.block_on(exchange::exchange(&address, request, PATIENCE));
    let (head, _) = exchanged.map_err(|source| CommandError::Exchange { address, source })?;
    if head.status.is_success() { Ok(()) } else { Err(CommandError::Status(head.status.as_u16())) }
}

/// Where this machine reaches a listener: one on all addresses is on loopback too.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

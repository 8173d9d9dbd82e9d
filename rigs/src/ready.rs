//! Watches whether a gateway says that it is ready, and that it lives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{exchange, requests};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(20);

/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// When it answered, and whether with 200.
type Looks = Mutex<Vec<(Instant, bool)>>;

/// A running watch; dropping it ends it.
pub(crate) struct Watch {
    ready: Arc<Looks>,
    alive: Arc<Looks>,
    _watching: JoinSet<()>,
}

impl Watch {
    pub(crate) fn start(gateway: SocketAddr) -> Self {
        let (ready, alive) = (Arc::<Looks>::default(), Arc::<Looks>::default());
        let mut watching = JoinSet::new();
        watching.spawn(look(gateway, "/readyz", Arc::clone(&ready)));
        watching.spawn(look(gateway, "/livez", Arc::clone(&alive)));
        Self { ready, alive, _watching: watching }
    }

    /// Seconds from `since` until it first said that it is ready, or not; `None` = it never did.
    pub(crate) fn seconds_until(&self, is_ready: bool, since: Instant) -> Option<f64> {
        let looks = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let first = looks.iter().find(|(at, was_ready)| *at >= since && *was_ready == is_ready)?;
        Some(first.0.duration_since(since).as_secs_f64())
    }

    /// How often it did not say that it lives; a watch that saw nothing counts as one.
    pub(crate) fn dead_count(&self) -> usize {
        let looks = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = looks.iter().filter(|(_, is_alive)| !is_alive).count();
        dead.max(usize::from(looks.is_empty()))
    }
}

async fn look(gateway: SocketAddr, path: &'static str, looks: Arc<Looks>) {
    let request = requests::get(path);
    loop {
        let answer = tokio::time::timeout(PATIENCE, exchange::once(gateway, &request)).await;
        let is_well = matches!(answer, Ok(Ok((answer, _))) if answer.status == 200);
        looks.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), is_well));
        tokio::time::sleep(EVERY).await;
    }
}

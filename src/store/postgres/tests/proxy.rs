//! Stands between store and database, and loses the answer to a commit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running proxy; dropping it cuts every connection.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    end: CancellationToken,
}

#[derive(Default)]
struct Shared {
    /// How many more times a connection is cut once what it asks for holds the text, and which text.
    cuts: AtomicUsize,
    text: &'static str,
    /// Whether what was asked for still reaches the database.
    passes: bool,
    cut: AtomicUsize,
    /// Whether no connection is taken.
    is_away: std::sync::atomic::AtomicBool,
}

impl Proxy {
    /// Looks for `text` in what is asked for; `passes`: it goes on to the database before the connection is cut.
    pub(super) async fn start(target: SocketAddr, text: &'static str, passes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { text, passes, ..Shared::default() });
        let end = CancellationToken::new();
        let (tasks, of_tasks, of_shared) = (TaskTracker::new(), end.clone(), Arc::clone(&shared));
        let carriers = tasks.clone();
        let accepting = async move {
            while let Ok((caller, _)) = listener.accept().await {
                if of_shared.is_away.load(Ordering::SeqCst) {
                    continue;
                }
                let carrying = carry(caller, target, Arc::clone(&of_shared));
                let end = of_tasks.clone();
                carriers.spawn(async move { end.run_until_cancelled(carrying).await });
            }
        };
        let until = end.clone();
        tasks.spawn(async move { until.run_until_cancelled(accepting).await });
        Self { address, shared, end }
    }

    /// Cuts the next so many connections that ask for the text.
    pub(super) fn cut_next(&self, count: usize) {
        self.shared.cuts.store(count, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub(super) fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// Takes no connection any more.
    pub(super) fn go_away(&self) {
        self.shared.is_away.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Shared {
    /// Whether this connection is one of those that are cut here.
    fn takes_cut(&self, asked: &[u8]) -> bool {
        let holds = asked.windows(self.text.len()).any(|window| window == self.text.as_bytes());
        let take = |left: usize| left.checked_sub(1);
        holds && self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

async fn carry(mut caller: TcpStream, target: SocketAddr, shared: Arc<Shared>) {
    let mut database = TcpStream::connect(target).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = caller.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let is_cut = shared.takes_cut(&asked[..count]);
                if is_cut && !shared.passes {
                    shared.cut.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                database.write_all(&asked[..count]).await.unwrap();
                if is_cut {
                    // The database has done it once it answers; nobody hears of that.
                    let _ = database.read(&mut answered).await;
                    shared.cut.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = database.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if caller.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

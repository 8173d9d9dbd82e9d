//! Stands between two ends of a connection and breaks it where the test says.
//!
//! It understands nothing of what it carries but where an HTTP/1.1 message ends. It counts every byte, so that a
//! test can prove what was on the wire.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What becomes of one connection.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is reset as soon as it is there.
    ResetAtOnce,
    /// It is kept, and nothing is carried.
    Hold,
    /// It is carried from when the test says so.
    Delay(CancellationToken),
    /// One direction is carried up to a place.
    Break(Direction, Place, End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From whoever connected.
    Request,
    /// Towards whoever connected.
    Answer,
}

/// Where a direction is broken; behind the first message of a connection nothing is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// After so many bytes.
    Bytes(usize),
    /// So many bytes after the end of the head.
    Head(usize),
    /// So many bytes before the end of the message.
    BeforeEnd(usize),
}

/// How it is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Both ends see an orderly end.
    Close,
    /// Both ends see a reset.
    Reset,
    /// This direction ends in order; the other one goes on.
    HalfClose,
    /// This direction carries nothing any more and stays open until its source goes.
    Stall,
}

/// Decides about each connection, counted from 0.
pub(crate) type Faults = Box<dyn FnMut(usize) -> Fault + Send>;

/// These in order, and then none.
pub(crate) fn faults(list: impl IntoIterator<Item = Fault>) -> Faults {
    let mut list = list.into_iter().collect::<Vec<_>>().into_iter();
    Box::new(move |_| list.next().unwrap_or(Fault::None))
}

/// What a connection carried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    /// Whether it was broken on purpose.
    pub(crate) is_broken: bool,
    /// Bytes that came from whoever connected.
    pub(crate) taken: usize,
    /// Bytes of those that went on to the target.
    pub(crate) passed: usize,
    /// Whether it went on to the target at all.
    pub(crate) has_target: bool,
    is_over: bool,
}

/// A running proxy; dropping it ends it.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Bound and not listening: connections to it are refused.
    closed: Mutex<Option<TcpSocket>>,
    tasks: TaskTracker,
    end: CancellationToken,
    _ending: DropGuard,
}

struct Shared {
    target: SocketAddr,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Carried>>,
    changed: Notify,
}

impl FaultProxy {
    pub(crate) async fn start(target: SocketAddr, faults: Faults) -> Self {
        let proxy = Self::refusing(target, faults);
        proxy.open();
        proxy
    }

    /// One that refuses every connection until it is opened.
    pub(crate) fn refusing(target: SocketAddr, faults: Faults) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (log, changed) = (Mutex::default(), Notify::new());
        let end = CancellationToken::new();
        Self {
            address: socket.local_addr().unwrap(),
            shared: Arc::new(Shared { target, faults: Mutex::new(faults), log, changed }),
            closed: Mutex::new(Some(socket)),
            tasks: TaskTracker::new(),
            _ending: end.clone().drop_guard(),
            end,
        }
    }

    /// Takes connections from now on.
    pub(crate) fn open(&self) {
        let socket = self.closed.lock().unwrap().take().expect("a proxy that is not open yet");
        let listener = socket.listen(1024).unwrap();
        let carrying = accept_all(listener, Arc::clone(&self.shared), self.end.clone(), self.tasks.clone());
        self.tasks.spawn(carrying);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What every connection carried, in the order of their coming.
    pub(crate) fn log(&self) -> Vec<Carried> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Connections that came about and were broken on purpose.
    pub(crate) fn broken(&self) -> usize {
        self.log().iter().filter(|carried| carried.is_broken).count()
    }

    /// Waits until so many connections have come.
    pub(crate) async fn arrived(&self, count: usize) {
        loop {
            let changed = self.shared.changed.notified();
            if self.log().len() >= count {
                return;
            }
            changed.await;
        }
    }

    /// Waits until so many connections have come and all are over.
    pub(crate) async fn idle(&self, count: usize) {
        loop {
            let changed = self.shared.changed.notified();
            let log = self.log();
            if log.len() >= count && log.iter().all(|carried| carried.is_over) {
                return;
            }
            changed.await;
        }
    }
}

impl Shared {
    fn note(&self, index: usize, change: impl FnOnce(&mut Carried)) {
        change(&mut self.log.lock().unwrap()[index]);
        self.changed.notify_waiters();
    }
}

async fn accept_all(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken, tasks: TaskTracker) {
    for index in 0.. {
        let (caller, _) = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap(),
        };
        shared.log.lock().unwrap().push(Carried::default());
        shared.changed.notify_waiters();
        let fault = (shared.faults.lock().unwrap())(index);
        let (shared, end) = (Arc::clone(&shared), end.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = (Link { shared: &shared, index }).carry(caller, fault) => {}
            }
            shared.note(index, |carried| carried.is_over = true);
        });
    }
}

/// One connection.
#[derive(Clone, Copy)]
struct Link<'a> {
    shared: &'a Shared,
    index: usize,
}

impl Link<'_> {
    async fn carry(self, mut caller: TcpStream, fault: Fault) {
        let cut = match fault {
            Fault::None => None,
            Fault::ResetAtOnce => {
                self.note_break();
                return caller.set_zero_linger().unwrap();
            }
            Fault::Hold => {
                self.note_break();
                return self.swallow(&mut caller, true).await;
            }
            Fault::Delay(release) => {
                release.cancelled().await;
                None
            }
            Fault::Break(direction, place, end) => Some((direction, place, end)),
        };
        let Ok(mut target) = TcpStream::connect(self.shared.target).await else { return };
        self.note(|carried| carried.has_target = true);
        // Small pieces must arrive as they were cut.
        caller.set_nodelay(true).unwrap();
        target.set_nodelay(true).unwrap();
        let of =
            |wanted| cut.filter(|(direction, ..)| *direction == wanted).map(|(_, place, end)| (place, end));
        let ended = {
            let (mut from_caller, mut to_caller) = caller.split();
            let (mut from_target, mut to_target) = target.split();
            tokio::try_join!(
                self.pump(&mut from_caller, &mut to_target, Direction::Request, of(Direction::Request)),
                self.pump(&mut from_target, &mut to_caller, Direction::Answer, of(Direction::Answer)),
            )
        };
        if matches!(ended, Err(End::Reset)) {
            let _ = (caller.set_zero_linger(), target.set_zero_linger());
        }
    }

    /// Carries one direction to its end, or to where it is broken; an error ends both directions.
    async fn pump(
        self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        direction: Direction,
        cut: Option<(Place, End)>,
    ) -> Result<(), End> {
        let is_request = direction == Direction::Request;
        let (mut seen, mut passed) = (Vec::new(), 0);
        loop {
            let limit = cut.map_or(Some(usize::MAX), |(place, _)| place.find(&seen));
            // Until the place is known nothing may pass it.
            let next = limit.map_or(passed, |limit| limit.min(seen.len()));
            if to.write_all(&seen[passed..next]).await.is_err() {
                return Ok(());
            }
            if is_request {
                self.note(|carried| carried.passed = next);
            }
            passed = next;
            // An answer is broken when it comes, a request even before.
            if limit == Some(passed) && (is_request || !seen.is_empty()) {
                break;
            }
            match from.read_buf(&mut seen).await {
                Ok(0) | Err(_) => {
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Ok(count) if is_request => self.note(|carried| carried.taken += count),
                Ok(_) => {}
            }
        }
        let Some((_, end)) = cut else { return Ok(()) };
        self.note_break();
        match end {
            End::Close | End::Reset => return Err(end),
            End::HalfClose => {
                let _ = to.shutdown().await;
                self.swallow(from, is_request).await;
            }
            End::Stall => {
                self.swallow(from, is_request).await;
                let _ = to.shutdown().await;
            }
        }
        Ok(())
    }

    /// Reads until the source goes.
    async fn swallow(self, from: &mut (impl AsyncRead + Unpin), is_request: bool) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if is_request {
                self.note(|carried| carried.taken += count);
            }
        }
    }

    fn note_break(self) {
        self.note(|carried| carried.is_broken = true);
    }

    fn note(self, change: impl FnOnce(&mut Carried)) {
        self.shared.note(self.index, change);
    }
}

impl Place {
    /// How many bytes may pass; `None` while that cannot be told.
    fn find(self, seen: &[u8]) -> Option<usize> {
        let head_end = || seen.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4);
        match self {
            Self::Bytes(count) => Some(count),
            Self::Head(more) => Some(head_end()? + more),
            Self::BeforeEnd(count) => {
                let head_end = head_end()?;
                let head = String::from_utf8_lossy(&seen[..head_end]).to_ascii_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                let whole = head_end + length.unwrap_or(0);
                (seen.len() >= whole).then_some(whole.saturating_sub(count))
            }
        }
    }
}

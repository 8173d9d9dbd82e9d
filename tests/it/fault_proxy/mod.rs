//! Stands between two ends of a connection and breaks it where the test says.
//!
//! It understands nothing of what it carries but where an HTTP/1.1 message or a given text ends. It counts every byte, so that a
//! test can prove what was on the wire.

mod link;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::fault_proxy::link::Link;

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
    /// Behind the first statement of this text, and the zero that ends it, in what goes to a database.
    Behind(&'static str),
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
    /// Ends the connections that there are.
    cut: Mutex<CancellationToken>,
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
        let (log, changed, cut) = (Mutex::default(), Notify::new(), Mutex::default());
        let end = CancellationToken::new();
        Self {
            address: socket.local_addr().unwrap(),
            shared: Arc::new(Shared { target, faults: Mutex::new(faults), log, changed, cut }),
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

    /// Ends every connection that there is, wherever it stands; those to come are carried.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.shared.cut.lock().unwrap()).cancel();
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
        let cut = shared.cut.lock().unwrap().clone();
        tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = cut.cancelled() => {}
                () = (Link { shared: &shared, index }).carry(caller, fault) => {}
            }
            shared.note(index, |carried| carried.is_over = true);
        });
    }
}

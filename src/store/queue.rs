//! What waits to be written behind, bounded by its number and by its bytes.

use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Most reports that wait; more are dropped.
pub(crate) const MOST_REPORTS: usize = 1_024;

/// Most bytes that these take together, roughly; a single one may be larger.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// Puts things in, without ever waiting.
pub(crate) struct Sender<T> {
    items: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Takes them out, in the order in which they were put in.
pub(crate) struct Receiver<T> {
    items: mpsc::Receiver<(T, OwnedSemaphorePermit)>,
}

/// The place of one thing.
pub(crate) struct Place<'a, T> {
    items: mpsc::Permit<'a, (T, OwnedSemaphorePermit)>,
    room: OwnedSemaphorePermit,
}

/// An empty queue of [`MOST_REPORTS`] and [`MOST_BYTES`].
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(MOST_REPORTS);
    (Sender { items: sender, room: Arc::new(Semaphore::new(MOST_BYTES)) }, Receiver { items: receiver })
}

impl<T> Sender<T> {
    /// A place for something of so many bytes; `None` = there is no room, or nobody takes anything out any more.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Place<'_, T>> {
        let items = self.items.try_reserve().ok()?;
        let bytes = u32::try_from(bytes.min(MOST_BYTES)).ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok()?;
        Some(Place { items, room })
    }
}

impl<T> Place<'_, T> {
    /// Fills the place.
    pub(crate) fn send(self, item: T) {
        self.items.send((item, self.room));
    }
}

impl<T> Receiver<T> {
    /// The next one, once there is one; `None` = there will be none. Nothing is lost if this is not waited for.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        self.items.recv().await.map(|(item, _room)| item)
    }

    /// The next one that is there.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.items.try_recv().map(|(item, _room)| item)
    }

    /// How many there are.
    #[cfg(feature = "postgres")]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Lets nothing in any more.
    pub(crate) fn close(&mut self) {
        self.items.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn number_and_bytes_are_bounded_and_a_single_one_may_be_larger() {
        let (sender, mut receiver) = queue();
        sender.try_reserve(MOST_BYTES * 2).unwrap().send(1);
        assert!(sender.try_reserve(1).is_none());
        assert_eq!(receiver.recv().await, Some(1));
        sender.try_reserve(MOST_BYTES - 10).unwrap().send(2);
        assert!(sender.try_reserve(11).is_none());
        sender.try_reserve(10).unwrap().send(3);
        assert_eq!(receiver.try_recv(), Ok(2));
        drop(sender.try_reserve(MOST_BYTES - 10).unwrap());
        for _ in 1..MOST_REPORTS {
            sender.try_reserve(1).unwrap().send(4);
        }
        assert!(sender.try_reserve(1).is_none());
        receiver.close();
        assert_eq!(receiver.recv().await, Some(3));
        assert!(sender.try_reserve(1).is_none());
    }
}

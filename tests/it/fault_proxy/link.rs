//! One connection on its way through the proxy.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fault_proxy::{Carried, Direction, End, Fault, Place, Shared};

/// One connection.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) shared: &'a Shared,
    pub(super) index: usize,
}

impl Link<'_> {
    /// Carries it to its end, broken or not.
    pub(super) async fn carry(self, mut caller: TcpStream, fault: Fault) {
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
        if cut.is_none() {
            self.carry_all(from, to, is_request).await;
            return Ok(());
        }
        let (mut seen, mut passed) = (Vec::new(), 0);
        loop {
            let limit = cut.map_or(Some(usize::MAX), |(place, _)| place.find(&seen));
            // Until the place is known nothing may pass it, unless it is waited for in a talk.
            let is_talk = matches!(cut, Some((Place::Behind(_), _)));
            let free = if is_talk { seen.len() } else { passed };
            let next = limit.map_or(free, |limit| limit.min(seen.len()).max(passed));
            if to.write_all(&seen[passed..next]).await.is_err() {
                return Ok(());
            }
            if is_request {
                self.note(|carried| carried.passed = next);
            }
            passed = next;
            // An answer is broken when it comes, a request even before.
            if limit.is_some_and(|limit| limit <= passed) && (is_request || !seen.is_empty()) {
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

    /// Carries one direction to its end and keeps nothing of it.
    async fn carry_all(
        self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        is_request: bool,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if is_request {
                self.note(|carried| carried.taken += count);
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            if is_request {
                self.note(|carried| carried.passed += count);
            }
        }
        let _ = to.shutdown().await;
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
            Self::Behind(text) => {
                let found = seen.windows(text.len()).position(|window| window == text.as_bytes());
                found.map(|place| place + text.len() + 1)
            }
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
